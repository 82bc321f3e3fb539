"""What is possible in the Acceleration study dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import SettingsError
from ..kit.state import Control, first, hint_text, unless


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what it is doing.

    Parameters
    ----------
    models_read : bool
        Whether the list of models is complete.
    has_image, has_model : bool
        Whether one is chosen.
    problem : str
        Why this image or these accelerations cannot be used.
    has_file : bool
        Whether the image was opened from a file.
    running : bool
        Whether a study is under way.
    has_rows : bool
        Whether there are results.
    """

    models_read: bool = True
    has_image: bool = True
    has_model: bool = True
    problem: str = ""
    has_file: bool = True
    running: bool = False
    has_rows: bool = False


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    run: Control
    cancel: Control
    bar: bool
    save_table: Control
    save_plot: Control
    copy: Control
    hint: str


def why_not(facts: Facts) -> str:
    """Why no study can be made of what is chosen; empty if one can."""
    return first(
        unless(facts.models_read, "the models are being read."),
        unless(facts.has_image, "open an image first."),
        unless(facts.has_model, "there is no model that segments."),
        facts.problem,
    )


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    busy = "a study is under way." if facts.running else ""
    no_study = why_not(facts)
    no_run = first(no_study, busy)
    no_rows = unless(facts.has_rows, "there are no results yet; press Run.")
    no_save = first(no_rows, busy)
    no_copy = first(no_study, unless(facts.has_file, "the image was not opened from a file."))
    return State(
        run=Control("Simulate, reconstruct and segment at every acceleration.", no_run),
        cancel=Control("Stop; what is found stays.", visible=facts.running),
        bar=facts.running,
        save_table=Control("Save the table as CSV.", no_save),
        save_plot=Control("Save the plot as PNG.", no_save),
        copy=Control("Copy the command line that does the same without a window.", no_copy),
        hint=hint_text({"Run": no_run, "Save": no_rows, "Copy": no_copy}),
    )


def parse_accelerations(text: str) -> tuple[float, ...]:
    """The numbers that a text such as ``1, 2, 4`` holds.

    Raises
    ------
    SettingsError
        If a part of it is not a number.
    """
    parts = [part for part in text.split(",") if part.strip()]
    try:
        return tuple(map(float, parts))
    except ValueError as error:
        raise SettingsError(f"The accelerations are '{text}'; expected numbers such as 1, 2, 4.") from error
