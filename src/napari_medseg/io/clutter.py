"""Files and folders that nobody means: what systems leave behind, and what is hidden."""

from __future__ import annotations

from pathlib import Path

_CLUTTER = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found"}
_CLUTTER |= {"$recycle.bin", "system volume information"}


def is_clutter(path: Path) -> bool:
    """Whether a file or folder is one that systems leave behind: ``._scan.dcm``, ``.DS_Store``, ``Thumbs.db``."""
    name = path.name.lower()
    return name.startswith("._") or name in _CLUTTER or name.endswith(":zone.identifier")


def is_hidden(path: Path) -> bool:
    """Whether a search of a folder passes over a file or folder: clutter, and what begins with a dot."""
    return path.name.startswith(".") or is_clutter(path)
