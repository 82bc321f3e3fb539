"""The Fine-tune dock after a short training on slices of the bundled heart that experts have drawn."""

from pathlib import Path

import napari
import numpy as np
from napari.layers import Labels
from picture_window import (
    MIDDLE_SLICE,
    answer_yes,
    choose,
    drawn_by_experts,
    look_at,
    open_dock,
    scroll_to,
    segmented,
    take,
    wait_for,
    wait_until,
)
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest

from napari_medseg.widgets.kit.tuning import training
from napari_medseg.widgets.review.dock import ReviewWidget

SECONDS = 180.0  # one of those that the form offers
REVIEWED = range(1, 10)  # slices
ZOOM = 2.2


def fine_tune(viewer: napari.Viewer, folder: Path) -> None:
    """Curves, figures before and after, and what has changed."""
    viewer.open_sample("napari-medseg", "heart")
    labels = segmented(viewer, "litenext-heart").labels
    review_all(viewer, open_dock(viewer, "Review"), labels)
    dock = open_dock(viewer, "Fine-tune")
    choose(dock.form.model, "litenext-heart")
    choose(dock.form.time, SECONDS)
    wait_for(dock)
    dock.form.start.click()
    wait_until(lambda: training().running)
    wait_until(lambda: not training().running and not dock.busy)
    QTest.qWait(500)
    wait_until(lambda: dock.deciding.comparison is not None)
    dock.form.difference.click()
    QTest.qWait(500)
    wait_for(dock)
    labels.contour = 1
    look_at(viewer, MIDDLE_SLICE, ZOOM)
    scroll_to(dock.form.accept)
    take(viewer.window._qt_window, folder / "fine_tune.png")
    QTimer.singleShot(1000, answer_yes)
    dock.form.discard.click()
    wait_until(lambda: training().run is None and not dock.busy)


def review_all(viewer: napari.Viewer, review: ReviewWidget, labels: Labels) -> None:
    """Put what the experts drew on each slice, and approve it."""
    right = drawn_by_experts()
    for index in REVIEWED:
        look_at(viewer, index)
        wrong = np.nonzero(labels.data[index] != right[index])
        labels.data_setitem((np.full(len(wrong[0]), index), *wrong), right[index][wrong].astype(labels.data.dtype))
        QTest.qWait(200)
        review.form.approve.click()
        QTest.qWait(200)
