"""The Batch dock: the phases of a heart as a cohort, one of them with a wrong voxel size and one file damaged."""

import tempfile
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
from picture_window import choose, open_dock, take, wait_for

import napari_medseg
from napari_medseg import io, samples
from napari_medseg.review.ledger import AUTO
from napari_medseg.widgets.kit import records

CINE = "sunnybrook_SC-HF-I-01_cine.nii.gz"
WRONG = 7  # phase whose slices are said to be three times as thick
APPROVED = 6  # slices


def batch(viewer: napari.Viewer, folder: Path) -> None:
    """A run over a folder, with the first case that can be opened under review."""
    with tempfile.TemporaryDirectory() as place:
        scans = Path(place) / "scans"
        scans.mkdir()
        write_cohort(scans)
        dock = open_dock(viewer, "Batch")
        dock.chosen.choose([str(scans)])
        choose(dock.form.model, "litenext-heart")
        wait_for(dock)
        dock.form.run.click()
        wait_for(dock)
        dock.form.next.click()
        wait_for(dock)
        labels = dock.opened.labels
        states = records.ledger_of(labels).states()
        records.approve(labels, [number for number, state in enumerate(states) if state == AUTO][:APPROVED])
        # the folder of this run has a name that says nothing
        dock.form.inputs.setText("scans")
        dock.form.output.setText("scans_labels")
        take(viewer.window._qt_window, folder / "batch.png")


def write_cohort(folder: Path) -> None:
    """A file for each phase of the sample, and one that was cut off."""
    cine = napari_medseg.read(samples.path(CINE))
    for number in range(cine.data.shape[0]):
        phase = cine.select("t", number)
        if number == WRONG:
            phase = replace(phase, affine=phase.affine @ np.diag([1.0, 1.0, 3.0, 1.0]))
        io.write(replace(phase, data=np.ascontiguousarray(phase.data)), folder / f"phase-{number:02}.nii.gz")
    whole = (folder / "phase-00.nii.gz").read_bytes()
    (folder / "phase-10.nii.gz").write_bytes(whole[: len(whole) // 2])
