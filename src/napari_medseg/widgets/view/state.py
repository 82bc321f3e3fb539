"""What is possible in the View dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...grey_values import CT_WINDOWS, PERCENTILES, Window
from ...viewing.planes import PLANES
from ..kit.state import Control, first, hint_text


@dataclass(frozen=True)
class Facts:
    """What is shown in the viewer.

    Parameters
    ----------
    place : str
        What the letters stand for: layer and plane; empty if there are none.
    why_no_place : str
        Why it is not known how the image lies; empty if it is.
    why_no_plane : mapping of str to str
        Why a plane of `PLANES` cannot be shown; empty where it can.
    remark : str
        What a person should know of the letters.
    why_no_grey : str
        Why there is no image whose grey values can be chosen; empty if there is.
    why_no_ct : str
        Why its values are not Hounsfield units; empty if they are.
    grey : str
        Name of this image and the values shown as black and white.
    meaning : str
        What the colours of the selected layer mean, with the unit.
    has_bar : bool
        Whether the selected layer can have a colour bar.
    cine : str
        How the cine that is shown is played; empty if there is none.
    fps : int
        Frames per second that it was taken at; 0 if that is not known, or napari plays it so already.
    """

    place: str = ""
    why_no_place: str = ""
    why_no_plane: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""
    why_no_grey: str = ""
    why_no_ct: str = ""
    grey: str = ""
    meaning: str = ""
    has_bar: bool = False
    cine: str = ""
    fps: int = 0


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    axial: Control
    coronal: Control
    sagittal: Control
    stored: Control
    letters: Control
    place: str
    soft_tissue: Control
    lung: Control
    bone: Control
    brain: Control
    liver: Control
    percentiles: Control
    grey: str
    bar: Control
    meaning: str
    cine: str
    true_speed: Control
    hint: str


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    no_planes = {name: first(facts.why_no_place, facts.why_no_plane.get(name, "")) for name in PLANES}
    # what holds for all planes is said once, next to them
    hinted = {} if facts.why_no_place else {name.capitalize(): reason for name, reason in no_planes.items()}
    no_ct = first(facts.why_no_grey, facts.why_no_ct)
    windows = {name: Control(_window_tooltip(name, window), no_ct) for name, window in CT_WINDOWS.items()}
    no_bar = "" if facts.has_bar else "select an image layer of grey values or of a map."
    low, high = PERCENTILES
    return State(
        axial=_plane("axial", no_planes),
        coronal=_plane("coronal", no_planes),
        sagittal=_plane("sagittal", no_planes),
        stored=Control("Show the axes as the file stores them, as napari does at first."),
        letters=Control(
            "Letters at the edges of the picture: right and left, anterior and posterior, superior and inferior."
        ),
        place="\n".join(filter(None, (facts.place, facts.remark))),
        soft_tissue=windows["soft tissue"],
        lung=windows["lung"],
        bone=windows["bone"],
        brain=windows["brain"],
        liver=windows["liver"],
        percentiles=Control(
            f"For MR and others: black are the lowest {low:g}% of the values, white the highest {100 - high:g}%.",
            facts.why_no_grey,
        ),
        grey=facts.grey,
        bar=Control("Show the colours of the selected layer and their values on the canvas.", no_bar),
        meaning=facts.meaning,
        cine=facts.cine,
        true_speed=Control(
            "Have napari play as fast as it was. This is napari's own preference, for all images.",
            visible=facts.fps > 0,
            title=f"Play at {facts.fps} frames per second",
        ),
        hint=hint_text({**hinted, "CT windows": no_ct}),
    )


def _plane(name: str, why_not: Mapping[str, str]) -> Control:
    plane = PLANES[name]
    return Control(f"{name.capitalize()} slices, {plane.seen}. The data are not changed.", why_not[name])


def _window_tooltip(name: str, window: Window) -> str:
    low, high = window.limits
    return (
        f"CT window for {name}: centre {window.centre_hu:g}, width {window.width_hu:g} HU, that is black at {low:g} "
        f"and white at {high:g}."
    )
