"""A folder for what is only wanted for a moment."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError, reason


@contextmanager
def scratch() -> Generator[Path]:
    """A new folder that is removed at the end, with all that is in it.

    Raises
    ------
    FileError
        If the system has no room for it.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="napari-medseg-", ignore_cleanup_errors=True)
    except OSError as error:
        raise FileError(f"No temporary folder can be made ({reason(error)}). Make room on the disk.") from error
    with folder as name:
        yield Path(name)
