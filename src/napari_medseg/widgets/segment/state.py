"""What is possible in the Segment dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...quantities import duration
from ..kit.state import Control, first, hint_text, unless


@dataclass(frozen=True)
class Suited:
    """How a model and the chosen image go together.

    Parameters
    ----------
    doubt : str
        Why the model was made for other images; empty if it was not.
    seconds : float
        That a run will take; NaN if it is not known.
    was_run : bool
        Whether that is known from the last run on this computer; else from the card, for one core of a processor.
    device : str
        Where it would run.
    """

    doubt: str = ""
    seconds: float = math.nan
    was_run: bool = False
    device: str = "cpu"


def pace_text(suited: Suited) -> str:
    """How fast a model is, for the list: ``about 2 s for this image``; empty if it is not known."""
    if math.isnan(suited.seconds):
        return ""
    time = f"about {duration(suited.seconds)}"
    return f"{time} for this image" if suited.was_run else f"{time} on one core"


def pace_tip(suited: Suited) -> str:
    """The same as a sentence that says where the figure comes from."""
    if math.isnan(suited.seconds):
        return f"How fast it is on {suited.device.upper()} is known here after its first run."
    time = f"A run on this image takes about {duration(suited.seconds)}"
    if suited.was_run:
        return f"{time}, as the last run on this computer did."
    return f"{time} on one core of a processor, as was measured for its card. It has not run on this computer yet."


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what it is doing.

    Parameters
    ----------
    models_read : bool
        Whether the list of models is complete.
    problem : str
        Why this image cannot be segmented with these models, as far as their plan is made.
    has_image : bool
        Whether one is chosen.
    meanings : int
        Number of meanings that the axes of the image can have.
    channels : int
        Number of channels to choose from.
    has_file : bool
        Whether the image was opened from a file.
    models : int
        Number of models that are chosen.
    routed, objects : bool
        Whether the first of them has routers; whether it finds touching objects.
    unsuited : bool
        Whether every model was made for other images.
    job : str
        Kind of the job under way; empty if there is none.
    has_result : bool
        Whether the run under way is still wanted.
    labelled : bool
        Whether labels lie on the image.
    target : str
        Name of the labels that would be saved; empty if there are none.
    """

    models_read: bool = True
    problem: str = ""
    has_image: bool = True
    meanings: int = 1
    channels: int = 0
    has_file: bool = True
    models: int = 1
    routed: bool = False
    objects: bool = False
    unsuited: bool = False
    job: str = ""
    has_result: bool = False
    labelled: bool = False
    target: str = ""


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    axes: bool
    channel: bool
    card: Control
    uncertainty: Control
    split: bool
    advice: str
    by_hand: Control
    preview: Control
    routers: Control
    run: Control
    cancel: Control
    bar: bool
    save: Control
    copy: Control
    hint: str


_BUSY = {"run": "a run is under way.", "save": "labels are being written."}
_ADVICE = (
    "None of your models was made for images like this one. Label it by hand: once five slices are right, Review "
    "offers to teach a model of your own."
)
_NO_COMMON_UNCERTAINTY = "Several models have no uncertainty in common; the disagreement takes its place."


def why_not(facts: Facts) -> str:
    """Why what is chosen cannot be segmented; empty if it can."""
    return first(
        unless(facts.models_read, "the models are being read."),
        unless(facts.has_image, "open an image first."),
        unless(facts.models, "choose a model."),
        facts.problem,
    )


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    busy = _BUSY.get(facts.job, "")
    nothing = why_not(facts)
    no_run = first(nothing, busy)
    no_save = first(busy, unless(facts.target, "no labels yet; run, or select a labels layer."))
    no_copy = first(nothing, unless(facts.has_file, "the image was not opened from a file."))
    no_card = unless(facts.models, "No model is chosen.")
    no_uncertainty = unless(facts.models < 2, _NO_COMMON_UNCERTAINTY)
    unsuited = facts.unsuited and facts.has_image and not facts.labelled and not busy
    stopping = unless(facts.has_result, "Stopping.")
    return State(
        axes=facts.meanings > 1,
        channel=facts.channels > 1,
        card=Control("What the model is for, from what data, and how good.", no_card),
        uncertainty=Control("Also make an image of where the model was undecided (0 to 255).", no_uncertainty),
        split=facts.objects,
        advice=_ADVICE if unsuited else "",
        by_hand=Control("Add empty labels on this image, take the brush, and open Review.", visible=unsuited),
        preview=Control("Label the slice in view as Run would, and the next ones while you scroll.", no_run),
        routers=Control(
            "Show where the model spends its heavy attention in the slice in view.", no_run, visible=facts.routed
        ),
        run=Control("Label the whole image in a new layer; existing layers are left alone.", no_run),
        cancel=Control("Stop the run and remove its labels.", stopping, visible=facts.job == "run"),
        bar=bool(busy),
        save=Control(f"Save '{facts.target}' with the geometry of its image.", no_save),
        copy=Control("Copy the command line that does the same without a window.", no_copy),
        hint=hint_text({"Run": no_run, "Preview": no_run, "Save": no_save, "Copy": no_copy}),
    )
