"""How files of each kind begin: what their first 512 bytes, `head`, say."""

from __future__ import annotations

import re

_FIRST_GROUPS = (b"\x02\0", b"\x08\0")
_FIRST_TYPES = (b"UL", b"UI", b"OB", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT", b"IS", b"PN")
_SEGMENTATIONS = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7")
_META_IMAGE = re.compile(rb"\s*(ObjectType|NDims|ObjectSubType|Comment|TransformType)\s*=")


def is_nifti(head: bytes) -> bool:
    """Whether it is NIfTI-1 or NIfTI-2."""
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def is_dicom(head: bytes) -> bool:
    """Whether it is DICOM, with or without its preamble."""
    return head[128:132] == b"DICM" or _begins_with_dicom_element(head)


def is_dicom_segmentation(head: bytes) -> bool:
    """Whether it is DICOM and says in its first elements that it is a segmentation or a label map."""
    start = head.find(b"\x02\0\x02\0UI", 132) if head[128:132] == b"DICM" else -1
    length = int.from_bytes(head[start + 6 : start + 8], "little")
    return start > 0 and head[start + 8 : start + 8 + length].rstrip(b"\0") in _SEGMENTATIONS


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


def is_nrrd(head: bytes) -> bool:
    """Whether it is NRRD."""
    return head.startswith(b"NRRD000")


def is_meta_image(head: bytes) -> bool:
    """Whether it is MetaImage."""
    return _META_IMAGE.match(head) is not None


def is_gzip(head: bytes) -> bool:
    """Whether it is compressed by gzip."""
    return head.startswith(b"\x1f\x8b")


def is_tiff(head: bytes) -> bool:
    """Whether it is TIFF or BigTIFF."""
    return head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def is_png(head: bytes) -> bool:
    """Whether it is PNG."""
    return head.startswith(b"\x89PNG\r\n\x1a\n")


def is_jpeg(head: bytes) -> bool:
    """Whether it is JPEG."""
    return head.startswith(b"\xff\xd8\xff")


def is_npy(head: bytes) -> bool:
    """Whether it is a NumPy array."""
    return head.startswith(b"\x93NUMPY")


def is_zip(head: bytes) -> bool:
    """Whether it is a zip archive, which NumPy archives are."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_nothing(_: bytes) -> bool:
    """Whether it is of a kind that only folders are."""
    return False
