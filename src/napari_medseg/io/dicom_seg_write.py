"""DICOM segmentations, written: labels on the grid of the images that they were made on, for viewers of hospitals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.uid import UID
from pydicom.config import disable_value_validation
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from .. import files
from ..errors import FileError, VolumeError
from ..reference import KEY as REFERENCE
from ..reference import Reference
from ..slice_states import EDITED, expand
from ..slice_states import KEY as SLICES
from ..version import __version__
from ..volume import Volume
from . import formats, regrid
from .dicom_segments import CREATOR, ELEMENT, GROUP, Maker, described, numbers_of
from .dicom_stand_ins import Images, images_of, refer, series_number
from .notes import is_labels, shaped_text
from .regrid import Grid

MODEL = "napari-medseg"
"""What our files say that they were made with."""

_MOST_SEGMENTS = 2**16 - 1
_MOST_OF_LABEL_MAP = 2**16 - 1


@dataclass(frozen=True, eq=False)
class Fitted:
    """Labels on the grid of the images that they were made on.

    Parameters
    ----------
    volume : Volume
        As the file will hold it.
    images : Images
    notes : tuple of str
        What was done to the labels, or is not right with the images, in sentences.
    """

    volume: Volume
    images: Images
    notes: tuple[str, ...]


def fitted(volume: Volume, path: Path, reference: str | Path | None = None) -> Fitted:
    """Put labels onto the grid of the images that they were made on.

    Labels on this grid, on a part of it or on one with other directions of the axes stay as they are. Others are
    resampled, because most viewers show only what lies on the grid of the images; a note says so.

    Parameters
    ----------
    volume : Volume
        Labels.
    path : pathlib.Path
        The file that is to be written, for messages.
    reference : str or pathlib.Path, optional
        Folder or file of the series; without it, the one that the labels remember.

    Raises
    ------
    VolumeError
        If they are not labels, or of several time points.
    FileError
        If there are no images, or the labels do not lie on them.
    """
    _check_labels(volume)
    images = images_of(reference_of(volume, path, reference))
    data = np.asarray(volume.data).reshape(volume.data.shape[-3:] if "z" in volume.axes else (1, *volume.data.shape))
    placed, notes, same = _placed(volume, data, images)
    flat = "z" not in volume.axes and images.grid.shape[0] == 1
    axes = "yx" if flat else "zyx"
    origin = Reference(images.series_uid, images.path, _phase(volume))
    metadata = {**volume.metadata, REFERENCE: origin, "has_spacing": True}
    found = replace(volume, data=placed[0] if flat else placed, axes=axes, affine=images.grid.affine, metadata=metadata)
    if not same:
        found, more = _without_review(found)
        notes = (*notes, *more)
    return Fitted(found, images, (*notes, *images.notes))


def save(volume: Volume, path: Path, images: Images, *, label_map: bool = False) -> None:
    """Write labels that lie on the grid of their images.

    Parameters
    ----------
    volume : Volume
        Of `Fitted`.
    path : pathlib.Path
    images : Images
        Of `Fitted`.
    label_map : bool
        Write one image of numbers, compressed, in place of one mask per class: far smaller, but older viewers do not
        read it.

    Raises
    ------
    VolumeError
        If there are more classes than the format can count.
    """
    data = np.asarray(volume.data).reshape(images.grid.shape)
    present = [int(number) for number in np.unique(data)]
    rows = numbers_of(volume, present)
    ids = [row.id for row in rows]
    if len(ids) > _MOST_SEGMENTS or (label_map and max(ids) > _MOST_OF_LABEL_MAP):
        raise VolumeError(
            f"The labels have {len(ids)} numbers up to {max(ids)}; DICOM segmentations count to {_MOST_SEGMENTS}. "
            "Save as .nii.gz or .seg.nrrd."
        )
    numbers = ids if label_map else list(range(1, len(ids) + 1))
    maker = _maker(volume)
    segments = [described(number, row, maker) for number, row in zip(numbers, rows, strict=True)]
    frames = _numbered(data, dict(zip(ids, numbers, strict=True)))
    # highdicom warns of what the images say of the patient
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = _made(frames, segments, images, label_map=label_map)
        refer(dataset, images)
        dataset.SeriesDescription = (maker.name or "napari-medseg labels")[:64]
        dataset.private_block(GROUP, CREATOR, create=True).add_new(ELEMENT, "UT", shaped_text(volume))
        dataset.save_as(path)


def _made(frames: np.ndarray, segments: list[SegmentDescription], images: Images, *, label_map: bool) -> Segmentation:
    return Segmentation(
        images.stand_ins,
        frames,
        "LABELMAP" if label_map else "BINARY",
        segments,
        series_instance_uid=UID(),
        series_number=series_number(images),
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MODEL,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number="1",
        content_description="Labels of images",
        # dcmqi takes JPEG-LS for lossy and refuses it
        transfer_syntax_uid=RLELossless if label_map else ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )


def _check_labels(volume: Volume) -> None:
    if not is_labels(volume):
        raise VolumeError(
            "DICOM segmentations hold labels; this is an image. Save it as .nii.gz, or mark it as labels first."
        )
    for axis, what in (("t", "time points"), ("c", "channels")):
        if axis in volume.axes:
            count = volume.data.shape[volume.axes.index(axis)]
            raise VolumeError(
                f"The labels have {count} {what}; a DICOM segmentation holds one volume. Select one of them and save "
                "it, or save all as .nii.gz."
            )


def reference_of(volume: Volume, path: Path, given: str | Path | None = None) -> Reference:
    """The images that labels were made on: those given, else those that they, or the image they are made of, remember.

    Raises
    ------
    FileError
        If there are none, or `path` is one of such images.
    """
    if files.is_file(path) and formats.is_dicom(path) and formats.recognise(path) is not formats.DICOM_SEG:
        raise FileError(f"'{path.name}' is a DICOM file and not a segmentation; it would be lost. Choose another name.")
    known = volume.metadata.get(REFERENCE)
    phase = known.phase if isinstance(known, Reference) else None
    if given is not None:
        return Reference("", str(given), phase)
    if isinstance(known, Reference) and Path(known.path).exists():
        return known
    missing = f" (they lay in '{Path(known.path).name}')" if isinstance(known, Reference) else ""
    raise FileError(
        f"'{path.name}' needs the images it was drawn on{missing}. Open their DICOM series and choose it as the "
        "image (in a command: --reference FOLDER), or save as .nii.gz or .seg.nrrd."
    )


def _phase(volume: Volume) -> int | None:
    known = volume.metadata.get(REFERENCE)
    return known.phase if isinstance(known, Reference) else None


def _placed(volume: Volume, data: np.ndarray, images: Images) -> tuple[np.ndarray, tuple[str, ...], bool]:
    """The labels on the grid of the images, notes, and whether every slice is where it was."""
    target = images.grid
    if not volume.has_spacing and data.shape == target.shape:
        note = f"The labels have no voxel size; they are taken to lie on '{images.name}' voxel by voxel."
        return data, (note,), True
    own = Grid(volume.affine, data.shape)
    shift = regrid.shift(own, target)
    if shift is not None:
        moved = regrid.moved(data, shift, target.shape)
        if moved is not None:
            return moved, (), shift.is_none and data.shape == target.shape
    apart = regrid.beyond(data, own, target)
    if apart > 0:
        raise FileError(
            f"The labels ({_size(own)}) do not lie on the images in '{images.name}' ({_size(target)}): they reach "
            f"{apart:.3g} mm beyond them. Choose the series they were made on."
        )
    resampled = regrid.resampled(data, own, target)
    return resampled, (_resampled_note(volume, data, resampled, own, images),), False


def _resampled_note(volume: Volume, before: np.ndarray, after: np.ndarray, own: Grid, images: Images) -> str:
    note = (
        f"The labels ({_size(own)}) did not lie on the grid of the images in '{images.name}' ({_size(images.grid)}); "
        "they were put onto it, each voxel taking the nearest label, because most viewers show nothing else."
    )
    lost = np.setdiff1d(before, after)
    if not lost.size:
        return note
    names = {row.id: row.name for row in volume.classes}
    words = ", ".join(names.get(int(number), f"class {number}") for number in lost[:5])
    return f"{note} Too small for that grid and lost: {words}."


def _size(grid: Grid) -> str:
    """Voxels and their size in words: ``12 x 256 x 256, 1.37 mm``."""
    sizes = np.linalg.norm(grid.affine[:3, :3], axis=0)[::-1]
    shown = dict.fromkeys(f"{size:.3g}" for size in sizes)
    return f"{' x '.join(map(str, grid.shape))}, {' x '.join(shown)} mm"


def _without_review(volume: Volume) -> tuple[Volume, tuple[str, ...]]:
    """The volume without what is known of its slices: they are others now."""
    record = volume.record
    reviewed = bool(volume.metadata.get(SLICES)) or bool(record and record.reviewed)
    volume = volume.with_slices(()).made_by(record.with_reviewed(()) if record else None)
    return volume, ("Which slices were reviewed is not kept: they are counted otherwise now.",) if reviewed else ()


def _numbered(data: np.ndarray, numbers: dict[int, int]) -> np.ndarray:
    """The labels with the numbers of the segments.

    Returns
    -------
    numpy.ndarray, shape (z, y, x), uint8 or uint16
    """
    kind = np.uint8 if max(numbers.values()) < 2**8 else np.uint16
    if all(id_ == number for id_, number in numbers.items()):
        return data.astype(kind, copy=False)
    ids = np.array([0, *numbers])
    values = np.array([0, *numbers.values()], kind)
    return values[np.searchsorted(ids, data)]


def _maker(volume: Volume) -> Maker:
    record = volume.record
    models = " + ".join(model.name for model in record.models) if record else ""
    if not models:
        return Maker("MANUAL")
    states = expand(list(volume.metadata.get(SLICES) or ()))
    edited = any(EDITED in (row["state"], row.get("was")) for row in states.values())
    return Maker("SEMIAUTOMATIC" if edited else "AUTOMATIC", models, record.version if record else "")
