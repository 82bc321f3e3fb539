"""The models the docks of a viewer can choose from: cards, what is wrong with the others, the networks used last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...errors import ModelError
from ...progress import Job, Progress

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...models import ModelCard, TrainedModel

# PyTorch is imported by the first job, in its thread: a dock opens at once.

_KEPT = 4  # networks that stay loaded when others are used, such as those of another dock

Stamps = dict[Path, int]


class Shelf:
    """Filled and used by the jobs of all docks of a viewer, several at a time.

    The cards are read again only when files have changed. A network is loaded once and shared: a job never changes it
    nor moves it to another device, see `TrainedModel.on`.

    Attributes
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

    def __init__(self) -> None:
        self.cards: dict[str, ModelCard] = {}
        self.reconstructors: dict[str, ModelCard] = {}
        self.broken: dict[str, str] = {}
        self.context: set[str] = set()
        self.routed: set[str] = set()
        self.devices: dict[str, bool] = {}
        self._stamps: Stamps = {}
        self._loaded: list[TrainedModel] = []
        self._lock = Lock()

    def read_job(self) -> Job[None]:
        """Read the cards, unless they are those that were read last, and look which devices there are."""
        # what the first run, and napari for its first labels layer, would import in front of the person
        import pandas  # noqa: F401
        import skimage.color.colorconv  # noqa: F401
        import torch

        from ... import models
        from ...segmentation import consensus  # noqa: F401

        yield Progress(0, 1)
        # nothing is yielded while the lock is held: a job that is cancelled there would keep it
        with self._lock:
            self.devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
            paths = models.available()
            stamps = _stamps(paths.values())
            if stamps != self._stamps:
                self._read(paths)
                self._stamps = stamps

    def _read(self, paths: Mapping[str, Path]) -> None:
        from ... import models

        found = Shelf()  # a form may be reading what was there before
        for name, path in paths.items():
            try:
                found._sort_in(name, models.load_card(path))
            except ModelError as error:
                found.broken[name] = str(error)
        self.broken = found.broken
        self.reconstructors = found.reconstructors
        self.context = found.context
        self.routed = found.routed
        self.cards = found.cards

    def _sort_in(self, name: str, card: ModelCard) -> None:
        from ...models import architecture

        if card.design:
            self.reconstructors[name] = card
            return
        network = architecture(card.architecture)
        if network.context or card.preprocess.neighbours:
            self.context.add(name)
        if network.routed:
            self.routed.add(name)
        self.cards[name] = card

    def job(self, cards: Sequence[ModelCard], work: Callable[[list[TrainedModel]], Job[Any]]) -> Job[Any]:
        """Load the networks of `cards`, unless they are among those used last, and go on with `work`.

        Raises
        ------
        ModelError
            If the files of a model are missing or damaged.
        """
        return (yield from work(self._networks(cards)))

    def _networks(self, cards: Sequence[ModelCard]) -> list[TrainedModel]:
        from ... import models

        with self._lock:
            known = {model.card.name: model for model in self._loaded if model.card in cards}
            found = [known.get(card.name) or models.load(models.find(card.name)) for card in cards]
            others = [model for model in self._loaded if model.card not in cards]
            self._loaded = [*found, *others][: max(len(found), _KEPT)]
            return found


def _stamps(weights: Iterable[Path]) -> Stamps:
    """When cards and weights were written; a file that is missing has no stamp."""
    from ...models.card import card_file

    found: Stamps = {}
    for path in weights:
        for file in (path, card_file(path)):
            with suppress(OSError):
                found[file] = file.stat().st_mtime_ns
    return found


_SHELVES: WeakKeyDictionary[ViewerModel, Shelf] = WeakKeyDictionary()


def shelf_of(viewer: ViewerModel) -> Shelf:
    """The shelf of a viewer, which ends with it."""
    return _SHELVES.setdefault(viewer, Shelf())
