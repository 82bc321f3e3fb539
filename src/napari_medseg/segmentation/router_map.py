"""Where a conditional Swin network spends its heavy attention: its routers as an image next to the scan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..errors import VolumeError
from ..models import TrainedModel
from ..models.conditional_swin import ConditionalSwinUNet
from ..models.typed import require
from ..progress import run
from ..volume import Volume
from .engine import tile_side
from .locating import Search, crop, extent, locate_job
from .orientation import turn_for
from .slices import Slices, label_shape


def router_map(volume: Volume, model: TrainedModel, index: Mapping[str, int], *, channel: int | None = None) -> Volume:
    """Gates of the query routers for one slice, averaged over the blocks of the network.

    Parameters
    ----------
    volume : Volume
    model : TrainedModel
        Its architecture has routers.
    index : mapping of str to int
        Position along every axis of the image that is time or slices, in the order of its axes.
    channel : int, optional
        Which channel to use where the image has a channel axis that is not RGB.

    Returns
    -------
    Volume, axes ``yx``, float32
        0 to 1: the share of its heavy attention that a token gets, on the grid of the slice. With light routers the
        gates of the 64 tokens of a window sum to 1; where the network does not look they are 0. A model that is
        averaged over quarter turns shows the unturned one.

    Raises
    ------
    VolumeError, SettingsError
        If the slice is too large to go through the network in one piece, or the channel does not exist.
    """
    turn = turn_for(volume, model.card.orientation)
    if not turn.keeps_slices:
        raise VolumeError(
            f"Slices for {model.card.name} lie across the ones that are shown, so there is no router map of those. "
            f"Swap the axes z and {turn.sources[0]} of the image first."
        )
    source = Slices(turn.volume(volume), channel)
    spec, limit = model.card.preprocess, tile_side(model) ** 2
    height, width = spec.padded_size(source.size, source.spacing, extent(model))
    if height * width > limit:
        raise VolumeError(
            f"A slice becomes {height} x {width} pixels for this model and is cut into pieces, each with its own "
            f"routing; a router map needs at most {limit} pixels. Crop the image first."
        )
    lead = label_shape(volume)[:-2]
    place = [lead[-1] - 1 - at if axis == "z" and turn.reversed[0] else at for axis, at in index.items()]
    number = int(np.ravel_multi_index(tuple(place), lead)) if lead else 0
    places, _ = run(locate_job(model, source, Search("cpu", model.precision, 1, number, near=True)))
    shown = crop(model, places)
    normal = torch.from_numpy(spec.normalise(source.read_one(number)))[None]
    tensor, undo = spec.fit(normal, source.spacing, shown.of([number]) if shown else None)
    with torch.inference_mode():
        maps = require(model.network, ConditionalSwinUNet).router_maps(tensor)
        gates = torch.stack([gate for name, gate in maps.items() if name.endswith(".query")]).mean(0)
        overlay = turn.back(undo(gates[:, None])[0, 0].clamp(min=0).numpy(), "yx")
    for axis, position in index.items():
        volume = volume.select(axis, position)
    return volume.like(overlay)
