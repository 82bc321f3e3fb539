"""The table of file formats: name endings, first bytes and the module that reads each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import FileError, reason

_FIRST_GROUPS = (b"\x02\0", b"\x08\0")
_FIRST_TYPES = (b"UL", b"UI", b"OB", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT", b"IS", b"PN")
_CLUTTER = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found"}
_CLUTTER |= {"$recycle.bin", "system volume information"}


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Parameters
    ----------
    name : str
        As people call it.
    module : str
        Module of this package with ``read`` and, if `writes`, ``save``.
    suffixes : tuple of str
        Name endings in lower case.
    starts : callable
        Whether the first 512 bytes of a file are of this kind.
    writes : bool
        Whether volumes can be saved in it.
    keeps_notes : bool
        Whether the file itself holds axes, geometry, classes and record; if not, a side file does.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    starts: Callable[[bytes], bool]
    writes: bool = False
    keeps_notes: bool = True


def _is_nifti(head: bytes) -> bool:
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _is_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM" or _begins_with_dicom_element(head)


def _begins_with_dicom_element(head: bytes) -> bool:
    """Whether a file begins with elements of the groups 2 or 8, as old DICOM files do that lack the preamble."""
    big_endian = head[:2] == b"\0\x08"
    if (big_endian or head[:2] in _FIRST_GROUPS) and head[4:6] in _FIRST_TYPES:
        return True
    if head[:2] not in _FIRST_GROUPS or len(head) < 16:
        return False
    # without types of elements, the length leads to an element that follows in order
    length = int.from_bytes(head[4:8], "little")
    following = head[8 + length : 12 + length]
    return length % 2 == 0 and following[:2] in _FIRST_GROUPS and following[2:] != head[2:4]


FORMATS = (
    Format("compressed NIfTI", "nifti", (".nii.gz",), lambda h: h.startswith(b"\x1f\x8b"), writes=True),
    Format("NIfTI", "nifti", (".nii",), _is_nifti, writes=True),
    Format("DICOM", "dicom", (".dcm", ".dicom", ".ima"), _is_dicom),
    Format(
        "TIFF",
        "images",
        (".tif", ".tiff"),
        lambda h: h.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        writes=True,
    ),
    Format("PNG", "images", (".png",), lambda h: h.startswith(b"\x89PNG\r\n\x1a\n")),
    Format("JPEG", "images", (".jpg", ".jpeg"), lambda h: h.startswith(b"\xff\xd8\xff")),
    Format("NumPy array", "arrays", (".npy",), lambda h: h.startswith(b"\x93NUMPY"), writes=True, keeps_notes=False),
    Format("NumPy archive", "arrays", (".npz",), lambda h: h.startswith((b"PK\x03\x04", b"PK\x05\x06")), writes=True),
)


def named(path: Path) -> Format | None:
    """The format that the name of `path` promises, if any."""
    return next((f for f in FORMATS if path.name.lower().endswith(f.suffixes)), None)


def stem(path: Path) -> str:
    """The name of a file without folder and ending: ``scan`` for ``scan.nii.gz``."""
    endings = [suffix for f in FORMATS for suffix in f.suffixes if path.name.lower().endswith(suffix)]
    return path.name[: len(path.name) - max(map(len, endings), default=0)]


def is_clutter(path: Path) -> bool:
    """Whether a file or folder is one that systems leave behind: ``._scan.dcm``, ``.DS_Store``, ``Thumbs.db``."""
    name = path.name.lower()
    return name.startswith("._") or name in _CLUTTER or name.endswith(":zone.identifier")


def is_hidden(path: Path) -> bool:
    """Whether a search of a folder passes over a file or folder: clutter, and what begins with a dot."""
    return path.name.startswith(".") or is_clutter(path)


def is_dicom(path: Path) -> bool:
    """Whether a file is there, can be opened and begins as DICOM files do."""
    promised = named(path)
    if promised and promised.module != "dicom":
        return False
    try:
        return recognise(path).module == "dicom"
    except FileError:
        return False


def recognise(path: Path) -> Format:
    """The format of a file, from its name and its first bytes.

    Raises
    ------
    FileError
        If the file cannot be opened, is empty, of an unknown kind, or not what its name says.
    """
    files.refuse_special(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be opened ({reason(error)}). Check the path.") from error
    if not head:
        raise FileError(f"'{path.name}' is empty (0 bytes). Copy it again from its source.")
    promised = named(path)
    if promised and promised.starts(head):
        return promised
    found = next((f for f in FORMATS if f.starts(head)), None)
    if promised:
        truth = f"holds {found.name} data; rename it to '*{found.suffixes[0]}'" if found else "holds something else"
        raise FileError(f"'{path.name}' is not the {promised.name} file that its name says: it {truth}.")
    # DICOM files often have no ending at all, or a number
    if found and found.module == "dicom":
        return found
    if path.suffix.lower() in (".hdr", ".img"):
        raise FileError(
            f"'{path.name}' is half of a pair, {path.stem}.hdr and {path.stem}.img (Analyze or NIfTI). Turn the pair "
            "into one .nii file, for example with nibabel: "
            f"nib.save(nib.load('{path.stem}.img'), '{path.stem}.nii')."
        )
    raise FileError(
        f"'{path.name}' cannot be read. Expected one of {', '.join(readable_suffixes())} or a folder of DICOM files."
    )


def readable_suffixes() -> list[str]:
    """Name endings of all readable files."""
    return [suffix for f in FORMATS for suffix in f.suffixes]


def writable(path: Path) -> Format:
    """The format in which `path` is to be written.

    Raises
    ------
    FileError
        If the ending of the name is not one that can be written, or not every system can keep the name.
    """
    files.refuse_name(path)
    format_ = named(path)
    if format_ is None or not format_.writes:
        endings = ", ".join(suffix for f in FORMATS if f.writes for suffix in f.suffixes)
        raise FileError(f"'{path.name}' has an ending that cannot be written. End the name in one of {endings}.")
    return format_
