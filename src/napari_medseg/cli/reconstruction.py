"""``reconstruct`` and ``study``: raw or simulated k-space to images, tables and plots."""

from __future__ import annotations

import argparse
import functools
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SettingsError
from ..options import add_arguments, given, read
from ..recon.settings import VIEWS, FinishSettings, HiddenSettings, ReconSettings, Sampling
from ..runs.settings import StudySettings
from . import terminal
from .crews import add_crew, add_workers, crew_of, whether
from .summaries import add_summaries, check_summaries

if TYPE_CHECKING:
    from ..kspace import KSpace
    from ..runs.tasks import Outcome, Task
    from .running import Run


def add_reconstruct(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``reconstruct``."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="raw k-space: file, folder or quoted glob; with --simulate images"
    )
    _add_input(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".h5, .nii.gz, .nii, .tif, .npy or .npz for one input, else a folder",
    )
    add_arguments(parser, ReconSettings, required=("method",))
    add_arguments(parser, FinishSettings)
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        choices=VIEWS,
        help="save this, too, next to OUT: phase, images or maps of the coils, spread of a point under the mask; "
        "repeat the option for more",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="metrics, residual, mask, settings as JSON")
    add_summaries(parser)
    add_crew(parser)


def add_methods(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``study methods``."""
    parser.add_argument("input", type=Path, metavar="IN", help="raw k-space; with --simulate an image")
    _add_input(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.csv", help="table")
    parser.add_argument(
        "--method",
        dest="methods",
        action="append",
        metavar="NAME",
        help="method to compare; repeat the option for more (default: every method the data allow)",
    )
    parser.add_argument("--slices", type=_whole_numbers, metavar="0,1,2", help="to look at (default: all)")
    add_arguments(parser, HiddenSettings)
    add_arguments(parser, ReconSettings, only=("device",))
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="errors, also by slice, mask, settings as JSON"
    )
    add_workers(parser)


def _add_input(parser: argparse.ArgumentParser) -> None:
    """How k-space is read, and its mask."""
    add_arguments(parser, Sampling)
    parser.add_argument("--mask-file", type=Path, metavar="F", help="undersample with this mask (.npy)")
    parser.add_argument(
        "--axes", metavar="AXES", help="axes of raw data (s slice, c coil, y, x), or of an image (such as tyx)"
    )
    parser.add_argument(
        "--conjugate", action="store_true", help="use if the image comes out mirrored (conjugates k-space)"
    )
    parser.add_argument(
        "--first",
        action="append",
        type=_numbered,
        metavar="NAME=N",
        help="take one phase, repetition, contrast, set, echo, ... of several, counted as in the file, such as "
        "phase=3; repeat the option for more (default: all, as time points)",
    )
    parser.add_argument("--simulate", action="store_true", help="IN is an image: simulate its k-space")


def add_study(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``study acceleration``."""
    parser.add_argument("input", type=Path, metavar="IN", help="image to simulate k-space of")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.csv", help="table")
    parser.add_argument("--model", required=True, metavar="NAME", help="model that segments")
    add_arguments(parser, StudySettings)
    add_arguments(parser, ReconSettings)
    parser.add_argument("--axes", metavar="AXES", help="names of the array axes, if the file does not say")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw Dice and volume over acceleration")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="everything as JSON")
    add_workers(parser)


def _numbered(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a name and a whole number such as phase=3")
    return name, int(number)


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers such as 0,1,2")
    return [int(part) for part in parts]


def reconstruct(args: Namespace) -> int:
    """``napari-medseg reconstruct``."""
    from ..runs import work
    from ..runs.inputs import find_inputs, image_kind, kspace_kind, left_out, taken_once
    from ..runs.outputs import HDF5, beside, place, refuse_conflicts, suffix_of_images, suffix_of_labels
    from ..runs.tasks import Task
    from .report import models_of_report
    from .running import Run

    settings = read(args, ReconSettings)
    reading = _reading(args)
    used = work.model_used(settings.method)
    kind = functools.cache(image_kind if args.simulate else kspace_kind)  # three questions, each file is opened once
    sources, failures = find_inputs(args.inputs, kind)
    terminal.complain(*left_out(args.inputs, kind), *taken_once(args.inputs, kind))
    single = len(sources) + len(failures) == 1
    suffix = suffix_of_labels if args.simulate else suffix_of_images
    images = place(sources, args.output, single=single, suffix=suffix, also=HDF5)
    places = [{"image": image} | {name: beside(image, name) for name in args.also} for image in images]
    outputs = [path for made in places for path in made.values()]
    refuse_conflicts([*map(Path, args.inputs), *sources], outputs)
    written = [args.report] if args.report else []
    refuse_conflicts([*sources, *outputs], written)
    check_summaries(args, [*sources, *outputs, *written])
    options = {"reconstruction": asdict(settings), "finish": asdict(read(args, FinishSettings)), **reading}
    tasks = []
    for source, made in zip(sources, places, strict=True):
        paths = {role: str(path) for role, path in made.items()}
        tasks.append(Task("reconstruct", (str(source),), paths, used, options, **whether(args)))

    def content(run: Run) -> dict[str, Any]:
        if single and run.outcomes:
            # the report of one file is that of its result
            return _image_row(run.outcomes[0], whole=True)
        asked = {**models_of_report(used), "settings": options}
        return asked | run.report_content(_image_row)

    line = _one_image if single else _one_of_many
    run = Run(tasks, line, content, "slice", failures, args.report, args.summary, args.html, strict=True)
    code = run.go(crew_of(args, tasks, network=bool(used)), args.output)
    _warn(run, single)
    return code


def _image_row(outcome: Outcome, whole: bool = False) -> dict[str, Any]:
    """What came of a reconstruction; `whole` with its model and settings."""
    from .report import row

    paths = {"input": outcome.task.inputs[0], "output": outcome.task.outputs["image"]}
    paths |= {name: outcome.task.outputs[name] for name in _views_of(outcome)}
    if whole and outcome.record is not None:
        return {**paths, **outcome.record.report()}
    return {**paths, **row(outcome)}


def _one_of_many(title: str, outcome: Outcome) -> str:
    return f"{title}: {_image_text(outcome)}"


def _one_image(title: str, outcome: Outcome) -> str:
    """What came of a single reconstruction, with its figures."""
    from ..recon.figures import shown

    figures = outcome.record.figures if outcome.record else {}
    lines = [_image_text(outcome)]
    lines += [f"{outcome.task.outputs[name]}: {_view_text(name, figures)}" for name in _views_of(outcome)]
    if figures.get("metrics"):
        columns = shown()
        rows = [["", *(figure.heading for figure in columns.values())]]
        for name, row in figures["metrics"].items():
            rows.append([name, *(figure.text(row[key]) for key, figure in columns.items())])
        lines += [terminal.table(rows), figures["convention"]]
    return "\n".join(lines)


def _views_of(outcome: Outcome) -> list[str]:
    """What was saved next to the image."""
    return [name for name in outcome.task.outputs if name != "image"]


def _view_text(name: str, figures: Mapping[str, Any]) -> str:
    """What a file next to the image holds."""
    from ..recon.point_spread import SideLobe, in_words
    from ..recon.views import VIEWS as TABLE

    view = TABLE[name]
    text = f"{view.title} in {view.unit}" if view.unit else view.title
    if name != "point-spread" or "side_lobe" not in figures:
        return text
    lobe = figures["side_lobe"]
    return f"{text}. {in_words(SideLobe(**lobe) if lobe else None)}"


def _image_text(outcome: Outcome) -> str:
    record = outcome.record
    if record is None:
        return outcome.task.outputs["image"]
    from ..recon.reconstruct import used_text

    figures = record.figures
    words = "simulated k-space, " if figures["simulated"] else ""
    mask = figures["mask"]
    counted = f"{mask['samples']} of {mask['of']} {mask.get('against', 'samples')}"
    acceleration = f"{mask['effective_acceleration']:.2f}x ({counted})"
    return (
        f"{outcome.task.outputs['image']}: {terminal.count(len(figures['slices']), 'slice')}, {words}"
        f"{acceleration}, {used_text(figures['used'])}, data residual {figures['residual_before_consistency']:.4f} "
        f"before data consistency (noise {figures['noise']:.4f}), {figures['residual']:.4f} after"
    )


def _warn(run: Run, single: bool) -> None:
    """Say what the runs warned of."""
    rows = [{"warnings": outcome.record.warnings} for outcome in run.outcomes if outcome.record]
    texts = rows[0]["warnings"] if single and rows else terminal.warnings(rows)
    for text in texts:
        terminal.complain(text)


def _reading(args: Namespace) -> dict[str, Any]:
    """How k-space is read and undersampled, as tasks take it; a mask file is looked at."""
    from ..recon.sampling import load_mask

    sampling = _sampling(args)
    if sampling and args.mask_file:
        raise SettingsError("--mask and --mask-file exclude each other. Choose one of them.")
    if args.mask_file:
        load_mask(args.mask_file)
    return {
        "sampling": asdict(sampling) if sampling else None,
        "mask_file": str(args.mask_file) if args.mask_file else None,
        "axes": args.axes,
        "conjugate": args.conjugate,
        "first": dict(args.first or ()),
        "simulate": args.simulate,
    }


def _sampling(args: Namespace) -> Sampling | None:
    rules = given(args, Sampling)
    if rules and "kind" not in rules:
        raise SettingsError("The options of a mask need its kind. Add --mask random, for example.")
    return Sampling(**rules) if rules else None


def study(args: Namespace) -> int:
    """``napari-medseg study acceleration``."""
    from ..runs import work
    from ..runs.outputs import refuse_conflicts
    from ..runs.study import Study
    from ..runs.tasks import Task

    outputs = {"table": args.output, "plot": args.plot, "report": args.report}
    paths = [path for path in outputs.values() if path]
    for number, path in enumerate(paths):
        refuse_conflicts([args.input, *paths[:number]], [path])
    recon = read(args, ReconSettings)
    settings = {"study": asdict(read(args, StudySettings)), "reconstruction": asdict(recon), "axes": args.axes}
    used = (work.use(args.model), *work.model_used(recon.method))
    made = {name: str(path) for name, path in outputs.items() if path and name != "report"}
    task = Task("study", (str(args.input),), made, used, settings)

    def line(_: str, outcome: Outcome) -> str:
        table = terminal.table(Study.of(outcome.record).table()) if outcome.record else ""
        return f"{table}\nThe k-space was simulated from the image: real measurements give worse results."

    return _run_one(args, task, line, "acceleration")


def compare_methods(args: Namespace) -> int:
    """``napari-medseg study methods``."""
    from ..recon.suggest import Hint
    from ..runs import work
    from ..runs.outputs import refuse_conflicts
    from ..runs.raw import kspace_of
    from ..runs.tasks import Task

    refuse_conflicts([args.input], [args.output])
    refuse_conflicts([args.input, args.output], [args.report] if args.report else [])
    hidden = asdict(read(args, HiddenSettings))
    settings: dict[str, Any] = {"hidden": hidden, "slices": args.slices, **_reading(args)}
    task = Task("compare", (str(args.input),), {"table": str(args.output)}, settings=settings)
    methods = args.methods or _fitting(kspace_of(task))
    names = [name for name in methods if name != "zero-filled"]  # its error is known
    common = read(args, ReconSettings)
    settings["candidates"] = [asdict(replace(common, method=name)) for name in names]
    used = tuple(model for name in names for model in work.model_used(name))
    task = replace(task, models=used)

    def line(title: str, outcome: Outcome) -> str:
        if outcome.record is None:
            return title
        hint = Hint.of(outcome.record)
        words = "simulated k-space, " if hint.record.figures["simulated"] else ""
        slices = terminal.count(len(hint.record.figures["slices"]), "slice")
        rows = [["method", "error"]]
        rows += [[name, f"{error:.4f}"] for name, error in (*hint.rows, ("zero-filled", 1.0))]
        terminal.complain(hint.caution)
        head = f"{args.output}: {slices}, {words}{hint.acceleration:.2f}x"
        return "\n".join([head, terminal.table(rows), hint.verdict])

    return _run_one(args, task, line, "reconstruction", paths=True)


def _run_one(
    args: Namespace, task: Task, line: Callable[[str, Outcome], str], unit: str, *, paths: bool = False
) -> int:
    """Run a study, whose report is that of its result; the exit code."""
    from .running import Run

    names = {"input": task.inputs[0], "output": str(task.target)} if paths else {}

    def content(run: Run) -> dict[str, Any]:
        for outcome in run.outcomes:
            if outcome.record is not None:
                return names | outcome.record.report()
        return names | run.report_content(lambda _: {})

    run = Run([task], line, content, unit, report=args.report, strict=True)
    return run.go(crew_of(args, [task], network=bool(task.models)))


def _fitting(kspace: KSpace) -> list[str]:
    """Names of the methods that can be compared on `kspace`; a damaged model is reported and left out."""
    from .. import models
    from ..recon.methods import METHODS, unfit

    names = [name for name in METHODS if not unfit(name, kspace.coils)]
    for name, path in models.available().items():
        try:
            card = models.load_card(path)
        except ModelError as error:
            terminal.complain(str(error))
            continue
        if card.design and not unfit(name, kspace.coils, card):
            names.append(name)
    return names
