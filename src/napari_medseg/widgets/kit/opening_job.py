"""Jobs that read scans for the docks: files and folders of any kind, to layers that are not in a viewer yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import io
from ...errors import FileError, MedsegError, readable
from ...files import is_folder
from ...io import contributions, formats
from ...io.contributions import LayerData, layer_tuple, layers_of
from ...io.dicom import one_per_series
from ...io.dicom_frames import frames_of, without_image
from ...io.dicom_list import ListedSeries, Listing, list_job, picture, read_with_labels
from ...progress import Job, Progress
from ...recon import contributions as raw_data
from .jobs import failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opened:
    """What came of several files and folders.

    Parameters
    ----------
    layers : tuple of tuple
        As napari's ``Layer.create`` takes them.
    paths : tuple of pathlib.Path
        Files and folders that they came from.
    choices : tuple of Listing
        Folders with several series, or with files that cannot be read, for the person to choose from.
    problems : tuple of str
        Why the others could not be opened, in sentences.
    """

    layers: tuple[LayerData, ...] = ()
    paths: tuple[Path, ...] = ()
    choices: tuple[Listing, ...] = ()
    problems: tuple[str, ...] = ()


def open_job(paths: Sequence[Path]) -> Job[Opened]:
    """Read files and folders; each step says in its ``partial`` what is under way. One that fails stops no other."""
    layers: list[LayerData] = []
    opened: list[Path] = []
    choices: list[Listing] = []
    problems: list[str] = []
    chosen = _each_series_once(paths, problems)
    for number, path in enumerate(chosen):
        yield Progress(number, len(chosen), f"Opening '{path.name}'…")
        try:
            found = (yield from _folder(path)) if is_folder(path) else _file(path)
        except GeneratorExit:
            raise
        except Exception as error:
            problems.append(_sentence(path.name, error))
            continue
        if isinstance(found, Listing):
            choices.append(found)
        else:
            layers += found
            opened.append(path)
    return Opened(tuple(layers), tuple(opened), tuple(choices), tuple(problems))


def chosen_job(folder: Path, chosen: Sequence[ListedSeries]) -> Job[Opened]:
    """Read series that the person has chosen from the list of a folder."""
    layers: list[LayerData] = []
    problems: list[str] = []
    for number, series in enumerate(chosen):
        yield Progress(number, len(chosen), f"Opening '{series.title}'…")
        try:
            layers += layers_of(read_with_labels(series), series.title)
        except Exception as error:
            problems.append(_sentence(series.title, error))
    return Opened(tuple(layers), (folder,) if layers else (), (), tuple(problems))


def pictures_job(listing: Listing) -> Job[None]:
    """The pictures of all series of a list; ``partial`` is (number of the series, picture or None)."""
    for number, series in enumerate(listing.series):
        yield Progress(number, len(listing.series), (number, _picture(series)))


def _picture(series: ListedSeries) -> np.ndarray | None:
    try:
        return picture(series)
    except (MedsegError, OSError) as error:  # opening the series says it
        _log.info("No picture of '%s': %s", series.title, error)
        return None


def _each_series_once(paths: Sequence[Path], problems: list[str]) -> list[Path]:
    """The paths, of the files of one DICOM series the first: a person marks all files of a folder."""
    chosen = list(dict.fromkeys(paths))
    slices = [path for path in chosen if _is_slice(path)]
    if len(slices) < 2:
        return chosen
    try:
        kept = set(one_per_series(slices))
        # the others are either of these series or hold no image
        problems += [without_image(path) for path in slices if path not in kept and not frames_of(path)]
    except MedsegError as error:
        problems.append(str(error))
        kept = set()
    return [path for path in chosen if path in kept or path not in slices]


def _is_slice(path: Path) -> bool:
    """Whether a file may be an image of a series; segmentations are opened one by one."""
    return not is_folder(path) and formats.is_dicom(path) and formats.recognise(path) is formats.DICOM


def _folder(path: Path) -> Job[list[LayerData] | Listing]:
    """The layers of a folder, or its list where the person has to choose."""
    if formats.recognise(path) is not formats.DICOM:
        return _file(path)
    job = list_job(path)
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            listing: Listing = end.value
            break
        text = f"Looking through '{path.name}': {step.done} of {step.total} files"
        yield Progress(step.done, step.total, text)
    only = listing.only
    if only is not None:
        yield Progress(0, 1, f"Opening '{path.name}'…")
        return layers_of(read_with_labels(only), readable(path.name))
    if listing.series:
        return listing
    if listing.unreadable:
        first = listing.unreadable[0].reason
        more = len(listing.unreadable) - 1
        raise FileError(f"{first} ({more} more files of the folder cannot be read.)" if more else first)
    return _file(path)


def _file(path: Path) -> list[LayerData]:
    for room in (contributions, raw_data):
        reader = room.get_reader(str(path))
        if reader is not None:
            return reader(str(path))
    # what no reader wants has a sentence that says why
    return [layer_tuple(io.read(path, lazy=True), readable(formats.stem(path)))]


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, MedsegError):
        return str(error)
    _log.exception("'%s' cannot be opened", name)
    return failure(f"Opening '{name}'", error)
