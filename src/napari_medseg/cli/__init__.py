"""The command line: arguments to settings, jobs to progress, errors to sentences and exit codes.

Everything heavy is imported by the command that needs it, so that help answers at once.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from ..errors import MedsegError, SettingsError
from ..models.settings import ImportSettings
from ..options import add_arguments
from ..segmentation.settings import InferenceSettings
from ..version import __version__
from . import commands, crews, measuring, reconstruction, replaying, segmenting, slurm, summaries, terminal
from .signals import stops

Parsers = argparse._SubParsersAction

_TWO_WORDS = (
    ("models", "import"),
    ("models", "verify"),
    ("models", "fetch"),
    ("study", "acceleration"),
    ("study", "methods"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (by default those of the process).

    Returns
    -------
    int
        0 all well, 1 something failed, 2 wrong usage, 130 interrupted, 143 stopped by SIGTERM.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # file names may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    # at its end Python looks through all objects of PyTorch for some to free: two thirds of a second with Ctrl+C
    atexit.register(gc.freeze)
    words = sys.argv[1:] if arguments is None else arguments
    args = parsed(words)
    try:
        if getattr(args, "print_slurm", False):
            terminal.say(slurm.script(words, args.workers))
            return 0
        # a run of the dock or of torchrun is ended by whoever started it
        with nullcontext() if getattr(args, "tied", False) else stops():
            return args.run_command(args)
    except KeyboardInterrupt as stopped:
        terminal.complain(f"Interrupted. {args.after_interrupt}")
        return getattr(stopped, "exit_code", 130)
    except BrokenPipeError:
        # the reader of our output, such as head, has seen enough; keep the interpreter from flushing into the void
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MedsegError as error:
        terminal.complain(str(error))
        return 2 if isinstance(error, SettingsError) else 1


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What `arguments` ask for, without doing it; wrong ones end the program with a sentence."""
    words = list(arguments)
    # "models NAME" and "models verify" share a first word: argparse knows the second as a command of two words
    if tuple(words[:2]) in _TWO_WORDS:
        words[:2] = [" ".join(words[:2])]
    return parser().parse_args(words)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="napari-medseg",
        formatter_class=_formatter,
        description="Segment medical and microscopy images and reconstruct MR data without a screen.",
        epilog="'napari-medseg COMMAND --help' lists the options. Exit codes: 0 all well, 1 a file failed, 2 wrong "
        "usage. Not a medical device: for research only.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parsers = top.add_subparsers(title="commands", metavar="COMMAND [options]", required=True)
    work = (_add_segment, _add_reconstruct, _add_evaluate, _add_measure, _add_summary, _add_study, _add_train)
    for add in (*work, _add_replay, _add_models, _add_info, _add_convert):
        add(parsers)
    return top


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=32)


def _add(parsers: Parsers, name: str, run: Callable, text: str, description: str = "") -> argparse.ArgumentParser:
    parser = parsers.add_parser(name, help=text, description=description or text, formatter_class=_formatter)
    parser.set_defaults(run_command=run, after_interrupt="Nothing half-written is left.")
    return parser


def _add_segment(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "segment",
        segmenting.segment,
        "label images with a model",
        description="Label images with a model. Each image is processed alone: one that fails is named at the end, "
        "the others continue. Existing outputs are replaced unless a person has changed them; inputs never.",
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help="file, DICOM folder, folder of images, or quoted glob")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="label file for one image, else a folder"
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        required=True,
        metavar="NAME",
        help="model, or group for its best one, see 'napari-medseg models'; repeat the option to let several decide",
    )
    _add_axes(parser)
    add_arguments(parser, InferenceSettings)
    parser.add_argument(
        "--disagreement",
        type=Path,
        metavar="FILE",
        help="also write where several models differ (0 all agree, 255 no two agree)",
    )
    parser.add_argument(
        "--bids",
        nargs="?",
        const="",
        metavar="SUFFIX",
        help="IN is a BIDS dataset, of which images such as T1w are taken; OUT becomes a derivatives dataset",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="class names for the labels: ITK-SNAP label descriptions, BIDS .tsv, or CSV with id and name",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="labels of the same names to compare with: Dice and HD95 in the report, the table and on the page",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="settings, volumes and failures as JSON")
    summaries.add_summaries(parser)
    crews.add_crew(parser)
    parser.set_defaults(after_interrupt="Finished files are complete; --resume continues with the others.")


def _add_axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--axes", help="names of the array axes, such as tyx, if the file does not say")


def _add_reconstruct(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "reconstruct",
        reconstruction.reconstruct,
        "make images of raw MR data",
        description="Reconstruct raw k-space (fastMRI, ISMRMRD, BART, NumPy), or simulated k-space of an image.",
    )
    reconstruction.add_reconstruct(parser)


def _add_study(parsers: Parsers) -> None:
    both = _add(
        parsers,
        "study",
        reconstruction.study,
        "studies of reconstruction: 'study acceleration' and 'study methods'",
        description="acceleration: how much undersampling a segmentation tolerates. methods: which reconstruction "
        "suits a scan without a reference. 'napari-medseg study acceleration --help' lists the options.",
    )
    both.add_argument("kind", metavar="KIND", choices=("acceleration", "methods"), help="acceleration or methods")
    parser = _add(
        parsers,
        "study acceleration",
        reconstruction.study,
        "how much undersampling a segmentation tolerates",
        description="Simulate k-space of an image, undersample it more and more, reconstruct and segment, and compare "
        "with the segmentation of the fully sampled image: Dice and change of the volume per acceleration.",
    )
    reconstruction.add_study(parser)
    parser = _add(
        parsers,
        "study methods",
        reconstruction.compare_methods,
        "which reconstruction suits a scan without a reference",
        description="Hide a sixth of the measured lines outside of the full centre, reconstruct from the others by "
        "several methods, and compare what each predicts at the hidden samples with what was measured there. The error "
        "of zero filling is 1. A hint, not a proof.",
    )
    reconstruction.add_methods(parser)


def _add_evaluate(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "evaluate",
        commands.evaluate,
        "compare labels with a reference",
        description="Dice, IoU, HD95, mean surface distance and volumes of every class, or how many objects are found. "
        "Two folders are matched by file name, whatever the suffix.",
    )
    parser.add_argument("prediction", type=Path, metavar="PREDICTION", help="label file, or folder of label files")
    parser.add_argument("reference", type=Path, metavar="REFERENCE", help="the same for the reference")
    meaning = parser.add_mutually_exclusive_group()
    meaning.add_argument(
        "--foreground",
        action=argparse.BooleanOptionalAction,
        help="compare everything but the background as one class; or treat every number as a class",
    )
    meaning.add_argument(
        "--objects",
        action="store_true",
        help="match objects by their overlap, whatever their numbers: F1, precision and recall",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="scores and failures as JSON")
    summaries.add_summaries(parser)


def _add_measure(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "measure",
        measuring.measure,
        "measure labels: volumes, diameters, intensities",
        description="Voxels, volume and the largest diameter in a slice of every class and time point, or of every "
        "object of one class; with an image also mean and standard deviation (n - 1) of its intensities, with a "
        "reference also Dice, IoU, HD95 and mean surface distance. Labels over slices and time: end-diastole, "
        "end-systole and ejection fraction of every class.",
    )
    parser.add_argument("labels", type=Path, metavar="LABELS", help="label file")
    parser.add_argument("-o", "--output", type=Path, metavar="TABLE.csv", help="also write the table, with all digits")
    parser.add_argument("--image", type=Path, metavar="FILE", help="image that the labels were made for")
    text = "class names for the labels: ITK-SNAP label descriptions, BIDS .tsv, or CSV with id and name"
    parser.add_argument("--names", type=Path, metavar="FILE", help=text)
    parser.add_argument("--reference", type=Path, metavar="FILE", help="labels to score these against")
    parser.add_argument(
        "--objects", metavar="CLASS", help="measure the objects of a class (number or name): regions that share faces"
    )
    _add_axes(parser)


def _add_summary(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "summary",
        summaries.summary,
        "table and page of results that are there",
        description="Write the table (CSV) and the page (HTML) of a cohort from what its results say of themselves, "
        "without computing them again.",
    )
    summaries.add_summary(parser)


def _add_train(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "train",
        commands.train,
        "train a model from a settings file",
        description="Train a model, or continue a run that was interrupted.",
    )
    parser.add_argument("settings", metavar="SETTINGS.json", help="settings file, or name of a bundled recipe")
    # torchrun takes '--run' for one of its own options, wherever it stands
    parser.add_argument("--run", "--into", type=Path, metavar="DIR", help="folder of the run (default: runs/NAME)")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="where relative data paths start (default: here)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        metavar="N",
        help="train with N seeds, each in a folder of its own (DIR-seed-1, ...), and name the best on val",
    )
    parser.add_argument("--tied", action="store_true", help="end when the standard input closes, as a child process")
    parser.set_defaults(after_interrupt="The same command continues from the last checkpoint.")


def _add_replay(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "replay",
        replaying.replay,
        "repeat a session that was recorded in the window",
        description="Repeat a session step by step, without a window: files are opened, runs are done, strokes are "
        "drawn and results saved again, and each is compared with what it was. The first difference is named and ends "
        "the replay with exit code 1.",
    )
    replaying.add_arguments(parser)


def _add_models(parsers: Parsers) -> None:
    listing = _add(parsers, "models", commands.show_models, "list the models, or show the card of one")
    listing.add_argument("name", nargs="?", metavar="NAME", help="model whose card to show")
    listing.add_argument("--json", action="store_true", help="cards as JSON")
    _add(parsers, "models verify", commands.verify_models, "check the hash of every model and run it once")
    _add_import(parsers)
    _add_fetch(parsers)


def _add_import(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "models import",
        commands.import_model,
        "add a checkpoint to your models",
        description="Add a checkpoint of the authors, or a model trained here, to your models. What the file does not "
        "say, write on the model's card: with the options below, or later in the JSON file that is named at the end.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=".pth, .pt or .safetensors")
    parser.add_argument("--name", required=True, metavar="N", help="name of the new model")
    add_arguments(parser, ImportSettings)


def _add_fetch(parsers: Parsers) -> None:
    parser = _add(
        parsers,
        "models fetch",
        commands.fetch_model,
        "install a model that a table names",
        description="Fetch a model from the address in a table, check both of its files against the hashes there, and "
        "add it to your models. Nothing else is fetched.",
    )
    text = 'JSON: {"models": [{"name": ..., "url": ..., "sha256": ..., "card_sha256": ...}]}'
    parser.add_argument("table", type=Path, metavar="TABLE.json", help=text)
    parser.add_argument("name", metavar="NAME", help="model to fetch")
    text = "take NAME.safetensors and NAME.json from this folder; no network is used"
    parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help=text)


def _add_info(parsers: Parsers) -> None:
    parser = _add(parsers, "info", commands.info, "say what a file holds and how it is read")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="image, labels, raw MR data or reconstruction; file or DICOM folder"
    )
    _add_axes(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_convert(parsers: Parsers) -> None:
    parser = _add(parsers, "convert", commands.convert, "write an image or labels in another format")
    parser.add_argument("source", type=Path, metavar="IN", help="file or DICOM folder")
    parser.add_argument("target", type=Path, metavar="OUT", help="file; its suffix chooses the format")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="for .seg.dcm: DICOM series that the labels were made on, if they do not remember it",
    )
    parser.add_argument(
        "--label-map",
        action="store_true",
        help="for .seg.dcm: one compressed image of class numbers; far smaller, but older viewers do not read it",
    )
    _add_axes(parser)
    text = "also write class names and colours next to labels, for ITK-SNAP or as a BIDS table"
    parser.add_argument("--names", choices=("itksnap", "bids"), help=text)
