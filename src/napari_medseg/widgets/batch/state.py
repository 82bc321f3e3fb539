"""What is possible in the Batch dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...runs.bids import DESCRIPTION
from ...runs.plan import Plan
from ..kit.state import Control, first, hint_text, unless

SEPARATOR = "; "
"""Between several inputs in their line."""


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what it is doing.

    Parameters
    ----------
    models_read : bool
        Whether the list of models is complete.
    has_inputs, has_output, has_model : bool
        Whether something is chosen.
    problem : str
        Why what is chosen cannot be run, as far as that was looked at.
    planned : bool
        Whether the images of what is chosen now were looked for.
    job : str
        Kind of the job under way; empty if there is none.
    cases : int
        Rows of the table.
    opening : str
        What the other queue does: ``open`` or ``save``; empty if nothing.
    beginning : bool
        Whether the labels of the open case cannot be followed yet.
    open : str
        Name of the case that is open; empty if none is.
    unsaved : bool
        Whether its labels hold changes that its file does not.
    has_previous, has_next, has_unapproved : bool
        Whether there is such a case.
    has_page : bool
        Whether a page was written.
    """

    models_read: bool = True
    has_inputs: bool = True
    has_output: bool = True
    has_model: bool = True
    problem: str = ""
    planned: bool = True
    job: str = ""
    cases: int = 0
    opening: str = ""
    beginning: bool = False
    open: str = ""
    unsaved: bool = False
    has_previous: bool = False
    has_next: bool = False
    has_unapproved: bool = False
    has_page: bool = False


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    card: Control
    run: Control
    cancel: Control
    bar: bool
    results: Control
    copy: Control
    order: Control
    previous: Control
    next: Control
    unapproved: Control
    save: Control
    save_table: Control
    save_page: Control
    open_page: Control
    hint: str


_BUSY = {
    "run": "a run is under way.",
    "results": "results are being read.",
    "write": "a file is being written.",
}
_CANCELS = {"run": "Stop the run at once; cases that are finished stay.", "results": "Stop reading the results."}
_MOVING = {"open": "a case is being opened.", "save": "labels are being written."}


def why_not(facts: Facts) -> str:
    """Why what is chosen cannot be run; empty if it can."""
    return first(
        unless(facts.models_read, "the models are being read."),
        unless(facts.has_inputs, "choose the images first: files or a folder."),
        unless(facts.has_output, "choose the folder for the results."),
        unless(facts.has_model, "choose a model."),
        facts.problem,
    )


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    busy = _BUSY.get(facts.job, "")
    wrong = why_not(facts)
    no_run = first(wrong, busy, unless(facts.planned, "the images are being looked for."))
    no_cases = unless(facts.cases, "the table is empty; run, or open results.")
    no_step = first(no_cases, _moving(facts))
    no_previous = first(no_step, unless(facts.has_previous, "there is no earlier case that can be opened."))
    no_next = first(no_step, unless(facts.has_next, "there is no later case that can be opened."))
    no_other = first(no_step, unless(facts.has_unapproved, "there is no other case to approve."))
    no_save = _no_save(facts)
    no_table = first(no_cases, busy)
    return State(
        card=Control("What the model is for, from what data, and how good.", unless(facts.has_model, "No model.")),
        run=Control("Segment every image in processes of their own; the table fills meanwhile.", no_run),
        cancel=Control(_CANCELS.get(facts.job, _CANCELS["run"]), visible=facts.job in _CANCELS),
        bar=bool(busy),
        results=Control("List the cases of a folder that an earlier run has written; nothing is run.", busy),
        copy=Control("Copy the command line that does the same without a window.", wrong),
        order=Control("Order of the rows once the run has ended.", no_cases),
        previous=Control("Open the case above in place of the one that is open.", no_previous),
        next=Control("Open the case below the open one in its place; where none is open, the chosen row.", no_next),
        unapproved=Control("Open the next case with slices that hold labels and are not approved.", no_other),
        save=Control(f"Write the labels of '{facts.open}' into their file.", no_save),
        save_table=Control("Write a CSV table: a row for each case and class.", no_table),
        save_page=Control("Write one HTML page with a picture of every case, those to look at first on top.", no_table),
        open_page=Control("Show the page that was written last in the browser.", visible=facts.has_page),
        hint=hint_text({"Run": no_run, "Copy": wrong}),
    )


def _moving(facts: Facts) -> str:
    """Why no other case can be opened just now."""
    return first(_MOVING.get(facts.opening, ""), "the open labels are being prepared." if facts.beginning else "")


def _no_save(facts: Facts) -> str:
    return first(
        unless(facts.open, "no case with labels is open; double-click a row."),
        _moving(facts),
        unless(facts.unsaved, "everything is in the file already."),
    )


def parse_inputs(text: str) -> tuple[str, ...]:
    """Files, folders and globs of the line of inputs; the path of something that exists may hold the separator."""
    rest = text.strip().split(SEPARATOR.strip())
    found = []
    while rest:
        taken = next(filter(partial(_exists, rest), range(len(rest), 0, -1)), 1)
        found.append(_path(rest[:taken]))
        rest = rest[taken:]
    return tuple(path for path in found if path)


def _exists(parts: Sequence[str], count: int) -> bool:
    """Whether the first parts of a line are the path of something."""
    return os.path.exists(_path(parts[:count]))


def _path(parts: Sequence[str]) -> str:
    return os.path.expanduser(SEPARATOR.strip().join(parts).strip())


def is_dataset(inputs: Sequence[str]) -> bool:
    """Whether the input is the top folder of a BIDS dataset."""
    return len(inputs) == 1 and (Path(inputs[0]) / DESCRIPTION).is_file()


def suggested_output(inputs: Sequence[str]) -> str:
    """A folder for results next to the inputs; empty if that is not known."""
    if not inputs:
        return ""
    given = Path(inputs[0]).absolute()
    if is_dataset(inputs):
        return str(given / "derivatives" / "napari-medseg")
    folder = given if given.is_dir() else given.parent
    return str(folder.with_name(f"{folder.name}_labels"))


def found_text(found: Plan, there: int) -> str:
    """What a run is about: how many images, how many results exist, what was left out, what has a reference."""
    images = len(found.sources)
    count = "1 image" if images == 1 else f"{images} images"
    known = f", {there} with a result already" if there else ""
    lines = [f"{count}{known}.", *(failure.error for failure in found.failures), *found.notes]
    if found.references is not None:
        lines.append(f"{len(found.references)} of {images} with reference labels.")
    return "\n".join(lines)


def already_text(there: int) -> str:
    """The question before results are made again."""
    what = "1 result exists" if there == 1 else f"{there} results exist"
    return (
        f"{what} already and will be made again, but for those that a person has changed, which stay. With Resume, "
        "finished ones would stay too."
    )


def ended_text(done: int, total: int, failed: int, *, cancelled: bool = False) -> str:
    """What came of a run."""
    wrong = f" {failed} failed: the table says why." if failed else ""
    if cancelled:
        return f"Cancelled: {done} of {total} cases are finished.{wrong} Run again with Resume to go on."
    return f"Done: {total} {'case' if total == 1 else 'cases'}.{wrong}"


def unsaved_text(name: str, *, kept: bool) -> str:
    """The question before a case is left whose labels were changed; `kept` where a journal on the disk has it all."""
    restored = "the changes can be restored when Review is opened next." if kept else "the changes are lost."
    return (
        f"The labels of '{name}' were changed, and the file does not have the changes yet.\n\n"
        f"Save writes them into the file. Without saving, the file stays as it is and {restored}"
    )
