"""Which reader napari's own *File > Open* takes for scans: a choice of the person in the settings of napari."""

from __future__ import annotations

from fnmatch import fnmatch

from napari.settings import get_settings

from ...io import formats

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


def is_used() -> bool:
    """Whether napari takes our reader for scans without asking."""
    chosen = get_settings().plugins.extension2reader
    return any(chosen.get(pattern) == OURS for pattern in patterns())


def use() -> None:
    """Let napari take our reader for scans without asking; where the person has chosen another, that one stays."""
    plugins = get_settings().plugins
    plugins.extension2reader = {**dict.fromkeys(patterns(), OURS), **plugins.extension2reader}


def undo() -> None:
    """Take back what `use` has set."""
    plugins = get_settings().plugins
    ours = set(patterns())
    kept = {key: reader for key, reader in plugins.extension2reader.items() if key not in ours or reader != OURS}
    plugins.extension2reader = kept
