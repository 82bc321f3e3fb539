"""The options of a training run, as a JSON recipe holds them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .. import files
from ..errors import SettingsError
from ..models import ModelCard, architecture
from ..models.library import LONGEST_NAME
from ..preprocess import Preprocess
from ..record import plain
from ..volume import LabelClass
from .augment import AugmentSettings
from .course import Phase, Schedule
from .data.shares import IGNORE
from .data.sources import Source

RECIPES = Path(__file__).parent / "recipes"
"""Folder of the recipes of the package."""

_FROM_RUN = {"name", "architecture", "preprocess", "classes", "options", "design", "masks"}
_FROM_RUN |= {"metrics", "recipe", "sha256"}
CARD_TEXTS = tuple(f.name for f in fields(ModelCard) if f.name not in _FROM_RUN)
"""Fields of a card that a recipe states; the others come from its run."""

_LARGEST = 2**62  # of seeds and counts: PyTorch takes 64 bits
_LONGEST_LIKE = 100  # characters of the name of a recipe
_TAKEN = ("settings", "recipe", "process", "record")  # names of other files in the folder of a run


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every training run has, whatever it learns.

    Parameters
    ----------
    kind : {"segmentation", "reconstruction"}
        What is learnt.
    name, architecture : str
        Name of the model that comes out; registry name of the network.
    train, val, test : tuple of Source
        Data; the best checkpoint is chosen on `val`, `test` is only used by the evaluation at the end.
    card : mapping
        Texts for the model card: task, modality, data, licence, split, limits, spacing_mm, objects.
    options : mapping
        Options of the network.
    steps : int
        Optimizer steps in all.
    optimizer : {"nadam", "adam", "adamw"}
    weight_decay : float
        Of the optimizer: added to the gradient, or decoupled from it (adamw).
    learning_rate, warmup_steps, schedule : float, int, Schedule
        Linear rise over `warmup_steps`, then as the schedule says.
    clip : float
        Largest norm of the gradient; 0 for any.
    start : str
        What the run begins with: the name of a model, or a weights file or published checkpoint, seen from the folder
        of the run; empty begins with random weights. Classes and channels may differ, see `start.take_over`.
    ema : float
        Decay of the averaged weights that are validated and kept; 0 keeps the plain ones.
    anchor : float
        Share of the weights that the run begins with in those that are validated and kept: less of what the model knew
        is forgotten (Wortsman et al., CVPR 2022). 0 for none.
    validate_every : int
        Steps between validations; each also writes a checkpoint.
    early_stop : int
        Validations in a row without a better one after which the run ends; 0 for none.
    seed, threads : int
        Seed of everything random; CPU threads (0 leaves PyTorch's choice).
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    mixed_precision : bool
        Compute in bfloat16 where PyTorch deems it safe.
    deterministic : bool
        Refuse operations whose result differs from run to run on a GPU; on a CPU there are none.
    """

    kind: str = ""
    name: str
    architecture: str
    train: tuple[Source, ...]
    val: tuple[Source, ...]
    steps: int
    test: tuple[Source, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optimizer: str = "nadam"
    weight_decay: float = 0.0
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    schedule: Schedule = field(default_factory=Schedule)
    clip: float = 0.0
    start: str = ""
    ema: float = 0.998
    anchor: float = 0.0
    validate_every: int = 500
    early_stop: int = 0
    seed: int = 0
    threads: int = 0
    device: str = "auto"
    mixed_precision: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        if missing := [sentence for sentence, given in self._needed().items() if not given]:
            raise SettingsError(f"The training settings do not fit together; expected: {'; '.join(missing)}.")

    def _needed(self) -> dict[str, bool]:
        """What the settings must fulfil, and whether they do."""
        fits = not files.misfit(self.name, LONGEST_NAME)
        named = re.fullmatch(r"\w[\w.-]*", self.name) and self.name not in _TAKEN and fits
        return {
            f"a name of letters, digits, '-', '_' and '.', of up to {LONGEST_NAME} bytes, other than "
            f"{', '.join(_TAKEN)} and names of devices": bool(named),
            "a seed, threads and warmup_steps of 0 or more": min(self.seed, self.threads, self.warmup_steps) >= 0,
            f"whole numbers below {_LARGEST}": max(self.seed, self.steps, self.threads, self.warmup_steps) < _LARGEST,
            "steps and validate_every of at least 1": min(self.steps, self.validate_every) >= 1,
            "a positive learning_rate": self.learning_rate > 0,
            "a clip, weight_decay and early_stop of 0 or more": min(self.clip, self.weight_decay, self.early_stop) >= 0,
            "an ema from 0 to below 1": 0 <= self.ema < 1,
            "an anchor from 0 to below 1, above 0 with a start": 0 <= self.anchor < 1
            and bool(self.start or not self.anchor),
            f"no other texts for the card than {', '.join(CARD_TEXTS)}": set(self.card) <= set(CARD_TEXTS),
        }

    def rate(self, step: int) -> float:
        """Learning rate of `step` (from 0)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        return self.learning_rate * self.schedule.factor(step - self.warmup_steps, self.steps - self.warmup_steps)

    def to_json(self) -> str:
        """The settings as indented JSON."""
        return files.to_json(self)


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings):
    """Options of a run that learns to segment; see `RunSettings`.

    Parameters
    ----------
    classes : tuple of LabelClass
        One per logit map.
    phases : tuple of Phase
        Image size over the course of the run.
    loss, loss_weights : str, (float, float)
        Kind of loss, and weights of its Dice and its pixel part; see `losses.SegmentationLoss`.
    balance : float
        Share of the views for which first a class is drawn, then a slice that holds it, then a place on an object of
        it that the view must show: classes that are rare, or small, are learnt as often as the others.
    replay, replay_share : tuple of Source, float
        Data of the model that the run begins with, and their share of the views: what it knew is rehearsed.
    seconds : float
        Time that the run may take: `phases`, `steps`, `warmup_steps` and `validate_every` are then planned when it
        begins, see `planning.plan`. 0: they hold as given.
    empty, empty_share : tuple of Source, float
        Slices without any object, or parts of slices, see `Source.beside`, and their share of the views.
    about_objects : bool
        Whether views are taken about the objects of a case: their mean middle over all its slices in `train`, up to
        `AugmentSettings.jitter`. Of a case without any object, and of parts of slices, views are taken anywhere. What a
        card with a `Locator` needs.
    teachers, teacher_share : tuple of str, float
        Models, given like `start`, and the share of what they say in what the network should say, see `teacher`.
    serp : float
        Weight of the self-embedding loss, see `serp.SelfEmbedding`; 0 trains without that branch. LiteNeXt only.
    """

    kind: str = "segmentation"
    classes: tuple[LabelClass, ...]
    phases: tuple[Phase, ...]
    preprocess: Preprocess = field(default_factory=Preprocess)
    loss: str = "dice-bce"
    loss_weights: tuple[float, float] = (1.0, 1.0)
    balance: float = 0.0
    replay: tuple[Source, ...] = ()
    replay_share: float = 0.0
    empty: tuple[Source, ...] = ()
    empty_share: float = 0.0
    about_objects: bool = False
    teachers: tuple[str, ...] = ()
    teacher_share: float = 0.0
    seconds: float = 0.0
    serp: float = 0.0

    def _needed(self) -> dict[str, bool]:
        ends = [0.0, *(phase.until for phase in self.phases)]
        ids = [row.id for row in self.classes]
        return super()._needed() | {
            "phases that end at rising shares, the last at 1": ends == sorted(set(ends)) and ends[-1] == 1,
            f"classes numbered 1, 2, ... in order, up to {IGNORE - 1}": 0 < len(ids) < IGNORE
            and ids == list(range(1, len(ids) + 1)),
            "loss_weights of 0 or more, not both 0": len(self.loss_weights) == 2
            and min(self.loss_weights) >= 0 < sum(self.loss_weights),
            "finite seconds of 0 or more": 0 <= self.seconds < math.inf,
            "a balance from 0 to 1": 0 <= self.balance <= 1,
            "a replay_share from 0 to below 1, above 0 with data to replay and only then": 0 <= self.replay_share < 1
            and (self.replay_share > 0) == bool(self.replay),
            "an empty_share of 0, or with empty slices one above 0 that leaves room next to replay_share": 0
            <= self.empty_share
            < 1 - self.replay_share
            and (self.empty_share > 0) == bool(self.empty),
            "about_objects where the card has a locator: it shows the network crops": self.about_objects
            or not self.card.get("locator"),
            "a teacher_share from 0 to 1, above 0 with teachers and only then": 0 <= self.teacher_share <= 1
            and (self.teacher_share > 0) == bool(self.teachers),
            "a serp of 0, or above 0 with the architecture litenext": self.serp == 0
            or (self.serp > 0 and self.architecture == "litenext"),
            "a loss dice-ce for networks with a background map, and only for them": self.loss.startswith("dice-ce")
            == architecture(self.architecture).background,
        }

    @property
    def orientation(self) -> str:
        """That of the card, see `ModelCard`."""
        return str(self.card.get("orientation", ""))

    @property
    def crop_mm(self) -> tuple[float, float] | None:
        """Height and width in mm of what the locator of the card shows the network; None without one."""
        locator = self.card.get("locator")
        if not locator:
            return None
        height, width = plain(locator)["crop_mm"]
        return height, width

    def phase(self, step: int) -> Phase:
        """The phase that `step` (from 0) lies in."""
        return next(p for p in self.phases if step < p.until * self.steps)

    def seen(self, step: int) -> int:
        """Views drawn before `step`."""
        ends = [0, *(math.ceil(phase.until * self.steps) for phase in self.phases)]
        return sum(
            phase.batch * (min(step, last) - min(step, first))
            for phase, (first, last) in zip(self.phases, itertools.pairwise(ends), strict=True)
        )


@dataclass(frozen=True)
class MaskShare:
    """A kind of sampling mask and how often it is drawn.

    Parameters
    ----------
    kind : str
        See `recon.sampling_mask`.
    acceleration : (float, float)
        Drawn uniformly between both.
    centre : (float, float)
        Centre fraction times acceleration, drawn uniformly; of ``center_heavy`` the ratio itself.
    share : float
        Weight among all masks.
    """

    kind: str
    acceleration: tuple[float, float]
    centre: tuple[float, float]
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ReconTrainSettings(RunSettings):
    """Options of a run that learns to reconstruct simulated k-space; see `RunSettings`.

    Parameters
    ----------
    design : {"cascade", "image"}
        A network between data-consistency steps, or one that maps the zero-filled magnitude to the full one.
    masks : tuple of MaskShare
    smooth_phases : float
        Share of the scans whose phase is a polynomial of second degree; that of the others is rough.
    iterations : int
        Steps of a cascade that carry gradients.
    warm : float
        Share of the samples of a cascade that begin with the TV solution, and whose first steps may carry no gradient;
        0 begins with the zero-filled image always.
    error : {"absolute", "squared"}
        What the loss of the design ``image`` is the mean of.
    band : int
        Rows of the image that a cascade is trained on at a time; columns of the mask couple no rows. 0: all.
    """

    kind: str = "reconstruction"
    design: str
    masks: tuple[MaskShare, ...]
    smooth_phases: float = 0.0
    iterations: int = 3
    warm: float = 0.0
    error: str = "absolute"
    band: int = 64
    batch: int = 1

    def _needed(self) -> dict[str, bool]:
        return super()._needed() | {
            "a design cascade or image": self.design in ("cascade", "image"),
            "at least one mask": bool(self.masks),
            "an error absolute, or squared with the design image": self.error == "absolute"
            or (self.error == "squared" and self.design == "image"),
            "at least one iteration and one image per step": min(self.iterations, self.batch) >= 1,
            "a warm and smooth_phases from 0 to 1": 0 <= self.warm <= 1 and 0 <= self.smooth_phases <= 1,
            "full precision, the only one for complex numbers": not self.mixed_precision,
        }


_KINDS = {"segmentation": TrainSettings, "reconstruction": ReconTrainSettings}


def read_settings(path: Path) -> TrainSettings | ReconTrainSettings:
    """Read a recipe.

    A recipe may say ``"like": "other"``: what it does not give itself is then as in ``other.json`` next to it, or else
    as in the recipe ``other`` of the package. Its ``"comment"`` is for people.

    Raises
    ------
    FileError, SettingsError
        If the file cannot be read or holds an unknown or impossible option.
    """
    content = _options(path)
    kind = content.get("kind", "segmentation")
    if not isinstance(kind, str) or kind not in _KINDS:
        shown = repr(kind)[:_LONGEST_LIKE]
        raise SettingsError(f"The settings '{path.name}' are of the kind {shown}; choose one of {', '.join(_KINDS)}.")
    return files.typed(_KINDS[kind], content, path.name)


def _options(path: Path, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options in a recipe, and in those that it is like; `before` are the recipes that are like this one."""
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise SettingsError(f"The settings '{path.name}' must be a JSON object with named options.")
    content.pop("comment", None)
    if "like" not in content:
        return content
    like = content.pop("like")
    if not isinstance(like, str) or Path(like).name != like or len(like) > _LONGEST_LIKE:
        shown = repr(like)[:_LONGEST_LIKE]
        raise SettingsError(f"'{path.name}': like is {shown}; expected the name of a recipe, without '.json'.")
    chain = (*before, path.stem)
    if like in chain:
        raise SettingsError(f"The recipes {', '.join(chain)} are like each other. Give one of them all its options.")
    return _options(_other(path, like), chain) | content


def _other(path: Path, name: str) -> Path:
    """The recipe `name`, as seen from the one in `path`."""
    places = [path.parent / f"{name}.json", RECIPES / f"{name}.json"]
    for place in places:
        if place.is_file():
            return place
    raise SettingsError(
        f"'{path.name}' is like '{name}', but there is no '{name}.json' next to it and no such recipe in the package."
    )
