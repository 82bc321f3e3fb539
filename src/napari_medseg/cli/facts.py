"""What a file holds and how it is read, for ``info``: images, labels, raw MR data, reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from ..errors import FileError, readable
from ..files import is_folder
from ..io import formats, kspace_out
from ..io.contributions import sampled
from ..io.dicom_list import ListedSeries, Listing, list_job
from ..io.kspace import foreign, is_kspace, read_kspace
from ..kspace import KSpace
from ..progress import run
from ..quantities import rounded
from ..recon.masked import acceleration_text, frames_text
from ..record import Record
from ..volume import LEVELS, LOW_IS_BRIGHT, Volume
from . import terminal

_DIRECTIONS = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
_MASK_FROM = {
    "file": "as the file says",
    "inferred": "as its zeros show",
    "generated": "by a mask that was drawn",
    "": "as its mask says",
}


@dataclass(frozen=True)
class Facts:
    """What is known of a file: for JSON, and for reading."""

    content: dict[str, Any]
    words: dict[str, str]


def of(path: Path, axes: str | None) -> Facts:
    """What is known of a file.

    Raises
    ------
    MedsegError
        If it cannot be read.
    """
    if is_kspace(path):
        return _of_kspace(path, read_kspace(path, axes=axes))
    if kspace_out.is_reconstruction(path):
        image, record = kspace_out.read_reconstruction(path)
        # the file does not say where the images lie
        volume = Volume(image, "tzyx"[-image.ndim :], metadata={"format": "HDF5", "has_spacing": False})
        return _of_volume(path, volume.made_by(record))
    if is_folder(path) and formats.recognise(path) is formats.DICOM:
        listing = run(list_job(path))
        # a single series is read, as everywhere else, if no folder has to be opened before
        alone = listing.only is not None and listing.only.files[0].parent == path
        if not alone and (listing.series or listing.unreadable):
            return _of_listing(listing)
        return _with_segmentations(_of_volume(path, _image(path, axes)), listing)
    facts = _of_volume(path, _image(path, axes))
    return _with_labels(facts, path) if formats.recognise(path) is formats.OME_ZARR else facts


def _with_labels(facts: Facts, store: Path) -> Facts:
    """What is known of the image of a store, and the labels that lie in it."""
    from ..io.ome_zarr import labels_in

    names = labels_in(store)
    if not names:
        return facts
    shown = ", ".join(map(readable, names))
    return Facts({**facts.content, "labels": names}, {**facts.words, "labels": shown})


def _with_segmentations(facts: Facts, listing: Listing) -> Facts:
    """What is known of the one series of a folder, and the segmentations that were made on it."""
    found = [file for entry in listing.series for file in entry.segmentations]
    if not found:
        return facts
    names = ", ".join(_under(listing.folder, file) for file in found)
    return Facts({**facts.content, "segmentations": list(map(str, found))}, {**facts.words, "segmentations": names})


def _image(path: Path, axes: str | None) -> Volume:
    """An image file, or why it is none; of raw data of a scanner what converts them."""
    try:
        return io.read(path, axes=axes, lazy=True)
    except FileError as error:
        sentence = foreign(path)
        if sentence:
            raise FileError(sentence) from error
        raise


def _of_listing(listing: Listing) -> Facts:
    """What is known of a folder with several series, or with files that cannot be read."""
    content = {
        "file": str(listing.folder),
        "series": [_series(entry) for entry in listing.series],
        "unreadable": [{"file": str(file.path), "reason": file.reason} for file in listing.unreadable],
    }
    several = f"{len(listing.series)} series"
    if listing.unreadable:
        several += f", {terminal.count(len(listing.unreadable), 'unreadable file')}"
    words = {"read as": f"DICOM: {several}. A series is read by the name of one of its files."}
    for number, entry in enumerate(listing.series, 1):
        first = _under(listing.folder, entry.files[0])
        facts = [entry.title, entry.series.modality, entry.size, entry.voxel, entry.series.time, first, entry.problem]
        words[f"series {number}"] = "; ".join(filter(None, facts))
    made_on: dict[Path, list[str]] = {}
    for number, entry in enumerate(listing.series, 1):
        for file in entry.segmentations:
            made_on.setdefault(file, []).append(str(number))
    for number, (file, series) in enumerate(made_on.items(), 1):
        words[f"segmentation {number}"] = f"{_under(listing.folder, file)}; made on series {' and '.join(series)}"
    for number, file in enumerate(listing.unreadable, 1):
        words[f"unreadable {number}"] = file.reason
    return Facts(content, words)


def _series(entry: ListedSeries) -> dict[str, Any]:
    times, slices, rows, columns = entry.shape
    return {
        **asdict(entry.series),
        "title": entry.title,
        "file": str(entry.files[0]),
        "files": len(entry.files),
        "times": times,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "spacing_mm": list(entry.spacing) or None,
        "problem": entry.problem or None,
        "segmentations": list(map(str, entry.segmentations)),
    }


def _under(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _of_kspace(path: Path, kspace: KSpace) -> Facts:
    rows, columns = kspace.matrix
    counted = [terminal.count(kspace.depth, "slice"), terminal.count(kspace.coils, "coil")]
    if kspace.frames > 1:
        counted.insert(0, terminal.count(kspace.frames, "frame"))
    measured, full = kspace.counted()
    encoded = "second phase encoding; slices lie across the readout" if kspace.metadata.get("across") else "readout"
    content = {
        "file": str(path),
        "read_as": f"raw MR data: {', '.join(counted)}, {rows} rows ({encoded}), {columns} columns (phase encoding)",
        "axes": "scyx",
        "shape": list(kspace.data.shape),
        "dtype": str(kspace.data.dtype),
        "measured_share": measured / full,
        "mask_from": kspace.mask_origin or None,
        "image_size": list(kspace.crop or kspace.matrix),
        "spacing_mm": kspace.spacing,
        "simulated": kspace.simulated,
        "metadata": kspace.metadata,
        "frames": kspace.frames,
        "notes": kspace.notes,
    }
    words = {
        "read as": content["read_as"],
        "format": str(kspace.metadata.get("format", "")),
        "measured": _measured(kspace),
        "image": "{} x {} pixels".format(*content["image_size"]),
        "voxel size": _size("zyx", kspace.spacing),
    }
    if kspace.metadata.get("frames"):
        words["frames"] = frames_text(kspace)
    if kspace.metadata.get("averages"):
        words["averages"] = f"{kspace.metadata['averages']}, their mean is taken"
    if kspace.notes:
        words["note"] = " ".join(kspace.notes)
    return Facts(content, words)


def _measured(kspace: KSpace) -> str:
    """How much of k-space was measured, and how that is known."""
    if kspace.mask is None and kspace.metadata.get("format") == "ISMRMRD":
        return "all of it"
    if kspace.mask is None:
        return "no sampling mask in the file, and none to be inferred"
    return f"{acceleration_text(kspace)}, {_MASK_FROM[kspace.mask_origin]}"


def _of_volume(path: Path, volume: Volume) -> Facts:
    # an image that stays on the disk would take as long to read as the disk needs
    whole = isinstance(volume.data, np.ndarray)
    values = volume.data if whole else sampled(volume.data)
    finite = values
    finite = finite[np.isfinite(finite)] if finite.dtype.kind == "f" else finite
    content = {
        "file": str(path),
        "read_as": _kind(volume),
        "axes": volume.axes,
        "shape": list(volume.data.shape),
        "dtype": str(volume.data.dtype),
        "minimum": finite.min() if finite.size else None,
        "maximum": finite.max() if finite.size else None,
        "not_finite": values.size - finite.size,
        "spacing_mm": list(volume.spacing) if volume.has_spacing else None,
        "origin_mm": list(volume.origin),
        "orientation": volume.orientation,
        "affine": volume.affine,
        "classes": [asdict(row) for row in volume.classes],
        "metadata": {key: value for key, value in volume.metadata.items() if key != LEVELS},
    }
    levels = [volume.data, *volume.metadata.get(LEVELS, ())]
    if not whole:
        content["sampled"] = True
        content["levels"] = [list(level.shape) for level in levels]
    return Facts(content, _in_words(content))


def _size(axes: str, spacing: Any) -> str:
    if not spacing:
        return "not known"
    lengths = [f"{axis} {mm:.4g}" for axis, mm in zip(axes, spacing, strict=True)]
    return f"{' x '.join(lengths)} mm"


def _kind(volume: Volume) -> str:
    """What a volume is, in words: ``time series of grey images: 20 time points, 256 rows, 256 columns``."""
    labels = volume.classes or volume.metadata.get("labels")
    colour = volume.axes.endswith("c")
    what = "grey image"
    if labels:
        what = "label image"
    elif colour:
        what = "colour image"
    names = {"t": "time point", "c": "channel", "z": "slice", "y": "row", "x": "column"}
    if colour:
        del names["c"]
    sizes = zip(volume.axes, volume.data.shape, strict=True)
    counted = [terminal.count(number, names[axis]) for axis, number in sizes if axis in names]
    return f"{what}: {', '.join(counted)}"


def _in_words(facts: dict[str, Any]) -> dict[str, str]:
    """The facts for reading."""
    spacing = facts["spacing_mm"]
    space = [axis for axis in facts["axes"] if axis in "zyx"]
    sizes = zip(facts["axes"], facts["shape"], strict=True)
    words = {
        "read as": facts["read_as"],
        "format": facts["metadata"].get("format", ""),
        "axes": " x ".join(f"{axis} {number}" for axis, number in sizes),
        "values": _values(facts),
    }
    if facts["metadata"].get("photometric") == LOW_IS_BRIGHT:
        words["values"] += f", low values are bright ({LOW_IS_BRIGHT})"
    if facts["metadata"].get("t_axis"):
        words["axes"] += f"; t is {facts['metadata']['t_axis']}"
    if len(facts.get("levels", ())) > 1:
        words["levels"] = "; ".join(" x ".join(map(str, shape)) for shape in facts["levels"])
    words["voxel size"] = _size("".join(space), spacing)
    if spacing and len(space) == 3:
        right, front, head = (rounded(mm, 2) for mm in facts["origin_mm"])
        words["first voxel"] = f"{right} right, {front} front, {head} head, in mm"
        ways = zip(space, facts["orientation"], strict=True)
        words["direction"] = ", ".join(f"{axis} to {_DIRECTIONS[letter]}" for axis, letter in ways)
    if facts["classes"]:
        words["classes"] = ", ".join(f"{row['id']} {row['name']}" for row in facts["classes"])
    if facts["metadata"].get("record"):
        words |= _making(facts["metadata"]["record"])
    return words


def _values(facts: Mapping[str, Any]) -> str:
    if facts["minimum"] is None:
        return f"{facts['dtype']}, none of them finite"
    text = f"{facts['dtype']}, {facts['minimum']:.6g} to {facts['maximum']:.6g}"
    if facts["not_finite"]:
        text += f", {facts['not_finite']} of them not finite"
    return f"{text} (in a sample of slices)" if facts.get("sampled") else text


def _making(record: Record) -> dict[str, str]:
    """How a file came to be, for reading."""
    models = [model.name for model in record.models]
    method = [] if models else [str(record.settings.get("method", ""))]
    parts = [record.what, *method, *models, record.time[:10]]
    text = ", ".join(part for part in parts if part)
    made = {}
    if text:
        made["made by"] = text
    if record.warnings:
        made["warnings"] = " ".join(record.warnings)
    if record.reviewed:
        made["reviewed"] = terminal.count(len(record.reviewed), "slice")
    return made
