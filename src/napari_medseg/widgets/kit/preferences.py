"""What the person chose on napari's page of preferences for this plugin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.settings import get_plugin_settings

from ...models.library import bundled_groups, by_task
from ...segmentation.last_runs import CACHE

if TYPE_CHECKING:
    from ...models import ModelCard

BEST = "best"
"""The choice of the best model of a task, by its Dice on `val`."""

ASK, ALWAYS, NEVER = "ask", "always", "never"
"""Whether napari takes our reader for scans."""

_OFF = "off"
_CACHE_AT_START = os.environ.get(CACHE, "")


@dataclass(frozen=True)
class Preferences:
    """What is chosen.

    Parameters
    ----------
    device : str
        That a new form starts with.
    models : mapping of str to str
        The model of each group: its name, or `BEST`.
    cache : str
        Folder of what can be made again; empty for the usual place.
    autosave : bool
        Whether changes of labels are written to the disk as they happen.
    reader : {"ask", "always", "never"}, or None
        Whether napari takes our reader for scans; None where there is no page to choose it on.
    """

    device: str = "auto"
    models: Mapping[str, str] = field(default_factory=dict)
    cache: str = ""
    autosave: bool = True
    reader: str | None = None

    def first(self, cards: Iterable[ModelCard]) -> str | None:
        """Name of the model to begin with: of the first task that there are `cards` for, the one that is preferred."""
        members = next(iter(by_task(cards).values()), [])
        names = [card.name for card in members]
        wanted = self.models.get(members[0].group, BEST) if members else BEST
        return wanted if wanted in names else next(iter(names), None)


def preferences() -> Preferences:
    """The preferences in force; napari keeps them, and writes them to its configuration folder."""
    page = _page()
    if page is None:
        return Preferences()
    models = {group: getattr(page.segment, group) for group in bundled_groups()}
    files = page.files
    return Preferences(page.segment.device, models, files.cache.strip(), files.autosave != _OFF, files.reader)


def changes() -> tuple[Any, ...]:
    """Events of napari: another reader or cache folder was chosen."""
    page = _page()
    return () if page is None else (page.files.events.reader, page.files.events.cache)


def prefer_reader(wanted: str) -> None:
    """Choose `ASK`, `ALWAYS` or `NEVER` on the page."""
    page = _page()
    if page is not None:
        page.files.reader = wanted


def use_cache_folder() -> str:
    """Keep what can be made again in the folder that is chosen, here and in child processes.

    Returns
    -------
    str
        Why that is not possible, in a sentence; the usual place is used then. Empty if it is.
    """
    wanted = preferences().cache
    folder = Path(os.path.expanduser(wanted))  # that of Path raises an error while the name of a user is typed
    why_not = _why_not(folder) if wanted else ""
    chosen = str(folder) if wanted and not why_not else _CACHE_AT_START
    if os.environ.get(CACHE, "") != chosen:
        os.environ[CACHE] = chosen
    return why_not


def _why_not(folder: Path) -> str:
    """Why nothing can be kept in a folder; nothing is made there: napari says every letter that is typed."""
    problem = "cannot be written to"
    if not folder.is_absolute() or not folder.is_dir():
        problem = "is not a folder of this computer"
    elif os.access(folder, os.W_OK | os.X_OK):
        return ""
    return (
        f"The cache folder '{folder}' {problem}, so the usual place is used. Make the folder, or choose another one in "
        "File > Preferences > napari-medseg."
    )


def _page() -> Any:
    """The page; None where the package is on the path, but not installed as a plugin."""
    try:
        return get_plugin_settings("napari-medseg")
    except KeyError:
        return None
