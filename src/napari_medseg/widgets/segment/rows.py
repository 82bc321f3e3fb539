"""The rows of the Segment form: the image and its axes; the models and where they find neighbouring slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from ...errors import MedsegError
from ...segmentation.orientation import turn_for
from ...segmentation.settings import InferenceSettings
from ..kit import layer_volumes
from ..kit.controls import fill, fill_grouped, switch_off
from ..kit.offers import axes_text, model_entries, offer_devices, offer_images
from .form import SegmentForm
from .state import Suited, pace_text, pace_tip

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from ...models import ModelCard
    from ...volume import Volume
    from ..kit.preferences import Preferences
    from ..kit.shelf import Shelf

_LONGEST = 60  # characters of a modality in the list; the tooltip has the rest


@dataclass(frozen=True)
class Input:
    """What the form says, taken down when a job starts."""

    image: Image
    volume: Volume
    cards: list[ModelCard]
    settings: InferenceSettings


class ImageRows:
    """What the form offers of the layers.

    Parameters
    ----------
    form : SegmentForm
    viewer : napari.Viewer
    """

    def __init__(self, form: SegmentForm, viewer: Viewer):
        self._form, self._viewer = form, viewer

    def offer_images(self) -> bool:
        """List the image layers; the chosen one stays where it can. Returns whether another one is chosen now."""
        return offer_images(self._form.image, self._viewer)

    def offer_axes(self) -> None:
        """Offer what the axes of the chosen image can mean."""
        image = self._form.image.currentData()
        choices = layer_volumes.axes_choices(image) if image else ()
        fill(self._form.axes, [(axes_text(axes), axes) for axes in choices], next(iter(choices), None))

    def axes(self) -> str:
        """The axes of the chosen image; empty if there is none."""
        return self._form.axes.currentData() or ""

    def along(self, cards: Sequence[ModelCard]) -> str:
        """The axis of the chosen image along which its slices follow each other once it is turned for models."""
        image = self._form.image.currentData()
        wanted = next((card.orientation for card in cards if card.orientation), "")
        if image is None or not wanted:
            return "z"
        try:
            volume = layer_volumes.to_volume(image, self.axes() or None)
        except MedsegError:  # the plan says so
            return "z"
        return turn_for(volume, wanted).sources[0]

    def offer_channels(self) -> None:
        """Offer the channels of the chosen image."""
        image, axes = self._form.image.currentData(), self._form.axes.currentData() or ""
        where = axes.removesuffix("c").find("c")
        count = image.data.shape[where] if image and where >= 0 else 0
        if count != self._form.channel.count():
            fill(self._form.channel, [(str(i), i) for i in range(count)], 0)


class ModelRows:
    """What the form offers of a shelf, and what is chosen of it.

    Parameters
    ----------
    form : SegmentForm
    shelf : Shelf
    """

    def __init__(self, form: SegmentForm, shelf: Shelf):
        self._form, self._shelf = form, shelf
        self._suited: Mapping[str, Suited] = {}
        self._picked = False

    def picked(self) -> None:
        """A model was chosen by hand: it stays until another image is chosen."""
        self._picked = True

    def forget_image(self) -> None:
        """Another image was chosen: what was said of the one before, and chosen by hand for it, holds no more."""
        self._suited = {}
        self._picked = False

    def show_suited(self, suited: Mapping[str, Suited], wanted: Preferences) -> str:
        """Say of each model, by name, how long it will take, and list those last that were made for other images.

        In place of such a model that was not chosen by hand, the one is chosen that is preferred for the first task
        that fits. Returns its name, empty if none was chosen.
        """
        self._suited = suited
        before = self._form.model.currentData()
        # a model without a group says too little of what it was made for
        grouped = [card for card in self._shelf.cards.values() if card.group]
        fitting = wanted.first(card for card in grouped if not self._of(card.name).doubt)
        chosen = fitting if self._of(before).doubt and not self._picked else None
        self._list(chosen or before)
        return chosen or ""

    @property
    def unsuited(self) -> bool:
        """Whether every model was made for other images than the chosen one, as far as is known."""
        return bool(self._suited) and all(found.doubt for found in self._suited.values())

    def _of(self, name: str | None) -> Suited:
        return self._suited.get(name or "", Suited())

    def fill(self, wanted: Preferences, accepted: str = "") -> None:
        """List the models and devices once the shelf is filled.

        What is chosen stays, else the model preferred for the first task is chosen; a model that was just `accepted`
        goes before both.
        """
        form = self._form
        self._list(accepted or form.model.currentData() or wanted.first(self._shelf.cards.values()))
        device = form.device.currentData() or wanted.device
        offer_devices(form.device, self._shelf, replace(wanted, device=device))

    def _list(self, current: str | None) -> None:
        """Offer the models by task, below those that were made for other images, at the end the broken ones."""
        form, shelf = self._form, self._shelf
        offered: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for title, entries in model_entries(shelf.cards.values()).items():
            others += [(_for_others(shelf.cards[name]), name) for _, name in entries if self._of(name).doubt]
            fitting = [(self._line(text, name), name) for text, name in entries if not self._of(name).doubt]
            finds = found_text([shelf.cards[name] for _, name in entries])
            offered[f"{title}\n{finds}" if finds else title] = fitting
        offered |= {"Made for other images": others, "Cannot be used": [(name, name) for name in shelf.broken]}
        fill_grouped(form.model, {title: entries for title, entries in offered.items() if entries}, current)
        for row in range(form.model.count()):
            card = shelf.cards.get(form.model.itemData(row))
            if card:
                tip = card_tip(card, self._suited.get(card.name))
                form.model.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        for name, why in shelf.broken.items():
            switch_off(form.model, name, why)

    def _line(self, text: str, name: str) -> str:
        """The entry of a model that fits: with how fast it is."""
        return ", ".join(filter(None, (text, pace_text(self._of(name)))))

    def chosen(self) -> list[ModelCard]:
        """The cards of the model and of those ticked as well."""
        first = self._first()
        others = [self._shelf.cards[name] for name in self._form.others.ticked() if name in self._shelf.cards]
        return [first, *others] if first else others

    def settings(self, cards: Sequence[ModelCard]) -> InferenceSettings:
        """What the form says, for a run of these models; with none for a run of any single one."""
        form = self._form
        by_class = not form.split.isChecked() and (not cards or cards[0].objects)
        return InferenceSettings(
            device=form.device.currentData(),
            channel=form.channel.currentData(),
            uncertainty=form.uncertainty.isChecked() and len(cards) < 2,
            split_objects=False if by_class else None,
            context="auto" if form.context.isHidden() else form.context.currentData(),
            vote=form.vote.currentData() if len(cards) > 1 else "probability",
        )

    def _first(self) -> ModelCard | None:
        """The card of the model that is chosen, of a group its best."""
        chosen = self._form.model.currentData()
        if not chosen:
            return None
        return self._shelf.cards.get(chosen)

    def offer_others(self) -> None:
        """Offer what can vote together with the chosen model; to be called when another one is chosen."""
        form, cards = self._form, self._shelf.cards
        card = self._first()
        others = {name: _why_not(card, other) for name, other in cards.items() if card and other is not card}
        form.others.offer(others)
        form.others.setVisible(bool(others))

    def offer_vote(self) -> None:
        """Ask how to decide where several models are chosen."""
        self._form.show_row(self._form.vote, len(self.chosen()) > 1)

    def offer_context(self, axes: str, along: str) -> None:
        """Offer where an image of these `axes` has neighbouring slices, to the chosen models that look at them.

        `along` is the axis that its slices follow each other on.
        """
        box = self._form.context
        directions = {"z": f"along {along}", "t": "along time"}
        self._form.show_row(box, any(card.name in self._shelf.context for card in self.chosen()))
        found = [axis for axis in directions if axis in axes]
        wanted = box.currentData() if box.currentData() in found else "none" if box.currentData() == "none" else "auto"
        automatic = f"automatic, {directions[found[0]]}" if found else "none in this image"
        entries = [(automatic, "auto"), *((words, axis) for axis, words in directions.items()), ("none", "none")]
        fill(box, [(f"Neighbours: {words}", value) for words, value in entries], wanted)
        for axis in directions.keys() - found:
            switch_off(box, axis, "the image has none")


def card_tip(card: ModelCard, suited: Suited | None = None) -> str:
    """What a model is for, why not for this image, how fast, and what happens besides its network."""
    doubt, pace = ("", "") if suited is None else (suited.doubt, pace_tip(suited))
    parts = [doubt, card.task, *card.steps.split("; "), pace]
    sentences = [f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts if part]
    return "\n".join([card.name, *sentences])


def found_text(cards: Sequence[ModelCard]) -> str:
    """What models of one task label, in the order of their Dice; empty if they differ, or numbers are all it says."""
    labelled = {tuple(row.name for row in card.classes) for card in cards}
    if len(labelled) != 1:
        return ""
    return f"labels {' / '.join(*labelled)}"


def _for_others(card: ModelCard) -> str:
    """The entry of a model that was made for other images."""
    return f"{card.name}, for {shorten(card.modality, _LONGEST, placeholder='…')}" if card.modality else card.name


def _why_not(card: ModelCard, other: ModelCard) -> str:
    """Why `other` cannot vote together with the model of `card`; empty if it can."""
    mine, theirs = (", ".join(row.name for row in each.classes) for each in (card, other))
    if [row.name for row in card.classes] == [row.name for row in other.classes]:
        return ""
    return f"It finds {theirs}; {card.name} finds {mine}. Only models for the same classes can be compared."
