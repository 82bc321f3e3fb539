"""Which reader napari's own *File > Open* takes for scans: a choice on the page of preferences, put into force here."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from napari.settings import get_settings

from ...files import is_folder
from ...io import formats
from . import recent
from .preferences import ALWAYS, ASK, NEVER, prefer_reader, preferences

OURS = "napari-medseg"
BUILTINS = "napari"

_SHARED = ("TIFF", "PNG", "JPEG", "NumPy")  # families that are mostly no scans, and that napari reads as well


def patterns() -> list[str]:
    """What scans are called, as napari's settings name files; of folders, the name has a slash at its end."""
    rows = [row for row in formats.FORMATS if row.offered and row.family not in _SHARED]
    return [f"*{suffix}/" if row.markers else f"*{suffix}" for row in rows for suffix in row.suffixes]


def is_scan(path: str) -> bool:
    """Whether a file is called as scans are."""
    return any(fnmatch(path, pattern) for pattern in patterns())


def is_ours(path: Path) -> bool:
    """Whether a file or folder is a scan for which the person has chosen no other reader."""
    if _wanted() == NEVER:
        return False
    folder = is_folder(path)
    name = f"{path}/" if folder else str(path)
    chosen = get_settings().plugins.extension2reader
    if any(fnmatch(name, pattern) and known != OURS for pattern, known in chosen.items()):
        return False
    if folder:
        return formats.held(path) is not None
    row = formats.named(path)
    if row is None:
        return formats.is_dicom(path)
    return row.offered and row.family not in _SHARED


def is_used() -> bool:
    """Whether napari takes our reader for scans without asking."""
    chosen = get_settings().plugins.extension2reader
    return any(chosen.get(pattern) == OURS for pattern in patterns())


def use() -> None:
    """Let napari take our reader for scans without asking; where the person has chosen another, that one stays."""
    _choose(ALWAYS)


def undo() -> None:
    """Take back what `use` has set, and do not ask."""
    _choose(NEVER)


def is_open() -> bool:
    """Whether the person has yet to say which reader napari is to use."""
    return _wanted() == ASK and not is_used()


def settle() -> None:
    """Put into force what the page of preferences says, or let it say what the person has made of napari's own list.

    The page can be changed while nothing of this plugin is open, and so can napari's list of readers. Which of the two
    was changed is known from what was put into force last.
    """
    wanted = _wanted()
    if wanted != recent.remembered().reader:
        _put_in_force(wanted)
        return
    if is_used() != (wanted == ALWAYS):
        _choose(ALWAYS if is_used() else ASK)


def _wanted() -> str:
    return preferences().reader or recent.remembered().reader


def _choose(wanted: str) -> None:
    _put_in_force(wanted)
    prefer_reader(wanted)


def _put_in_force(wanted: str) -> None:
    plugins = get_settings().plugins
    before = plugins.extension2reader
    ours = dict.fromkeys(patterns(), OURS)
    if wanted == ALWAYS:
        after = {**ours, **before}
    else:
        after = {key: reader for key, reader in before.items() if key not in ours or reader != OURS}
    if after != before:
        plugins.extension2reader = after
    recent.remember_reader(wanted)
