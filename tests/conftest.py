"""What every test shares: a home of its own, a display or the offscreen platform, and a fair share of the cores."""

import ctypes
import itertools
import os
import platform
import sys

import pytest

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
CHOSEN = "OMP_NUM_THREADS" in os.environ
# before PyTorch is imported: workers that each take all cores wait for one another
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


def has_display() -> bool:
    """Whether windows can be shown; under pytest-xvfb always."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@pytest.hookimpl(trylast=True)  # pytest-xvfb starts its display first
def pytest_configure(config):
    hands_out = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if hands_out and not CHOSEN:  # the workers would inherit it, and take it for the choice of a person
        del os.environ["OMP_NUM_THREADS"]
    if not hands_out and not has_display():  # without a platform Qt would end the process
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def place(item):
    """Rank of a test's file: what needs most memory, then windows, which close slowly once the process has grown."""
    if item.path.name == "test_lstm_sa.py":
        return 0
    return 1 if "widgets" in item.path.parts else 2


def pytest_collection_modifyitems(items):
    items.sort(key=place)
    if not has_display():
        for item in items:
            if {"make_napari_viewer", "viewer"} & set(item.fixturenames):
                item.add_marker(pytest.mark.skip(reason="napari's canvas needs a display: install xvfb"))


def trim():
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def give_back():
    """Callable: returns freed memory to the system."""
    return trim


@pytest.fixture(scope="module", autouse=True)
def memory_given_back():
    """Return what a file of tests has freed: else a process stays as large as it was for the largest test."""
    yield
    trim()


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """A folder for each test: to number thousands of them itself, pytest would list all earlier ones for each."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_home(homes, monkeypatch):
    """Keep the models of the person who runs the tests out of them."""
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(home))
    return home
