"""``napari-medseg replay``: a recorded session, repeated and compared."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from . import terminal

if TYPE_CHECKING:
    from ..replay.job import Replayed
    from ..replay.steps import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("session", type=Path, metavar="SESSION", help="recorded session, ends in .medseg.jsonl")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="new folder for what the session saved"
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of the files that were opened, or one above it; repeat the option for more (default: where the "
        "session lies)",
    )
    parser.add_argument(
        "--tolerance",
        type=_share,
        default=0.0,
        metavar="F",
        help="share of the voxels, 0 to 1, that a segmentation may label otherwise than in the session (default: 0)",
    )
    parser.add_argument(
        "--retrain",
        action="store_true",
        help="train the models that were fine-tuned in the session again, on the CPU, and compare their Dice within "
        "0.01 (default: take them from your models, by their SHA-256)",
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1, such as 1e-4") from error
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1, such as 1e-4")
    return value


def replay(args: Namespace) -> int:
    """Replay one session; 1 if something differs."""
    from ..progress import run
    from ..replay.job import replay_job

    job = replay_job(args.session, args.output, args.inputs, args.tolerance, retrain=args.retrain)
    with terminal.Meter(args.session.name, "step") as meter:
        found = run(job, meter)
    terminal.complain(*found.notes)
    for output in found.outputs:
        terminal.say(f"{args.output / output.name}: {_compared(output)}")
    if found.difference:
        terminal.complain(f"{found.difference} Replay stopped there, after {_steps(found)}.")
        return 1
    terminal.say(f"All {found.of} steps gave what they gave in the session.")
    return 0


def _compared(output: Output) -> str:
    if not output.differing:
        return "voxel by voxel as in the session"
    return f"{output.differing} of {output.voxels} voxels differ from those of the session"


def _steps(found: Replayed) -> str:
    return f"{found.steps} of {found.of} steps that gave what they gave in the session"
