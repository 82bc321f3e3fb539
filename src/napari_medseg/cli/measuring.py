"""``napari-medseg measure``: sizes, diameters, intensities and scores of labels as a table."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError
from . import terminal

if TYPE_CHECKING:
    from ..review.measure import Measured
    from ..volume import Volume


def measure(args: Namespace) -> int:
    """Measure one file of labels."""
    from .. import files, io
    from ..progress import run
    from ..review.measure import measure_job
    from ..review.measure_table import csv_rows

    _check_output(args)
    labels = _named(io.read(args.labels, axes=args.axes), args.names)
    image, reference = (None if path is None else io.read(path) for path in (args.image, args.reference))
    with terminal.Meter(args.labels.name, "time point") as meter:
        job = measure_job(labels, image, reference=reference, objects=args.objects)
        measured = run(job, meter)
    if args.output is not None:
        files.save_table(args.output, csv_rows(measured))
    terminal.say(_text(measured))
    if args.output is not None:
        terminal.say(str(args.output))
    terminal.complain(*measured.notes)
    return 0


def _named(labels: Volume, names: Path | None) -> Volume:
    """Labels with the class names of a table; labels without a class table get all of its rows.

    Raises
    ------
    FileError
        If it names none of their classes.
    """
    import numpy as np

    from ..io import class_tables

    if names is None:
        return labels
    table = class_tables.read(names)
    if labels.classes:
        return replace(labels, classes=class_tables.renamed(labels.classes, table))
    numbers = [int(number) for number in np.unique(labels.data) if number]
    if numbers:  # else there is nothing to name
        class_tables.refuse_others(table, numbers)
    return replace(labels, classes=table)


def _check_output(args: Namespace) -> None:
    """Refuse a table that would replace an input, or whose name says that it is something else."""
    from ..runs.outputs import refuse_conflicts

    output: Path | None = args.output
    if output is None:
        return
    if output.suffix.lower() != ".csv":
        raise SettingsError(f"The table is written as CSV, and '{output}' does not end in .csv. Give another name.")
    inputs = [path for path in (args.labels, args.image, args.reference) if path is not None]
    # one file may be both the labels and the reference
    refuse_conflicts(dict.fromkeys(inputs), [output])


def _text(measured: Measured) -> str:
    """The table for reading, and what the heart cycle says."""
    from ..review.measure_table import cine_text, shown

    if not measured.rows:
        return "The labels are empty: there is nothing to measure."
    lines = [cine_text(cine, measured.unit != "px") for cine in measured.cines]
    return "\n".join([terminal.table(shown(measured)), *filter(None, lines)])
