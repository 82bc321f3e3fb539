"""Raw data that are not read here: their kind, and what converts them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

_VB_NAME = b"Config"  # of the first part of the protocol in Siemens' older files
_MOST_SCANS = 64
_MOST_ID = 10_000
_GE = re.compile(r"P\d{5}\.7")
_PHILIPS = (".lab", ".raw", ".sin", ".list", ".data")
_BRUKER = re.compile(r"fid|ser|rawdata\.job\d+")


def kind_of(path: Path, head: bytes) -> str:
    """What a file is and what to do with it, in one sentence; empty if that is not known.

    Parameters
    ----------
    path : pathlib.Path
    head : bytes
        The first bytes of the file, 16 or more.
    """
    name = path.name
    if head.startswith(b"MATLAB 5"):
        return (
            f"'{name}' is a MATLAB file of version 5 to 7. Save k-space in MATLAB with save(..., '-v7.3'), or in "
            "Python as .npy."
        )
    if path.suffix.lower() == ".dat" and _is_twix(head):
        return _to_ismrmrd(name, "Siemens raw data (twix)", "siemens_to_ismrmrd")
    if _GE.fullmatch(name):
        return _to_ismrmrd(name, "GE raw data (P-file)", "ge_to_ismrmrd")
    if path.suffix.lower() in _PHILIPS:
        return _to_ismrmrd(name, "Philips raw data", "philips_to_ismrmrd")
    if _BRUKER.fullmatch(name):
        return _to_ismrmrd(name, "Bruker raw data", "bruker_to_ismrmrd")
    return ""


def _to_ismrmrd(name: str, kind: str, converter: str) -> str:
    return (
        f"'{name}' is {kind}, which is not read directly. Convert it to ISMRMRD with {converter} and open the result."
    )


def _is_twix(head: bytes) -> bool:
    """Whether a file begins as Siemens' raw data do, older or newer ones."""
    first, second = struct.unpack_from("<II", head)
    newer = first < _MOST_ID and 1 <= second <= _MOST_SCANS
    return newer or head[8:].startswith(_VB_NAME)
