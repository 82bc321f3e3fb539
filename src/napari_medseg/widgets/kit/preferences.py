"""What the person chose on napari's page of preferences for this plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings

from ...models.library import bundled_groups, by_task

if TYPE_CHECKING:
    from ...models import ModelCard

BEST = "best"
"""The choice of the best model of a task, by its Dice on `val`."""


@dataclass(frozen=True)
class Preferences:
    """Device that a new form starts with, and the model of each group: its name, or `BEST`."""

    device: str = "auto"
    models: Mapping[str, str] = field(default_factory=dict)

    def first(self, cards: Iterable[ModelCard]) -> str | None:
        """Name of the model to begin with: of the first task that there are `cards` for, the one that is preferred."""
        members = next(iter(by_task(cards).values()), [])
        names = [card.name for card in members]
        wanted = self.models.get(members[0].group, BEST) if members else BEST
        return wanted if wanted in names else next(iter(names), None)


def preferences() -> Preferences:
    """The preferences in force; napari keeps them, and writes them to its configuration folder."""
    try:
        page = get_plugin_settings("napari-medseg").segment
    except KeyError:  # the package is on the path, but not installed as a plugin
        return Preferences()
    return Preferences(page.device, {group: getattr(page, group) for group in bundled_groups()})
