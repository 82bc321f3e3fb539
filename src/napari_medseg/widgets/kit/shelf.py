"""The models a form can choose from: cards, what is wrong with the others, and the networks used last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import ModelError
from ...progress import Job, Progress

if TYPE_CHECKING:
    from ...models import ModelCard, TrainedModel
    from .jobs import Queue

# PyTorch is imported by the first job, in its thread: a form opens at once.


@dataclass
class Shelf:
    """Filled by the jobs of one form, which run one at a time.

    Parameters
    ----------
    cards : dict of str to ModelCard
        Of the models that segment, by name.
    reconstructors : dict of str to ModelCard
        Of the models that reconstruct, by name.
    broken : dict of str to str
        Why a model cannot be used.
    context : set of str
        Names of the models that also look at neighbouring slices.
    routed : set of str
        Names of the models that have routers.
    devices : dict of str to bool
        Whether ``cuda`` and ``mps`` are present.
    """

    cards: dict[str, ModelCard] = field(default_factory=dict)
    reconstructors: dict[str, ModelCard] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    context: set[str] = field(default_factory=set)
    routed: set[str] = field(default_factory=set)
    devices: dict[str, bool] = field(default_factory=dict)
    _loaded: list[TrainedModel] = field(default_factory=list)

    def read_job(self) -> Job[None]:
        """Read every card and look which devices there are."""
        # what the first run, and napari for its first labels layer, would import in front of the person
        import pandas  # noqa: F401
        import skimage.color.colorconv  # noqa: F401
        import torch

        from ... import models
        from ...segmentation import (
            consensus,  # noqa: F401
            router_map,
        )

        found = Shelf()  # the form may show what was there before
        for name, path in models.available().items():
            yield Progress(len(found.cards), len(found.cards) + 1)
            try:
                card = models.load_card(path)
                if card.design:
                    found.reconstructors[name] = card
                    continue
                if models.architecture(card.architecture).context:
                    found.context.add(name)
                if card.architecture in router_map.ARCHITECTURES:
                    found.routed.add(name)
                found.cards[name] = card
            except ModelError as error:
                found.broken[name] = str(error)
        self.cards, self.reconstructors, self.broken = found.cards, found.reconstructors, found.broken
        self.context, self.routed = found.context, found.routed
        self.devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}

    def start_reading(self, queue: Queue, done: Callable[[None], None]) -> None:
        """Read every card in a job of `queue`."""
        queue.start("models", self.read_job(), title="Read models", quiet=True, on_done=done)

    def job(self, cards: Sequence[ModelCard], work: Callable[[list[TrainedModel]], Job[Any]]) -> Job[Any]:
        """Load the networks of `cards`, unless they are among those used last, and go on with `work`.

        Raises
        ------
        ModelError
            If the files of a model are missing or damaged.
        """
        from ... import models

        self._loaded = [model for model in self._loaded if model.card in cards]  # frees the others first
        known = {model.card.name: model for model in self._loaded}
        self._loaded = [known.get(card.name) or models.load(models.find(card.name)) for card in cards]
        return (yield from work(self._loaded))
