"""What several forms offer in their boxes: image layers, meanings of axes, devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from ...models.figures import held_out_dice
from ...models.library import by_task
from ...options import DEVICES
from . import layer_volumes
from .controls import fill, switch_off

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QComboBox

    from ...models import ModelCard
    from .preferences import Preferences
    from .shelf import Shelf


def axes_text(axes: str) -> str:
    """What the axes of an image mean, for example ``time, slices (t, z, y, x)``."""
    words = {"t": "time", "c": "channels", "z": "slices"}
    lead = ", ".join(words[axis] for axis in axes.removesuffix("c") if axis in words)
    return f"{lead} ({', '.join(axes)})"


def offer_images(
    box: QComboBox,
    viewer: Viewer,
    lead: Sequence[tuple[str, Any]] = (),
    fits: Callable[[Image], bool] = lambda layer: True,
) -> bool:
    """List in `box` the image layers that fit, after the entries `lead`; the chosen one stays where it can.

    Layers that a form made to look at are not listed. Returns whether another one is chosen now.
    """
    images = [
        layer for layer in viewer.layers if isinstance(layer, Image) and not layer.metadata.get(layer_volumes.SIGHT)
    ]
    images = [layer for layer in images if fits(layer)]
    before = current = box.currentData()
    if current not in images and (current is None or current not in [value for _, value in lead]):
        active = viewer.layers.selection.active
        newest = next(iter(reversed(images)), next((value for _, value in lead), None))
        current = active if active in images else newest
    box.setPlaceholderText("open a scan, or drop one here")
    fill(box, [*lead, *((layer.name, layer) for layer in images)], current)
    return current is not before


def model_entries(cards: Iterable[ModelCard]) -> dict[str, list[tuple[str, str]]]:
    """Models for a list: by task, the best first, each with how good it is on data it never saw."""
    return {title: [_entry(card, members) for card in members] for title, members in by_task(cards).items()}


def _entry(card: ModelCard, members: Sequence[ModelCard]) -> tuple[str, str]:
    dice = held_out_dice(card)
    best = "best" if card is members[0] and len(members) > 1 and card.group else ""
    return ", ".join(filter(None, [card.name, best, dice and f"Dice {dice}"])), card.name


def offer_devices(box: QComboBox, shelf: Shelf, wanted: Preferences) -> None:
    """List in `box` where to compute; what the shelf did not find cannot be chosen."""
    devices = [("Automatic" if name == "auto" else name.upper(), name) for name in DEVICES]
    fill(box, devices, wanted.device if shelf.devices.get(wanted.device, True) else "auto")
    for device in (name for name, present in shelf.devices.items() if not present):
        switch_off(box, device, "not found on this computer")
