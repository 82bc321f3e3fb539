"""From k-space to images: settings, warnings, result; the job behind every reconstruction."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingsError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, run, within
from ..record import Record, UsedModel, now, software
from ..volume import Volume
from . import finish, frames, methods, views
from .cautions import warnings
from .coil_maps import HeldMaps
from .consistency import data_residual
from .figures import CONVENTION, measure
from .grid import image_volume, shown
from .masked import REFERENCED, describe, sampled
from .noise import noise_share, whitened
from .partial_choice import is_one_sided, settled_job
from .point_spread import worst_side_lobe
from .settings import HOMODYNE, NONE, POCS, FinishSettings, ReconSettings, Sampling
from .transforms import ifft2c, rss

if TYPE_CHECKING:
    from ..models import TrainedModel

DIFFERS = "Before data consistency the result differs"
_BEFORE = "The figures against the reference are those of the image before filter and interpolation."
_HIGH_RESIDUAL = 0.05
_OVER_NOISE = 1.5  # an image without the noise differs from the samples by about the noise


@dataclass(frozen=True, eq=False)
class Part:
    """One finished slice.

    Parameters
    ----------
    index : int
    image : numpy.ndarray, shape (y, x), float32
        Magnitude, cropped; finished, see `FinishSettings`.
    plain, zero_filled : numpy.ndarray, shape (y, x), float32
        Magnitudes, cropped, of the result before that, and of zero filling.
    residual, alone : float
        How far the result, and the method alone before data consistency, lie from the measured samples.
    noise : float
        Share of noise in these: an image that fits them better fits the noise.
    views : mapping of str to numpy.ndarray, shape (y, x) or (coil, y, x), float32
        What else was asked for, cropped.
    """

    index: int
    image: np.ndarray
    plain: np.ndarray
    zero_filled: np.ndarray
    residual: float
    alone: float
    noise: float
    views: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Result of a run.

    Parameters
    ----------
    image, zero_filled : Volume
        Magnitudes, axes zyx, of several frames tzyx, float32, in the units of the measurement. Only `image` is
        finished, see `FinishSettings`.
    residual : float
        How far the result lies from the measured samples, see `data_residual`; mean over the slices.
    mask : numpy.ndarray, shape (x,), (y, x), (slice, 1, x) or (slice, y, x), bool
        What was taken as measured, see `KSpace`.
    reference : Volume or None
        The image of the fully sampled data, where there is one.
    views : mapping of str to Volume
        What else was asked for, by the names of `views.VIEWS`; coils are an axis c. On the grid of the measurement.
    """

    image: Volume
    zero_filled: Volume
    residual: float
    mask: np.ndarray
    reference: Volume | None
    views: Mapping[str, Volume] = field(default_factory=dict)

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
    also: Collection[str] = (),
    finished: FinishSettings | None = None,
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
    also : collection of str
        What else to show, names of `views.VIEWS`.
    finished : FinishSettings, optional
        What comes after the reconstruction.

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
    views.check(also, kspace, settings, model.card if model is not None else None)
    asked = _Asked(kspace, settings, finished or FinishSettings(), tuple(also), None if settings.together else model)
    mixed = whitened(kspace)
    chosen = chosen_slices(kspace, indices)
    held = HeldMaps()
    used = yield from within(settled_job(mixed, settings, chosen, asked.model, held), 0, len(chosen))
    groups, solve = _plan(mixed, used, sorted(chosen, key=lambda i: (i < start, i)), asked.model, held)
    parts: dict[int, Part] = {}
    for group in groups:
        samples = [frames.Samples.of(mixed, index) for index in group]
        found = yield from within(solve(samples), len(parts), len(chosen))
        for each, solved in zip(samples, found, strict=True):
            if each.index in chosen:
                parts[each.index] = _part(asked, each, solved)
                yield Progress(len(parts), len(chosen), parts[each.index])
    return _result(asked, used, [parts[i] for i in chosen], held.sets, time.monotonic() - began)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a run was asked for."""

    kspace: KSpace
    settings: ReconSettings
    finish: FinishSettings
    also: tuple[str, ...]
    model: TrainedModel | None


_Solver = Callable[[Sequence[frames.Samples]], Job[list[methods.Slice]]]


def _plan(
    kspace: KSpace, used: ReconSettings, ordered: Sequence[int], model: TrainedModel | None, held: HeldMaps
) -> tuple[list[list[int]], _Solver]:
    """Which slices are solved at once, and how: one by one, or all frames of a position together."""
    if used.together:
        return frames.positions(kspace, ordered), partial(frames.together_job, kspace=kspace, settings=used)
    method = methods.prepare(kspace, used, model, held)

    def alone(samples: Sequence[frames.Samples]) -> Job[list[methods.Slice]]:
        (only,) = samples
        held.hold(kspace, only.index)
        return [(yield from method(only.measured, only.mask))]

    return [[index] for index in ordered], alone


def _part(asked: _Asked, samples: frames.Samples, found: methods.Slice) -> Part:
    kspace = asked.kspace
    plain = shown(kspace, found.magnitude)
    image = plain
    if asked.finish:
        image = shown(kspace, finish.magnitude(found, kspace, asked.finish), asked.finish.finer)
    return Part(
        samples.index,
        image=image,
        plain=plain,
        zero_filled=shown(kspace, rss(ifft2c(samples.measured), 0)),
        residual=data_residual(found.coils, samples.measured, samples.mask),
        alone=found.alone,
        noise=noise_share(samples.measured),
        views={name: shown(kspace, views.VIEWS[name].make(found, samples.mask)) for name in asked.also},
    )


def reconstruct(
    kspace: KSpace,
    method: str = ReconSettings.method,
    *,
    sampling: Sampling | None = None,
    mask: np.ndarray | None = None,
    also: Collection[str] = (),
    finished: FinishSettings | None = None,
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
    also, finished
        See `reconstruct_job`.
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
    used = sampled(kspace, sampling, mask)
    return run(reconstruct_job(used, options, model=methods.model_of(method), also=also, finished=finished))


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


def _reference(kspace: KSpace, indices: Sequence[int]) -> np.ndarray | None:
    """The image of the fully sampled data: the file's own, or that of all columns where all were measured."""
    if kspace.reference is not None:
        return np.stack([np.asarray(kspace.reference[i], np.float32) for i in indices])
    if kspace.mask_origin in REFERENCED:
        mixed = whitened(kspace)
        return np.stack([shown(kspace, rss(ifft2c(mixed.slice(i)), 0)) for i in indices])
    return None


def _result(asked: _Asked, used: ReconSettings, parts: list[Part], map_sets: int, seconds: float) -> Reconstruction:
    kspace = asked.kspace
    chosen = [part.index for part in parts]
    plain = np.stack([part.plain for part in parts])
    zero_filled = np.stack([part.zero_filled for part in parts])
    reference = _reference(kspace, chosen)
    residual = float(np.mean([part.residual for part in parts]))
    alone = float(np.mean([part.alone for part in parts]))
    noise = float(np.mean([part.noise for part in parts]))
    notes = warnings(kspace, asked.settings, asked.model.card if asked.model is not None else None)
    if alone > max(_HIGH_RESIDUAL, _OVER_NOISE * noise):
        notes.append(f"{DIFFERS} from the measured samples by {alone:.1%}; their noise is about {noise:.1%}.")
    metrics = None
    if reference is not None:
        metrics = compare(reference, {"zero-filled": zero_filled, used.method: plain})
        notes += [_BEFORE] if asked.finish else []
    figures = {
        "slices": chosen,
        "mask": describe(kspace),
        "simulated": kspace.simulated,
        "used": _used(asked.settings, used, is_one_sided(kspace, chosen), map_sets),
        "residual": residual,
        "residual_by_slice": [part.residual for part in parts],
        "residual_before_consistency": alone,
        "noise": noise,
        "metrics": metrics,
        "convention": CONVENTION,
    }
    if "point-spread" in asked.also:
        lobe = worst_side_lobe(kspace, chosen)
        figures["side_lobe"] = lobe._asdict() if lobe else None
    image = image_volume(kspace, np.stack([part.image for part in parts]), asked.finish.finer)
    more = {name: image_volume(kspace, np.stack([part.views[name] for part in parts])) for name in asked.also}
    record = Record(
        "reconstruct",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=models_used(asked.model),
        settings={**asdict(asked.settings), **asdict(asked.finish)},
        outputs=(items.of_result(image), *(items.of_result(volume, name) for name, volume in more.items())),
        seconds=round(seconds, 3),
        warnings=tuple(notes),
        figures=figures,
    ).sealed()
    return Reconstruction(
        image.made_by(record),
        image_volume(kspace, zero_filled),
        residual,
        kspace.mask_of(0) if kspace.mask is None else kspace.mask,
        None if reference is None else image_volume(kspace, reference),
        {name: volume.made_by(record) for name, volume in more.items()},
    )


def _used(settings: ReconSettings, used: ReconSettings, partial: bool, map_sets: int) -> dict[str, Any]:
    """What became of the settings that were left open; JSON-able."""
    chosen = "automatic" if settings.strength is None and used.strength is not None else ""
    found = {"method": used.method, "strength": used.strength, "strength_chosen": chosen}
    # of scans that were measured on both sides there is nothing to say
    if partial:
        found["partial"] = used.partial
    if map_sets > 1:
        found["coil_map_sets"] = map_sets
    return found


def used_text(used: Mapping[str, Any]) -> str:
    """For reading what a record says under ``used``: the method, its strength, and what became of partial Fourier."""
    text = used["method"]
    if used["strength"] is not None:
        chosen = ", automatic" if used["strength_chosen"] else ""
        text += f" (strength {used['strength']:g}{chosen})"
    words = {POCS: "completed by POCS", HOMODYNE: "by homodyne detection", NONE: "left to the method"}
    if "partial" in used:
        text += f", partial Fourier {words[used['partial']]}"
    if "coil_map_sets" in used:
        text += f", {used['coil_map_sets']} sets of coil maps (parts of the body lie on each other)"
    return text


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
