"""What a record says of the inputs and outputs of a run: names, hashes and grids, never folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import FileError
from ..kspace import KSpace
from ..record import Item, file_hash, voxel_hash
from ..volume import Volume
from .formats import DICOM, is_dicom

_PAIRS = {".cfl": ".hdr", ".hdr": ".cfl"}  # BART keeps header and samples apart


def of_file(path: Path, role: str = "image") -> Item:
    """An image file or a DICOM series, without its grid; hashed if it can be read."""
    kind = DICOM.name if is_dicom(path) else ""
    return replace(_of_file(path, kind), role=role)


def of_volume(volume: Volume, role: str = "image") -> Item:
    """An image or labels that went into a run; hashed as far as file and memory allow."""
    record = volume.record
    source = Path(volume.metadata.get("source", ""))
    # what a run made of a scan still names the file of the scan, which is not its own
    made_of_it = record is not None and source.name in {item.name for item in record.inputs}
    known = Item() if made_of_it else _of_file(source, str(volume.metadata.get("format", "")))
    grid = of_result(volume, role)
    return replace(grid, name=known.name, kind=known.kind, bytes=known.bytes, sha256=known.sha256)


def of_labels(labels: Volume, classes: tuple[Mapping[str, Any], ...]) -> Item:
    """Labels that a run has made, with a row for each of their classes."""
    return replace(of_result(labels, "labels"), classes=classes)


def of_result(volume: Volume, role: str = "image") -> Item:
    """What a run has made, before it is saved."""
    affine = tuple(tuple(row) for row in volume.affine.tolist())
    shape = tuple(int(n) for n in volume.data.shape)
    return Item(role, voxels=_voxels(volume.data), axes=volume.axes, shape=shape, affine=affine)


def of_kspace(kspace: KSpace) -> tuple[Item, ...]:
    """The k-space that went into a run, and its mask where it has one."""
    kind = str(kspace.metadata.get("format", ""))
    source = Path(kspace.metadata.get("source", ""))
    # simulated samples are not those of the file that they were computed from
    known = Item(name=source.name, kind=kind) if kspace.simulated else _of_file(source, kind)
    shape = tuple(int(n) for n in kspace.data.shape)
    samples = Item("kspace", known.name, known.kind, known.bytes, known.sha256, _voxels(kspace.data), shape=shape)
    if kspace.mask is None:
        return (samples,)
    return samples, Item("mask", voxels=_voxels(kspace.mask), shape=kspace.mask.shape)


def _voxels(data: object) -> str:
    """Hash of an array in memory; empty for one that is read bit by bit, which would have to be read once more."""
    return voxel_hash(data) if isinstance(data, np.ndarray) else ""


def _of_file(path: Path, kind: str) -> Item:
    """Name, size and hash of a file or a DICOM series; without what cannot be read any more."""
    if not path.name:
        return Item()
    try:
        parts = _files(path, kind)
        for part in parts:
            files.refuse_special(part)
        size = sum(part.stat().st_size for part in parts)
        return Item(name=path.name, kind=kind, bytes=size, sha256=file_hash(*parts))
    except (OSError, FileError):
        return Item(name=path.name, kind=kind)


def _files(path: Path, kind: str) -> list[Path]:
    """The files that `path` stands for."""
    if kind == DICOM.name:
        from .dicom import series_files

        return series_files(path)
    partner = path.with_suffix(_PAIRS.get(path.suffix.lower(), path.suffix))
    return [path] if partner == path else [path, partner]
