"""`entries`: everything that a `Source` names, one case at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileError, SettingsError
from ...files import is_file, is_folder
from ...io import formats
from ...io.dicom import series_files
from ...label_values import whole_labels
from . import folders, pairs
from .layouts import LAYOUTS
from .sources import Case, Entry, Source, npz_arrays, unlabelled

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def entries(source: Source, root: Path) -> Iterator[Entry]:
    """Read `source`; files are opened one after the other, and those that `Source.select` leaves out not at all.

    Parameters
    ----------
    source : Source
    root : pathlib.Path
        Folder that relative paths start from.

    Raises
    ------
    FileError, SettingsError, VolumeError
        If it is missing or damaged, an option does not fit, image and labels do not, or these are not whole numbers.
    """
    for entry in _found(root / source.path, source):
        _check_fit(entry)
        if source.label:
            _check_labels(entry)
        image = _grey(entry) if source.grey else entry.image
        yield replace(entry, image=image, unlabelled=source.unlabelled)


def files_of(source: Source, root: Path) -> list[Path]:
    """The files that `entries` reads, sorted; of a DICOM series all of them.

    Raises
    ------
    FileError, SettingsError
        If the source is missing, or its cases cannot be found.
    """
    path = root / source.path
    if not _is_folder(path, source):
        return [path]
    found: set[Path] = set()
    for case in _cases(path, source):
        for part in case.files:
            # layouts read DICOM files one by one
            whole = part.is_dir() or (not source.layout and formats.is_dicom(part))
            found.update(series_files(part) if whole else [part])
    return sorted(found)


def _found(path: Path, source: Source) -> Iterator[Entry]:
    if _is_folder(path, source):
        yield from _from_folder(path, source)
    else:
        yield from _from_npz(path, source)


def _is_folder(path: Path, source: Source) -> bool:
    """Whether a source is a folder; if not, it is an npz file.

    Raises
    ------
    FileError, SettingsError
        If it is neither, or an option does not fit.
    """
    if source.layout and source.layout not in LAYOUTS:
        raise SettingsError(f"The layout '{source.layout}' does not exist; choose one of {', '.join(LAYOUTS)}.")
    if is_folder(path):
        return True
    if path.suffix.lower() != ".npz" or not is_file(path) or source.layout:
        needed = "a folder" if source.layout else "an .npz file or a folder with images/ and labels/"
        raise FileError(f"'{path}' is not a data set; expected {needed}.")
    if source.split:
        raise SettingsError(f"'{path.name}' has no splits. Use 'select' in place of 'split'.")
    return False


def _cases(path: Path, source: Source) -> Iterator[Case]:
    """The cases of a folder that `Source.select` keeps."""
    if unknown := {*source.select, *source.repeat} - {"case", "group"}:
        raise SettingsError(
            f"'{path}' is a folder, which 'select' and 'repeat' know by case and group, not by {', '.join(unknown)}."
        )
    for case in _finder(path, source)(path, source):
        values = {"case": case.name, "group": case.group}
        if all(values[key] in chosen for key, chosen in source.select.items()):
            yield case


def _finder(path: Path, source: Source) -> Callable[[Path, Source], Iterator[Case]]:
    if source.layout:
        return LAYOUTS[source.layout]
    return folders.listed if folders.is_listed(path) else pairs.paired


def _from_folder(path: Path, source: Source) -> Iterator[Entry]:
    for case in _cases(path, source):
        values = {"case": case.name, "group": case.group}
        entry = case.read()
        if not source.label:
            entry = replace(entry, labels=unlabelled(entry.labels.shape), reviewed=None, ignore=None)
        ignore = source.ignore if entry.ignore is None else entry.ignore
        spacing = entry.spacing or _fitting(source.spacing, entry)
        repeat = _repeat(source.repeat, values)
        remarks = (*entry.remarks, *case.remarks)
        yield replace(entry, group=case.group, repeat=repeat, ignore=ignore, spacing=spacing, remarks=remarks)


def _fitting(spacing: tuple[float, ...] | None, entry: Entry) -> tuple[float, ...] | None:
    return tuple(spacing[-entry.labels.ndim :]) if spacing else None


def _repeat(tables: Mapping[str, Mapping[str, int]], values: Mapping[str, Any]) -> int:
    return max([1, *(table.get(str(values[key]), 1) for key, table in tables.items())])


def _from_npz(path: Path, source: Source) -> Iterator[Entry]:
    single = {source.image, source.label, source.case, source.group, source.objects, source.shape, source.frame}
    arrays = npz_arrays(path, (single | {*source.select, *source.repeat}) - {""})
    _check_kinds(path, source, arrays)
    images = arrays[source.image]
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != len(images):
            raise SettingsError(
                f"'{path.name}': the array {name} {array.shape} does not fit the images {images.shape}."
            )
    for index in range(len(images)):
        row = {name: array[index] for name, array in arrays.items()}
        if not any(row[key] not in values for key, values in source.select.items()):
            yield _from_row(row, source, path, index)


def _check_kinds(path: Path, source: Source, arrays: Mapping[str, np.ndarray]) -> None:
    """Make sure that the arrays of an npz file have the types and axes of what they are said to be."""
    expected = {name: (1, 1, "biufSU") for name in (source.case, source.group, *source.select, *source.repeat)}
    expected |= {
        source.frame: (1, 1, "iuf"),
        source.shape: (2, 2, "iuf"),
        source.image: (3, 5, "biuf"),
        source.label: (3, 4, "biuf"),
        source.objects: (3, 4, "biuf"),
    }
    for name in expected.keys() & arrays.keys():
        fewest, most, kinds = expected[name]
        array = arrays[name]
        if not fewest <= array.ndim <= most or array.dtype.kind not in kinds:
            axes = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            what = "texts or numbers" if "U" in kinds else "numbers"
            raise SettingsError(
                f"'{path.name}': the array {name} {array.shape} is of type {array.dtype}; expected {what} and {axes} "
                "axes. Save it again."
            )
        if name in (source.frame, source.shape) and not np.isfinite(array).all():
            raise SettingsError(f"'{path.name}': the array {name} holds numbers that are not finite. Save it again.")


def _from_row(row: Mapping[str, Any], source: Source, path: Path, index: int) -> Entry:
    """Entry `index` of the npz file `path`, of which `row` holds all arrays at that place."""
    image, objects = row[source.image], row[source.objects] if source.objects else None
    label = row[source.label] if source.label else unlabelled(_plane(image))
    if source.beside:
        part = _beside(label > 0, source.beside)
        image, label = image[part], np.zeros_like(label[part])
        if not label.size:
            raise SettingsError(f"'{path.name}': entry {index} has no room next to its objects. Lower 'beside'.")
    if source.shape:
        inner = tuple(slice(0, int(n)) for n in row[source.shape])
        image, label, objects = image[inner], label[inner], None if objects is None else objects[inner]
    if source.axes == "xyz":
        image, label, objects = image.T, label.T, None if objects is None else objects.T
    spacing = tuple(source.spacing) if source.spacing else None
    if source.along != "z":
        image, label = _along(image, source), _along(label, source)
        objects = None if objects is None else _along(objects, source)
        spacing = spacing and _turned(spacing, source)
    case = str(row[source.case]) if source.case else f"{path.stem}-{index}"
    frame = int(row[source.frame]) if source.frame else 0
    return Entry(
        image,
        label,
        case,
        group=str(row[source.group]) if source.group else "",
        name=f"{path}-{index}",
        repeat=_repeat(source.repeat, row),
        spacing=spacing,
        objects=objects,
        stack=(case, frame % source.stride) if source.frame else None,
        frame=frame,
        step=source.stride,
        ignore=source.ignore,
    )


def _grey(entry: Entry) -> np.ndarray:
    """The image without its colours, in its own type."""
    image = entry.image
    if image.ndim == entry.labels.ndim:
        return image
    luma = image @ _LUMA
    return luma.round().astype(image.dtype) if image.dtype.kind in "iu" else luma.astype(image.dtype)


def _along(array: np.ndarray, source: Source) -> np.ndarray:
    """A volume (z, y, x) with the axis of its slices in front, the others in their order."""
    if array.ndim != 3 or source.along not in "zyx":
        raise SettingsError(
            f"'{source.path}': slices along '{source.along}' were asked for in an array with {array.ndim} axes; "
            "expected z, y or x, and volumes."
        )
    return np.moveaxis(array, "zyx".index(source.along), 0)


def _turned(spacing: tuple[float, ...], source: Source) -> tuple[float, ...]:
    """The spacing of `_along`."""
    first = "zyx".index(source.along)
    return (spacing[first], *spacing[:first], *spacing[first + 1 :])


def _check_fit(entry: Entry) -> None:
    image, labels, objects = entry.image, entry.labels, entry.objects
    if labels.ndim < 2 or image.shape not in (labels.shape, (*labels.shape, 3)):
        raise SettingsError(
            f"Case '{entry.case}': image {image.shape} and labels {labels.shape} do not fit; "
            "expected equal shapes, or three colours at the end of the image's."
        )
    if objects is not None and objects.shape != labels.shape:
        raise SettingsError(f"Case '{entry.case}': labels {labels.shape} and objects {objects.shape} do not fit.")


def _check_labels(entry: Entry) -> None:
    """Refuse what is not a mask: probabilities, NaN, noise. What is ignored may hold anything."""
    labels = entry.labels
    if entry.ignore is not None or entry.reviewed is not None:
        labels = np.where(entry.ignored(), 0, labels)
    whole_labels(labels, f"The mask of case '{entry.case}'")


def _beside(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The largest rectangle of a slice that lies above, below, left or right of the objects of `mask` (y, x)."""
    whole = slice(None)
    if not mask.any():
        return whole, whole
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0))
    parts = [
        (slice(0, max(top - margin, 0)), whole),
        (slice(bottom + 1 + margin, None), whole),
        (whole, slice(0, max(left - margin, 0))),
        (whole, slice(right + 1 + margin, None)),
    ]
    return max(parts, key=lambda part: mask[part].size)


def _plane(image: np.ndarray) -> tuple[int, ...]:
    return image.shape[:-1] if image.shape[-1] == 3 else image.shape
