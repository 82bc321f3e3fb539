"""What the person chose on napari's page of preferences for this plugin."""

from __future__ import annotations

from dataclasses import dataclass

from napari.settings import get_plugin_settings


@dataclass(frozen=True)
class Preferences:
    """Device and model that a new Segment form starts with."""

    device: str = "auto"
    model: str = "litenext-heart"


def preferences() -> Preferences:
    """The preferences in force; napari keeps them, and writes them to its configuration folder."""
    try:
        page = get_plugin_settings("napari-medseg").segment
    except KeyError:  # the package is on the path, but not installed as a plugin
        return Preferences()
    return Preferences(page.device, page.model)
