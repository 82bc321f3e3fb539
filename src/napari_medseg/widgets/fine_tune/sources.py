"""The rows of the Fine-tune form that say what is learnt from: layers and their reviewed slices, or a folder."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels

from ...errors import SettingsError
from ...progress import Job
from ...volume import LabelClass
from ..kit import layer_volumes
from ..kit.controls import apply, fill, switch_off
from ..kit.offers import axes_text, offer_images
from ..kit.records import is_judged, is_made_by_model, settle
from .class_rows import ClassRow, class_rows, dataset_rows, final_classes, folder_classes, numbered_text, plan_text
from .data import (
    Marked,
    Pair,
    Remarks,
    Reviews,
    Seen,
    are_objects,
    folder_job,
    is_annotation,
    label_names,
    layers_job,
    mark,
    misfit,
    painted_labels,
    unlearnable,
)
from .form import FOLDER, FineTuneForm
from .slices import parse_slices, slices_text
from .state import FolderFacts, LayerFacts, slice_state

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import ModelCard


class Sources:
    """What the form offers to learn from, and what is chosen of it.

    Parameters
    ----------
    form : FineTuneForm
    viewer : napari.Viewer
    changed : callable
        Called when something else is to be learnt from.
    """

    def __init__(self, form: FineTuneForm, viewer: Viewer, changed: Callable[[], None]):
        self.reviews = Reviews()
        self._form = form
        self._viewer = viewer
        self._changed = changed
        self._images: weakref.WeakKeyDictionary[Labels, tuple[weakref.ref[Image], str]] = weakref.WeakKeyDictionary()
        self._rows: list[ClassRow] = []
        self._numbered: list[Labels] = []
        self._remarks = Remarks()
        self._folder = Seen({})
        self._folder_classes: tuple[LabelClass, ...] = ()
        self._connect()

    def _connect(self) -> None:
        form = self._form
        form.source.currentIndexChanged.connect(self._chosen)
        form.path.textChanged.connect(self._chosen)
        form.image.currentIndexChanged.connect(self._image_chosen)
        for box in (form.axes, form.labels):
            box.currentIndexChanged.connect(self._chosen)
        form.others.changed.connect(self._changed)
        form.reviewed.textEdited.connect(self._typed)
        form.add.clicked.connect(self._add_or_remove)
        form.classes.changed.connect(self._changed)
        for box in (form.painted_only, form.one_class):
            box.toggled.connect(self._changed)

    # ---- layers ----

    def offer(self, event: Any = None) -> None:
        """List images and labels; what is chosen stays where it can."""
        if offer_images(self._form.image, self._viewer):
            self._offer_axes()
        self._offer_labels()
        self._chosen()

    def _offer_axes(self) -> None:
        image = self._form.image.currentData()
        choices = layer_volumes.axes_choices(image) if image else ()
        entries = [(axes_text(axes), axes) for axes in choices]
        fill(self._form.axes, entries, next(iter(choices), None))

    def _offer_labels(self, wanted: Labels | None = None) -> None:
        """List the labels; those that cannot belong to the image say why."""
        box = self._form.labels
        image, axes = self.image()
        layers = [layer for layer in self._viewer.layers if is_annotation(layer)]
        unfit = {layer: misfit(layer, image, axes) if image else "" for layer in layers}
        fitting = [layer for layer in layers if not unfit[layer]]
        fill(box, [(layer.name, layer) for layer in layers], self._likeliest(fitting, wanted))
        for layer, reason in unfit.items():
            if reason:
                switch_off(box, layer, reason)

    def _likeliest(self, fitting: list[Labels], wanted: Labels | None) -> Labels | None:
        """Which labels a person means: wanted, chosen or active, reviewed before drawn, drawn before made."""
        reviewed = [layer for layer in fitting if is_judged(layer) and self.reviews.reviewed(layer)]
        drawn = [layer for layer in fitting if not is_made_by_model(layer)]
        active = self._viewer.layers.selection.active
        chosen = [wanted, self._form.labels.currentData(), active if isinstance(active, Labels) else None]
        order = [*chosen, *reversed(reviewed), *drawn, *fitting]
        return next((layer for layer in order if layer in fitting), None)

    def _image_chosen(self) -> None:
        self._offer_axes()
        self._offer_labels()
        self._chosen()

    def _chosen(self) -> None:
        pair = self._pair()
        if pair is not None:
            self._images[pair.labels] = (weakref.ref(pair.image), pair.axes)
        chosen = pair.labels if pair else None
        others = [layer for layer in self._images if layer is not chosen]
        there = [layer for layer in others if self._pair_of(layer)]
        reviewed = [layer for layer in there if self.reviews.reviewed(layer)]
        self._form.others.offer({layer.name: "" for layer in reviewed})
        for action in self._form.others.entries.actions():
            action.setToolTip(f"Learn from {action.text()} as well.")
        self._changed()

    def _pair(self) -> Pair | None:
        """What is chosen above, if it fits."""
        labels = self._form.labels.currentData()
        image, axes = self.image()
        if labels is None or image is None or axes is None or misfit(labels, image, axes):
            return None
        return Pair(labels, image, axes)

    def _pair_of(self, layer: Labels) -> Pair | None:
        """Labels that were chosen earlier, if they and their image are still there."""
        reference, axes = self._images[layer]
        image = reference()
        layers = self._viewer.layers
        if image is None or layer not in layers or image not in layers or misfit(layer, image, axes):
            return None
        return Pair(layer, image, axes)

    def pairs(self) -> list[Pair]:
        """All labels that are learnt from."""
        ticked = self._form.others.ticked()
        others = [layer for layer in self._images if layer.name in ticked]
        found = [self._pair(), *map(self._pair_of, others)]
        return [pair for pair in found if pair is not None]

    def image(self) -> tuple[Image | None, str | None]:
        """The chosen image and its axes."""
        return self._form.image.currentData(), self._form.axes.currentData()

    # ---- what is on them ----

    def stale(self) -> bool:
        """Whether there is something to look at before `classes` is right."""
        if self._from_folder():
            return self._folder.path != self._form.path.text()
        pairs = self.pairs()
        return any(self.reviews.stale(pair.labels) or self._remarks.is_stale(pair.image) for pair in pairs)

    def look_job(self) -> Job[Seen]:
        """Look at it."""
        if self._from_folder():
            return folder_job(self._form.path.text())
        pairs = self.pairs()
        images = [(pair.image, pair.image.data) for pair in pairs if self._remarks.is_stale(pair.image)]
        labels = [(pair.labels, pair.labels.data, self.reviews.look(pair.labels)) for pair in pairs]
        return layers_job(labels, images)

    def saw(self, found: Seen) -> None:
        """Take down what the job found."""
        if found.path:
            self._folder = found
        for layer, labels in found.labels.items():
            self.reviews.saw(layer, labels)
        self._remarks.saw(found.remarks)
        self._chosen()

    def show_classes(self, card: ModelCard | None) -> None:
        """Show what is to be learnt, which the model of `card` may know, and how much of it there is."""
        table = self._form.classes
        model = card.name if card else "the model"
        if self._from_folder():
            self._folder_classes = folder_classes(self._folder.data, card)
            self._rows = dataset_rows(self._folder_classes, card)
            table.show(self._rows, model, fixed=True)
            self._form.plan.say(self._folder.data.words if self._folder.data else "")
            return
        layers = [pair.labels for pair in self.pairs()]
        self._numbered = [layer for layer in layers if are_objects(layer, self.reviews, card)]
        painted = painted_labels(layers, self.reviews, card, self._objects())
        self._rows = class_rows(painted, card, table.renamed, table.dropped)
        table.show(self._rows, model, fixed=False)
        self._form.plan.say(self._plan_text())

    def _objects(self) -> list[Labels]:
        """The layers whose labels number objects, as long as the person does not say that they are classes."""
        return self._numbered if self._form.one_class.isChecked() else []

    def _notes(self) -> list[str]:
        """What is to be known of the images, and of numbered objects."""
        found = [self._remarks.of(image) for image in dict.fromkeys(pair.image for pair in self.pairs())]
        for layer in self._numbered:
            count = len(self.reviews.labels(layer))
            name = next((row.name for row in self._rows if len(row.labels) >= count), "")
            found.append(numbered_text(layer.name, count, name))
        return found

    def _plan_text(self) -> str:
        states = Counter[str]()
        for pair in self.pairs():
            states.update(self.reviews.states(pair.labels))
        pair = self._pair()
        if pair is None:
            return plan_text(self._rows, states, (), ())
        mine = set(self.reviews.reviewed(pair.labels))
        filled = set(self.reviews.filled(pair.labels))
        empty = sorted(mine - filled)
        left_out = [] if is_made_by_model(pair.labels) else sorted(filled - mine)
        return plan_text(self._rows, states, empty, left_out, self._notes())

    def layer_facts(self) -> LayerFacts:
        """What is chosen of the layers."""
        form = self._form
        image, axes = self.image()
        labels = form.labels.currentData()
        layers = [pair.labels for pair in self.pairs()]
        problem = ""
        if image is not None:
            problem = unlearnable(image, axes) if labels is None else misfit(labels, image, axes)
        return LayerFacts(
            image=None if image is None else image.name,
            has_labels=labels is not None,
            misfit=problem,
            slices_problem="" if labels is None else self._slices_problem(labels),
            seen=all(map(self.reviews.known, layers)),
            has_reviewed=any(map(self.reviews.reviewed, layers)),
            numbered=bool(self._numbered),
            many_axes=form.axes.count() > 1,
            many_layers=bool(form.others.entries.actions()),
        )

    def _slices_problem(self, labels: Labels) -> str:
        try:
            self._typed_slices(labels)
        except SettingsError as error:
            return str(error)
        return ""

    def _typed_slices(self, labels: Labels) -> tuple[int, ...]:
        """The reviewed slices as the person typed them."""
        return parse_slices(self._form.reviewed.text(), self.reviews.count(labels))

    def folder_facts(self) -> FolderFacts | None:
        """What is known of the folder to learn from; None if the layers are learnt."""
        if not self._from_folder():
            return None
        path = self._form.path.text()
        return FolderFacts(bool(path), self._folder.path == path, self._folder.problem)

    def _from_folder(self) -> bool:
        return self._form.source.currentData() == FOLDER

    def classes(self) -> tuple[tuple[LabelClass, ...], int | None]:
        """The classes to learn, and the label of voxels that do not count.

        Raises
        ------
        SettingsError
            If there is nothing to learn.
        """
        if self._folder.data and self._from_folder():
            return self._folder_classes, self._folder.data.ignore
        found = final_classes(self._rows)
        left_out = [row for row in self._rows if row.labels and not row.learn]
        ignoring = self._form.painted_only.isChecked() or bool(left_out)
        return found, _ignored(found) if ignoring else None

    def new_class(self) -> str:
        """The class that a new model could be called after: the first one that is painted; empty if none is."""
        return next((row.name for row in self._rows if row.labels and row.learn and row.name != "background"), "")

    def take(self, card: ModelCard | None) -> tuple[list[Marked], Path | None]:
        """What a run gets: copies of reviewed slices, or the path of a folder.

        Raises
        ------
        MedsegError
            If layers do not fit.
        """
        if self._from_folder():
            return [], Path(self._form.path.text())
        final = self._final_numbers()
        found = [self._take_pair(pair, card, final) for pair in self.pairs()]
        return found, None

    def _final_numbers(self) -> dict[str, int]:
        """Numbers of the classes to learn, by the first names of those that are painted."""
        classes, _ = self.classes()
        numbers = {"background": 0}
        for row in classes:
            numbers[row.name] = row.id
        painted = [row for row in self._rows if row.labels]
        return {row.first: numbers[row.name] if row.learn else _ignored(classes) for row in painted}

    def _take_pair(self, pair: Pair, card: ModelCard | None, final: Mapping[str, int]) -> Marked:
        settle(pair.labels)
        labels = self.reviews.labels(pair.labels)
        names = label_names(pair.labels, labels, card, objects=pair.labels in self._objects())
        table = {label: final[name] for label, name in names.items()}
        if self._form.painted_only.isChecked():
            classes, _ = self.classes()
            table[0] = _ignored(classes)
        self.reviews.note(pair.labels)
        return mark(pair.labels, pair.image, pair.axes, self.reviews, table)

    # ---- what is shown ----

    def show_reviewed(self) -> None:
        """Show which slices are reviewed, unless the person is typing it."""
        self.show_slice()
        labels = self._form.labels.currentData()
        if labels is None:
            return
        box = self._form.reviewed
        reviewed = self.reviews.reviewed(labels)
        try:
            same = self._typed_slices(labels) == reviewed
        except SettingsError:
            same = box.hasFocus()  # the person is about to type the rest
        if not same:
            box.setText(slices_text(reviewed))

    def show_slice(self, event: Any = None) -> None:
        """Offer to add or take out the slice in view."""
        labels = self._form.labels.currentData()
        number = None if labels is None else self._shown(labels)
        reviewed = number is not None and number in self.reviews.reviewed(labels)
        apply(self._form, slice_state(number, reviewed))

    def _shown(self, labels: Labels) -> int:
        axes = "zyx"[-labels.ndim :]
        return layer_volumes.shown_index(self._viewer, labels, axes).get("z", 0)

    def _typed(self, text: str) -> None:
        labels = self._form.labels.currentData()
        with suppress(SettingsError):  # the hint says so
            self.reviews.say(labels, parse_slices(text, self.reviews.count(labels)))
        self._chosen()

    def _add_or_remove(self) -> None:
        labels = self._form.labels.currentData()
        reviewed = set(self.reviews.reviewed(labels))
        self.reviews.say(labels, reviewed ^ {self._shown(labels)})
        self._chosen()

    # ---- what happens in the viewer ----

    def painted(self, layer: Labels, slices: set[int]) -> None:
        """A person has painted: these slices may be learnt from."""
        if is_annotation(layer):
            self.reviews.paint(layer, slices)
            current = self._form.labels.currentData()
            if current is None or (current is not layer and not self.reviews.reviewed(current)):
                self._offer_labels(layer)
            self._chosen()

    def replaced(self, layer: Labels) -> None:
        """A layer has another array."""
        self.reviews.change(layer, None)
        self._chosen()

    def redrawn(self, layer: Labels) -> None:
        """Another slice is shown, or an undo has changed this one."""
        if is_annotation(layer) and layer in self._viewer.layers:
            self.reviews.change(layer, {self._shown(layer)})
            if any(pair.labels is layer for pair in self.pairs()):
                self._changed()


def _ignored(classes: Sequence[LabelClass]) -> int:
    """The label of voxels that do not count."""
    return len(classes) + 1
