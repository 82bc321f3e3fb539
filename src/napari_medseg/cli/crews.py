"""Who works on the files of a command: options, and the crew that they mean."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..options import whole_from
from .summaries import wanted

if TYPE_CHECKING:
    from ..runs.crew import Crew
    from ..runs.tasks import Task


def add_crew(parser: argparse.ArgumentParser) -> None:
    """What becomes of earlier outputs of a cohort, and who works on its files."""
    parser.add_argument("--resume", action="store_true", help="leave out what is finished and unchanged")
    text = "also make those outputs again that a person has changed or reviewed"
    parser.add_argument("--replace-edited", action="store_true", help=text)
    add_workers(parser)
    parser.add_argument(
        "--print-slurm", action="store_true", help="print a SLURM script that does this on a cluster, and end"
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Who works on the files of a command."""
    parser.add_argument(
        "--workers", type=whole_from(0), default=0, metavar="N", help="processes that share the files (default: none)"
    )
    parser.add_argument(
        "--threads", type=whole_from(0), default=0, metavar="N", help="of each process (default: cores shared out)"
    )
    parser.add_argument(
        "--memory-limit", type=float, default=0.0, metavar="GB", help="a worker that takes more fails its file"
    )
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="MINUTES", help="a worker that takes longer fails its file"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a dask cluster whose workers share the files, or its scheduler file"
    )


def whether(args: Namespace) -> dict[str, bool]:
    """What the options say of earlier outputs and of looks, as arguments of a `Task`."""
    return {"resume": args.resume, "replace_edited": args.replace_edited, "look": wanted(args)}


def crew_of(args: Namespace, tasks: Sequence[Task], *, network: bool) -> Crew:
    """Who does the work, by the options of a command.

    Parameters
    ----------
    args : argparse.Namespace
    tasks : sequence of Task
        What will be asked of it.
    network : bool
        Whether a network takes part, on the device of the options.

    Raises
    ------
    SettingsError
        If the options do not fit each other.
    """
    from ..runs.crew import here, local

    if args.scheduler:
        from ..runs.cluster import cluster

        if args.workers:
            raise SettingsError("--workers and --scheduler exclude each other. Choose one of them.")
        return cluster(args.scheduler, tasks, args.threads, args.memory_limit, args.timeout)
    if not args.workers:
        for name, limit in (("--memory-limit", args.memory_limit), ("--timeout", args.timeout)):
            if limit:
                raise SettingsError(f"Only worker processes are watched for {name}. Add --workers 1, or more.")
        if args.threads:
            import torch

            torch.set_num_threads(args.threads)
        return here()
    if network and args.workers > 1:
        from ..models.devices import choose_device

        device = choose_device(getattr(args, "device", "auto"))
        if device != "cpu":
            raise SettingsError(f"{args.workers} workers would share one '{device}' device. Add --device cpu.")
    return local(args.workers, args.threads, args.memory_limit, args.timeout)
