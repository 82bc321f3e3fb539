"""The table and the page of a cohort: options of the commands that make one, and ``napari-medseg summary``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError
from . import terminal

if TYPE_CHECKING:
    from ..runs.tasks import Failure, Outcome


def write_summaries(
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    summary: Path | None,
    html: Path | None,
    *,
    interrupted: bool = False,
) -> None:
    """Write the table and the page of a cohort, where a path says so.

    Raises
    ------
    FileError
        If one cannot be written.
    """
    if summary is None and html is None:
        return
    from ..runs import page
    from ..runs.cases import cases
    from ..runs.summary import write_csv

    found = cases(outcomes, failures)
    if summary is not None:
        write_csv(summary, found)
    if html is not None:
        page.write_page(html, found, html.stem, interrupted=interrupted)


def add_summaries(parser: ArgumentParser) -> None:
    """Options of the table and the page of a cohort."""
    text = "a row for each case and class: figures, warnings, seconds, memory"
    parser.add_argument("--summary", type=Path, metavar="FILE.csv", help=text)
    text = "one page with a picture of every case, those to look at first on top"
    parser.add_argument("--html", type=Path, metavar="FILE.html", help=text)


def check_summaries(args: Namespace, paths: Iterable[Path]) -> None:
    """Make sure that the table and the page have their endings and replace neither `paths` nor each other.

    Raises
    ------
    SettingsError
        Naming the file.
    """
    from ..runs.outputs import refuse_conflicts

    taken = list(paths)
    for path, endings in ((args.summary, (".csv",)), (args.html, (".html", ".htm"))):
        if path is None:
            continue
        if path.suffix.lower() not in endings:
            raise SettingsError(f"'{path}' does not end in {endings[0]}. Give another name.")
        refuse_conflicts(taken, [path])
        taken.append(path)


def wanted(args: Namespace) -> bool:
    """Whether a table or a page is to be written."""
    return args.summary is not None or args.html is not None


def add_summary(parser: ArgumentParser) -> None:
    """Arguments of ``summary``."""
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder that a run has written to")
    text = "inputs, as background of the pictures: file, folder or quoted glob; repeat the option for more"
    parser.add_argument("--images", action="append", default=[], metavar="IN", help=text)
    add_summaries(parser)


def summary(args: Namespace) -> int:
    """``napari-medseg summary``: the table and the page from what the results say of themselves."""
    from ..runs.inputs import find_inputs
    from ..runs.summary import of_folder

    if not wanted(args):
        raise SettingsError("Nothing is to be written. Add --summary FILE.csv, --html FILE.html, or both.")
    sources, failures = find_inputs(args.images)
    check_summaries(args, sources)
    found = of_folder(args.folder, sources)
    write_summaries(found, failures, args.summary, args.html)
    for path in (args.summary, args.html):
        if path is not None:
            terminal.say(str(path))
    failed = [*failures, *(outcome.failure for outcome in found if outcome.state == "failed")]
    terminal.name_failures(failed, len(found) + len(failures))
    return 1 if failed else 0
