"""How many steps a time to train will buy, before it begins: from the last run of this kind on this computer.

One small file per kind in the folder that also holds how long models take to segment, see `last_runs`: numbers alone,
named by a hash. A kind is the network and the device, and where the run starts from weights these.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import MedsegError, SettingsError
from ..segmentation.last_runs import forget_oldest, speed_folder
from .anew import Plane
from .settings import TrainSettings

ENOUGH = 60
"""Steps; with fewer a model hardly learns anything."""

VALIDATIONS = 10
FEWEST = 20
"""Steps that every run takes, however little time there is."""

MOST_VIEWS = 8
"""Per step."""

MULTIPLE = 16
"""Of the side of a view, see `Phase`."""

_LARGEST = 512  # side of a view in pixels; larger slices are learnt in crops
_SECONDS = 1e5
_REACH = 2.0  # sides of views that differ by more tell nothing of each other

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """What a run took.

    Parameters
    ----------
    size : int
        Side of its views in pixels.
    room : int
        Views that fit into the memory, at most `MOST_VIEWS`.
    view, score : float
        Seconds of a view in a step, and of a slice in a validation.
    lead : float
        Seconds before the first step: reading, trial steps, the first validation.
    """

    size: int
    room: int
    view: float
    score: float
    lead: float

    def __post_init__(self) -> None:
        counts = 0 < self.size < 2**16 and 1 <= self.room <= MOST_VIEWS
        if not (counts and all(0 <= each < _SECONDS for each in (self.view, self.score, self.lead)) and self.view):
            raise SettingsError(f"A run has taken {self}; nobody has measured that.")

    def steps(self, seconds: float, learnt: int, judging: int, size: int = 0) -> int:
        """Steps that `seconds` buy.

        Parameters
        ----------
        seconds : float
            For everything, see `TrainSettings`.
        learnt, judging : int
            Slices to learn from, and those that decide which weights are kept.
        size : int
            Side of the views; 0 for those that were measured.
        """
        larger = (size / self.size) ** 2 if size else 1.0
        batch = max(1, min(self.room, learnt))
        left = seconds - self.lead - (VALIDATIONS + 1) * judging * self.score * larger
        return max(FEWEST, int(left / (batch * self.view * larger)))


def view_size(settings: TrainSettings, planes: Iterable[Plane]) -> int:
    """Side of the views, as far as the memory allows: whole slices, or with a locator what it crops."""
    step = math.lcm(MULTIPLE, settings.preprocess.multiple)
    crop = settings.crop_mm
    sides = [max(settings.preprocess.padded_size(plane.size, plane.spacing, crop)) for plane in planes]
    # a single value per map, at the coarsest level, has no batch statistics
    return max(2 * step, min(round_up(max(sides), step), round_up(_LARGEST, step)))


def round_up(size: float, step: int) -> int:
    """The next multiple of `step`."""
    return math.ceil(size / step) * step


def last(settings: TrainSettings, device: str, size: int) -> Pace | None:
    """What the last run of this kind took; None if there was none, or its views were much larger or smaller."""
    with suppress(MedsegError, OSError):
        found = files.load(_file(settings, device), Pace)
        if max(found.size, size) <= _REACH * min(found.size, size):
            return found
    return None


def note(settings: TrainSettings, device: str, pace: Pace) -> None:
    """Remember what a run took; where that is not possible, nothing happens."""
    try:
        folder = speed_folder()
        folder.mkdir(parents=True, exist_ok=True)
        files.dump(_file(settings, device), pace)
        forget_oldest(folder)
    except (MedsegError, OSError) as error:
        _log.debug("The pace of a run was not kept: %s", error)


def _file(settings: TrainSettings, device: str) -> Path:
    threads = settings.threads or os.environ.get("OMP_NUM_THREADS", "")
    kind = f"{platform.node()} {device} {threads} {settings.architecture} {sorted(settings.options.items())}"
    kind += f" {Path(settings.start).stem} {settings.preprocess}" if settings.start else ""
    return speed_folder() / f"{hashlib.sha256(f'training {kind}'.encode()).hexdigest()[:32]}.json"


def text(steps: int, time: str, enough: str) -> str:
    """What is said before a run.

    Parameters
    ----------
    steps : int
        That the time buys.
    time, enough : str
        The time, in words, and the shortest one to choose that buys enough steps; empty if none does.
    """
    says = f"{time} is about {steps} steps on this computer"
    if steps >= ENOUGH:
        return f"{says}."
    advice = f"Choose {enough} or more" if enough else "Choose a smaller model, or a faster computer"
    return f"⚠ {says}; fewer than {ENOUGH} teach little. {advice}."
