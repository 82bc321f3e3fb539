"""What is possible in the Reconstruct dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from dataclasses import dataclass

from ...recon.methods import HAVE_STRENGTH
from ...recon.sampling import KINDS
from ...recon.views import VIEWS
from ..kit.state import Control, first, hint_text, unless

FILE, OWN, GIVEN = "file", "own", "given"
"""Entries of the lists: raw data from a file; the mask of the scan; a mask that was painted or loaded."""
_CONSISTENCY = (
    "What happens to the measured samples after the method. Hard puts them back, soft uses a weighted mean of them and "
    "the result, none leaves the result as it is."
)
_OF_SENSE = (
    " SENSE makes one image of all coils: afterwards it is projected on the coil maps again, so that hard brings it "
    "closer to the samples but does not put them back exactly."
)
_PROBES = {"sensitivity": "Sensitivity", "noise": "Noise", "g-factor": "g-factor"}
MAPS = _PROBES | {name: view.title for name, view in VIEWS.items()}
"""What can be shown of the slice in view, and how to call it."""

_BUSY = {
    "run": "a run is under way.",
    "probe": "a map is being made.",
    "hint": "the methods are being compared.",
}
_NAMELESS_AXES = (".npy", ".npz", ".cfl", ".hdr", ".ra", ".mat")  # of these files it may be unclear what the axes mean
_EITHER_PHASE = (".h5", ".hdf5", ".mrd")  # of these files the sign of the phase is not certain
_READING = "the data are being read."

_METHOD = "How the image is made of the measured samples."
_MASK = "Which samples count as measured: the scan's own mask, or one that undersamples it."
_VIEW = (
    "Show log magnitude, mask and zero-filled image of the slice in view. Paint on the mask with 1 to measure, "
    "erase to leave out: of a mask of columns whole columns change."
)
_SAVE_MASK = "Save the mask as .npy, to load it again here or to give it to --mask-file."
_SHOWN = {
    "sensitivity": "Show how far the slice in view moves with noise of the measured level and with a tenth of the "
    "outer lines left out: the standard deviation over 8 reconstructions. Not a probability, and not a proof where it "
    "is small.",
    "noise": "Show the noise of the slice in view: the standard deviation over 32 reconstructions, each with other "
    "noise of the measured level added.",
    "g-factor": "Show how much noise the method adds in the slice in view: its noise over that of a full scan, times "
    "the root of the acceleration. 1 adds none; less than 1 is smoothed.",
    "phase": "Show the phase of the reconstructed slice in view, in radians, in colours that close at π.",
    "coils": "Show what every coil sees of the reconstructed slice in view, along an axis of coils.",
    "maps": "Show the coil sensitivities that SENSE uses in the slice in view, along an axis of coils; their squares "
    "sum to 1.",
    "map-phases": "Show the phase of the coil sensitivities, in radians, along an axis of coils.",
    "point-spread": "Show what the mask makes of a single bright point, in dB below it, and name the highest side "
    "lobe. A high one far away is a ghost; many low ones look like noise.",
}
_TOGETHER = (
    "Reconstruct all frames at once by k-t SENSE, whatever the method: each frame uses lines that the others measured. "
    "Needs several coils, and other lines in each frame."
)
_ONE_BY_ONE = "frames together are not looked at one by one; untick Together."
_SUGGEST = (
    "Say which method suits the slice in view: every method that can be chosen reconstructs it without a sixth "
    "of the outer lines, four times with other lines, and the one that best predicts them is named. A hint "
    "for scans without a reference, not a proof."
)
_STABILITY = (
    "Two things can still be judged: the data residual below, and how far the image moves with noise and lost lines "
    "(the map Sensitivity on the Reconstruct page). Neither proves that the image is true."
)


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what it is doing.

    Parameters
    ----------
    data_problem, mask_problem : str
        Why there are no data, or no mask over them.
    has_scan, has_kspace : bool
        Whether the data are open, and whether their mask is drawn.
    undersampled : bool
        Whether there is a mask at all.
    thin_problem : str
        Why no further lines can be left out.
    shows : str
        Which of `MAPS` is chosen.
    has_frames : bool
        Whether the file has several time points, contrasts, ....
    source, suffix : str
        The source that is chosen, if it is `FILE`, and how the name of the raw file ends, in small letters.
    mask, consistency, method : str
        Chosen entries.
    together_problem : str
        Why frames cannot be reconstructed together.
    together : bool
        Whether they are to be.
    view_problem : str
        Why what is chosen of `MAPS` cannot be had of this method.
    is_partial : bool
        Whether the mask reaches farther on one side of the centre.
    has_mask_file, has_file : bool
        Whether mask and data lie in a file.
    has_maps : bool
        Whether the method combines coils by their maps.
    learned, has_routers : bool
        Whether the method is a network, and one with routers.
    warnings : tuple of str
    job : str
        Kind of the job under way.
    has_begun : bool
        Whether a run is under way that can be cancelled.
    has_result : bool
        Whether a finished result is in the viewer.
    """

    data_problem: str = ""
    mask_problem: str = ""
    has_scan: bool = True
    has_kspace: bool = True
    undersampled: bool = True
    thin_problem: str = ""
    shows: str = "sensitivity"
    has_frames: bool = False
    source: str = ""
    suffix: str = ""
    mask: str = OWN
    consistency: str = "hard"
    method: str = "tv"
    together_problem: str = ""
    together: bool = False
    view_problem: str = ""
    is_partial: bool = False
    has_mask_file: bool = False
    has_file: bool = True
    has_maps: bool = False
    learned: bool = False
    has_routers: bool = False
    warnings: tuple[str, ...] = ()
    job: str = ""
    has_begun: bool = False
    has_result: bool = False


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    path: bool
    axes: bool
    conjugate: bool
    frames: bool
    together: Control
    mask_kind: Control
    acceleration: bool
    centre: bool
    seed: bool
    direction: bool
    view: Control
    load: Control
    save_mask: Control
    method: Control
    card: bool
    strength: bool
    iterations: bool
    consistency: Control
    weight: bool
    partial: bool
    device: bool
    warnings: str
    preview: Control
    routers: Control
    probe: Control
    suggest: Control
    run: Control
    cancel: Control
    bar: bool
    copy: Control
    segment: Control
    hint: str


def why_not(facts: Facts) -> str:
    """Why there is nothing to reconstruct; empty if there is."""
    return first(facts.data_problem, facts.mask_problem, unless(facts.has_kspace, _READING))


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    busy = facts.job in _BUSY
    no_data = why_not(facts)
    no_run = first(no_data, _BUSY.get(facts.job, ""))
    no_mask = first(facts.data_problem, unless(facts.has_scan, _READING))
    no_save = first(no_data, unless(facts.undersampled, "everything is measured, there is no mask."))
    no_hiding = first(no_run, facts.thin_problem)
    no_map = first(no_hiding if facts.shows == "sensitivity" else no_run, facts.view_problem)
    if facts.shows in _PROBES:
        no_map = first(no_map, unless(not facts.together, _ONE_BY_ONE))
    has_strength = facts.method in HAVE_STRENGTH or facts.together
    no_copy = first(no_data, _no_file(facts))
    no_result = unless(facts.has_result, "there is no result yet; press Run.")
    drawn = facts.mask in KINDS
    return State(
        path=facts.source == FILE,
        axes=facts.suffix in _NAMELESS_AXES,
        conjugate=facts.suffix in _EITHER_PHASE,
        frames=facts.has_frames,
        together=Control(_TOGETHER, first(no_data, facts.together_problem), visible=facts.has_frames),
        mask_kind=Control(_MASK, no_mask),
        acceleration=drawn,
        centre=drawn,
        seed=drawn,
        direction=drawn,
        view=Control(_VIEW, no_data),
        load=Control("Take a mask from a .npy file.", no_mask),
        save_mask=Control(_SAVE_MASK, no_save),
        method=Control(_METHOD, unless(not facts.together, "frames together are reconstructed by k-t SENSE.")),
        card=facts.learned,
        strength=has_strength,
        iterations=has_strength,
        consistency=Control(_CONSISTENCY + (_OF_SENSE if facts.has_maps else "")),
        weight=facts.consistency == "soft",
        partial=facts.is_partial,
        device=facts.learned,
        warnings="\n".join(f"⚠ {warning}" for warning in facts.warnings),
        preview=Control("Reconstruct the slice in view, again while you scroll or paint.", no_run),
        routers=_routers(no_run, facts.has_routers),
        probe=Control(_SHOWN[facts.shows], no_map),
        suggest=Control(_SUGGEST, no_hiding),
        run=Control("Reconstruct all slices in a new layer, beginning with the one in view.", no_run),
        cancel=Control("Stop; the layer of a run is removed.", _stopping(facts), visible=busy),
        bar=busy,
        copy=Control("Copy the command line that does the same without a window.", no_copy),
        segment=Control("Open the Segment dock with the newest result chosen.", no_result),
        hint=hint_text({"Run": no_run, "Preview": no_run, "Copy": no_copy, "Segment": no_result}),
    )


def _no_file(facts: Facts) -> str:
    if facts.mask == GIVEN and not facts.has_mask_file:
        return "save the mask first, the command needs its file."
    return unless(facts.has_file, "the image was not opened from a file.")


def _routers(no_run: str, shown: bool) -> Control:
    tooltip = "Show where the network spends its heavy attention in the slice in view."
    return Control(tooltip, no_run, visible=shown)


def _stopping(facts: Facts) -> str:
    can_stop = facts.has_begun or facts.job in ("probe", "hint")
    return unless(can_stop, "Stopping.")


@dataclass(frozen=True)
class CompareFacts:
    """What is chosen on the Compare page.

    Parameters
    ----------
    shape : tuple of int, optional
        Of the layers that the scan gives; None without data.
    has_reference : bool
        Whether one is chosen.
    has_results : bool
        Whether some are ticked.
    has_figures : bool
        Whether they were computed.
    view : str
        What to show of the differences.
    """

    shape: tuple[int, ...] | None = None
    has_reference: bool = False
    has_results: bool = False
    has_figures: bool = False
    view: str = "error"


@dataclass(frozen=True)
class CompareState:
    """What the controls of the Compare page say."""

    show_view: Control
    times: bool
    export: Control


def why_no_comparison(facts: CompareFacts) -> str:
    """Why results cannot be held against a reference; empty if they can."""
    if facts.shape is None:
        return "open data first."
    if not facts.has_reference:
        return (
            "there is no reference: the scan was undersampled when it was measured, and no other image has the "
            f"shape {facts.shape}. {_STABILITY}"
        )
    return unless(facts.has_results, "tick a result; Run makes them.")


def compare_state(facts: CompareFacts) -> CompareState:
    """What is possible on the Compare page, and why the rest is not."""
    problem = why_no_comparison(facts)
    no_figures = "" if facts.has_figures else first(problem, "there are no figures yet.")
    return CompareState(
        show_view=Control("Show where the ticked results differ, as layers that share one scale.", problem),
        times=facts.view != "ssim",
        export=Control("Save the figures as CSV.", no_figures),
    )


def unfit_reference(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Why an image cannot be the reference, in a few words; empty if it can."""
    return unless(shape == expected, f"its shape is {shape}, expected {expected}")


def unfit_result(shape: tuple[int, ...], expected: tuple[int, ...], partial: bool, finished: bool = False) -> str:
    """Why a result cannot be compared; empty if it can."""
    if finished:
        return "It was filtered or interpolated after the reconstruction. Run it without for figures."
    if shape != expected:
        return f"Its shape is {shape}; the scan gives {expected}. Crop it first."
    return "The run was cancelled; some slices are missing." if partial else ""
