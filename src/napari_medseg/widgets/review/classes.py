"""Classes of the chosen labels: which one is painted with, which are protected, where the brush may paint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels

from ...review.planes import Planes
from ...review.tools import rules
from ..kit import jobs, layer_volumes
from . import naming
from .palette import Palette, class_names, class_text, free_number, give_colour, keep_classes, numbers_in
from .tools_state import MOST

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.jobs import Queue
    from ..kit.painting import Painting
    from .tools_form import ToolsForm

CLASSES = "classes"
"""Kind of the job that looks for classes."""

_NOT_PAINTING = ("pan_zoom", "transform", "pick", "erase")  # modes of a layer


class Classes:
    """The classes of one layer at a time.

    Parameters
    ----------
    viewer : napari.Viewer
    painting : Painting
    queue : Queue
        With the kind `CLASSES`.
    form : ToolsForm
    changed : callable
        Called when another class is painted with, or other rules hold.
    """

    def __init__(self, viewer: Viewer, painting: Painting, queue: Queue, form: ToolsForm, changed: Callable[[], None]):
        self.guided = 0
        """The new class that is being made; 0 if none is."""
        self._viewer = viewer
        self._painting = painting
        self._queue = queue
        self._form = form
        self._changed = changed
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._numbers: WeakKeyDictionary[Labels, list[int]] = WeakKeyDictionary()
        self._protected: WeakKeyDictionary[Labels, frozenset[int]] = WeakKeyDictionary()
        self._palette = Palette(form.palette_table)
        form.palette_table.cellClicked.connect(self._clicked)
        form.palette_table.itemActivated.connect(lambda item: self._clicked(item.row(), 0))
        form.palette_table.itemChanged.connect(self._edited)
        form.names.load.triggered.connect(self._ask_what_to_load)
        form.names.write.triggered.connect(self._ask_where_to_write)
        form.within.toggled.connect(self._limits_changed)
        for field in (form.within_low, form.within_high):
            field.valueChanged.connect(self._limits_changed)

    @property
    def brush(self) -> int:
        """The class that is painted with; 0 if it is background."""
        return 0 if self._layer is None else self._layer.selected_label

    @property
    def protected(self) -> frozenset[int]:
        """The classes whose voxels stay as they are."""
        return frozenset() if self._layer is None else self._protected.get(self._layer, frozenset())

    @property
    def count(self) -> int:
        """Of all classes that are known."""
        return 0 if self._layer is None else len(self._numbers.get(self._layer, ()))

    @property
    def free(self) -> int:
        """The lowest number above those of all classes that are known."""
        return 1 if self._layer is None else max(self._numbers.get(self._layer, ()), default=0) + 1

    def text(self, number: int) -> str:
        """A class for people."""
        return class_text(number, {} if self._layer is None else class_names(self._layer))

    # ---- which labels ----

    def choose(self, layer: Labels | None, image: Image | None) -> None:
        """List the classes of these labels; `image` lies on them."""
        if layer is not self._layer:
            self.let_go()
            self._layer = layer
            if layer is not None:
                layer.events.selected_label.connect(self._brush_changed)
        if image is not self._image:
            self._image = image
            self._suggest_limits()

    def let_go(self) -> None:
        """Nothing is followed any more, and no rule holds."""
        layer = self._layer
        self._layer = None
        self.guided = 0
        if layer is None:
            return
        layer.events.selected_label.disconnect(self._brush_changed)
        follower = self._painting.follower(layer)
        if follower is not None:
            follower.settle()
            follower.rules.clear()

    def fill(self) -> None:
        """Fill the palette, and see to it that the rules hold."""
        layer = self._layer
        if layer is None:
            return
        if layer not in self._numbers:
            self._numbers[layer] = sorted(class_names(layer))
            self._queue.want(CLASSES, partial(self._look, layer))
        self.add(layer, [layer.selected_label])
        brush = {layer.selected_label} - {0}  # is listed even where there are too many classes
        self._palette.show(layer, sorted({*self._numbers[layer][:MOST], *brush}), self.protected)
        self._set_rules()

    def add(self, layer: Labels, numbers: Iterable[int]) -> None:
        """List these classes as well."""
        known = {*self._numbers.get(layer, ()), *(number for number in numbers if number > 0)}
        self._numbers[layer] = sorted(known)

    def _look(self, layer: Labels) -> None:
        """Find the classes that no table names."""

        def done(numbers: list[int]) -> None:
            self.add(layer, numbers)
            if layer is self._layer:
                self.fill()

        job = jobs.once(numbers_in, layer.data)
        self._queue.start(CLASSES, job, title="Look for classes", quiet=True, on_done=done)

    # ---- the brush ----

    def _brush_changed(self, event: Any = None) -> None:
        self.fill()
        self._changed()

    def _clicked(self, row: int, column: int) -> None:
        number = self._palette.number_at(row)
        if column == 0 and number:
            self._paint_with(number)

    def _paint_with(self, number: int) -> None:
        layer = self._layer
        if layer is None:
            return
        layer.selected_label = number
        if layer.mode in _NOT_PAINTING and layer.editable:
            layer.mode = "paint"
        self._viewer.layers.selection.active = layer

    def step(self, by: int) -> None:
        """Paint with the next class, or the one before."""
        layer = self._layer
        numbers = [] if layer is None else self._numbers.get(layer, [])
        if layer is None or not numbers:
            return
        place = numbers.index(layer.selected_label) + by if layer.selected_label in numbers else 0
        layer.selected_label = numbers[place % len(numbers)]
        self._viewer.status = f"Brush of '{layer.name}': {self.text(layer.selected_label)}."

    def begin_new(self) -> str:
        """Paint with a class that there is not yet; why that is not possible, or nothing."""
        layer = self._layer
        if layer is None:
            return "no labels are open."
        number = free_number(layer.data, {*self._numbers.get(layer, ()), *class_names(layer)})
        if number is None:
            return (
                f"Labels of type {layer.data.dtype} have no number left for another class. Convert them with Layers > "
                "Convert data type."
            )
        self.guided = number
        give_colour(layer, number)
        if class_names(layer):  # others are numbers alone, as long as nobody names them
            keep_classes(layer, [number])
        self._paint_with(number)
        return ""

    # ---- names ----

    def _ask_what_to_load(self) -> None:
        path = self._form.names.ask_what_to_load()
        if path is not None:
            self.load_names(path)

    def load_names(self, path: Path) -> None:
        """Take names and colours of the classes from a file."""
        layer = self._layer
        if layer is None:
            return
        with jobs.errors_shown():
            self._viewer.status = naming.load(layer, self._numbers.get(layer, ()), path)
            self.add(layer, class_names(layer))
        self._palette.forget()
        self.fill()
        self._changed()

    def _ask_where_to_write(self) -> None:
        if self._layer is not None:
            path = self._form.names.ask_where_to_write(f"{self._layer.name}.label.txt")
            if path is not None:
                self.write_names(path)

    def write_names(self, path: Path) -> None:
        """Write names and colours of the classes to a file."""
        if self._layer is not None:
            with jobs.errors_shown():
                self._viewer.status = naming.write(self._layer, self._numbers.get(self._layer, ()), path)

    # ---- rules ----

    def _edited(self, item: Any) -> None:
        if item.column() == 0:
            self._name(item.row())
        else:
            self._ticked()

    def _name(self, row: int) -> None:
        """A person has named a class."""
        layer = self._layer
        name = self._palette.name_in(row)
        self._palette.forget()
        if layer is not None and name:
            numbers = self._numbers.get(layer, [])[:MOST]
            number = self._palette.number_at(row)
            keep_classes(layer, {*numbers, number}, {number: name})
        self.fill()
        self._changed()

    def _ticked(self) -> None:
        if self._layer is not None:
            self._protected[self._layer] = self._palette.ticked()
            self._set_rules()
            self._changed()

    def _limits_changed(self, value: Any) -> None:
        self._set_rules()
        self._changed()

    def _suggest_limits(self) -> None:
        image = self._image
        if image is None:
            self._form.within.setChecked(False)
            return
        self._form.show_limits(*image.contrast_limits)

    def _set_rules(self) -> None:
        """What no change of these labels may break."""
        follower = self._painting.follower(self._layer)
        if follower is None:
            return
        with jobs.errors_shown():
            follower.settle()  # what was painted before the rule
        found = []
        if self.protected:
            found.append(rules.protect(self.protected))
        form = self._form
        if form.within.isChecked() and self._image is not None:
            planes = Planes(layer_volumes.finest(self._image))
            found.append(rules.paint_within(planes.read, form.within_low.value(), form.within_high.value()))
        follower.rules[:] = found
