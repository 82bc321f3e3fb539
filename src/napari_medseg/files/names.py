"""Names that every system can keep: what is written here may be copied to another computer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import FileError, escaped

_LONGEST = 255  # bytes; what file systems allow
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def misfit(name: str, longest: int = _LONGEST) -> str:
    """Why a file or folder should not be called `name`, and what is expected; empty if nothing is wrong.

    Parameters
    ----------
    name : str
        Without the folder.
    longest : int
        Bytes that it may have.
    """
    length = len(os.fsencode(name))
    if length > longest:
        return f"The name '{name[:20]}...' has {length} bytes; expected a shorter one, of at most {longest}."
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return f"'{name}' is not the name of a file."
    shown = os.fsdecode(os.fsencode(name).decode("utf-8", "replace"))  # names of other systems may be no text
    if escaped(shown) != shown:
        return f"The name '{escaped(name)}' holds control characters; expected letters that can be seen."
    if _DEVICES.match(name):
        return f"The name '{name}' is that of a device on Windows."
    if name[-1] in " .":
        return f"The name '{name}' ends with a dot or a space, which Windows drops."
    return ""


def refuse_name(path: Path) -> None:
    """Make sure that a file or folder that is to be made has a name that every system can keep.

    Raises
    ------
    FileError
        If it has not; folders above it that are not there yet count too.
    """
    for part in (path, *path.parents):
        if os.path.isdir(part):
            return
        if sentence := misfit(part.name):
            raise FileError(f"{sentence} Choose another name.")
