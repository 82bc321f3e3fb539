"""The models a form can choose from: cards, what is wrong with the others, and the network used last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..progress import Job, Progress

if TYPE_CHECKING:
    from ..models import ModelCard, TrainedModel

# PyTorch is imported by the first job, in its thread: a form opens at once.


@dataclass
class Shelf:
    """Filled by the jobs of one form, which run one at a time.

    Parameters
    ----------
    cards : dict of str to ModelCard
        By model name.
    broken : dict of str to str
        Why a model cannot be used.
    devices : dict of str to bool
        Whether ``cuda`` and ``mps`` are present.
    """

    cards: dict[str, ModelCard] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    devices: dict[str, bool] = field(default_factory=dict)
    _loaded: TrainedModel | None = None

    def read_job(self) -> Job[None]:
        """Read every card and look which devices there are."""
        # what the first run, and napari for its first labels layer, would import in front of the person
        import pandas  # noqa: F401
        import skimage.color.colorconv  # noqa: F401
        import torch

        from .. import inference, models  # noqa: F401

        for name, path in models.available().items():
            yield Progress(len(self.cards), len(self.cards) + 1)
            try:
                self.cards[name] = models.load_card(path)
            except ModelError as error:
                self.broken[name] = str(error)
        self.devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}

    def job(self, card: ModelCard, work: Callable[[TrainedModel], Job[Any]]) -> Job[Any]:
        """Load the network of `card`, unless it is the one used last, and go on with `work`.

        Raises
        ------
        ModelError
            If the files of the model are missing or damaged.
        """
        from .. import models

        if self._loaded is None or self._loaded.card != card:
            self._loaded = models.load(models.find(card.name))
        return (yield from work(self._loaded))
