"""Save labels from a form: ask where, complete the name, write in a thread, say what was written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

from ... import io
from ...io import formats
from ...volume import Volume
from . import in_store, jobs, layer_volumes
from .recorder import recorder_of
from .records import last_step, note_saved
from .saving import Pair, image_of, moved_text

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

KIND = "save"
"""Of the job, in the queue of the form."""


class LabelSaver:
    """Saves labels layers on the grid of their image.

    Parameters
    ----------
    owner : QWidget
        Whose dialog it is.
    viewer : napari.components.ViewerModel
    queue : Queue
    say, failed : callable
        Called with what was saved; with why it was not.
    sure : callable
        Asks a question (title, text, answer).
    """

    def __init__(
        self,
        owner: QWidget,
        viewer: ViewerModel,
        queue: jobs.Queue,
        *,
        say: Callable[[str], None],
        failed: Callable[[str], None],
        sure: Callable[[str, str, str], bool],
    ):
        self._owner, self._viewer, self._queue = owner, viewer, queue
        self._say, self._failed, self._sure = say, failed, sure

    def ask(self, layer: Labels, chosen: Pair | None = None) -> None:
        """Ask where to save `layer`, which lies on the image `chosen` where that is possible, and save it."""
        with jobs.errors_shown():
            pair = image_of(self._viewer, layer, chosen)
            volume = layer_volumes.labels_volume(layer, *(pair or (None, None)))
            mark = last_step(layer)
            path = self._path(volume, layer.name)
            if path is not None:
                self._want(layer, volume, path, pair, partial(note_saved, layer, mark))

    def save(self, layer: Labels, path: Path, chosen: Pair | None, then: Callable[[], None]) -> None:
        """Save `layer` to `path`, and call `then` once that went well; see `ask`."""
        with jobs.errors_shown():
            pair = image_of(self._viewer, layer, chosen)
            volume = layer_volumes.labels_volume(layer, *(pair or (None, None)))
            mark = last_step(layer)

            def noted(written: Path) -> None:
                note_saved(layer, mark, written)
                then()

            self._want(layer, volume, path, pair, noted)

    def _want(
        self, layer: Labels, volume: Volume, path: Path, pair: Pair | None, noted: Callable[[Path], None]
    ) -> None:
        note = moved_text(*pair) if pair else ""
        recorder_of(self._viewer).saved(layer, volume, path, pair[0] if pair else None)
        self._queue.want(KIND, partial(self._start, volume, path, note, noted))

    def _path(self, volume: Volume, name: str) -> Path | None:
        """What the person chose for the labels of a layer; None if nothing."""
        asked = in_store.question(volume, name, self._owner)
        if asked is not None:
            if asked.exec():
                return asked.path
            if not asked.elsewhere:
                return None
        return self._file(str(layer_volumes.suggested_path(volume, name)))

    def _file(self, suggested: str) -> Path | None:
        """What the person chose in a dialog for files, with an ending; None if nothing."""
        filters = ";;".join(formats.file_filters(writing=True))
        name, chosen = QFileDialog.getSaveFileName(self._owner, "Save labels", suggested, filters)
        if not name:
            return None
        path = completed(Path(name), chosen)
        # the dialog has asked only about the name as it was typed
        if path != Path(name) and path.exists() and not self._sure("Save labels", f"Replace {path.name}?", "Replace"):
            return None
        return path

    def _start(self, volume: Volume, path: Path, note: str, noted: Callable[[Path], None]) -> None:
        said = [note] if note else []

        def done(written: Path) -> None:
            self._say(" ".join([f"Saved {written.name}; read back and compared voxel by voxel.", *said]))
            noted(written)

        job = jobs.once(partial(io.write, say=said.append), volume, path)
        self._queue.start(KIND, job, title=f"Save {path.name}", on_done=done, on_error=self._failed)


def completed(path: Path, chosen: str) -> Path:
    """`path` with the first ending of the filter `chosen`, such as ``NIfTI (*.nii.gz *.nii)``, if it needs one."""
    endings = next((row for name, row in formats.families(writing=True).items() if chosen.startswith(f"{name} (")), [])
    return path if path.suffix or formats.named(path) or not endings else path.with_name(path.name + endings[0])
