"""What every test shares: a home of its own, a display or the offscreen platform, and one Qt binding."""

import os
import sys

import pytest

BINDINGS = ("PyQt5", "PyQt6", "PySide6")


def has_display() -> bool:
    """Whether windows can be shown; under pytest-xvfb always."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@pytest.hookimpl(trylast=True)  # pytest-xvfb starts its display first
def pytest_configure():
    if not has_display():  # without a platform Qt would end the process
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "widgets" not in item.path.parts)  # a window closes slowly once the process has grown
    if not has_display():
        for item in items:
            if "make_napari_viewer" in item.fixturenames:
                item.add_marker(pytest.mark.skip(reason="napari's canvas needs a display: install xvfb"))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Keep the models of the person who runs the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(home))
    return home


def pytest_sessionfinish(session):
    """Fail a run that asked pytest-qt for a Qt binding and was given another one, or two."""
    asked = os.environ.get("PYTEST_QT_API", "")  # QT_API does not tell: qtpy overwrites it
    loaded = [name for name in BINDINGS if f"{name}.QtCore" in sys.modules]
    if asked and [name.lower() for name in loaded] != [asked.lower()]:
        sys.stderr.write(f"\nThe tests should run on {asked}, but {' and '.join(loaded) or 'no Qt'} was loaded.\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
