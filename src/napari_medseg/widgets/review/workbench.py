"""The Tools part of the Review dock at work: classes, rules, and tools that become one step of the journal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from ...errors import MedsegError
from ...review.tools.running import Result, Scope
from ...review.tools.strokes import NO_STROKES
from ...review.tools.table import SLICE, TOOLS, VOLUME, Tool
from ..kit import jobs
from ..kit.controls import apply, fill
from ..kit.slices import go_to_slice, is_seen, shown_plane
from .classes import CLASSES, Classes
from .sights import Sight, difference
from .spacing import spacing_of
from .tools_form import SCOPES, ToolsForm
from .tools_state import ToolFacts, lost_approvals_text, nothing_text, report_text, step_name, tool_state, units_of
from .wishes import Found, Wish, approved_among, drawn_slices, suggested_range

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.follower import Follower
    from ..kit.jobs import Queue
    from ..kit.painting import Painting

JOB = "tool"
KINDS = (JOB, CLASSES)
"""Kinds of jobs in the queue of the dock."""


class Workbench:
    """Does what the Tools part offers, for the labels that the dock has chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    painting : Painting
    queue : Queue
        Of the dock, with the `KINDS` of jobs.
    form : ToolsForm
    failed : callable
        Says why something failed.
    """

    def __init__(
        self, viewer: Viewer, painting: Painting, queue: Queue, form: ToolsForm, failed: Callable[[str], None]
    ):
        self._viewer = viewer
        self._painting = painting
        self._queue = queue
        self._form = form
        self._failed = failed
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._problem = ""
        self._shows_slice = True
        self.classes = Classes(viewer, painting, queue, form, self._request_changed)
        self._preview = Sight(viewer)
        self._found: Found | None = None
        self._report = ""
        self._did_last_step = False  # and the report says so
        self._wish: Wish | None = None  # waits for its turn, or is under way
        self._computing = False
        self._chosen: dict[str, dict[str, float]] = {}
        self._suggestion: dict[str, float] = {}
        self._connect()

    def _connect(self) -> None:
        form = self._form
        form.new_class.clicked.connect(self.new_class)
        form.tool.currentIndexChanged.connect(self._tool_chosen)
        for box in (form.scope, form.classes):
            box.currentIndexChanged.connect(self._request_changed)
        for field in (*form.numbers, form.first, form.last):
            field.valueChanged.connect(self._request_changed)
        for box in (form.tool, form.scope, form.classes):
            box.activated.connect(box.clearFocus)  # letters are keys again
        form.preview.clicked.connect(self.preview)
        form.apply.clicked.connect(self.apply)
        form.cancel.clicked.connect(self.cancel)
        self._painting.painted.connect(self._painted)

    def close(self) -> None:
        """The dock is closed: its rules and its preview end."""
        self._painting.painted.disconnect(self._painted)
        self._drop()
        self.classes.let_go()
        self._layer = None
        self._image = None

    # ---- labels and image ----

    def show(self, layer: Labels | None, image: Image | None, problem: str, shows_slice: bool) -> None:
        """Work on these labels from now on; `image` lies on them, voxel by voxel."""
        other = layer is not self._layer or image is not self._image
        self._layer = layer
        self._image = image
        self._problem = problem
        self._shows_slice = shows_slice
        self.classes.choose(layer, image)
        if not problem:
            self.classes.fill()
        if other:
            self._show_range(layer)
            self._chosen.pop("keep-range", None)
            self._drop()
            self._tool_chosen()
        self.update()

    def _show_range(self, layer: Labels | None) -> None:
        last = layer.data.shape[-3] - 1 if layer is not None and layer.ndim > 2 else 0
        for field, value in ((self._form.first, 0), (self._form.last, last)):
            field.blockSignals(True)
            field.setRange(0, last)
            field.setValue(value)
            field.blockSignals(False)

    def scrolled(self) -> None:
        """Another slice is in view."""
        wish = self._wish
        if wish is not None and wish.is_of_the_view:
            self._drop()
            self._say("The tool was stopped: another slice is in view. Apply it again.")
        elif self._found is not None and self._found.wish.is_of_the_view:
            self._drop()
        self.update()

    def _follower(self) -> Follower | None:
        return self._painting.follower(self._layer)

    def new_class(self) -> None:
        """Paint with a class that there is not yet, and say how to fill it."""
        why_not = self.classes.begin_new()
        if why_not:
            self._say(why_not)
            return
        self._chosen.pop("keep-range", None)
        self._form.tool.setCurrentIndex(self._form.tool.findData("interpolate"))
        self._tool_chosen()

    # ---- what is chosen ----

    @property
    def _tool(self) -> Tool:
        return TOOLS[self._form.tool.currentData()]

    def _tool_chosen(self, event: Any = None) -> None:
        tool = self._tool
        layer = self._layer
        if layer is None:
            return
        scopes = [(SCOPES[kind], kind) for kind in tool.scopes if layer.ndim > 2 or kind == SLICE]
        scopes = scopes or [(SCOPES[SLICE], SLICE)]
        fill(self._form.scope, scopes, scopes[0][1])
        if tool.asks_for_intensities and tool.key not in self._chosen:
            self._chosen[tool.key] = self._suggested(layer)
        self._form.show_numbers(tool, self._units(), self._chosen.get(tool.key, {}))
        self._suggestion = self._form.values(tool)
        self._form.tool.setToolTip(tool.says)
        self._request_changed()

    def _suggested(self, layer: Labels) -> dict[str, float]:
        return suggested_range(layer, self._image, shown_plane(self._viewer, layer))

    def _suggest_again(self) -> None:
        """Other voxels belong to the class: propose their intensities, unless a person has chosen some."""
        tool = self._tool
        if self._layer is None or not tool.asks_for_intensities or self._form.values(tool) != self._suggestion:
            return
        self._form.show_numbers(tool, self._units(), self._suggested(self._layer))
        self._suggestion = self._form.values(tool)
        self._chosen[tool.key] = self._suggestion

    def _units(self) -> dict[str, str]:
        layer = self._layer
        if layer is None:
            return {}
        spacing = spacing_of(layer, self._image)
        return units_of(spacing.known, layer.ndim == 2, spacing.unit)

    def _request_changed(self, event: Any = None) -> None:
        """A preview that is under way, or shown, is that of something else."""
        tool = self._tool
        self._chosen[tool.key] = self._form.values(tool) if self._layer is not None else {}
        self._drop()
        self.update()

    def _wish_for(self, tool: Tool, layer: Labels, kind: str, everything: bool) -> Wish:
        spacing = spacing_of(layer, self._image)
        shown = shown_plane(self._viewer, layer)
        follower = self._follower()
        scope = Scope(
            kind if layer.ndim > 2 else SLICE,
            shown,
            spacing.sizes,
            self._form.first.value(),
            self._form.last.value(),
            () if everything else (layer.selected_label,),
            self.classes.protected,
            drawn_slices(layer),
            spacing.flat,
            self.classes.free,
            follower.journal.before_strokes(shown) if tool.of_strokes and follower is not None else None,
        )
        numbers = self._form.values(tool) if tool is self._tool else tool.defaults
        target = "all classes" if everything else self.classes.text(layer.selected_label)
        name = step_name(tool, numbers, self._units(), "" if tool.of_strokes else target)
        return Wish(tool, layer, self._image, scope, numbers, name, spacing.unit)

    # ---- tools ----

    def preview(self) -> None:
        """Show what the tool would change."""
        self._want(self._tool, self._form.scope.currentData(), self._form.classes.currentData(), self._show)

    def apply(self) -> None:
        """Change the labels, as one step."""
        if self._found is not None:
            self._write(self._found)
        else:
            self._want(self._tool, self._form.scope.currentData(), self._form.classes.currentData(), self._write)

    def use(self, key: str, everything: bool = False) -> None:
        """Apply a tool at once, as its key does."""
        tool = TOOLS[key]
        kind = tool.scopes[0]
        why_not = tool_state(tool, self._facts(kind, everything)).apply.why_not
        if why_not:
            self._say(f"{tool.title}: {why_not}")
            return
        self._drop()
        self._want(tool, kind, everything, self._write)

    def cancel(self) -> None:
        """Stop the tool, or remove its preview; the labels stay as they are."""
        self._drop()
        self.update()

    def _want(self, tool: Tool, kind: str, everything: bool, then: Callable[[Found], None]) -> None:
        layer = self._layer
        follower = self._follower()
        if layer is None or follower is None:
            return
        with jobs.errors_shown():
            follower.settle()
            wish = self._wish_for(tool, layer, kind, everything)
            if wish.lacks_strokes:
                self._say(NO_STROKES)
                return
            self._wish = wish
            self._say_quietly("Computing…")
            self._queue.want(JOB, partial(self._start, wish, then))

    def _start(self, wish: Wish, then: Callable[[Found], None]) -> None:
        follower = self._follower()
        if wish is not self._wish or follower is None:
            return

        def done(result: Result) -> None:
            self._computing = False
            if wish is self._wish:
                self._wish = None
                then(Found(wish, result))

        self._computing = True
        options = {"title": wish.tool.title, "on_done": done, "on_error": self._tool_failed}
        self._queue.start(JOB, wish.job(follower.rules), **options)

    def _tool_failed(self, why: str) -> None:
        self._wish = None
        self._computing = False
        self._report = why
        self._failed(why)
        self.update()

    def _show(self, found: Found) -> None:
        layer = self._layer
        if layer is None:
            return
        self._found = found
        self._report = self._report_of(found)
        if found.result.edits:
            parts = [(e.plane, e.top, e.left, difference(e.before, e.after)) for e in found.result.edits]
            self._preview.show(layer, "preview (not saved)", parts)
        self.update()

    def _report_of(self, found: Found) -> str:
        layer = found.wish.layer
        names = {number: self.classes.text(number) for number in found.result.voxels}
        unit = found.wish.unit
        size = f"{unit}{'²' if layer.ndim == 2 else '³'}" if unit else ""
        voxel = float(np.prod(found.wish.scope.spacing))
        if not found.result.edits:
            return nothing_text(found.wish.tool, bool(found.result.forbidden))
        return report_text(found.result, names, voxel, size, approved_among(layer, found.result.planes))

    def _write(self, found: Found) -> None:
        layer = self._layer
        follower = self._follower()
        self._drop()
        if layer is None or follower is None:
            return
        if not found.result.edits:
            self._say(nothing_text(found.wish.tool, bool(found.result.forbidden)))
            return
        with jobs.errors_shown():
            follower.settle_slices(found.result.planes)  # what nobody has announced is not a part of the tool's step
            if not follower.fits() or not found.result.fits(layer.data):
                self._say("The labels were changed while the tool was computing; nothing was written. Apply it again.")
                return
            self._write_step(layer, follower, found)

    def _write_step(self, layer: Labels, follower: Follower, found: Found) -> None:
        wish = found.wish
        approved = approved_among(layer, found.result.planes)
        follower.touch(found.result.planes)
        try:
            found.result.write(layer.data)
        except OSError as error:  # labels that lie on the disk
            raise MedsegError(jobs.failure(wish.tool.title, error)) from error
        self._suggestion = {}  # the intensities are chosen now
        step = follower.settle(wish.name, wish.settings)
        layer.refresh(extent=False, highlight=False)
        if step is None:
            self._say(nothing_text(wish.tool, forbidden=True))
            return
        self.classes.add(layer, found.result.voxels)
        if wish.tool.shift:
            go_to_slice(self._viewer, layer, step.planes[0])
        self._did_last_step = True
        self._say(f"Done: {step.name}.{lost_approvals_text(approved)} Ctrl+Z takes it back.")

    # ---- what is shown ----

    def _painted(self, layer: Any, numbers: Any) -> None:
        if not numbers or layer is not self._layer:
            return
        self._suggest_again()
        if self._wish is not None:
            self._drop()
            self._say("The tool was stopped: the labels were changed meanwhile. Apply it again.")
        elif self._found is not None or self._did_last_step:
            self._drop()
            self.update()

    def _drop(self) -> None:
        """What was computed, or is being computed, is not wanted any more."""
        self._queue.forget(JOB)
        self._wish = None
        if self._computing:
            self._computing = False
            self._queue.stop()
        self._found = None
        self._report = ""
        self._did_last_step = False
        self._preview.clear()

    def _say(self, text: str) -> None:
        self._viewer.status = text
        self._say_quietly(text)

    def _say_quietly(self, text: str) -> None:
        self._report = text
        self.update()

    def update(self) -> None:
        """Say what is possible."""
        form = self._form
        kind = form.scope.currentData() or VOLUME
        apply(form, tool_state(self._tool, self._facts(kind, bool(form.classes.currentData()))))

    def _facts(self, kind: str, everything: bool) -> ToolFacts:
        brush = self.classes.brush
        return ToolFacts(
            problem="no labels are open." if self._layer is None else self._problem,
            scope=kind,
            shows_slice=self._shows_slice,
            visible=self._layer is not None and is_seen(self._layer),
            first=self._form.first.value(),
            last=self._form.last.value(),
            has_image=self._image is not None,
            class_open=everything or (brush > 0 and brush not in self.classes.protected),
            working=self._wish is not None,
            previewed=self._found is not None,
            report=self._report,
            limited=self._form.within.isChecked(),
            guided=self.classes.guided,
            classes=self.classes.count,
        )
