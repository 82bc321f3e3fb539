"""`Reference`: the images that an array lies on, remembered by labels so that they can be saved for other viewers."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

KEY = "reference"
"""Name under which ``Volume.metadata`` holds a `Reference`."""


@dataclass(frozen=True)
class Reference:
    """A DICOM series that an array was read from or made of.

    Parameters
    ----------
    series_uid : str
        Of the series.
    path : str
        Its folder, or one of its files. Files keep it relative to their own folder: labels and images can be moved
        together, and no name above both is given away.
    phase : int or None
        Which of several images per position it was, counted from 0; None for all of them.
    """

    series_uid: str
    path: str
    phase: int | None = None

    def relative_to(self, folder: Path) -> Reference:
        """As a file in `folder` keeps it."""
        try:
            path = os.path.relpath(self.path, folder)
        except ValueError:  # on another drive
            path = Path(self.path).name
        return replace(self, path=Path(path).as_posix())

    def seen_from(self, folder: Path) -> Reference:
        """With the path that a file in `folder` keeps turned into one that can be opened."""
        return replace(self, path=os.path.normpath(folder / self.path))
