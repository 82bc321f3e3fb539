"""The table of file formats: how each is recognised, read and saved, and what it keeps.

Nothing else in the package decides of which kind a file or a folder is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError, reason
from . import first_bytes
from .clutter import is_clutter
from .zarr_groups import image_of

_NOTES = frozenset({"notes"})
_PLACE = _NOTES | {"position", "voxel size"}


@dataclass(frozen=True)
class Format:
    """One kind of file or folder.

    Parameters
    ----------
    name : str
        As people call it.
    family : str
        Name of the kinds that are listed together.
    suffixes : tuple of str
        Name endings in lower case.
    recognise : callable
        Whether the first 512 bytes of a file are of this kind.
    read, save : str
        ``module:function`` of this package, imported on first use; `save` is empty if volumes cannot be saved in it.
        ``read(path, axes)`` returns a `Volume`, ``save(volume, path)`` writes one.
    read_all : str
        Likewise, for kinds that may hold several volumes: ``read_all(path)`` returns a list of `Volume`.
    notice : str
        Likewise: ``notice(volume)`` says in a sentence what other programs cannot do with it, else nothing.
    folder : bool
        Whether a folder can be one.
    markers : frozenset of str
        Names of which such a folder holds one. Without any, every folder that is not of another kind is one.
    keeps : frozenset of str
        What the file itself holds. ``notes``: axes, exact geometry, classes and record, for this package. For other
        programs: ``voxel size``, ``position``, ``shear`` (a tilted stack), ``classes`` (names and colours), ``codes``.
    labels_only : bool
        Whether it holds labels and never images.
    labels_as : str
        Ending of labels that are made of such an image.
    kspace : bool
        Whether such a file may hold k-space as well.
    offered : bool
        Whether napari asks this package to open it.
    fitted, reference : str
        Likewise, for kinds that hold labels only on the grid of the images they were made on: the one returns them on
        this grid, with the images, which `save` takes as well, the other finds these images (volume, path, reference).
    lazy : bool
        Whether the array of the volume is read from the file bit by bit.
    """

    name: str
    family: str
    suffixes: tuple[str, ...]
    recognise: Callable[[bytes], bool]
    read: str
    save: str = ""
    read_all: str = ""
    notice: str = ""
    fitted: str = ""
    reference: str = ""
    folder: bool = False
    markers: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()
    labels_only: bool = False
    labels_as: str = ".nii.gz"
    kspace: bool = False
    offered: bool = True
    lazy: bool = False

    @property
    def writes(self) -> bool:
        """Whether volumes can be saved in it."""
        return bool(self.save)

    @property
    def keeps_notes(self) -> bool:
        """Whether the file itself holds axes, geometry, classes and record; if not, a side file does."""
        return "notes" in self.keeps


DICOM = Format(
    "DICOM",
    "DICOM",
    (".dcm", ".dicom", ".ima"),
    first_bytes.is_dicom,
    "dicom:read",
    read_all="dicom_folder:read_all",
    folder=True,
)
"""The kind of images whose files are slices: one file stands for its series, and so does a folder."""

DICOM_SEG = Format(
    "DICOM segmentation",
    "DICOM segmentation",
    (".seg.dcm",),
    first_bytes.is_dicom_segmentation,
    "dicom_seg_read:read",
    "dicom_seg_write:save",
    read_all="dicom_seg_read:read_all",
    fitted="dicom_seg_write:fitted",
    reference="dicom_seg_write:reference_of",
    keeps=_PLACE | {"classes", "codes"},
    labels_only=True,
)
"""Labels in one DICOM file. Their names often end in ``.dcm`` alone, so that only their first bytes tell."""

OME_ZARR = Format(
    "OME-Zarr",
    "OME-Zarr",
    (".ome.zarr", ".zarr"),
    first_bytes.is_nothing,
    "ome_zarr:read",
    "ome_zarr_write:save",
    read_all="ome_zarr:read_all",
    folder=True,
    markers=frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"}),
    keeps=_PLACE | {"classes"},
    labels_as=".ome.zarr",
    lazy=True,
)
"""A folder with a file for each piece of the image, so that images may be larger than the memory."""

_NIFTI = Format(
    "NIfTI",
    "NIfTI",
    (".nii",),
    first_bytes.is_nifti,
    "nifti:read",
    "nifti:save",
    notice="nifti:notice",
    keeps=_PLACE | {"classes"},
)
_TIFF = Format(
    "TIFF",
    "TIFF",
    (".tif", ".tiff"),
    first_bytes.is_tiff,
    "images:read",
    "images:save",
    keeps=_NOTES | {"voxel size"},
    labels_as=".tif",
)
_PNG = Format("PNG", "PNG, JPEG", (".png",), first_bytes.is_png, "images:read", labels_as=".tif", offered=False)
_NPZ = Format(
    "NumPy archive",
    "NumPy",
    (".npz",),
    first_bytes.is_zip,
    "arrays:read",
    "arrays:save",
    read_all="arrays:read_all",
    keeps=_NOTES,
    labels_as=".npz",
    kspace=True,
)

_NRRD = Format(
    "NRRD",
    "NRRD",
    (".nrrd",),
    first_bytes.is_nrrd,
    "nrrd:read",
    "nrrd:save",
    read_all="nrrd:read_all",
    keeps=_PLACE | {"shear"},
)
_MHA = Format(
    "MetaImage",
    "MetaImage",
    (".mha",),
    first_bytes.is_meta_image,
    "meta_image:read",
    "meta_image:save",
    keeps=_PLACE | {"shear"},
)

# of kinds that begin alike the usual one comes first
FORMATS = (
    replace(_NIFTI, name="compressed NIfTI", suffixes=(".nii.gz",), recognise=first_bytes.is_gzip),
    _NIFTI,
    DICOM_SEG,
    DICOM,
    OME_ZARR,
    _NRRD,
    replace(
        _NRRD,
        name="NRRD segmentation",
        suffixes=(".seg.nrrd",),
        keeps=_NRRD.keeps | {"classes", "codes"},
        labels_only=True,
    ),
    _MHA,
    replace(_MHA, name="MetaImage header", suffixes=(".mhd",), save=""),
    _TIFF,
    replace(_TIFF, name="OME-TIFF", suffixes=(".ome.tif", ".ome.tiff"), keeps=_TIFF.keeps | {"classes"}),
    _PNG,
    replace(_PNG, name="JPEG", suffixes=(".jpg", ".jpeg"), recognise=first_bytes.is_jpeg),
    _NPZ,
    replace(
        _NPZ,
        name="NumPy array",
        suffixes=(".npy",),
        recognise=first_bytes.is_npy,
        read_all="",
        keeps=frozenset(),
        offered=False,
    ),
)

_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}
_LONGEST_FIRST = sorted(_BY_SUFFIX, key=len, reverse=True)


def function(text: str) -> Callable[..., Any]:
    """The function of this package that a row names as ``module:function``."""
    module, _, name = text.partition(":")
    return getattr(import_module(f".{module}", __package__), name)


def ending(path: Path) -> str:
    """The longest ending of the name of `path` that a format has, in lower case; empty if it has none."""
    name = path.name.lower()
    return next((suffix for suffix in _LONGEST_FIRST if name.endswith(suffix)), "")


def named(path: Path) -> Format | None:
    """The format that the name of `path` promises, if any."""
    return OME_ZARR if image_of(path) else _BY_SUFFIX.get(ending(path))


def stem(path: Path) -> str:
    """The name of a file without folder and ending: ``scan`` for ``scan.nii.gz``."""
    return path.name[: len(path.name) - len(ending(path))]


def suffixes(*, writing: bool = False, offered: bool = False) -> list[str]:
    """Name endings of the files that can be read.

    Parameters
    ----------
    writing : bool
        Only those of files that can be written.
    offered : bool
        Only those that napari asks this package to open.
    """
    rows = [row for row in FORMATS if (row.writes or not writing) and (row.offered or not offered)]
    return [suffix for row in rows for suffix in row.suffixes]


def families(*, writing: bool = False) -> dict[str, list[str]]:
    """Name endings of the files that can be read, or written, under the names of their families."""
    known = set(suffixes(writing=writing))
    found: dict[str, list[str]] = {}
    for row in FORMATS:
        for suffix in row.suffixes:
            if suffix in known:
                found.setdefault(row.family, []).append(suffix)
    return found


def file_filters(*, writing: bool = False) -> list[str]:
    """Entries for the filter of a file dialog, such as ``NIfTI (*.nii.gz *.nii)``.

    For reading, the first entry stands for all of them, and the last one for every file, because DICOM files often have
    no ending.
    """
    entries = [f"{name} ({_patterns(endings)})" for name, endings in families(writing=writing).items()]
    if writing:
        return entries
    return [f"All scans and labels ({_patterns(suffixes())})", *entries, "All files (*)"]


def _patterns(endings: list[str]) -> str:
    return " ".join(f"*{suffix}" for suffix in endings)


def is_dicom(path: Path) -> bool:
    """Whether a file is there, can be opened and begins as DICOM files do; a folder, if it is not of another kind."""
    promised = named(path)
    if promised not in (None, DICOM, DICOM_SEG) and not files.is_folder(path):
        return False
    try:
        return recognise(path) in (DICOM, DICOM_SEG)
    except FileError:
        return False


def whole(path: Path) -> Path:
    """The folder that a file marks, because file dialogs do not choose folders; any other path as it is."""
    marks = any(path.name in row.markers for row in FORMATS)
    return path.parent if marks and files.is_file(path) else path


def is_store(folder: Path) -> bool:
    """Whether a folder is an image of a kind of its own, which its content shows."""
    return files.is_folder(folder) and _of_folder(folder) is not DICOM


def held(folder: Path) -> Format | None:
    """The kind of a folder; None if it holds no DICOM file and is not of another kind."""
    if not os.access(folder, os.R_OK):
        return None
    found = _of_folder(folder)
    if found is not DICOM:
        return found
    inside = [path for path in folder.iterdir() if path.is_file() and not is_clutter(path)]
    return found if any(map(is_dicom, sorted(inside, key=_unusual))) else None


def _unusual(path: Path) -> tuple[bool, bool, str]:
    """Sorts files behind those whose names are usual among DICOM files."""
    suffix = path.suffix.lstrip(".")
    return named(path) is None, bool(suffix) and not suffix.isdigit(), path.name


def _of_folder(folder: Path) -> Format:
    marked = [row for row in FORMATS if row.folder and row.markers]
    return next((row for row in marked if any((folder / name).exists() for name in row.markers)), DICOM)


def recognise(path: Path) -> Format:
    """The format of a file, from its name and its first bytes, or of a folder, from what it holds.

    Raises
    ------
    FileError
        If the file cannot be opened, is empty, of an unknown kind, or not what its name says.
    """
    path = whole(path)
    if files.is_folder(path):
        return _of_folder(path)
    files.refuse_special(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be opened ({reason(error)}). Check the path.") from error
    if not head:
        raise FileError(f"'{path.name}' is empty (0 bytes). Copy it again from its source.")
    promised = named(path)
    found = next((f for f in FORMATS if f.recognise(head)), None)
    # segmentations are DICOM too
    if promised is DICOM and found is DICOM_SEG:
        return found
    if promised and promised.recognise(head):
        return promised
    if promised:
        truth = f"holds {found.name} data; rename it to '*{found.suffixes[0]}'" if found else "holds something else"
        raise FileError(f"'{path.name}' is not the {promised.name} file that its name says: it {truth}.")
    # DICOM files often have no ending at all, or a number
    if found in (DICOM, DICOM_SEG):
        return found
    if found and found.family == "NRRD" and path.suffix.lower() == ".nhdr":
        raise FileError(
            f"'{path.name}' keeps its voxels in another file. Only files that hold everything are read; save it as one "
            ".nrrd."
        )
    if path.suffix.lower() in (".hdr", ".img"):
        raise FileError(
            f"'{path.name}' is half of a pair, {path.stem}.hdr and {path.stem}.img (Analyze or NIfTI). Turn the pair "
            "into one .nii file, for example with nibabel: "
            f"nib.save(nib.load('{path.stem}.img'), '{path.stem}.nii')."
        )
    raise FileError(
        f"'{path.name}' cannot be read. Expected one of {', '.join(suffixes())} or a folder of DICOM files."
    )


def writable(path: Path) -> Format:
    """The format in which `path` is to be written.

    Raises
    ------
    FileError
        If the ending of the name is not one that can be written, or not every system can keep the name.
    """
    files.refuse_name(path)
    # of DICOM files, only segmentations are written
    format_ = DICOM_SEG if named(path) is DICOM and ending(path) == ".dcm" else named(path)
    if format_ is None or not format_.writes:
        endings = ", ".join(suffixes(writing=True))
        raise FileError(f"'{path.name}' has an ending that cannot be written. End the name in one of {endings}.")
    return format_
