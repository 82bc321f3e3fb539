"""Sentences of the docks that need no window."""

import numpy as np
import pytest

from napari_medseg.errors import VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.volume import Volume
from napari_medseg.widgets.fine_tune.data import Marked
from napari_medseg.widgets.kit.layer_volumes import Grid
from napari_medseg.widgets.reconstruct.scans import Scan, facts

LINES = np.array([True, False, True, True, False, True, False, False])


def scan(**more):
    kspace = KSpace(np.ones((1, 1, 8, 8), np.complex64), **more)
    image = Volume(np.zeros((1, 8, 8), np.float32), "zyx", np.eye(4))
    return Scan(kspace, "x", image, Grid({}, None), (0.0, 1.0), {})


def marked(*labels):
    drawn = np.zeros((4, 5, 5), np.uint8)
    drawn[3].flat[: len(labels)] = labels
    image = Volume(np.zeros((4, 5, 5)), "zyx", np.eye(4))
    return Marked("x", image, drawn, (0, 3), {1: 1})


def test_labels_painted_after_start_are_named():
    with pytest.raises(VolumeError, match="Label 4 was painted on slice 3 of 'x' after you pressed Start"):
        marked(1, 4).translated()
    with pytest.raises(VolumeError, match=r"Labels 4, 7 were painted on slice 3 .* press Start again"):
        marked(1, 7, 4).translated()
    assert marked(1).translated().sum() == 1


def test_a_scan_says_which_phase_was_chosen():
    assert "Only phase 1 of several is taken" in facts(scan(metadata={"taken": {"phase": 0}}))


def test_undersampling_has_its_direction_and_acceleration():
    text = facts(scan(mask=LINES, mask_origin="file"))
    assert "Undersampled along phase encoding (x), 2.00x (4 of 8 columns), mask in the file" in text
    rows = facts(scan(mask=np.repeat(LINES[:, None], 8, axis=1)))
    assert "Undersampled along phase encoding (y), 2.00x (4 of 8 rows)" in rows
