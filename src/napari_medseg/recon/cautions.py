"""What a person should know of a reconstruction before it runs: the data, the mask, and how the method fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kspace import KSpace
from . import methods
from .partial_choice import is_one_sided
from .settings import AUTO, ReconSettings, Sampling

if TYPE_CHECKING:
    from ..models import ModelCard

ESTIMATED = (
    "Estimated by a trained network: it may contain structure that was not measured, or miss structure that was; "
    "not for diagnosis."
)
_FAR = 1.15  # ratio of nominal and effective acceleration that is worth a word


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
    found += _about_frames(kspace, settings) if settings.together else _about_coils(kspace, settings.method)
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
    if methods.has_maps(kspace, settings, card):
        found.append(
            f"{card.name} was trained on one coil; it changes what sense-tv makes of all {kspace.coils} coils."
        )
    elif kspace.coils > 1:
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


def _about_frames(kspace: KSpace, settings: ReconSettings) -> list[str]:
    """What a person should know who reconstructs the frames of a scan together."""
    if settings.partial == AUTO and is_one_sided(kspace, [kspace.slices // 2]):
        return ["Frames together leave partial Fourier as it was measured; choose POCS to complete it."]
    return []
