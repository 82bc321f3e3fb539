"""From k-space to images: settings, warnings, result; the job behind every reconstruction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingsError, VolumeError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, run, within
from ..record import Record, UsedModel, now, software
from ..volume import Volume
from . import frames, methods
from .coil_maps import HeldMaps
from .consistency import data_residual
from .figures import CONVENTION, measure
from .masked import REFERENCED, describe, sampled
from .noise import noise_share, whitened
from .partial_choice import is_one_sided, settled_job
from .settings import AUTO, HOMODYNE, NONE, POCS, ReconSettings, Sampling
from .transforms import centre_crop, ifft2c, rss

if TYPE_CHECKING:
    from ..models import ModelCard, TrainedModel

ESTIMATED = (
    "Estimated by a trained network: it may contain structure that was not measured, or miss structure that was; "
    "not for diagnosis."
)
DIFFERS = "Before data consistency the result differs"
_HIGH_RESIDUAL = 0.05
_OVER_NOISE = 1.5  # an image without the noise differs from the samples by about the noise
_FAR = 1.15  # ratio of nominal and effective acceleration that is worth a word


@dataclass(frozen=True, eq=False)
class Part:
    """One finished slice: its index, and magnitudes (y, x), cropped, of the result and of zero filling.

    `residual`, and `alone` before data consistency, say how far it lies from the measured samples; `noise` is the share
    of noise in these: an image that fits them better fits the noise.
    """

    index: int
    image: np.ndarray
    zero_filled: np.ndarray
    residual: float
    alone: float
    noise: float


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Result of a run.

    Parameters
    ----------
    image, zero_filled : Volume
        Magnitudes, axes zyx, of several frames tzyx, float32, in the units of the measurement.
    residual : float
        How far the result lies from the measured samples, see `data_residual`; mean over the slices.
    mask : numpy.ndarray, shape (x,), (y, x), (slice, 1, x) or (slice, y, x), bool
        What was taken as measured, see `KSpace`.
    reference : Volume or None
        The image of the fully sampled data, where there is one.
    """

    image: Volume
    zero_filled: Volume
    residual: float
    mask: np.ndarray
    reference: Volume | None

    @property
    def record(self) -> Record:
        """How the image came to be: method, parameters, mask, metrics against the reference, warnings."""
        return self.image.record or Record("reconstruct")

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()


def reconstruct_job(
    kspace: KSpace,
    settings: ReconSettings,
    *,
    model: TrainedModel | None = None,
    indices: Sequence[int] | None = None,
    start: int = 0,
) -> Job[Reconstruction]:
    """Reconstruct the slices of `kspace` one after the other.

    Parameters
    ----------
    kspace : KSpace
        With its mask, see `sampled`; without one all of it counts as measured.
    settings : ReconSettings
    model : TrainedModel, optional
        Where the method is a model.
    indices : sequence of int, optional
        Slices to reconstruct; all of them if left out.
    start : int
        Slice to begin with; the run wraps around.

    Yields
    ------
    Progress
        Over the slices, also between the iterations of one; `partial` is a `Part` when a slice is finished.

    Returns
    -------
    Reconstruction
        Of the slices asked for.

    Raises
    ------
    VolumeError, SettingsError
        If k-space, mask, method and settings do not fit.
    """
    began = time.monotonic()
    given = kspace
    kspace = whitened(given)
    chosen = chosen_slices(kspace, indices)
    held = HeldMaps()
    if settings.together:
        used = replace(settings, method=frames.METHOD, partial=NONE)
        together = yield from within(frames.together_job(kspace, settings, chosen), 0, len(chosen))
        method = None
    else:
        used = yield from within(settled_job(kspace, settings, chosen, model, held), 0, len(chosen))
        method = methods.prepare(kspace, used, model, held)
    parts: dict[int, Part] = {}
    for index in sorted(chosen, key=lambda i: (i < start, i)):
        mask = kspace.mask_of(index)
        measured = np.where(mask, kspace.slice(index), 0)
        if not measured.any():
            raise VolumeError(f"The mask leaves nothing of slice {index}: all samples that it keeps are 0.")
        done = len(parts)
        held.hold(kspace, index)
        found = together[index] if method is None else (yield from within(method(measured, mask), done, len(chosen)))
        zero_filled = rss(ifft2c(measured), 0)
        residual = data_residual(found.coils, measured, mask)
        images = shown(kspace, found.magnitude), shown(kspace, zero_filled)
        parts[index] = Part(index, *images, residual, found.alone, noise_share(measured))
        yield Progress(len(parts), len(chosen), parts[index])
    return _result(given, settings, used, model, [parts[i] for i in chosen], time.monotonic() - began)


def reconstruct(
    kspace: KSpace,
    method: str = ReconSettings.method,
    *,
    sampling: Sampling | None = None,
    mask: np.ndarray | None = None,
    **settings: Any,
) -> Reconstruction:
    """Reconstruct k-space, for example what `read_kspace` returns.

    Parameters
    ----------
    kspace : KSpace
    method : str
        See `ReconSettings`.
    sampling : Sampling, optional
        Undersample with a mask drawn by these rules.
    mask : numpy.ndarray, optional
        Undersample with this mask.
    **settings
        Further fields of `ReconSettings`.

    Raises
    ------
    MedsegError
        If k-space, mask, method and settings do not fit.
    """
    try:
        options = ReconSettings(method=method, **settings)
    except TypeError as error:
        raise SettingsError(f"reconstruct does not take these options: {error}.") from error
    return run(reconstruct_job(sampled(kspace, sampling, mask), options, model=methods.model_of(method)))


def chosen_slices(kspace: KSpace, indices: Sequence[int] | None) -> list[int]:
    """Slices of `kspace` that were asked for, in order and each once; all of them for None.

    Raises
    ------
    SettingsError
        If one does not exist, or none was asked for.
    """
    chosen = sorted(set(range(kspace.slices) if indices is None else indices))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < kspace.slices:
        raise SettingsError(f"The slices {chosen} were asked for; the k-space has the slices 0 to {kspace.slices - 1}.")
    return chosen


def shown(kspace: KSpace, image: np.ndarray) -> np.ndarray:
    """The part of an image (y, x) of the whole matrix that is shown, float32."""
    return centre_crop(image, kspace.crop or kspace.matrix).astype(np.float32)


def image_volume(kspace: KSpace, data: np.ndarray) -> Volume:
    """Images (slice, y, x) of `kspace` on their grid, with an axis of frames if they are all and there are several."""
    flags = {"has_spacing": kspace.spacing is not None, "simulated": kspace.simulated}
    own = np.diag([*(kspace.spacing or (1.0, 1.0, 1.0))[::-1], 1.0])
    affine = kspace.metadata.get("affine", own)
    if kspace.frames == 1 or len(data) != kspace.slices:
        return Volume(data, "zyx", affine, metadata=flags)
    data = data.reshape(kspace.frames, kspace.depth, *data.shape[1:])
    counted = kspace.metadata.get("frames") or [{}]
    return Volume(data, "tzyx", affine, metadata={**flags, "t_axis": ", ".join(counted[0])})


def plane_volume(kspace: KSpace, image: np.ndarray) -> Volume:
    """The place of all images of `kspace`, with one of them (y, x) in it."""
    found = image_volume(kspace, image[None])
    if kspace.frames == 1 or found.axes == "tzyx":
        return found
    return replace(found, data=found.data[None], axes="tzyx")


def _reference(kspace: KSpace, indices: Sequence[int]) -> np.ndarray | None:
    """The image of the fully sampled data: the file's own, or that of all columns where all were measured."""
    if kspace.reference is not None:
        return np.stack([np.asarray(kspace.reference[i], np.float32) for i in indices])
    if kspace.mask_origin in REFERENCED:
        mixed = whitened(kspace)
        return np.stack([shown(kspace, rss(ifft2c(mixed.slice(i)), 0)) for i in indices])
    return None


def _result(
    kspace: KSpace,
    settings: ReconSettings,
    used: ReconSettings,
    model: TrainedModel | None,
    parts: list[Part],
    seconds: float,
) -> Reconstruction:
    image, zero_filled = (np.stack([getattr(part, name) for part in parts]) for name in ("image", "zero_filled"))
    reference = _reference(kspace, [part.index for part in parts])
    images = {"zero-filled": zero_filled, used.method: image}
    residual, alone, noise = (
        float(np.mean([getattr(part, name) for part in parts])) for name in ("residual", "alone", "noise")
    )
    notes = warnings(kspace, settings, model and model.card)
    if alone > max(_HIGH_RESIDUAL, _OVER_NOISE * noise):
        notes.append(f"{DIFFERS} from the measured samples by {alone:.1%}; their noise is about {noise:.1%}.")
    figures = {
        "slices": [part.index for part in parts],
        "mask": describe(kspace),
        "simulated": kspace.simulated,
        "used": _used(settings, used, is_one_sided(kspace, [part.index for part in parts])),
        "residual": residual,
        "residual_by_slice": [part.residual for part in parts],
        "residual_before_consistency": alone,
        "noise": noise,
        "metrics": None if reference is None else compare(reference, images),
        "convention": CONVENTION,
    }
    found = image_volume(kspace, image)
    record = Record(
        "reconstruct",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=models_used(model),
        settings=asdict(settings),
        outputs=(items.of_result(found),),
        seconds=round(seconds, 3),
        warnings=tuple(notes),
        figures=figures,
    )
    full = None if reference is None else image_volume(kspace, reference)
    zeros = image_volume(kspace, zero_filled)
    mask = kspace.mask_of(0) if kspace.mask is None else kspace.mask
    return Reconstruction(found.made_by(record.sealed()), zeros, residual, mask, full)


def _used(settings: ReconSettings, used: ReconSettings, partial: bool) -> dict[str, Any]:
    """What became of the settings that were left open; JSON-able."""
    chosen = "automatic" if settings.strength is None and used.strength is not None else ""
    found = {"method": used.method, "strength": used.strength, "strength_chosen": chosen}
    # of scans that were measured on both sides there is nothing to say
    return found | ({"partial": used.partial} if partial else {})


def used_text(used: Mapping[str, Any]) -> str:
    """For reading what a record says under ``used``: the method, its strength, and what became of partial Fourier."""
    text = used["method"]
    if used["strength"] is not None:
        chosen = ", automatic" if used["strength_chosen"] else ""
        text += f" (strength {used['strength']:g}{chosen})"
    words = {POCS: "completed by POCS", HOMODYNE: "by homodyne detection", NONE: "left to the method"}
    return f"{text}, partial Fourier {words[used['partial']]}" if "partial" in used else text


def models_used(model: TrainedModel | None) -> tuple[UsedModel, ...]:
    """What a record says of the model of a run, if it had one."""
    if model is None:
        return ()
    return (UsedModel(model.card.name, model.card.sha256, model.card.architecture),)


def compare(reference: np.ndarray, images: Mapping[str, np.ndarray]) -> dict[str, dict[str, float | None]]:
    """The figures of images (slice, y, x) against `reference`, by the names of the images.

    Raises
    ------
    VolumeError
        If shapes differ.
    """
    maximum = float(reference.max())
    return {name: measure(reference, image, maximum) for name, image in images.items()}


def warnings(
    kspace: KSpace, settings: ReconSettings, card: ModelCard | None, sampling: Sampling | None = None
) -> list[str]:
    """What a person should know before a run."""
    found = list(kspace.notes)
    if kspace.simulated:
        found.append("The k-space is simulated from an image: results are better than those of real measurements.")
    true = kspace.acceleration
    if sampling and not sampling.acceleration / _FAR < true < sampling.acceleration * _FAR:
        found.append(f"The mask accelerates {true:.2f} times, not {sampling.acceleration:g} times.")
    found += _about_coils(kspace, settings.method)
    if card is None:
        return found
    found.append(ESTIMATED)
    spans = list(card.masks.values())
    if not spans:
        found.append(f"The card of {card.name} does not say which masks and accelerations it was trained with.")
    elif not min(s[0] for s in spans) / _FAR <= true <= max(s[1] for s in spans) * _FAR:
        low, high = min(s[0] for s in spans), max(s[1] for s in spans)
        found.append(f"The acceleration is {true:.2f}; {card.name} was trained with {low:g} to {high:g}.")
    if spans and sampling and sampling.kind not in card.masks:
        found.append(f"{card.name} was not trained with {sampling.kind} masks, but with {', '.join(card.masks)}.")
    if kspace.coils > 1:
        found.append(f"{card.name} was trained on one coil; the {kspace.coils} coils go through it one by one.")
    if spans and not kspace.simulated:
        safer = "tv" if kspace.coils < 2 or methods.lacks_centre(kspace) else "sense-tv"
        found.append(f"{card.name} was trained on simulated k-space; on real data {safer} is the safer choice.")
    return found


def _about_coils(kspace: KSpace, method: str) -> list[str]:
    """What a person should know who leaves several coils to a method that takes them one by one."""
    if method not in ("tv", AUTO) or kspace.coils < 2 or kspace.acceleration == 1:
        return []
    why_not = methods.lacks_centre(kspace)
    if why_not:
        return [f"The {kspace.coils} coils are reconstructed one by one, with tv: {why_not}."]
    if method == "tv":
        return [f"The scan has {kspace.coils} coils: sense-tv uses them together, which is usually better than tv."]
    return []
