"""Where results go: names next to each other, no conflict with inputs, one run at a time, nothing half-written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .. import files
from ..errors import FileError, SettingsError
from ..io import formats
from .inputs import stem

HDF5 = (".h5", ".hdf5")
"""Endings of files that reconstructed images can be written to, and labels not."""


def suffix_of_labels(source: Path) -> str:
    """Ending of an image that is made of the image `source`."""
    kind = formats.recognise(source) if formats.is_store(source) else formats.named(source)
    return kind.labels_as if kind else formats.DICOM.labels_as


def suffix_of_images(source: Path) -> str:
    """Ending of images that are made of raw data: the layout of fastMRI's submissions."""
    return HDF5[0]


def place(
    sources: Sequence[Path],
    output: Path,
    kind: str = "",
    *,
    single: bool,
    suffix: Callable[[Path], str] = suffix_of_labels,
    also: tuple[str, ...] = (),
) -> list[Path]:
    """Decide where what is made of `sources` goes.

    Parameters
    ----------
    sources : sequence of pathlib.Path
    output : pathlib.Path
        A folder, which receives a file named after each source; may be a file if `single`.
    kind : str
        Added to the names in a folder.
    single : bool
        Whether one input was meant.
    suffix : callable
        Ending of what is made of a source.
    also : tuple of str
        Endings that a single file may have besides those of images.

    Raises
    ------
    SettingsError
        If a folder is expected, or a file cannot be of the kind its suffix says.
    """
    if is_folder(output):
        names = zip(unique_stems(sources), map(suffix, sources), strict=True)
        paths = [output / f"{name}{kind}{ending}" for name, ending in names]
        _refuse_twins(sources, paths)
        return paths
    if not single:
        raise SettingsError(f"There are several inputs, and '{output}' is a file name. Give a folder as output.")
    if output.suffix.lower() not in also:
        try:
            formats.writable(output)
        except FileError as error:
            raise SettingsError(str(error)) from error
    return [output] * len(sources)


def beside(output: Path, kind: str) -> Path:
    """Where another image of the same run goes: next to `output`, with its ending; .nii.gz where that is HDF5's.

    A folder stays as it is.
    """
    double = (ending for ending in (".nii.gz", ".ome.zarr") if output.name.endswith(ending))
    suffix = next(double, output.suffix)
    # the layout of fastMRI does not say where images lie
    ending = ".nii.gz" if suffix.lower() in HDF5 else suffix
    return output.with_name(f"{output.name.removesuffix(suffix)}_{kind}{ending}") if suffix else output


def is_folder(output: Path) -> bool:
    """Whether a person who names `output` means a folder of files; a store is one image."""
    kind = formats.named(output)
    if kind is not None and kind.markers:
        return False
    return files.is_folder(output) or not output.suffix


def refuse_conflicts(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Make sure that no output replaces an input or another output, or lies in a folder that is an input.

    Raises
    ------
    SettingsError
        Naming the file.
    """
    taken = {_identity(path): path for path in inputs}
    folders = {identity for identity, path in taken.items() if files.is_folder(path)}
    for path in outputs:
        identity = _identity(path)
        if identity in taken:
            raise SettingsError(f"'{path}' would replace '{taken[identity]}'. Choose another output.")
        if _identity(path.parent) in folders:
            raise SettingsError(
                f"'{path}' would lie in the input folder '{path.parent}', and the next run would take it for an image. "
                "Choose another folder."
            )
        taken[identity] = path


@contextmanager
def claimed(output: Path | None, paths: Iterable[Path]) -> Generator[None]:
    """Have the output folder to oneself, without what earlier runs left half-written in the folders of `paths`.

    A single output file is not locked: runs that write other files into its folder do no harm.

    Raises
    ------
    JobError
        If another run is writing there.
    FileError
        If the folder cannot be made or written to.
    """
    with files.lock(output) if output and is_folder(output) else nullcontext():
        known = list(paths)
        for folder in {path.parent for path in known}:
            files.sweep(folder)
        for path in known:
            files.put_back(path)
        yield


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    FileError
        If that is not possible.
    """
    files.refuse_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder '{folder}' cannot be made ({error.strerror}). Choose another.") from error


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for each path; where two coincide, their folders are added, and if need be the suffix."""
    names = [stem(path) for path in paths]
    folders = [path.absolute().parent.parts for path in paths]
    common = _common_levels(folders)
    with_folders = ["_".join((*folder[common:], name)) for folder, name in zip(folders, names, strict=True)]
    names = _longer_where_equal(names, with_folders)
    with_endings = [name + _ending(path) for name, path in zip(names, paths, strict=True)]
    return _longer_where_equal(names, with_endings)


def _refuse_twins(sources: Iterable[Path], paths: Iterable[Path]) -> None:
    """Make sure that no two sources get one path; some systems ignore the case of letters."""
    owners: dict[str, Path] = {}
    for source, path in zip(sources, paths, strict=True):
        other = owners.setdefault(str(path).casefold(), source)
        if other != source:
            raise SettingsError(
                f"The results of '{other}' and '{source}' would both be called '{path.name}'. "
                "Rename one of them, or give them outputs of their own."
            )


def _common_levels(folders: Sequence[tuple[str, ...]]) -> int:
    """Number of leading parts that all folders share."""
    common = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        common += 1
    return common


def _ending(path: Path) -> str:
    ending = path.name[len(stem(path)) :]
    return ending.replace(".", "_")


def _longer_where_equal(names: list[str], longer: list[str]) -> list[str]:
    count = Counter(name.casefold() for name in names)
    chosen = []
    for name, more in zip(names, longer, strict=True):
        equal = count[name.casefold()] > 1
        chosen.append(more if equal else name)
    return chosen


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = path.stat()
    except OSError:
        return os.path.normcase(files.real(path))
    return (status.st_dev, status.st_ino)
