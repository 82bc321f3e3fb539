"""The table of reconstruction methods: what each makes of the measured samples of one slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import SettingsError
from ..kspace import KSpace
from ..progress import Job, Progress
from . import classical, sense
from .classical import Memory
from .coil_maps import CoilMaps, HeldMaps, centre_size
from .consistency import data_consistency, data_residual
from .espirit import LEAST
from .partial_fourier import completed
from .settings import AUTO
from .transforms import combine, ifft2c, rss

if TYPE_CHECKING:
    from ..models import ModelCard, TrainedModel
    from .settings import ReconSettings


class Slice(NamedTuple):
    """What a method makes of a slice.

    Parameters
    ----------
    image : numpy.ndarray, shape (y, x), complex
        Real where several coils were combined by the root of the sum of their squares.
    coils : numpy.ndarray, shape (coil, y, x), complex
        The coil images that stand behind it.
    alone : float
        How far the method alone lies from the measured samples, before data consistency; see `data_residual`.
    maps : CoilMaps or None
        Of a method that combines coils by their sensitivities.
    """

    image: np.ndarray
    coils: np.ndarray
    alone: float
    maps: CoilMaps | None = None

    @property
    def magnitude(self) -> np.ndarray:
        """Of the image, shape (y, x)."""
        return np.abs(self.image)

    def sensitivities(self) -> np.ndarray:
        """Of the measured coils, shape (coil, y, x), complex; squares sum to 1, but for what compression left out.

        Of two sets of maps the first.

        Raises
        ------
        SettingsError
            If the method has none.
        """
        if self.maps is None:
            raise SettingsError("The method has no coil maps. Choose a SENSE method.")
        return self.maps.first_set.coil_images(np.ones((1, *self.image.shape), np.float32))


Method = Callable[..., Job[Slice]]
"""Takes measured samples (coil, y, x) and their mask, yields between iterations. Methods that have a strength also take
`memories`, see `classical.Memory`: one, or, coil by coil, one for each coil."""

METHODS = {
    "zero-filled": "Zero-filled",
    "tv": "Total variation",
    "wavelet": "Wavelets",
    "sense": "SENSE (ESPIRiT maps)",
    "sense-tv": "SENSE with total variation (ESPIRiT maps)",
    "sense-wavelet": "SENSE with wavelets (ESPIRiT maps)",
}
"""Names of the methods without a model, and how to call them."""
_COIL_BY_COIL: dict[str, Callable[..., Job[np.ndarray]]] = {
    "tv": classical.tv_steps,
    "wavelet": classical.wavelet_steps,
}
_SENSE: dict[str, Callable[..., Job[np.ndarray]]] = {
    "sense": sense.sense_steps,
    "sense-tv": sense.sense_tv_steps,
    "sense-wavelet": sense.sense_wavelet_steps,
}
NEEDS_COILS = tuple(_SENSE)
HAVE_STRENGTH = (*_COIL_BY_COIL, *_SENSE)
"""Iterative methods, whose strength and iterations can be set."""


def model_of(name: str) -> TrainedModel | None:
    """The model of that name; None if it is a method without one, or ``auto``.

    Raises
    ------
    SettingsError, ModelError
        If there is none, or it does not reconstruct.
    """
    if name == AUTO or name in METHODS:
        return None
    from ..models import available, load

    known = available()
    if name not in known:
        raise SettingsError(
            f"There is no method '{name}'; choose one of {', '.join(METHODS)}, or a model that reconstructs."
        )
    return load(known[name])


def candidates(kspace: KSpace, settings: ReconSettings) -> tuple[str, ...]:
    """The methods that `settings` leave open, the usual one first: several for ``auto`` where coil maps can be had."""
    if settings.method != AUTO:
        return (settings.method,)
    return ("sense-tv", "sense-wavelet") if kspace.coils > 1 and not lacks_centre(kspace) else ("tv",)


def has_maps(kspace: KSpace, settings: ReconSettings, card: ModelCard | None = None) -> bool:
    """Whether a method, or the model with this `card`, sees all coils together by their maps, not one by one."""
    if card is None:
        return candidates(kspace, settings)[0] in NEEDS_COILS
    return card.design == "cascade" and kspace.coils > 1 and not lacks_centre(kspace)


def lacks_centre(kspace: KSpace) -> str:
    """Why coil maps cannot be had of some slice, in a few words; empty if they can."""
    size = centre_size(kspace)
    if size < LEAST:
        return f"the fully sampled centre of k-space has {size} rows or columns, coil maps need {LEAST}"
    return ""


def unfit(name: str, coils: int, card: ModelCard | None = None) -> str:
    """Why a method, or the model with this `card`, cannot take so many coils, in a few words; empty if it can."""
    if name in NEEDS_COILS and coils < 2:
        return "the k-space has one coil"
    if card is not None and card.design == "image" and coils > 1:
        return f"takes one coil, the k-space has {coils}"
    return ""


def prepare(
    kspace: KSpace, settings: ReconSettings, model: TrainedModel | None, held: HeldMaps | None = None
) -> Method:
    """The method of `settings` for the slices of `kspace`; coil maps come from `held` where it holds some.

    Raises
    ------
    SettingsError
        If the method does not exist or does not fit the data.
    """
    if model is None and settings.method not in METHODS:
        raise SettingsError(f"There is no method '{settings.method}'; choose one of {', '.join(METHODS)}.")
    if settings.method in NEEDS_COILS and kspace.coils < 2:
        raise SettingsError(
            f"The k-space has one coil; '{settings.method}' combines several coils by their sensitivities. Choose tv."
        )
    if model is not None:
        return _learned(kspace, settings, model, held or HeldMaps())
    if settings.method in NEEDS_COILS:
        return partial(_with_maps, settings=settings, held=held or HeldMaps())
    steps = _COIL_BY_COIL.get(settings.method, _zero_filled)
    return partial(_coil_by_coil, steps=partial(steps, **_given(settings)), settings=settings)


def _given(settings: ReconSettings) -> dict[str, float]:
    """The options that were chosen; what is None keeps the default of the method."""
    options = {"strength": settings.strength, "iterations": settings.iterations}
    return {name: value for name, value in options.items() if value is not None}


def _zero_filled(measured: np.ndarray, mask: np.ndarray, **_: float) -> Job[np.ndarray]:
    yield Progress(1, 1)
    return ifft2c(measured)


def _coil_by_coil(
    measured: np.ndarray,
    mask: np.ndarray,
    memories: Sequence[Memory] = (),
    *,
    steps: Callable[..., Job[np.ndarray]],
    settings: ReconSettings,
) -> Job[Slice]:
    # a coil that sees nothing stays dark
    found = np.zeros_like(measured)
    for place, coil in enumerate(measured):
        if coil.any():
            given = {"memory": memories[place]} if memories else {}
            found[place] = yield from steps(coil, mask, **given)
    coils = completed(data_consistency(found, measured, mask, settings.weight), mask, settings.partial)
    image = coils[0] if len(coils) == 1 else rss(coils, 0)
    return Slice(image, coils, data_residual(found, measured, mask))


def _with_maps(
    measured: np.ndarray,
    mask: np.ndarray,
    memories: Sequence[Memory] = (),
    *,
    settings: ReconSettings,
    held: HeldMaps,
) -> Job[Slice]:
    yield Progress(0, 1)
    coils = held.of(measured, mask)
    samples = coils.compress(measured)
    steps = _SENSE[settings.method]
    options: dict[str, Any] = dict(_given(settings))
    if settings.method == "sense":
        # what keeps noise down there is called damping
        options = {"damping" if name == "strength" else name: value for name, value in options.items()}
    if memories:
        options["memory"] = memories[0]
    image = yield from steps(samples, mask, coils.maps, **options)
    return agreed(coils, image, measured, mask, settings)


def agreed(
    coils: CoilMaps, image: np.ndarray, measured: np.ndarray, mask: np.ndarray, settings: ReconSettings
) -> Slice:
    """An image (set, y, x) that was found with coil maps, after the data consistency of `settings`."""
    alone = data_residual(coils.coil_images(image), measured, mask)
    if settings.dc != "none":
        samples = coils.compress(measured)
        image = combine(data_consistency(coils.virtual_images(image), samples, mask, settings.weight), coils.maps)
    image = completed(image, mask, settings.partial)
    return Slice(_as_one(image), coils.coil_images(image), alone, coils)


def _as_one(images: np.ndarray) -> np.ndarray:
    """The images of all sets of maps (set, y, x) as one (y, x): root of the sum of squares, phase of the first."""
    if len(images) == 1:
        return images[0]
    return rss(images, 0) * np.exp(1j * np.angle(images[0]))


def _learned(kspace: KSpace, settings: ReconSettings, model: TrainedModel, held: HeldMaps) -> Method:
    if model.card.design not in ("cascade", "image"):
        raise SettingsError(
            f"The model '{model.card.name}' segments images and does not reconstruct them. Choose another one."
        )
    from ..models.devices import choose_device
    from . import learned

    model = model.on(choose_device(settings.device))
    if has_maps(kspace, settings, model.card):
        return partial(_cascade_with_maps, settings=settings, model=model, held=held)
    if model.card.design == "cascade":
        iterations = learned.STEPS if settings.iterations is None else settings.iterations
        steps = partial(learned.cascade_job, model, iterations=iterations)
        return partial(_coil_by_coil, steps=steps, settings=settings)
    if kspace.coils > 1:
        raise SettingsError(
            f"'{model.card.name}' maps the magnitude of one coil to an image; the k-space has {kspace.coils} coils. "
            "Choose sense-tv."
        )
    return partial(_coil_by_coil, steps=partial(learned.restore_job, model), settings=settings)


def _cascade_with_maps(
    measured: np.ndarray, mask: np.ndarray, *, settings: ReconSettings, model: TrainedModel, held: HeldMaps
) -> Job[Slice]:
    from . import coil_cascade

    yield Progress(0, 1)
    coils = held.of(measured, mask)
    iterations = coil_cascade.STEPS if settings.iterations is None else settings.iterations
    strength = {} if settings.strength is None else {"strength": settings.strength}
    cascade = coil_cascade.Cascade(model, coils, iterations, strength)
    image = yield from cascade.job(measured, mask)
    return agreed(coils, image, measured, mask, settings)
