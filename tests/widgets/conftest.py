import functools
import gc
import inspect
import os
import shutil
import sys
import threading

import napari
import npe2
import pytest
import torch
from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari._qt.qt_viewer import QtViewer
from napari._qt.threads.status_checker import StatusChecker
from napari.plugins import _initialize_plugins
from napari.settings import NapariSettings, get_plugin_settings, get_settings
from napari.utils.events import EventEmitter
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication
from torch import nn
from vispy.visuals.shaders.function import Function

from napari_medseg import models
from napari_medseg.models.registry import ARCHITECTURES, Architecture
from napari_medseg.preprocess import Preprocess
from napari_medseg.segmentation import consensus, inference
from napari_medseg.volume import LabelClass
from napari_medseg.widgets.kit import jobs, legend, letters, painting, recorder, shelf, tuning, upright

BINDINGS = ("PyQt5", "PyQt6", "PySide6")
CLASSES = (LabelClass(1, "everything", "#e64b35"),)


def save(folder, name, network, architecture="litenext", classes=CLASSES, multiple=16, **options):
    """Add a model to those of the user."""
    folder.mkdir(exist_ok=True)
    said = {"modality": "noise", "data": "none", "licence": "CC0"}
    card = models.ModelCard(name, architecture, Preprocess(multiple=multiple), classes, **said, **options)
    models.save(folder / f"{name}.safetensors", network, card)


def constant(logit):
    """A network that says the same of every pixel."""
    network = models.build("litenext")
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(logit)
    return network


CHECK = EventEmitter._check_signature
KNOWN = {}


def takes_event(callback):
    """Whether a callback takes an event: napari looks at its signature at every connection and disconnection."""
    called = callback if inspect.isroutine(callback) else type(callback).__call__
    code = getattr(called, "__code__", None)
    if code is None or hasattr(called, "__wrapped__"):
        return CHECK(callback)
    key = code, inspect.isfunction(callback)  # without one that is bound to it
    if key not in KNOWN:
        KNOWN[key] = CHECK(callback)
    return KNOWN[key]


@pytest.fixture(scope="session", autouse=True)
def done_once(tmp_path_factory):
    """Spare each window what is the same every time.

    Finding plugins, writing settings, looking at signatures and at shaders, going through all objects.
    """
    found = list(npe2.PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npe2.PluginManifest, "discover", lambda **_: iter(found))
        patch.setattr(NapariSettings, "save", lambda *_, **__: None)
        patch.setattr(EventEmitter, "_check_signature", staticmethod(takes_event))
        clean = functools.lru_cache(Function._clean_code)
        patch.setattr(Function, "_clean_code", lambda _, code: clean(None, code))
        pages = tmp_path_factory.mktemp("pages") / "settings.yaml"
        patch.setattr(napari.settings, "_CFG_PATH", str(pages))  # pages of plugins lie next to it
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()


class Window:
    """One window of napari after the other: the next test gets this one, swept, or a new one if it was closed."""

    def __init__(self):
        self._viewer = None

    def open(self):
        if self._viewer is None:
            self._viewer = napari.Viewer(show=False, show_welcome_screen=False)
            QtViewer._instances.discard(self._viewer.window._qt_viewer)  # make_napari_viewer wants to see none
            QApplication.instance().removeEventFilter(self._viewer.window._qt_window)  # asked at each event of Qt
            gc.collect()
        gc.freeze()  # what stays is not gone through after each test
        return self._viewer

    def sweep(self):
        """Close the docks, then remove the layers, and forget what the docks remember of the viewer."""
        viewer = self._viewer
        if viewer is None or not hasattr(viewer.window, "_qt_window"):
            self._viewer = None
            return
        viewer.window.remove_dock_widget("all")
        viewer.layers.clear()
        viewer.dims.ndisplay = 2
        viewer.dims.order = tuple(range(viewer.dims.ndim))
        viewer.scene.camera.reset()
        viewer.canvas.grid.reset()
        for known in (
            shelf._SHELVES,
            painting._LISTENERS,
            letters._LETTERS,
            legend._LEGENDS,
            recorder._RECORDERS,
            upright._UPRIGHT,
        ):
            known.pop(viewer, None)
        get_settings().reset()
        for page in get_plugin_settings().values():
            page.reset()

    def close(self):
        if self._viewer is not None:
            self._viewer.close()
        gc.unfreeze()


@pytest.fixture(scope="module")
def window(done_once):
    """As `make_napari_viewer` does it: commands of an application of its own, and no thread that follows the cursor."""
    application = NapariApplication("window")
    application.injection_store.namespace = _napari_names
    forget_commands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariApplication, "get_app_model", lambda: application)
        patch.setattr(StatusChecker, "start", lambda *_: None)
        found = Window()
        yield found
        found.close()
    Application.destroy("window")
    forget_commands()


def forget_commands():
    """Let the next window register its commands."""
    for registered in (_initialize_plugins, init_qactions):
        registered.cache_clear()


@pytest.fixture
def viewer(window, qtbot):
    """The window of the tests of this file: opening one for each of them would take longer than all that they do."""
    yield window.open()
    window.sweep()


@pytest.fixture(scope="session", autouse=True)
def one_binding():
    """Fail a run that asked pytest-qt for a Qt binding and was given another one, or two."""
    yield
    asked = os.environ.get("PYTEST_QT_API", "")  # not QT_API, which qtpy overwrites
    loaded = [name for name in BINDINGS if f"{name}.QtCore" in sys.modules]
    assert not asked or [name.lower() for name in loaded] == [asked.lower()]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """Docks act on a change, and look at a training, at once."""
    monkeypatch.setattr(jobs, "GATHER_MS", 0)
    monkeypatch.setattr(tuning, "POLL_MS", 20)


@pytest.fixture(scope="session")
def two_models(tmp_path_factory):
    """One that calls every pixel class 1, and the same one for touching objects."""
    folder = tmp_path_factory.mktemp("two") / "models"
    for name, objects in (("all", False), ("all-objects", True)):
        save(folder, name, constant(9), objects=objects)
    return folder


@pytest.fixture
def model(own_home, two_models):
    """Two models of the user."""
    shutil.copytree(two_models, own_home / "models")
    return "all"


class Around(nn.Module):
    """Finds a pixel where the slices before and after it are brighter together than twice this one."""

    def __init__(self, in_channels=3, out_channels=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def encode(self, images):
        return [images[:, :1] * self.weight]

    def fuse(self, previous, current, following):
        return previous[0] + following[0] - 2 * current[0]

    def forward(self, previous, current, following):
        return self.fuse(*map(self.encode, (previous, current, following)))


@pytest.fixture
def more_models(model, own_home, monkeypatch):
    """More: one finds nothing, one has other classes, one also looks at neighbouring slices, one has routers."""
    monkeypatch.setitem(ARCHITECTURES, "around", Architecture(Around, "Around", 100, context=True))
    folder = own_home / "models"
    save(folder, "nothing", constant(-9))
    save(folder, "other", constant(9), classes=(LabelClass(1, "something else", "#4dbbd5"),))
    save(folder, "around", Around(), "around")
    swin = "conditional-swin-light"
    save(folder, "routed", models.build(swin, levels=1), swin, (LabelClass(1, "part", "#4dbbd5"),), multiple=64)


@pytest.fixture
def gate(monkeypatch):
    """Holds every run after its first part until it is set."""
    opened = threading.Event()

    def holding(whole):
        def held(*arguments, **options):
            job = whole(*arguments, **options)
            while True:
                try:
                    step = next(job)
                except StopIteration as end:
                    return end.value
                yield step
                if step.partial is not None:
                    opened.wait(120)

        return held

    for module, name in ((inference, "segment_job"), (consensus, "consensus_job")):
        monkeypatch.setattr(module, name, holding(getattr(module, name)))
    yield opened
    opened.set()


@pytest.fixture
def notes():
    """What napari tells the person."""
    seen = []
    notification_manager.notification_ready.connect(seen.append)
    yield seen
    notification_manager.notification_ready.disconnect(seen.append)


class Dock:
    """The form in a viewer, and what a person does with it."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        _, self.widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
        self.form = self.widget.form
        self._qtbot = qtbot
        self.settle()
        self.choose(self.form.model, "all")

    def wait(self, condition):
        self._qtbot.waitUntil(condition, timeout=120000)

    def settle(self):
        self.wait(lambda: not self.widget.busy)

    def choose(self, box, value):
        assert box.findData(value) >= 0
        box.setCurrentIndex(box.findData(value))
        self.settle()

    def start(self):
        """Press Run and wait for the first labels."""
        before = len(self.viewer.layers)
        self.form.run.click()
        self.wait(lambda: len(self.viewer.layers) > before)
        return self.viewer.layers[-1]

    def run(self):
        self.form.run.click()
        self.settle()
        return self.widget.labels


@pytest.fixture
def dock(viewer, model, qtbot):
    docks = []

    def make(data=None, **options):
        if data is not None:
            viewer.add_image(data, name="scan", **options)
        docks.append(Dock(viewer, qtbot))
        return docks[-1]

    yield make
    assert QThreadPool.globalInstance().waitForDone(120000), "no thread outlives its form"
    QApplication.processEvents()
    docks.clear()
    gc.collect()
