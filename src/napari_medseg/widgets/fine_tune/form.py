"""The controls of the Fine-tune dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

import re
from collections.abc import Collection

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..kit.controls import Page, Paragraph, ShortBox, beside, button, check, choice, fill, line, progress_bar
from ..kit.copying import CopyButton
from ..kit.ticks import Ticks
from .classes import ClassTable
from .view import Curves, Verdict

LAYERS, FOLDER = "layers", "folder"
"""Where the data come from."""

NOTHING = "(nothing)"
"""In place of a model to begin with; no model can be called that."""

ONE_MINUTE, TEN_MINUTES = 60.0, 600.0

_TIMES = {"30 s": 30.0, "1 min": 60.0, "3 min": 180.0, "10 min": 600.0, "30 min": 1800.0, "2 h": 7200.0, "8 h": 28800.0}


class FineTuneForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self._data()
        self._options()
        self._run()
        self._lay_out()

    def _data(self) -> None:
        self.model = choice(
            "The model to begin with. It stays as it is; the training makes a new one. Nothing: a new LiteNeXt, for "
            "classes that no model knows.",
            ShortBox,
        )
        self.model.setMinimumContentsLength(14)
        self.card = button("Car&d")
        self.roll_back = button("Roll bac&k…")
        self.source = choice("Open layers, or a folder with images and labels.")
        fill(self.source, [("open layers", LAYERS), ("a folder", FOLDER)], LAYERS)
        self.path = line(
            "Folder with images/ and labels/, or with a dataset.json that lists images, labels and classes."
        )
        self.path.setPlaceholderText("folder with images/ and labels/, or a dataset.json")
        self.browse = button("&Open…", "Choose the folder of a data set.")
        self.image = choice("The image that the labels were drawn on.")
        self.axes = choice("What the axes of this image mean; its file does not say.")
        self.labels = choice("The labels to learn from; only their reviewed slices count.")
        self.others = Ticks(
            "With other layers…",
            "Tick further labels to learn from them as well. A layer is listed here once it was chosen above with its "
            "image and has reviewed slices.",
        )
        self.reviewed = line()
        self.reviewed.setPlaceholderText("none yet: paint, or add")
        self.add = button("Add slice")

    def _options(self) -> None:
        self.classes = ClassTable(self)
        self.painted_only = check(
            "Only painted voxels co&unt",
            "Ignore voxels without a label, for scribbles. Some background must then be painted too, as a "
            "class called background.",
        )
        self.one_class = check(
            "Numbered objects are one class",
            "The labels seem to number objects one by one: all of them are learnt as one class. Untick it if each "
            "number is a class of its own.",
        )
        self.one_class.setChecked(True)
        self.time = choice("How long to train, about.")
        fill(self.time, list(_TIMES.items()), ONE_MINUTE)
        self.device = choice("Where to train. Automatic takes a CUDA device where there is one.")
        self.name = line("Name of the new model: small letters, digits, '-', '_' and '.'.")
        self.go_on = check(
            "Go on when napari closes",
            "Let the training continue without napari; this dock finds it again. Otherwise it ends with napari, and "
            "can be "
            "continued.",
        )

    def _run(self) -> None:
        self.plan = Paragraph()
        self.forecast = Paragraph()
        self.start = button("Sta&rt")
        self.stop = button("Stop")
        self.resume = button("Co&ntinue")
        self.bar = progress_bar()
        self.status = Paragraph()
        self.curves = Curves()
        self.verdict = Paragraph()
        self.figures = Verdict()
        self.difference = button("Show difference")
        self.accept = button("&Accept")
        self.discard = button("Discard")
        self.copy = CopyButton("Cop&y as command")
        self.save = button("Save settin&gs…")
        self.hint = Paragraph()

    def _lay_out(self) -> None:
        sources = self.rows(
            ("S&tart from", self.model, beside(self.model, self.card)),
            ("", self.roll_back, self.roll_back),
            ("L&earn from", self.source, self.source),
            ("Folder", self.path, beside(self.path, self.browse)),
            ("&Image", self.image, self.image),
            ("A&xes", self.axes, self.axes),
            ("La&bels", self.labels, self.labels),
            ("", self.others, self.others),
            ("Reviewed", self.reviewed, beside(self.reviewed, self.add)),
        )
        options = self.rows(
            ("Time", self.time, self.time),
            ("Device", self.device, self.device),
            ("New na&me", self.name, self.name),
        )
        self.options = QWidget()
        column = QVBoxLayout(self.options)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.classes.widget)
        column.addWidget(self.one_class)
        column.addWidget(self.painted_only)
        column.addLayout(options)
        column.addWidget(self.go_on)
        self.stack(
            sources,
            self.options,
            self.plan,
            self.forecast,
            beside(self.start, self.stop, self.resume),
            self.bar,
            self.status,
            self.curves,
            self.verdict,
            self.figures,
            self.difference,
            beside(self.accept, self.discard),
            beside(self.copy, self.save),
            self.hint,
        )


def first_name(name: str, taken: Collection[str]) -> str:
    """A name for a model that begins with nothing, after the class that it is to find."""
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "new-model"
    number, found = 1, stem
    while found in taken:
        number += 1
        found = f"{stem}-{number}"
    return found


def new_name(base: str, taken: Collection[str]) -> str:
    """A name for a model made of `base`: ``base-tuned``, and with a number if that is taken."""
    head, _, tail = base.rpartition("-tuned")
    stem = f"{head if head and not tail.strip('-0123456789') else base}-tuned"
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
