"""Which method suits a scan without a reference: the one that best predicts measured lines that were hidden from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingsError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, within
from ..record import Record, now, software
from . import methods
from .coil_maps import HeldMaps
from .hidden_lines import FAR, cannot_thin
from .masked import describe
from .noise import whitened
from .partial_choice import settled_job
from .predictions import trials
from .reconstruct import chosen_slices, models_used
from .settings import HiddenSettings, ReconSettings

if TYPE_CHECKING:
    from ..models import TrainedModel

CLOSE = 0.05
"""Smaller differences of errors mean nothing: the hint is then right as often as a coin, see `recon_hint.py` among the
benchmarks. It is twice the standard deviation of a difference over one slice and 4 repeats."""
Candidate = tuple[ReconSettings, "TrainedModel | None"]
"""Settings of a method, and the model where the method is one."""


@dataclass(frozen=True)
class Hint:
    """Result of a comparison by hidden lines.

    Parameters
    ----------
    rows : tuple of (str, float)
        Method and its error, the best first: ``||F x - y|| / ||y||`` over the hidden samples of all coils, slices and
        repeats. Zero filling predicts nothing there, so its error is 1.
    acceleration : float
        Effective, of the mask of the scan.
    record : Record
        The same, with settings, mask and slices.
    """

    rows: tuple[tuple[str, float], ...]
    acceleration: float
    record: Record

    @classmethod
    def of(cls, record: Record) -> Hint:
        """From the record of a comparison."""
        rows = tuple((each["settings"]["method"], each["error"]) for each in record.figures["methods"])
        return cls(rows, record.figures["mask"]["effective_acceleration"], record)

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()

    @property
    def verdict(self) -> str:
        """The hint in one sentence."""
        best = self.rows[0][1]
        if best > 1 - CLOSE:
            return "No method predicts the hidden samples better than zero filling, which predicts nothing."
        *others, last = (name for name, error in self.rows if error < best + CLOSE)
        if others:
            return (
                f"{', '.join(others)} and {last} predict the hidden samples equally well: differences under "
                f"{100 * CLOSE:.0f} percentage points mean nothing."
            )
        return f"{last} predicts the hidden samples best."

    @property
    def figures(self) -> str:
        """The errors, for reading."""
        errors = ", ".join(f"{name} {error:.1%}" for name, error in self.rows)
        return f"Errors: {errors}; zero-filled 100%."

    @property
    def caution(self) -> str:
        """What a person should know before trusting the hint."""
        if self.acceleration <= FAR:
            return "A hint, not a proof."
        return f"A hint, not a proof; above about {FAR:g}x (here {self.acceleration:.2f}x) it is unreliable."


def hint_job(
    kspace: KSpace,
    candidates: Sequence[Candidate],
    hidden: HiddenSettings | None = None,
    *,
    indices: Sequence[int] | None = None,
) -> Job[Hint]:
    """Hide some of the measured lines, reconstruct from the others, and compare what methods predict with the measured.

    Parameters
    ----------
    kspace : KSpace
        With its mask.
    candidates : sequence of (ReconSettings, TrainedModel or None)
        What to compare. What settings leave open, strength and partial Fourier, is chosen first, as a run does.
    hidden : HiddenSettings, optional
    indices : sequence of int, optional
        Slices to look at; all of them if left out.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    Hint

    Raises
    ------
    VolumeError, SettingsError
        If k-space, mask, methods and settings do not fit, or there is nothing to hide.

    Notes
    -----
    Each reconstruction has fewer samples than the scan, so that all errors are a little too high; only their order
    counts. Samples that are exactly 0 in all coils count as not measured. A strength that was chosen by hidden samples
    has seen some of those that are hidden here, too: of one number among thousands of samples the gain is small.

    References
    ----------
    The idea is cross-validation: Stone, J R Stat Soc B 36:111, 1974.
    """
    hidden = hidden or HiddenSettings()
    why_not = cannot_thin(kspace.mask)
    if why_not:
        raise SettingsError(why_not)
    if not candidates:
        raise SettingsError("The list of methods to compare is empty; expected at least one.")
    chosen = chosen_slices(kspace, indices)
    mixed = whitened(kspace)
    held = HeldMaps()
    total = len(chosen) * hidden.repeats * len(candidates)
    settled: list[Candidate] = []
    for settings, model in candidates:
        methods.prepare(kspace, settings, model, held)  # what does not fit is refused before any work
        used = yield from within(settled_job(mixed, settings, chosen, model, held), 0, total)
        settled.append((used, model))
    prepared = [methods.prepare(kspace, settings, model, held) for settings, model in settled]
    *wrong, energy = yield from _errors_job(mixed, prepared, hidden, chosen, held)
    errors = np.sqrt(np.sum(wrong, 1) / energy.sum())
    by_slice = np.sqrt(wrong / energy)
    record = _record(kspace, candidates, hidden)
    figures = {"methods": _rows(settled, errors, by_slice), "slices": list(chosen)}
    about = {"mask": describe(kspace), "simulated": kspace.simulated}
    return Hint.of(replace(record, figures=figures | about).sealed())


def _errors_job(
    kspace: KSpace,
    prepared: Sequence[methods.Method],
    hidden: HiddenSettings,
    indices: Sequence[int],
    held: HeldMaps,
) -> Job[np.ndarray]:
    """Squared errors of every method on the hidden samples, over all coils and repeats; last the energy of these.

    The methods have their coil maps from `held`: none of the hidden lines lies in the centre that these come from.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    numpy.ndarray, shape (method + 1, slice)

    Raises
    ------
    VolumeError
        If the hidden samples of a slice are all 0.
    """
    total = len(indices) * hidden.repeats * len(prepared)
    done = 0
    found = np.zeros((len(prepared) + 1, len(indices)))
    for column, index in enumerate(indices):
        held.hold(kspace, index)
        for trial in trials(kspace, index, hidden):
            found[-1, column] += trial.energy
            for row, method in enumerate(prepared):
                predicted = yield from within(method(trial.left, trial.mask), done, total)
                found[row, column] += trial.error(predicted.coils)
                done += 1
                yield Progress(done, total)
    return found


def _rows(candidates: Sequence[Candidate], errors: np.ndarray, by_slice: np.ndarray) -> list[dict[str, Any]]:
    """What a record says of the candidates, the best first; JSON-able."""
    rows = []
    for place in np.argsort(errors, kind="stable"):
        settings, model = candidates[place]
        row = {
            "settings": asdict(settings),
            "model": model and {"name": model.card.name, "sha256": model.card.sha256},
            "error": float(errors[place]),
            "error_by_slice": by_slice[place].tolist(),
        }
        rows.append(row)
    return rows


def _record(kspace: KSpace, candidates: Sequence[Candidate], hidden: HiddenSettings) -> Record:
    """What was compared, without the outcome."""
    models = []
    for _, model in candidates:
        models += models_used(model)
    return Record(
        "compare",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=tuple(models),
        settings={"hidden": asdict(hidden), "candidates": [asdict(settings) for settings, _ in candidates]},
    )
