"""How long models took the last time on this computer: what the next run will take, before it begins.

One small file per model and way of running it, in the user's cache folder. It holds two numbers and is named by a hash:
nothing says what was segmented, where it lies, or which model it was. Processes never change the same file in place,
so none waits for another; a file that cannot be read or written is as good as none.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from platformdirs import user_cache_dir

from .. import files
from ..errors import MedsegError, SettingsError
from ..models import ModelCard
from .settings import InferenceSettings

CACHE = "NAPARI_MEDSEG_CACHE"
"""Environment variable: the folder of what can be made again."""

_MOST_FILES = 200
_SECONDS = (1e-6, 1e6)  # of a slice; what lies outside was not measured
_MOST_PIXELS = 2**40
_SHORTEST = 0.5  # seconds; a shorter run tells little, and in a cohort of thousands the note would cost more
_REACH = 3  # classes of size, see `_size_class`, up to which a run of larger or smaller slices tells something

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Speed:
    """What a run took.

    Parameters
    ----------
    seconds : float
        Per slice.
    pixels : int
        Of a slice, as the network sees it.
    """

    seconds: float
    pixels: int

    def __post_init__(self) -> None:
        if not (_SECONDS[0] < self.seconds < _SECONDS[1] and 0 < self.pixels < _MOST_PIXELS):
            raise SettingsError(f"A slice of {self.pixels} pixels took {self.seconds} s; nobody has measured that.")


@dataclass(frozen=True)
class Way:
    """A way of running a model, whose runs take alike: times grow with the slices and their pixels.

    Parameters
    ----------
    card : ModelCard
    settings : InferenceSettings
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    workers : int
        Passes that are under way at a time.
    """

    card: ModelCard
    settings: InferenceSettings
    device: str
    workers: int

    def seconds(self, slices: int, pixels: int) -> float:
        """What a run of so many slices will take if it goes like the last one; NaN if there was none."""
        for path in self._files(pixels):
            with suppress(MedsegError, OSError):
                last = files.load(path, _Speed)
                return last.seconds / last.pixels * pixels * slices
        return math.nan

    def note(self, seconds: float, slices: int, pixels: int) -> None:
        """Remember what a run took, unless it was very short; where that is not possible, nothing happens."""
        if not seconds >= _SHORTEST:
            return
        try:
            speed = _Speed(seconds / slices, pixels)
            folder = speed_folder()
            folder.mkdir(parents=True, exist_ok=True)
            files.dump(next(self._files(pixels)), speed)
            forget_oldest(folder)
        except (MedsegError, OSError) as error:
            _log.debug("The time of a run was not kept: %s", error)

    def _files(self, pixels: int) -> Iterator[Path]:
        """Where runs of slices of this size are noted, then of those next in size."""
        # neither decides about the time, and which device it was in the end is known
        settings = replace(self.settings, channel=None, device="")
        model = self.card.sha256 or self.card.name  # one that was never saved has no hash
        way = f"{platform.node()} {model} {self.device} {self.workers} {settings}"
        size = _size_class(pixels)
        for other in sorted(range(size - _REACH, size + _REACH + 1), key=lambda each: abs(each - size)):
            name = hashlib.sha256(f"{way} {other}".encode()).hexdigest()[:32]
            yield speed_folder() / f"{name}.json"


def speed_folder() -> Path:
    """Folder of the times, ``speed`` in the cache folder.

    That is ``$NAPARI_MEDSEG_CACHE``, else ``$NAPARI_MEDSEG_HOME``, else the platform's place for what can be made
    again.
    """
    chosen = os.environ.get(CACHE) or os.environ.get("NAPARI_MEDSEG_HOME")
    return Path(chosen or user_cache_dir("napari-medseg", appauthor=False)) / "speed"


def _size_class(pixels: int) -> int:
    """Slices of about the same size: each class has twice the side of the one before."""
    return round(math.log2(pixels) / 2)


def forget_oldest(folder: Path) -> None:
    """Keep the folder small: models come and go."""
    files.sweep(folder)
    dated = []
    for path in folder.glob("*.json"):
        with suppress(OSError):  # another process has removed it
            dated.append((path.stat().st_mtime, path))
    dated.sort(reverse=True)
    for _, path in dated[_MOST_FILES:]:
        with suppress(OSError):
            path.unlink()
