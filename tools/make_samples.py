"""Make the samples that are parts of larger sets: a cine of a heart, a head without the neck, one hippocampus, a CT.

``python tools/make_samples.py DATA`` writes them to the samples of the package; DATA is the folder of the sets that the
bundled models were trained on. `NOTICE.md` beside the samples says where each comes from.
"""

import argparse
import shutil
from pathlib import Path

import nibabel
import numpy as np

import napari_medseg
from napari_medseg import io, samples
from napari_medseg.record import Record, UsedModel
from napari_medseg.volume import LabelClass, Volume

SAMPLES = samples.path("NOTICE.md").parent
PATIENT = "SC-HF-I-01"
PHASES = np.arange(0, 20, 2)  # the set holds every second one of all slices
HEART = (slice(74, 186), slice(80, 192))  # rows and columns around it
NECK = 45  # slices of the head below this one
RIGHT_HIPPOCAMPUS = (slice(37, 63), slice(70, 107), slice(90, 116))  # along right, front and head

ORGANS = {
    1: ("spleen", "#4dbbd5"),
    2: ("right kidney", "#e64b35"),
    3: ("left kidney", "#f39b7f"),
    5: ("liver", "#91612d"),
    52: ("aorta", "#dc0000"),
}
"""Numbers of classes of TotalSegmentator: names and colours."""


def main() -> None:
    """Write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA")
    data = parser.parse_args().data
    io.write(cine(data / "sunnybrook_stack" / "val.npz"), SAMPLES / f"sunnybrook_{PATIENT}_cine.nii.gz")
    head = nibabel.as_closest_canonical(nibabel.load(data / "samples" / "studyforrest_T1w_half.nii.gz"))
    nibabel.save(head.slicer[:, :, NECK:], SAMPLES / "studyforrest_head.nii.gz")
    nibabel.save(head.slicer[RIGHT_HIPPOCAMPUS], SAMPLES / "studyforrest_hippocampus.nii.gz")
    shutil.copyfile(data / "samples" / "totalseg_ct_3mm.nii.gz", SAMPLES / "totalseg_ct.nii.gz")
    labels = napari_medseg.read(data / "samples" / "totalseg_ct_3mm_seg.nii.gz")
    io.write(named(labels), SAMPLES / "totalseg_ct_label.nii.gz")


def cine(stack: Path) -> Volume:
    """Ten phases (t, z, y, x) of the heart of the other samples, in 8 bits, on the grid of its DICOM files."""
    still = napari_medseg.read(samples.path("sunnybrook_sax_ED"))
    with np.load(stack, allow_pickle=False) as frames:
        values = frames["image"].astype(float) * frames["dicom_max"][:, None, None] / 255
        phases, slices = frames["phase"], frames["slice"]
    found = np.zeros((len(PHASES), *still.data.shape))
    for frame, phase, place in zip(values, phases, slices, strict=True):
        if phase in PHASES:
            found[phase // 2, -1 - place] = frame  # the slices of the files are in the other direction
    found = np.round(found * (255 / found.max())).astype(np.uint8)
    affine = still.affine.copy()
    affine[:3, 3] += affine[:3, 0] * HEART[1].start + affine[:3, 1] * HEART[0].start
    return Volume(found[..., *HEART], "tzyx", affine)


def named(labels: Volume) -> Volume:
    """Of the many organs, the `ORGANS`, numbered from 1."""
    found = np.zeros_like(labels.data)
    for number, old in enumerate(ORGANS, 1):
        found[labels.data == old] = number
    classes = [LabelClass(number, *row) for number, row in enumerate(ORGANS.values(), 1)]
    made = Record("segment", models=(UsedModel("TotalSegmentator"),))  # no person drew them
    return labels.like(found, tuple(classes)).made_by(made)


if __name__ == "__main__":
    main()
