"""Many files, one after the other: which inputs are meant, where results go, what failed."""

from __future__ import annotations

import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import io, options
from ..errors import FileError, MedsegError, SettingsError
from ..io import formats
from ..progress import Progress, run
from ..volume import Volume

if TYPE_CHECKING:
    from ..segmentation.inference import InferenceSettings
    from ..models import TrainedModel

FAILURES = (MedsegError, OSError, MemoryError, RuntimeError)
"""What one file may raise without stopping the others."""


@dataclass(frozen=True)
class Failure:
    """A file that could not be processed, and why."""

    file: str
    error: str

    @classmethod
    def of(cls, file: str | Path, error: Exception) -> Failure:
        """What to tell about `error`; those that are not ours are named by their kind."""
        text = str(error) if isinstance(error, MedsegError) else f"{type(error).__name__}: {error}"
        return cls(str(file), text)


@dataclass(frozen=True)
class Item:
    """One input and the files that are made of it."""

    source: Path
    labels: Path
    uncertainty: Path | None = None
    disagreement: Path | None = None

    def finished(self) -> bool:
        """Whether everything that is made of the input exists; files only ever appear complete."""
        return all(path.exists() for path in self.outputs())

    def outputs(self) -> list[Path]:
        """The files that are written."""
        return [path for path in (self.labels, self.uncertainty, self.disagreement) if path]

    def row(self) -> dict[str, Any]:
        """Row of the report."""
        extra = {"uncertainty": self.uncertainty, "disagreement": self.disagreement}
        return {"input": str(self.source), "output": str(self.labels)} | {
            kind: str(path) if path else None for kind, path in extra.items()
        }


def find_inputs(patterns: Iterable[str]) -> tuple[list[Path], list[Failure]]:
    """Files and DICOM folders that `patterns` mean, each once, and the patterns that mean nothing.

    Parameters
    ----------
    patterns : iterable of str
        Files, folders (one DICOM series is one input, otherwise every readable file directly inside), or globs.
    """
    sources: dict[Path, Path] = {}
    failures = []
    for pattern in patterns:
        paths = _meant(pattern)
        if not paths:
            reason = "holds no file that can be read" if os.path.exists(pattern) else "does not exist"
            failures.append(Failure(pattern, f"'{pattern}' {reason}. Give files, folders or a quoted glob."))
        for path in paths:
            sources.setdefault(path.resolve(), path)
    return _one_per_series(list(sources.values())), failures


def place(
    sources: Sequence[Path],
    output: Path,
    uncertainty: Path | None = None,
    disagreement: Path | None = None,
    *,
    single: bool,
) -> list[Item]:
    """Decide where the labels, and the images of uncertainty and disagreement, of `sources` go.

    Parameters
    ----------
    sources : sequence of pathlib.Path
    output, uncertainty, disagreement : pathlib.Path
        A folder, which receives a file named after each source; may be a file if `single`.
    single : bool
        Whether one input was meant.

    Raises
    ------
    SettingsError
        If a folder is needed, or a file cannot be of the kind its suffix says.
    """
    names = list(zip(_unique_stems(sources), map(_label_suffix, sources), strict=True))

    def targets(folder: Path | None, kind: str = "") -> list[Path] | list[None]:
        if folder is None:
            return [None] * len(names)
        return _targets(folder, [stem + kind + suffix for stem, suffix in names], single)

    places = targets(output), targets(uncertainty, "_uncertainty"), targets(disagreement, "_disagreement")
    return [Item(*row) for row in zip(sources, *places, strict=True)]


def refuse_conflicts(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Make sure that no output replaces an input or another output, or lies in a folder that was given as input.

    Raises
    ------
    SettingsError
        Naming the file.
    """
    taken = {_identity(path): path for path in inputs}
    folders = {identity for identity, path in taken.items() if path.is_dir()}
    for path in outputs:
        if (other := taken.get(_identity(path))) is not None:
            raise SettingsError(f"'{path}' would replace '{other}'. Choose another output.")
        if _identity(path.parent) in folders:
            raise SettingsError(
                f"'{path}' would lie in the input folder '{path.parent}', and the next run would take it for an image. "
                "Choose another folder."
            )
        taken[_identity(path)] = path


def segment_file(
    item: Item,
    models: Sequence[TrainedModel],
    settings: InferenceSettings,
    axes: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Segment one image and write what `item` asks for.

    Parameters
    ----------
    item : Item
    models : sequence of TrainedModel
        Several of them vote.
    settings : InferenceSettings
    axes : str, optional
        Names of the axes of the image, where the file does not tell them.
    on_progress : callable, optional
        Called with each step.

    Returns
    -------
    dict
        The row of the report.

    Raises
    ------
    MedsegError
        If the image cannot be read or segmented, or the result not written.
    """
    from ..segmentation import consensus, inference

    volume = io.read(item.source, axes=axes)
    if len(models) == 1:
        result = run(inference.segment_job(volume, models[0], settings), on_progress)
    else:
        result = run(consensus.consensus_job(volume, models, settings), on_progress)
    # the labels come last: where they exist, everything does
    for found, path in ((result.uncertainty, item.uncertainty), (result.disagreement, item.disagreement)):
        if found is not None and path is not None:
            _write(found, path)
    _write(result.labels, item.labels)
    common = ("version", "model", "models", "settings")
    return item.row() | {key: value for key, value in result.report.items() if key not in common}


def find_pairs(prediction: Path, reference: Path) -> tuple[list[tuple[Path, Path]], list[Failure]]:
    """Predictions with their references: two files, or the files of two folders that share a name but for the suffix.

    Raises
    ------
    SettingsError
        If one is a file and the other a folder of files, or a name occurs twice in a folder.
    """
    theirs, ours = (_by_name(path) for path in (reference, prediction))
    if (ours is None) != (theirs is None):
        raise SettingsError("Prediction and reference must both be files, or both be folders of files.")
    if ours is None or theirs is None:
        return [(prediction, reference)], []
    failures = [
        Failure(str(path), f"'{path.name}' has no partner of the same name in '{folder}'.")
        for side, other, folder in ((ours, theirs, reference), (theirs, ours, prediction))
        for name, path in side.items()
        if name not in other
    ]
    return [(path, theirs[name]) for name, path in ours.items() if name in theirs], failures


def command(
    settings: InferenceSettings,
    models: str | Sequence[str],
    inputs: Sequence[str | Path],
    output: str | Path,
    uncertainty: str | Path | None = None,
    axes: str | None = None,
    disagreement: str | Path | bool = True,
) -> str:
    """The command line that does the same as a run with `settings`, quoted for the shell.

    Parameters
    ----------
    settings : InferenceSettings
    models : str or sequence of str
        Name of the model, or of several that vote.
    inputs : sequence of path
    output : path
        Label file, or folder for several inputs.
    uncertainty : path, optional
        Used if `settings` asks for it; by default beside `output`.
    axes : str, optional
        Names of the array axes, where the file does not tell them.
    disagreement : path or bool
        Used with several models: by default beside `output`; False leaves it out.
    """
    names = [models] if isinstance(models, str) else models
    words = ["napari-medseg", "segment", *map(options.operand, inputs), "--output", options.operand(output)]
    words += [word for name in names for word in ("--model", name)]
    for option in fields(settings):
        value = getattr(settings, option.name)
        # several models have no uncertainty in common
        if value == option.default or (option.name == "uncertainty" and len(names) > 1):
            continue
        words.append("--" + option.name.replace("_", "-"))
        if option.name == "uncertainty":
            words.append(options.operand(uncertainty or _beside(Path(output), "uncertainty")))
        elif value is not True:
            words.append(str(value))
    if len(names) > 1 and disagreement:
        place = _beside(Path(output), "disagreement") if disagreement is True else disagreement
        words += ["--disagreement", options.operand(place)]
    if axes:
        words += ["--axes", axes]
    return options.join(words)


def _meant(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    found = [path] if path.is_dir() else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    return [inner for part in found for inner in (_inside(part) if part.is_dir() else [part] * bool(_kind(part)))]


def _inside(folder: Path) -> list[Path]:
    """What a folder stands for: itself if it is a DICOM series, otherwise its readable files."""
    try:
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    except OSError:
        return []
    kinds = {file: kind for file in files if (kind := _kind(file))}
    slices = [file for file, kind in kinds.items() if kind == "dicom"]
    return [folder] if slices and len(_one_per_series(slices)) == 1 else list(kinds)


def _one_per_series(files: list[Path]) -> list[Path]:
    """`files` without DICOM files of a series that another one stands for."""
    slices = [file for file in files if file.is_file() and _kind(file) == "dicom"]
    if len(slices) < 2:
        return files
    from ..io.dicom import one_per_series

    try:
        kept = set(one_per_series(slices))
    except FileError:
        # reading the first one tells what is wrong
        kept = {slices[0]}
    return [file for file in files if file in kept or file not in slices]


def _kind(file: Path) -> str:
    """The module that reads a file, empty if none does. A name that promises a format counts: reading tells why not."""
    promised = formats.named(file)
    try:
        return promised.module if promised else formats.recognise(file).module
    except FileError:
        return ""


def _stem(path: Path) -> str:
    """File name without suffix, ``.ome.tif`` being one; a folder's whole name."""
    return path.resolve().name if path.is_dir() else formats.stem(path).removesuffix(".ome")


def _unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for each path; where two coincide, their folders are added, and if need be the suffix."""
    names = [_stem(path) for path in paths]
    folders = [path.absolute().parent.parts for path in paths]
    common = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False)))
    names = _longer_where_equal(names, ["_".join((*f[common:], n)) for f, n in zip(folders, names, strict=True)])
    endings = [path.name[len(_stem(path)) :].replace(".", "_") for path in paths]
    return _longer_where_equal(names, [name + ending for name, ending in zip(names, endings, strict=True)])


def _longer_where_equal(names: list[str], longer: list[str]) -> list[str]:
    count = Counter(name.casefold() for name in names)
    return [more if count[name.casefold()] > 1 else name for name, more in zip(names, longer, strict=True)]


def _label_suffix(source: Path) -> str:
    kind = formats.named(source)
    return {"images": ".tif", "arrays": ".npz"}.get(kind.module if kind else "", ".nii.gz")


def _targets(output: Path, names: list[str], single: bool) -> list[Path]:
    if output.is_dir() or not output.suffix:
        return [output / name for name in names]
    if not single:
        raise SettingsError(f"There are several inputs, and '{output}' is a file name. Give a folder as output.")
    try:
        formats.writable(output)
    except FileError as error:
        raise SettingsError(str(error)) from error
    return [output] * len(names)


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = path.stat()
    except OSError:
        return os.path.normcase(path.resolve())
    return status.st_dev, status.st_ino


def _write(volume: Volume, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder '{path.parent}' cannot be made ({error.strerror}). Choose another.") from error
    io.write(volume, path)


def _by_name(folder: Path) -> dict[str, Path] | None:
    if not folder.exists():
        raise FileError(f"'{folder}' does not exist. Check the path.")
    files = _inside(folder) if folder.is_dir() else [folder]
    if files == [folder]:
        return None
    named = {_stem(path).casefold(): path for path in files}
    if len(named) < len(files):
        raise SettingsError(f"'{folder}' holds several files of one name that differ in suffix only. Keep one of each.")
    return named


def _beside(output: Path, kind: str) -> Path:
    suffix = "".join(output.suffixes[-2:]) if output.name.endswith(".nii.gz") else output.suffix
    return output.with_name(f"{output.name.removesuffix(suffix)}_{kind}{suffix}") if suffix else output
