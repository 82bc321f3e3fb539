"""The options of a training run, as they stand in a JSON recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import FileError, SettingsError
from ..models import ModelCard, architecture
from ..preprocess import Preprocess
from ..volume import LabelClass
from .augment import AugmentSettings
from .dataset import Source

T = TypeVar("T")

_FROM_RUN = {"name", "architecture", "preprocess", "classes", "options", "metrics", "recipe", "sha256"}
_CARD_TEXTS = [f.name for f in fields(ModelCard) if f.name not in _FROM_RUN]


@dataclass(frozen=True)
class Phase:
    """One part of a run: size and number of its views, from the end of the previous phase on.

    Parameters
    ----------
    until : float
        Share of all steps at which the phase ends.
    size : int
        Height and width of the views in pixels of the resampled images, see `Preprocess`.
    batch : int
        Views per step.
    """

    until: float
    size: int
    batch: int

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16 or self.batch < 1:
            raise SettingsError(
                f"A phase has size {self.size} and batch {self.batch}; needed are a size that is a multiple of 16 "
                "and at least one view."
            )


@dataclass(frozen=True)
class TrainSettings:
    """Options of one training run.

    Parameters
    ----------
    name, architecture : str
        Name of the model that comes out; registry name of the network.
    train, val, test : tuple of Source
        Data; the best checkpoint is chosen on `val`, `test` is only used by the evaluation at the end.
    classes : tuple of LabelClass
        One per logit map.
    card : mapping
        Texts for the model card: task, modality, data, licence, split, limits, spacing_mm, objects.
    options : mapping
        Options of the network.
    phases : tuple of Phase
        Image size over the course of the run.
    steps : int
        Optimizer steps in all.
    optimizer : {"nadam", "adam", "adamw"}
        With PyTorch's defaults and no weight decay.
    learning_rate, warmup_steps, final_share : float, int, float
        Linear rise, then cosine to `final_share` of `learning_rate`.
    loss : str
        See `losses.SegmentationLoss`.
    start : str
        Weights file of a model of the same kind that the run begins with, seen from the folder of the run; empty
        begins with random weights.
    serp : float
        Weight of the self-embedding loss, see `serp.SelfEmbedding`; 0 trains without that branch. LiteNeXt only.
    ema : float
        Decay of the averaged weights that are validated and kept; 0 keeps the plain ones.
    validate_every : int
        Steps between validations; each also writes a checkpoint.
    seed, threads : int
        Seed of everything random; CPU threads (0 leaves PyTorch's choice).
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    """

    name: str
    architecture: str
    train: tuple[Source, ...]
    val: tuple[Source, ...]
    classes: tuple[LabelClass, ...]
    phases: tuple[Phase, ...]
    steps: int
    test: tuple[Source, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Preprocess = field(default_factory=Preprocess)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    optimizer: str = "nadam"
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_share: float = 0.02
    loss: str = "dice-bce"
    start: str = ""
    serp: float = 0.0
    ema: float = 0.998
    validate_every: int = 500
    seed: int = 0
    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        ends = [0.0, *(phase.until for phase in self.phases)]
        ids = [row.id for row in self.classes]
        needed = {
            "steps and validate_every of at least 1": min(self.steps, self.validate_every) >= 1,
            "phases that end at rising shares, the last at 1": ends == sorted(set(ends)) and ends[-1] == 1,
            "classes numbered 1, 2, ... in order": ids and ids == list(range(1, len(ids) + 1)),
            "a positive learning_rate": self.learning_rate > 0,
            "an ema from 0 to below 1": 0 <= self.ema < 1,
            "a serp of 0, or above 0 with the architecture litenext": self.serp == 0
            or (self.serp > 0 and self.architecture == "litenext"),
            "a loss dice-ce for networks with a background map, and only for them": self.loss.startswith("dice-ce")
            == architecture(self.architecture).background,
            f"no other texts for the card than {', '.join(_CARD_TEXTS)}": set(self.card) <= set(_CARD_TEXTS),
        }
        if missing := [sentence for sentence, given in needed.items() if not given]:
            raise SettingsError(f"The training settings do not fit together; needed: {'; '.join(missing)}.")

    def phase(self, step: int) -> Phase:
        """The phase that `step` (from 0) lies in."""
        return next(p for p in self.phases if step < p.until * self.steps)

    def trains_like(self, other: TrainSettings) -> bool:
        """Whether both lead to the same weights: all but the texts of the card and the data for the last evaluation."""
        mine, theirs = (replace(settings, card={}, test=()).to_json() for settings in (self, other))
        return mine == theirs

    @classmethod
    def from_json(cls, path: Path) -> TrainSettings:
        """Read a recipe.

        Raises
        ------
        FileError, SettingsError
            If the file cannot be read or holds an unknown or impossible option.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(f"The settings '{path}' cannot be read as JSON ({error}).") from error
        if not isinstance(raw, dict):
            raise SettingsError(f"The settings '{path.name}' must be a JSON object with named options.")
        raw.pop("comment", None)
        lists = {"train": Source, "val": Source, "test": Source, "classes": LabelClass, "phases": Phase}
        for key, kind in lists.items():
            rows = raw.get(key, [])
            if not isinstance(rows, list):
                raise SettingsError(f"The setting '{key}' must be a list of objects, not {rows!r}.")
            raw[key] = tuple(_record(kind, row) for row in rows)
        raw["preprocess"] = _record(Preprocess, raw.get("preprocess", {}))
        raw["augment"] = _record(AugmentSettings, raw.get("augment", {}))
        return _record(cls, raw)

    def to_json(self) -> str:
        """The settings as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def _record(kind: type[T], raw: Any) -> T:
    known = [f.name for f in fields(kind)]
    if not isinstance(raw, dict) or (unknown := sorted(set(raw) - set(known))):
        given = ", ".join(unknown) if isinstance(raw, dict) else repr(raw)
        raise SettingsError(f"{kind.__name__} does not know {given}; it takes {', '.join(known)}.")
    try:
        return kind(**raw)
    except TypeError as error:
        raise SettingsError(f"{kind.__name__}: {error}.") from error
