"""Where a conditional network that reconstructs spends its heavy attention, as an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingsError, VolumeError
from ..kspace import KSpace
from ..models import architecture
from ..progress import Job
from ..volume import Volume
from .coil_maps import HeldMaps
from .grid import image_volume, shown
from .methods import has_maps
from .settings import ReconSettings

if TYPE_CHECKING:
    from ..models import TrainedModel


def router_map_job(kspace: KSpace, settings: ReconSettings, model: TrainedModel, index: int) -> Job[Volume]:
    """Gates of the query routers for one slice, averaged over the blocks of the network.

    Parameters
    ----------
    kspace : KSpace
        With its mask; without one all of it counts as measured.
    settings : ReconSettings
        `iterations` and `device` of the reconstruction. A cascade is shown in its last step.
    model : TrainedModel
        Reconstructs, and has routers.
    index : int
        Slice.

    Returns
    -------
    Volume, axes ``yx``, float32
        0 to 1: the share of its heavy attention that a token gets, on the grid of the reconstructed slice. Of coils
        that go through the network one by one, the mean.

    Raises
    ------
    SettingsError, VolumeError
        If the model has no routers or does not reconstruct, or nothing was measured of the slice.
    """
    if not model.card.design or not architecture(model.card.architecture).routed:
        raise SettingsError(
            f"'{model.card.name}' is not a conditional network that reconstructs, so it has no router map. Choose "
            "another model."
        )
    from ..models.devices import choose_device
    from . import coil_cascade, learned

    model = model.on(choose_device(settings.device))
    together = has_maps(kspace, settings, model.card)
    usual = coil_cascade.STEPS if together else learned.STEPS
    iterations = usual if settings.iterations is None else max(settings.iterations, 1)
    mask = kspace.mask_of(index)
    measured = np.where(mask, kspace.slice(index), 0)
    if not measured.any():
        raise VolumeError(f"The mask leaves nothing of slice {index}: all samples that it keeps are 0.")
    gates = []
    if together:
        held = HeldMaps()
        held.hold(kspace, index)
        cascade = coil_cascade.Cascade(model, held.of(measured, mask), iterations, {})
        gates.append((yield from cascade.gates_job(measured, mask)))
    else:
        for coil in filter(np.any, measured):
            gates.append((yield from learned.gates_job(model, coil, mask, iterations)))
    image = shown(kspace, np.mean(gates, axis=0))
    # the place of a slice in its volume, without the volume
    images = np.broadcast_to(image, (kspace.depth, *image.shape))
    return image_volume(kspace, images).select("z", index % kspace.depth)
