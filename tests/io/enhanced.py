"""Enhanced DICOM files, which hold many frames, made to measure."""

from copy import deepcopy

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

SHAPE = (6, 8, 12)
"""Slices, rows and columns; a frame is a multiple of 16 pixels, as OHIF's reader expects it of masks."""

KINDS = ["shared", "by frame", "phases in a file", "phase per file", "slice per file", "one frame", "old class"]


def enhanced(folder, kind, seed=0):
    """Write an oblique series whose frames are shuffled.

    Parameters
    ----------
    folder : pathlib.Path
    kind : str
        One of `KINDS`: where the geometry is, and how frames are spread over files.

    Returns
    -------
    list of pathlib.Path
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(1 if kind == "one frame" else SHAPE[0])
    dataset, axes = _dataset(rng)
    if kind == "old class":
        dataset.SOPClassUID = MRImageStorage
    if kind == "by frame":
        dataset.SharedFunctionalGroupsSequence = [Dataset()]
    phases = [1, 2] if "phase" in kind else [1]
    frames = [(_frame(n, phase, axes, alone=kind == "by frame"), n) for phase in phases for n in order]
    count = {"phase per file": SHAPE[0], "slice per file": 1}.get(kind, len(frames))
    return [
        _written(folder / f"{first}.dcm", dataset, frames[first : first + count])
        for first in range(0, len(frames), count)
    ]


def _item(**elements):
    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


def _dataset(rng):
    """A file without frames, and the directions along its rows and columns and between its slices."""
    across, down = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    dataset = _item(Modality="MR", StudyInstanceUID="1.2.3", SOPClassUID=EnhancedMRImageStorage)
    dataset.SeriesInstanceUID = dataset.FrameOfReferenceUID = generate_uid()
    _, dataset.Rows, dataset.Columns = SHAPE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    axes = np.round([across, down, np.cross(across, down)], 12)
    dataset.SharedFunctionalGroupsSequence = [_item(**_geometry(axes))]
    return dataset, axes


def _geometry(axes):
    measures = _item(PixelSpacing=[1.5, 0.8], SliceThickness=2)
    return {
        "PixelMeasuresSequence": [measures],
        "PlaneOrientationSequence": [_item(ImageOrientationPatient=axes[:2].ravel().tolist())],
    }


def _frame(number, phase, axes, alone):
    position = np.round([10, -20, 30] + 4 * number * axes[2], 9)
    content = _item(TemporalPositionIndex=phase, DimensionIndexValues=[int(number) + 1, phase])
    found = _item(PlanePositionSequence=[_item(ImagePositionPatient=position.tolist())], FrameContentSequence=[content])
    if alone:
        found.update(_item(**_geometry(axes)))
    return found


def _written(path, dataset, frames):
    dataset = deepcopy(dataset)
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.NumberOfFrames = len(frames)
    dataset.PerFrameFunctionalGroupsSequence = [frame for frame, _ in frames]
    dataset.add_new("PixelData", "OW", np.array([np.full(SHAPE[1:], n, "<u2") for _, n in frames]).tobytes())
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path
