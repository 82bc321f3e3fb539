"""What is possible in the Measure dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from dataclasses import dataclass

from ..kit.state import Control, first, hint_text, unless

WHOLE = ""
"""What is measured: classes as a whole,"""
OBJECTS = "objects"
"""or the objects of the label that is selected for painting."""


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what has been measured.

    Parameters
    ----------
    has_labels : bool
        Whether a labels layer is chosen.
    running : bool
        Whether a measurement is under way.
    objects : bool
        Whether objects are to be measured.
    has_reference : bool
    rows : int
        Of the table.
    """

    has_labels: bool = True
    running: bool = False
    objects: bool = False
    has_reference: bool = False
    rows: int = 0


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    measure: Control
    cancel: Control
    export: Control
    copy: Control
    table: bool
    hint: str


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    scored = facts.objects and facts.has_reference
    no_measure = first(
        unless(facts.has_labels, "no labels layer is open. Run Segment, or open a labels file."),
        unless(not facts.running, "a measurement is under way."),
        unless(not scored, "objects are measured without a reference. Choose none, or measure the classes."),
    )
    no_table = unless(facts.rows, "there is nothing in the table yet.")
    return State(
        measure=Control("Measure the chosen labels; their rows replace earlier ones of the same layer.", no_measure),
        cancel=Control("Stop measuring; the table stays as it is.", unless(facts.running, "nothing is under way.")),
        export=Control("Save the whole table as CSV, with all digits.", no_table),
        copy=Control("Copy the whole table, with all digits, for a spreadsheet.", no_table),
        table=bool(facts.rows),
        hint=hint_text({"Measure": no_measure if not facts.running else ""}),
    )
