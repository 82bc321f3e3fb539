"""Small real images to try things on; `data/NOTICE.md` says where they come from."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileError
from ..io import read
from ..io.contributions import LayerData, layer_tuple

_DATA = Path(__file__).parent / "data"


def path(name: str) -> Path:
    """Where a sample file or folder lies.

    Parameters
    ----------
    name : str
        For example ``sunnybrook_SC-HF-I-01_ED.nii.gz``; ``sunnybrook_sax_ED`` is a folder of DICOM files. Labels drawn
        by people have ``_label`` in their name.

    Raises
    ------
    FileError
        If there is no such sample; the message names those there are.
    """
    if name not in (names := sorted(item.name for item in _DATA.iterdir())):
        raise FileError(f"There is no sample '{name}'. Choose one of {', '.join(names)}.")
    return _DATA / name


def heart() -> list[LayerData]:
    """Short-axis cine MR of a heart at the end of diastole, oblique, for napari."""
    return _image("sunnybrook_SC-HF-I-01_ED.nii.gz", "heart")


def heart_cine() -> list[LayerData]:
    """Ten phases of a whole heart, to measure an ejection fraction, for napari."""
    return _image("sunnybrook_SC-HF-I-01_cine.nii.gz", "heart cine")


def hippocampus() -> list[LayerData]:
    """T1-weighted MR around the right hippocampus, for napari."""
    return _image("studyforrest_hippocampus.nii.gz", "hippocampus")


def head() -> list[LayerData]:
    """T1-weighted MR of a whole head without its face, oblique to the axes of the body, for napari."""
    return _image("studyforrest_head.nii.gz", "head")


def trunk() -> list[LayerData]:
    """CT of a part of the trunk and labels of five organs, which a model made (TotalSegmentator), for napari."""
    return [*_image("totalseg_ct.nii.gz", "CT"), *_image("totalseg_ct_label.nii.gz", "CT organs (by TotalSegmentator)")]


def nuclei() -> list[LayerData]:
    """Cell nuclei under the fluorescence microscope, for napari."""
    return _image("dsb2018_fluorescence_06c77933.png", "nuclei")


def stained_nuclei() -> list[LayerData]:
    """Cell nuclei in stained tissue, for napari."""
    return _image("dsb2018_stained_0121d675.png", "stained nuclei")


def _image(name: str, title: str) -> list[LayerData]:
    return [layer_tuple(read(path(name)), title)]
