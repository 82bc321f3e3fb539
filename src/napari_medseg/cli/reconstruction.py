"""``reconstruct`` and ``study``: raw or simulated k-space to images, tables and plots."""

from __future__ import annotations

import argparse
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError, ModelError, SettingsError
from . import terminal

if TYPE_CHECKING:
    from ..kspace import KSpace
    from ..recon.reconstruct import ReconSettings, Reconstruction
    from ..recon.sampling import Sampling

_MASK_FIELDS = {"mask": "kind", "acceleration": "acceleration", "center_fraction": "center_fraction"}
_MASK_FIELDS |= {"seed": "seed", "offset": "offset", "direction": "direction"}


def add_reconstruct(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``reconstruct``."""
    # options that are not given keep the defaults of ReconSettings
    unset = argparse.SUPPRESS
    _add_input(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help=".h5, .nii.gz, .nii, .tif, .npy or .npz"
    )
    parser.add_argument(
        "--method",
        required=True,
        metavar="NAME",
        help="zero-filled, tv, wavelet, sense, sense-tv, or a model that reconstructs",
    )
    parser.add_argument("--dc", choices=("none", "soft", "hard"), default=unset, help="data consistency afterwards")
    parser.add_argument("--dc-weight", type=float, default=unset, metavar="W", help="of the samples, with --dc soft")
    parser.add_argument("--strength", type=float, default=unset, metavar="S", help="of total variation or wavelets")
    parser.add_argument("--iterations", type=int, default=unset, metavar="N", help="of the method")
    _add_device(parser)
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="metrics, residual, mask, settings as JSON")


def add_methods(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``study methods``."""
    _add_input(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.csv", help="table")
    parser.add_argument(
        "--method",
        dest="methods",
        action="append",
        metavar="NAME",
        help="method to compare; given several times, several (default: all that fit the data)",
    )
    parser.add_argument("--slices", type=_whole_numbers, metavar="0,1,2", help="to look at (default: all)")
    _add_device(parser)
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="errors, also by slice, mask, settings as JSON"
    )


def _add_input(parser: argparse.ArgumentParser) -> None:
    """k-space and its mask."""
    # options that are not given keep the defaults of Sampling
    unset = argparse.SUPPRESS
    parser.add_argument("input", type=Path, metavar="IN", help="raw k-space; with --simulate an image")
    parser.add_argument(
        "--mask", default=unset, metavar="KIND", help="undersample: random, equispaced_fraction, poisson, ..."
    )
    parser.add_argument("--acceleration", type=float, default=unset, metavar="A", help="how many times")
    parser.add_argument("--center-fraction", type=float, default=unset, metavar="F", help="share of centre columns")
    parser.add_argument("--seed", type=int, default=unset, metavar="N", help="of the mask; default: from the file name")
    parser.add_argument("--offset", type=int, default=unset, metavar="N", help="first column of equal steps")
    parser.add_argument("--direction", choices=("x", "y"), default=unset, help="axis of the phase encoding")
    parser.add_argument("--mask-file", type=Path, metavar="F", help="undersample with this mask (.npy)")
    parser.add_argument("--axes", metavar="AXES", help="of raw data: s slice, c coil, y, x; of an image: as elsewhere")
    parser.add_argument("--conjugate", action="store_true", help="take the conjugate k-space: cures mirrored images")
    parser.add_argument("--simulate", action="store_true", help="IN is an image: simulate its k-space")


def _add_device(parser: argparse.ArgumentParser) -> None:
    choices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=choices, default=argparse.SUPPRESS, help="where a network runs")


def add_study(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``study acceleration``."""
    unset = argparse.SUPPRESS
    parser.add_argument("input", type=Path, metavar="IN", help="image to simulate k-space of")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.csv", help="table")
    parser.add_argument("--model", required=True, metavar="NAME", help="model that segments")
    parser.add_argument("--method", default="tv", metavar="NAME", help="how to reconstruct (default: tv)")
    parser.add_argument(
        "--accelerations", type=_numbers, default=unset, metavar="1,2,4", help="default: 1,2,3,4,5,6,8,10,12"
    )
    parser.add_argument("--mask", dest="kind", default=unset, metavar="KIND", help="default: equispaced_fraction")
    parser.add_argument("--direction", choices=("x", "y"), default=unset, help="axis of the phase encoding")
    parser.add_argument("--seed", type=int, default=unset, metavar="N", help="of phase, noise and masks")
    parser.add_argument("--axes", metavar="AXES", help="names of the array axes where the file does not tell them")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw Dice and volume over acceleration")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="everything as JSON")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as 1,2,4") from error


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers such as 0,1,2")
    return [int(part) for part in parts]


def _given(args: Namespace, kind: type) -> Any:
    """`kind` from the arguments of its fields' names; what was not given keeps its default."""
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind) if field.name in args})


def reconstruct(args: Namespace) -> int:
    """``napari-medseg reconstruct``."""
    from ..progress import run
    from ..recon.methods import model_of
    from ..recon.reconstruct import ReconSettings, reconstruct_job
    from ..runs.cohort import refuse_conflicts

    refuse_conflicts([args.input], [args.output])
    refuse_conflicts([args.input, args.output], [args.report] if args.report else [])
    settings = _given(args, ReconSettings)
    kspace = _sampled(args)
    model = model_of(settings.method)
    with terminal.Meter(args.input.name, "slice") as meter:
        result = run(reconstruct_job(kspace, settings, model=model), meter)
    _write(args.output, result)
    if args.report:
        from .report import write_json

        write_json(args.report, {"input": str(args.input), "output": str(args.output), **result.report})
    _tell(args.output, result, settings)
    return 0


def _sampled(args: Namespace) -> KSpace:
    from ..recon.reconstruct import sampled
    from ..recon.sampling import load_mask

    sampling, mask = _sampling(args), load_mask(args.mask_file) if args.mask_file else None
    if sampling and mask is not None:
        raise SettingsError("Both --mask and --mask-file were given. Choose one of them.")
    return sampled(_open(args), sampling, mask)


def _sampling(args: Namespace) -> Sampling | None:
    from ..recon.sampling import Sampling

    given = {name: getattr(args, option) for option, name in _MASK_FIELDS.items() if option in args}
    if given and "kind" not in given:
        raise SettingsError("Options of a mask were given without its kind. Add --mask random, for example.")
    return Sampling(**given) if given else None


def _open(args: Namespace) -> KSpace:
    from .. import io
    from ..io.kspace import is_kspace, read_kspace
    from ..recon.simulate import scan

    if args.simulate:
        return scan(io.read(args.input, axes=args.axes))
    if not is_kspace(args.input) and args.axes is None and args.input.exists() and _is_image(args.input):
        raise SettingsError(f"'{args.input.name}' is an image, no k-space. Add --simulate to simulate its k-space.")
    return read_kspace(args.input, axes=args.axes, conjugate=args.conjugate)


def _is_image(path: Path) -> bool:
    from ..io.formats import recognise

    try:
        return path.is_dir() or recognise(path).module != "arrays"
    except FileError:
        return False


def _write(path: Path, result: Reconstruction) -> None:
    from .. import io
    from ..io.kspace_out import write_reconstruction

    if path.suffix.lower() in (".h5", ".hdf5"):
        write_reconstruction(path, result.image.data, result.report)
    else:
        io.write(result.image, path)


def _tell(path: Path, result: Reconstruction, settings: ReconSettings) -> None:
    report = result.report
    words = "simulated k-space, " if report["simulated"] else ""
    acceleration = report["mask"]["effective_acceleration"]
    terminal.say(
        f"{path}: {terminal.count(len(report['slices']), 'slice')}, {words}{acceleration:.2f}x, {settings.method}, "
        f"data residual {result.residual:.4f}"
    )
    if report["metrics"]:
        rows = [["", "NMSE", "PSNR (dB)", "SSIM", "MAE / max"]]
        for name, row in report["metrics"].items():
            rows.append([name, *(_number(row[key]) for key in ("nmse", "psnr", "ssim", "mae_share"))])
        terminal.say(terminal.table(rows))
        terminal.say(report["convention"])
    for text in report["warnings"]:
        terminal.complain(text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def study(args: Namespace) -> int:
    """``napari-medseg study acceleration``."""
    from .. import io, models
    from ..progress import run
    from ..recon.export import save_plot, save_table
    from ..recon.methods import model_of
    from ..recon.reconstruct import ReconSettings
    from ..runs.cohort import refuse_conflicts
    from ..runs.study import StudySettings, acceleration_job, plot

    outputs = [path for path in (args.output, args.plot, args.report) if path]
    for place, path in enumerate(outputs):
        refuse_conflicts([args.input, *outputs[:place]], [path])
    settings, recon = _given(args, StudySettings), ReconSettings(args.method)
    job = acceleration_job(
        io.read(args.input, axes=args.axes),
        models.load(models.find(args.model)),
        settings,
        recon,
        reconstructor=model_of(args.method),
    )
    with terminal.Meter(args.input.name, "acceleration") as meter:
        result = run(job, meter)
    save_table(args.output, result.table())
    terminal.say(terminal.table(result.table()))
    terminal.say("The k-space was simulated from the image: real measurements fare worse.")
    if args.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        plot(result.rows, figure, title=f"{args.input.name}: {args.model} after {args.method}")
        save_plot(args.plot, figure)
    if args.report:
        from .report import write_json

        write_json(args.report, result.report)
    return 0


def compare_methods(args: Namespace) -> int:
    """``napari-medseg study methods``."""
    from ..progress import run
    from ..recon.export import save_table
    from ..recon.methods import model_of
    from ..recon.reconstruct import ReconSettings
    from ..recon.suggest import hint_job
    from ..runs.cohort import refuse_conflicts

    refuse_conflicts([args.input], [args.output])
    refuse_conflicts([args.input, args.output], [args.report] if args.report else [])
    kspace = _sampled(args)
    device = {"device": args.device} if "device" in args else {}
    names = [name for name in args.methods or _fitting(kspace) if name != "zero-filled"]  # its error is known
    candidates = [(ReconSettings(name, **device), model_of(name)) for name in names]
    with terminal.Meter(args.input.name, "reconstruction") as meter:
        found = run(hint_job(kspace, candidates, indices=args.slices), meter)
    rows = [["method", "error"], *([name, f"{error:.4f}"] for name, error in (*found.rows, ("zero-filled", 1.0)))]
    save_table(args.output, rows)
    words = "simulated k-space, " if kspace.simulated else ""
    terminal.say(
        f"{args.output}: {terminal.count(len(found.report['slices']), 'slice')}, {words}{found.acceleration:.2f}x"
    )
    terminal.say(terminal.table(rows))
    terminal.say(found.verdict)
    terminal.complain(found.caution)
    if args.report:
        from .report import write_json

        write_json(args.report, {"input": str(args.input), "output": str(args.output), **found.report})
    return 0


def _fitting(kspace: KSpace) -> list[str]:
    """Names of the methods that can be compared on `kspace`; a model that is damaged is told and left out."""
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
