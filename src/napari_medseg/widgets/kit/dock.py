"""What every dock is built on: the viewer itself, the layers that come and go, jobs, and an end without traces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QClipboard, QDropEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QMessageBox, QVBoxLayout, QWidget

from ...progress import Job
from . import preferences
from .controls import Paragraph
from .dropping import CanvasDrops, dropped
from .grey import let_sliders_reach
from .jobs import Queue
from .legend import legend_of
from .letters import letters_of
from .opening import Opener
from .painting import painting_of
from .place import Place
from .saving import watch_saves
from .shelf import shelf_of
from .shortcuts import bind
from .tuning import training
from .upright import keep_upright

if TYPE_CHECKING:
    from napari import Viewer


def unwrapped(viewer: Viewer) -> Viewer:
    """The viewer itself; a widget that is opened from the menu is handed a proxy of it.

    Each layer that is read through the proxy is a new proxy, so that no layer would be identical to itself. The proxy
    is one of `wrapt`, and ``__wrapped__`` is what `wrapt` documents for getting at the object behind it.
    """
    return getattr(viewer, "__wrapped__", viewer)


def bring_dock(viewer: Viewer, name: str) -> Any:
    """Open the dock `name` of this plugin, or bring it to the front."""
    frame, dock = viewer.window.add_plugin_dock_widget("napari-medseg", name, tabify=True)
    frame.show()
    frame.raise_()
    return dock


def _name_answer(action: str) -> None:
    """Let the open question be answered with what will happen, not with a Yes to words that were not read."""
    box = QApplication.activeModalWidget()
    button = box.button(QMessageBox.StandardButton.Yes) if isinstance(box, QMessageBox) else None
    if button is not None:
        button.setText(action)


class Dock(QWidget):
    """A form in a dock of napari: its jobs, the layers around it, and what is left when it is closed, which is nothing.

    A dock builds its form and calls `_open_form`. What it does in its own way it says in `_list_layers`, `_layer_gone`,
    `_list_models`, `_update` and `_clear`.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Or a proxy of it.
    kinds : tuple of str
        Of its jobs, the most urgent first.
    lasting : tuple of str
        Kinds of jobs that go on when the dock is closed.
    """

    def __init__(self, napari_viewer: Viewer, kinds: tuple[str, ...], lasting: tuple[str, ...] = ()):
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._shelf = shelf_of(self._viewer)
        self._painting = painting_of(self._viewer)
        self._letters = letters_of(self._viewer)
        self._legend = legend_of(self._viewer)
        watch_saves(self._viewer)
        keep_upright(self._viewer)
        let_sliders_reach(self._viewer)
        self._queue = Queue(self, ("models", *kinds), self._job_changed, self._failed)
        self._lasting = lasting
        self.opener = Opener(self._viewer, self._take)
        self._takes: tuple[QComboBox, ...] = ()
        self.place = Place(self, Dock)
        self._canvas = CanvasDrops(self, self.opener.open, self._is_seen)
        self._status = Paragraph()
        self._agreed_to: set[tuple[Any, ...]] = set()
        self._heard: list[tuple[Any, Callable[..., Any]]] = []
        self._last_accepted = ""

    @property
    def busy(self) -> bool:
        """Whether a job is under way or about to start."""
        return self._queue.busy or self.opener.busy

    def _open_form(self, body: QWidget, status: Paragraph, *takes: QComboBox, **keys: QAbstractButton) -> QVBoxLayout:
        """Show `body`, hear of layers from now on, and read the models.

        Parameters
        ----------
        body : QWidget
        status : Paragraph
            Where errors are said.
        *takes : QComboBox
            The lists of layers in which a scan that is opened here is chosen.
        **keys : QAbstractButton
            What the keys of `shortcuts.KEYS` press.

        Returns
        -------
        QVBoxLayout
            Of the dock.
        """
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.opener)
        layout.addWidget(body)
        self.place.hold(self.opener, body)
        bind(body, keys)
        self.setAcceptDrops(True)
        self._status = status
        self._takes = takes
        layers = self._viewer.layers.events
        for event in (layers.inserted, layers.reordered, layers.renamed):
            self._hear(event, self._layers_changed)
        self._hear(layers.removed, self._layer_removed)
        self._hear(training().models_changed, self._read_models)
        for event in preferences.changes():
            self._hear(event, self.opener.offers.follow)
        self.opener.offers.follow()
        self._list_layers()
        self.opener.look_at_layers()
        self._read_models()
        return layout

    def _hear(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect `slot` to an event of napari or a signal of Qt until the dock is closed."""
        signal.connect(slot)
        self._heard.append((signal, slot))

    # ---- what a dock does in its own way ----

    def _list_layers(self) -> None:
        """Layers have come, gone, moved or been renamed: offer those that there are."""

    def _layer_gone(self, layer: Layer) -> None:
        """Let go of a layer that was removed."""

    def _list_models(self) -> None:
        """The shelf was filled: offer its models."""

    def _models_job(self) -> Job[None]:
        """Fill the shelf."""
        return self._shelf.read_job()

    def _update(self, event: Any = None) -> None:
        """Say what is possible now, and why the rest is not."""

    def _job_changed(self) -> None:
        """A job has started or ended."""
        self._update()

    def _give_up(self) -> None:
        """Remove what the run under way has shown."""

    def _clear(self) -> None:
        """The dock is closed: remove what is only there while it is open."""

    # ---- what all do alike ----

    def cancel(self) -> None:
        """Stop the run: what it has shown vanishes at once, its thread ends with the step at hand."""
        self._queue.stop()
        self._give_up()
        self._status.say("Cancelled; nothing was changed.")
        self._update()

    def _read_models(self) -> None:
        def begin() -> None:
            options = {"title": "Read models", "quiet": True, "on_error": self._failed}
            self._queue.start("models", self._models_job(), on_done=lambda _: self._list_models(), **options)

        self._queue.want("models", begin)

    def _newly_accepted(self, names: Collection[str]) -> str:
        """The model, one of these, that Fine-tune has made since this was asked last; empty if none."""
        name = training().accepted
        if name == self._last_accepted or name not in names:
            return ""
        self._last_accepted = name
        return name

    def _copy(self, command: str, words: str = "The command is on the clipboard.") -> None:
        clipboard = cast(QClipboard, QApplication.clipboard())  # every application has one
        clipboard.setText(command)
        self._status.say(words)

    def _copy_text(self, text: str, words: str = "") -> None:
        """Copy Python; `words` are a further sentence."""
        self._copy(text, f"The Python text is on the clipboard. {words}".rstrip())

    def _sure(self, title: str, text: str, action: str) -> bool:
        """Ask a question that is answered with `action` or Cancel; whoever just presses Enter cancels."""
        answers = QMessageBox.StandardButton
        QTimer.singleShot(0, partial(_name_answer, action))  # once the box is open
        answer = QMessageBox.question(self, title, text, answers.Yes | answers.Cancel, answers.Cancel)
        return answer == answers.Yes

    def _agreed(self, subject: tuple[Any, ...], title: str, text: str, action: str) -> bool:
        """Ask a question about a subject; whoever has agreed is not asked again."""
        agreed = subject in self._agreed_to or self._sure(title, text, action)
        if agreed:
            self._agreed_to.add(subject)
        return agreed

    def _failed(self, why: str) -> None:
        """Say why a job failed, in the form and as a notification."""
        self._status.say(why)
        show_error(why)

    # ---- scans that are opened here ----

    def _take(self, layers: Sequence[Layer]) -> None:
        """Choose the layers that were opened from this dock, wherever it lists them."""
        for layer in layers:
            for box in self._takes:
                index = box.findData(layer)
                if index >= 0:
                    box.setCurrentIndex(index)

    def _dropped(self, event: QEvent | None) -> bool:
        """Open files and folders that are dropped on the dock; whether the event was about them."""
        if not isinstance(event, QDropEvent):  # a drag that enters is one as well
            return False
        paths = dropped(event.mimeData())
        if not paths:
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self.opener.open(paths)
        return True

    def _is_seen(self) -> bool:
        return self.isVisible() and self.place.in_front

    # ---- what happens around the form ----

    def _layers_changed(self, event: Any) -> None:
        self._list_layers()
        self.opener.look_at_layers()

    def _layer_removed(self, event: Any) -> None:
        self._layer_gone(event.value)
        self._list_layers()
        self.opener.look_at_layers()

    def event(self, a0: QEvent | None) -> bool:
        """Stop when the dock is closed: napari takes its widget out of it, and something may still hold the widget."""
        if self._dropped(a0):
            return True
        if a0 is not None and a0.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._close()
            else:
                QTimer.singleShot(0, self._settle)  # once napari has put its frame into the window
        return super().event(a0)

    def _settle(self) -> None:
        self.place.settle()
        self._canvas.watch(self.place.window)

    def _close(self) -> None:
        self._queue.close(self._lasting)
        self._canvas.close()
        self.opener.close_down()
        for signal, slot in self._heard:
            signal.disconnect(slot)
        self._heard.clear()
        self._clear()
        for box in self.findChildren(QComboBox):
            _drop_layers(box)


def _drop_layers(box: QComboBox) -> None:
    """Take layers out of a list that nobody looks at any more: they would keep their arrays."""
    box.blockSignals(True)
    for index in reversed(range(box.count())):
        if isinstance(box.itemData(index), Layer):
            box.removeItem(index)
