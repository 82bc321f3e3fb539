"""The Reconstruct dock: a measured slice of eight coils, and three methods on simulated k-space of a heart."""

import tempfile
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
from picture_window import HEART, MIDDLE_SLICE, choose, open_dock, take, wait_for
from qtpy.QtTest import QTest

import napari_medseg
from napari_medseg import samples

METHODS = ("zero-filled", "tv", "conditional-swin-mri-dc")
STRONGER = 2  # times: so much of the contrast of the errors
AROUND = 1  # slices of the heart on either side of the middle one: a network takes seconds for each


def raw(viewer: napari.Viewer, folder: Path) -> None:
    """The bundled k-space of a head, reconstructed as the form proposes it."""
    dock = open_dock(viewer, "Reconstruct")
    viewer.open_sample("napari-medseg", "head_kspace")
    QTest.qWait(300)
    wait_for(dock)
    dock.form.run.click()
    wait_for(dock)
    viewer.layers[0].visible = False  # the zero-filled image is below
    viewer.reset_view()
    take(viewer.window._qt_window, folder / "reconstruct.png")


def compare(viewer: napari.Viewer, folder: Path) -> None:
    """Errors of all methods side by side, on one scale."""
    dock = open_dock(viewer, "Reconstruct")
    with tempfile.TemporaryDirectory() as scratch:
        piece = Path(scratch) / "heart.nii.gz"
        napari_medseg.write(middle_of_heart(), piece)
        dock.opener.open([piece])
        wait_for(dock)
    choose(dock.form.mask_kind, "equispaced")
    wait_for(dock)
    for method in METHODS:
        choose(dock.form.method, method)
        wait_for(dock)
        dock.form.run.click()
        wait_for(dock)
    dock.tabs.setCurrentWidget(dock.compare)
    wait_for(dock)
    dock.compare.times.setValue(STRONGER)
    dock.compare.show_view.click()
    wait_for(dock)
    side_by_side(viewer)
    viewer.dims.set_current_step(0, AROUND)
    viewer.reset_view()
    take(viewer.window._qt_window, folder / "reconstruct_compare.png")


def side_by_side(viewer: napari.Viewer) -> None:
    """The errors of each method over its image, and the heart next to them."""
    heart, *others = viewer.layers
    results = others[: len(METHODS)]
    errors = others[len(METHODS) :]
    order = [layer for pair in zip(results, errors, strict=True) for layer in pair] + [heart]
    for place, layer in enumerate(order):
        viewer.layers.move(viewer.layers.index(layer), place)
    for layer in results:
        layer.visible = False
    grid = viewer.canvas.grid
    grid.stride = 2
    grid.shape = (2, 2)
    grid.enabled = True
    viewer.layers.selection = {errors[-1]}


def middle_of_heart() -> napari_medseg.Volume:
    """Some slices of the bundled heart."""
    whole = napari_medseg.read(samples.path(HEART))
    kept = slice(MIDDLE_SLICE - AROUND, MIDDLE_SLICE + AROUND + 1)
    return replace(whole, data=np.asarray(whole.data)[kept])
