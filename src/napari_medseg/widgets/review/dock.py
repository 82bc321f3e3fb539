"""The Review dock: correct, undo, approve, restore; a thin form over the journal and the ledger of a layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from napari.layers import Labels, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidgetItem

from ...review.ledger import Ledger
from ...slice_states import AUTO, UNSEEN
from ..kit import jobs, layer_volumes, records
from ..kit.controls import apply, fill
from ..kit.dock import Dock
from ..kit.keys import Keys
from ..kit.offers import offer_images
from ..kit.protecting import why_not
from ..kit.save_labels import KIND as SAVE
from ..kit.save_labels import LabelSaver
from ..kit.saving import image_of
from ..kit.slices import go_to_slice, is_seen, shown_plane
from .comparing import Comparing
from .form import ReviewForm
from .learning import Learning
from .left_over import LeftOver
from .ordering import KIND, Ordering
from .spacing import misfit
from .state import Facts, state, unusable
from .teaching import Teaching
from .workbench import KINDS, Workbench

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.follower import Follower


class ReviewWidget(Dock):
    """Review the labels of a layer slice by slice; every change is a step that can be undone and survives a crash.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, ("restore", SAVE, *KINDS, "offers", KIND), ("restore", SAVE))
        self._keys = Keys(self._viewer)
        self._other_keys: tuple[str, ...] = ()
        self.form = ReviewForm()
        self.tools = Workbench(self._viewer, self._painting, self._queue, self.form.tools, self._failed)
        self.comparing = Comparing(self._viewer, self._painting, self.form.tools)
        self._ordering = Ordering(self._viewer, self.form, self._queue, self._failed)
        self.learning = Learning(self._viewer, self._painting, self._shelf, self.form)
        self.teaching = Teaching(self._viewer, self._shelf, self.form)
        self._saver = LabelSaver(
            self, self._viewer, self._queue, say=self.form.status.say, failed=self._failed, sure=self._sure
        )
        self._left = LeftOver(
            self._viewer,
            self._painting,
            self._queue,
            sure=self._sure,
            changed=self._update,
            restored=self._restored,
            failed=self._failed,
        )
        self._connect()
        self._bind_keys()
        tools = self.form.tools
        keys = {"run": tools.apply, "preview": tools.preview, "cancel": tools.cancel, "save": self.form.save}
        self._open_form(self.form, self.form.status, self.form.labels, self.form.image, **keys)
        self._left.look()

    def _connect(self) -> None:
        form = self.form
        form.labels.currentIndexChanged.connect(self._labels_chosen)
        form.image.currentIndexChanged.connect(self._update)
        for box in (form.labels, form.image, form.order, form.aim):
            box.activated.connect(box.clearFocus)  # letters are keys again
        form.strip.chosen.connect(self._go_to)
        form.steps.itemClicked.connect(self._step_chosen)
        form.steps.itemActivated.connect(self._step_chosen)
        form.approve.clicked.connect(self.approve)
        form.take_back.clicked.connect(self.take_back)
        form.following.clicked.connect(self.go_on)
        form.approve_filled.clicked.connect(self.approve_filled)
        form.undo.clicked.connect(self.undo)
        form.redo.clicked.connect(self.redo)
        form.restore.clicked.connect(self.restore)
        form.later.clicked.connect(self._left.later)
        form.discard.clicked.connect(self._left.ask_to_discard)
        form.save.clicked.connect(self.save)
        self._hear(self._viewer.dims.events.current_step, self._scrolled)
        self._hear(self._viewer.dims.events.ndisplay, self._update)
        self._hear(self._viewer.dims.events.order, self._update)
        self._hear(self._painting.protected, self._layer_changed)
        self._hear(self._painting.painted, self._ordering.painted)

    # ---- keys ----

    def _bind_keys(self) -> None:
        self._other_keys = self._keys.bind(
            {
                "A": self.approve,
                "Shift-A": self.take_back,
                "N": self.go_on,
                "Shift-N": partial(self.go_on, backwards=True),
                ".": partial(self.tools.classes.step, 1),
                ",": partial(self.tools.classes.step, -1),
                "G": partial(self.tools.use, "propagate-next", everything=True),
                "Shift-G": partial(self.tools.use, "propagate-previous", everything=True),
                "H": partial(self.tools.use, "interpolate"),
                "R": partial(self.tools.use, "extend-strokes"),
                "T": self.comparing.outline,
                "D": self.comparing.show_changes,
                "K": self.comparing.compare,
                "J": self._ordering.next_region,
                "Shift-J": partial(self._ordering.next_region, backwards=True),
                "Control-Z": self.undo,
                "Control-Shift-Z": self.redo,
            }
        )

    def _clear(self) -> None:
        self._keys.release()
        self._ordering.close()
        self.learning.close()
        self.teaching.close()
        self._left.close()
        self.tools.close()
        self.comparing.close()

    # ---- what can be chosen ----

    def _list_layers(self) -> None:
        box = self.form.labels
        layers = [layer for layer in self._viewer.layers if _can_be_reviewed(layer)]
        before = box.currentData()
        active = self._viewer.layers.selection.active
        wishes = [before, active if isinstance(active, Labels) else None, *reversed(layers)]
        chosen = next((layer for layer in wishes if layer in layers), None)
        fill(box, [(layer.name, layer) for layer in layers], chosen)
        offer_images(self.form.image, self._viewer)
        if chosen is not before:
            self._labels_chosen()
        self._ordering.offer(chosen)
        self._update()

    def _labels_chosen(self) -> None:
        layer = self._layer()
        self._ordering.offer(layer)
        if layer is None:
            self._update()
            return
        pair = image_of(self._viewer, layer)
        if pair is not None:
            index = self.form.image.findData(pair[0])
            self.form.image.blockSignals(True)
            self.form.image.setCurrentIndex(index)
            self.form.image.blockSignals(False)
        self._update()

    def choose(self, layer: Labels) -> None:
        """Choose a labels layer."""
        self.form.labels.setCurrentIndex(self.form.labels.findData(layer))

    def _layer(self) -> Labels | None:
        return self.form.labels.currentData()

    def _follower(self) -> Follower | None:
        return self._painting.follower(self._layer())

    def _shown(self) -> int:
        layer = self._layer()
        return 0 if layer is None else shown_plane(self._viewer, layer)

    def _shows_slice(self) -> bool:
        layer = self._layer()
        if layer is None or layer.ndim == 2:
            return layer is not None and self._viewer.dims.ndisplay == 2
        return layer_volumes.shows_slices(self._viewer)

    # ---- what is possible now, and why the rest is not ----

    def _facts(self) -> Facts:
        layer = self._layer()
        offer = self._left.offer
        restoring, saving = self._queue.kind == "restore", self._queue.kind == SAVE
        if layer is None:
            return Facts(has_labels=False, offer=offer, restoring=restoring, saving=saving)
        follower = self._follower()
        ledger = records.ledger_of(layer)
        facts: dict[str, Any] = {}
        if follower is not None:
            history = follower.journal.history
            numbers = [history.base, *(step.number for step in history.steps)]
            problem = follower.journal.problem
            facts = {
                "position": history.position,
                "steps": len(history.steps),
                "size": follower.journal.size,
                "on_disk": not problem,
                "saved": numbers.index(history.saved) if history.saved in numbers else None,
                "notes": (*filter(None, [problem]), *follower.notes),
            }
        return Facts(
            problem=why_not(layer),
            ready=follower is not None,
            misfit=misfit(layer, self.form.image.currentData()),
            shows_slice=self._shows_slice(),
            visible=is_seen(layer),
            states=ledger.counts(),
            shown=self._shown(),
            shown_state=ledger.state(self._shown()),
            filled=len(self._filled(ledger)),
            other_keys=self._other_keys,
            offer=offer,
            restoring=restoring,
            saving=saving,
            **facts,
        )

    def _filled(self, ledger: Ledger) -> list[int]:
        """Slices that hold labels and that nobody has looked at."""
        follower = self._follower()
        if follower is None:
            return []
        return [number for number in follower.filled() if ledger.state(number) in (UNSEEN, AUTO)]

    def _update(self, event: Any = None) -> None:
        layer = self._layer()
        if layer is not None and self._follower() is None:
            self._painting.protect(layer, *(image_of(self._viewer, layer) or (None, None)))
        facts = self._facts()
        apply(self.form, state(facts))
        self._show_states(facts)
        self._show_tools(facts)
        follower = self._follower()
        if follower is not None:
            self.form.show_steps(follower.journal.steps, follower.journal.history.position)

    def _show_tools(self, facts: Facts) -> None:
        layer = self._layer()
        problem = unusable(facts)
        image = self.form.image.currentData()
        fits = layer is not None and image is not None and not facts.misfit and image.data.shape == layer.data.shape
        self.tools.show(layer, image if fits else None, problem, facts.shows_slice)
        self.comparing.show(None if problem else layer)
        lies = layer is not None and image is not None and not facts.misfit
        self.learning.show(layer, image if lies else None, problem)
        self.teaching.show(layer, image if lies else None, problem)

    def _show_states(self, facts: Facts) -> None:
        layer = self._layer()
        self._ordering.say_rest(layer is not None and not facts.problem)
        if layer is None:
            return
        states = records.ledger_of(layer).states()
        self.form.strip.show_states(states, tuple(layer.data.shape[:-2]), facts.shown)
        self.form.show_legend(facts.states)

    def _layer_changed(self, layer: Labels) -> None:
        if layer is self._layer():
            self._update()

    def _scrolled(self, event: Any = None) -> None:
        facts = self._facts()
        self._ordering.sign(facts.shown)
        apply(self.form, state(facts))
        self._show_states(facts)
        self.tools.scrolled()
        self.learning.look()

    def _job_changed(self) -> None:
        self._update()

    # ---- go ----

    def _go_to(self, number: int) -> None:
        layer = self._layer()
        if layer is not None:
            go_to_slice(self._viewer, layer, number)

    def _step_chosen(self, item: QListWidgetItem) -> None:
        number = item.data(Qt.ItemDataRole.UserRole)
        if number is not None:
            self._go_to(number)

    def go_on(self, backwards: bool = False) -> None:
        """Go to the next slice that is not approved, in the order that is chosen, or to the one before."""
        layer = self._layer()
        if layer is None:
            return
        number = self._ordering.next_slice(self._shown(), bool(backwards))
        if number is None:
            self._viewer.status = "There is no other slice to review."
        else:
            self._go_to(number)

    # ---- approve ----

    def approve(self) -> None:
        """The slice in view is right as it is; go to the next one."""
        layer = self._layer()
        why_not = state(self._facts()).approve.why_not
        if why_not:
            self._viewer.status = f"Approve: {why_not}"
        elif layer is not None:
            number = self._shown()
            self._ordering.sign(number)
            records.approve(layer, [number])
            self._viewer.status = f"Approved slice {number} of '{layer.name}'."
            self.go_on()
        self._update()

    def take_back(self) -> None:
        """The slice in view is not approved any more."""
        layer = self._layer()
        why_not = state(self._facts()).take_back.why_not
        self._viewer.status = f"Take back: {why_not}" if why_not else "The approval is taken back."
        if layer is not None and not why_not:
            records.withdraw(layer, [self._shown()])
        self._update()

    def approve_filled(self) -> None:
        """Every slice that holds labels is right as it is."""
        follower = self._follower()
        layer = self._layer()
        if follower is not None and layer is not None:
            numbers = self._filled(records.ledger_of(layer))
            if numbers:
                follower.approve_as_step(f"approve all filled slices ({len(numbers)})", numbers)
        self._update()

    # ---- undo and redo ----

    def undo(self) -> None:
        """Take the last step of the chosen labels back."""
        follower = self._follower()
        if follower is not None:
            with jobs.errors_shown():
                follower.undo()
        self._update()

    def redo(self) -> None:
        """Do again the step that was taken back last."""
        follower = self._follower()
        if follower is not None:
            with jobs.errors_shown():
                follower.redo()
        self._update()

    # ---- save, and after a crash ----

    def save(self) -> None:
        """Ask where to save the chosen labels, and save them on the grid of their image."""
        layer, image = self._layer(), self.form.image.currentData()
        if layer is not None and not state(self._facts()).save.why_not:
            axes = next(iter(layer_volumes.axes_choices(image)), None) if image is not None else None
            self._saver.ask(layer, (image, axes) if axes else None)

    def restore(self) -> None:
        """Open the labels of the first session that is offered."""
        self._left.restore()

    def _restored(self, layer: Labels, text: str) -> None:
        self.choose(layer)
        self._status.say(text)
        self._labels_chosen()


def _can_be_reviewed(layer: Layer) -> TypeGuard[Labels]:
    return isinstance(layer, Labels) and not layer.metadata.get(layer_volumes.SIGHT)
