"""DICOM series: slices sorted by their position in the patient, never by name or slice thickness."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation

from ..errors import FileError
from ..reference import KEY as REFERENCE
from ..reference import Reference
from ..volume import Volume
from . import checks, formats
from .clutter import is_clutter
from .dicom_contrast import kind_words
from .dicom_frames import Frame, decode, frames_of, holds_contours, scaled, without_image
from .dicom_series import SAME_DIRECTION, described, fit, groups_of, listed
from .dicom_stack import arrange
from .pairing import listing, names

_RESULT_BYTES, _STORED_BYTES = 4, 2  # per value
_HEAD = 512  # bytes that tell a text from other content
_NOT_IN_TEXTS = frozenset({*range(9), *range(14, 27)})
_SAME_PLACE = 0.1  # mm, between images of different kinds


def read(path: Path, axes: str | None = None) -> Volume:
    """Read a DICOM series.

    Images of equal position become time points: one position gives ``tyx``, several ``tzyx``. All images of a time
    point agree in the table of `dicom_contrast`; images of different kinds, such as magnitude and phase, are apart.

    Parameters
    ----------
    path : pathlib.Path
        A folder with the files of one series, or any of its files.
    axes : str, optional
        Axis names in place of those found.

    Returns
    -------
    Volume
        Output values (Hounsfield units in CT). ``metadata`` has ``modality``, ``series_uid``, ``series_description``
        and ``frame_of_reference_shared``, ``body_part`` and ``localizer`` where the file says it, ``has_place``: False
        where it says no position and else its ``reference``, ``photometric`` is MONOCHROME1 where low values are
        bright, and ``t_axis`` names what differs along ``t`` where the file says so.

    Raises
    ------
    FileError
        If there is no image, more than one series, a gap between slices that differs from the others, a file is
        damaged or compressed in a way that cannot be unpacked.
    """
    # identifiers of anonymised files are often invalid, which does not matter here
    with disable_value_validation():
        frames = _series_in(path) if path.is_dir() else _series_of(path)
        return volume_of(path, frames, axes)


def volume_of(path: Path, frames: list[Frame], axes: str | None = None) -> Volume:
    """The volume that the frames of one series make, see `read`.

    Parameters
    ----------
    path : pathlib.Path
        For messages.
    frames : list of Frame
    axes : str, optional

    Raises
    ------
    FileError
    """
    stack, affine, differ = arrange(path, frames)
    data = _pixels(path, stack)
    stacked = [(name, n) for name, n in zip("tz", data.shape[:2], strict=True) if n > 1]
    found = "".join(name for name, _ in stacked) + ("yxc" if data.ndim == 5 else "yx")
    data = data.reshape([n for _, n in stacked] + list(data.shape[2:]))
    metadata = described(frames)
    if frames[0].position is not None:
        metadata[REFERENCE] = Reference(frames[0].series.uid, str(frames[0].path.absolute()))
    if differ:
        metadata["t_axis"] = ", ".join(differ)
    return Volume(checks.native(data), axes or found, affine, metadata=metadata)


def series_files(path: Path) -> list[Path]:
    """The files of the series that `read` reads from `path`, sorted.

    Raises
    ------
    FileError
        If there is no such series.
    """
    with disable_value_validation():
        frames = _series_in(path) if path.is_dir() else _series_of(path)
    return sorted({frame.path for frame in frames})


def stack_of(path: Path) -> tuple[list[list[Frame]], np.ndarray]:
    """The frames of the series that `read` reads from `path`, without their pixels.

    Returns
    -------
    list of list of Frame
        By time and slice.
    numpy.ndarray, shape (4, 4)
        The affine of `read`.

    Raises
    ------
    FileError
        As `read` does.
    """
    with disable_value_validation():
        frames = _series_in(path) if path.is_dir() else _series_of(path)
        stack, affine, _ = arrange(path, frames)
    return stack, affine


def one_per_series(paths: Iterable[Path]) -> list[Path]:
    """The first of `paths` of every series in every folder; images without a position are read by themselves and stay.

    Raises
    ------
    FileError
        If a file is damaged.
    """
    kept: dict[Path, None] = {}
    with disable_value_validation():
        for _, files in groupby(sorted(paths), key=lambda path: path.parent):
            for group in groups_of(frame for path in files for frame in frames_of(path)):
                kept |= dict.fromkeys(frame.path for frame in group[: None if group[0].position is None else 1])
    return list(kept)


def _files(folder: Path) -> list[Path]:
    """The DICOM files of a folder.

    Raises
    ------
    FileError
        If the folder cannot be opened, or one of its files is only named as if it were a DICOM file: its slice would
        be missing.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not is_clutter(path))
    except OSError as error:
        raise FileError(f"The folder '{folder}' cannot be opened ({error.strerror}). Check its rights.") from error
    kept = [path for path in files if promises_dicom(path)]
    if kept:
        for path in sorted(set(files) - set(kept)):
            check_other(path)
    return kept


def check_other(path: Path) -> None:
    """Refuse what may be a slice that was cut or overwritten: no DICOM file, but named like one, and not a text.

    Raises
    ------
    FileError
    """
    ending = path.suffix.lstrip(".")
    if path.name.startswith(".") or (ending and not ending.isdigit()):
        return
    with checks.damaged(path), path.open("rb") as file:
        head = file.read(_HEAD)
    if not head or _NOT_IN_TEXTS.intersection(head):
        what = "has other content" if head else "is empty (0 bytes)"
        raise FileError(
            f"'{path.name}' lies among DICOM files and may be one of them, but {what}. "
            "Copy it again from its source, or move it to another folder."
        )


def _nothing_in(folder: Path) -> str:
    """That a folder holds no DICOM image, and what to open instead."""
    inside = listing(folder)
    others = [path for path in inside if path.is_file() and formats.named(path) not in (None, formats.DICOM)]
    if others:
        return f"The folder '{folder.name}' holds no DICOM images, but {names(others)}: open these, not the folder."
    inner = [path for path in inside if path.is_dir()]
    hint = f" Its folders are not searched: {names(inner)}." if inner else ""
    return f"The folder '{folder.name}' holds no DICOM images.{hint} Choose the folder that holds the files."


def _series_in(folder: Path) -> list[Frame]:
    """The only series of a folder."""
    files = _files(folder)
    groups = groups_of(frame for path in files for frame in frames_of(path))
    if not groups:
        contours = next((path for path in files if holds_contours(path)), None)
        if contours is not None:
            raise FileError(without_image(contours))
        raise FileError(_nothing_in(folder))
    if len(groups) > 1:
        raise FileError(
            f"The folder '{folder.name}' holds {listed(groups)}. "
            "Open one file of the series you want, or move its files to a folder of their own."
        )
    if groups[0][0].position is None and len({frame.path for frame in groups[0]}) > 1:
        raise FileError(
            f"The {len(groups[0])} images in '{folder.name}' have no position in space and cannot be stacked. "
            "Open one of the files."
        )
    return groups[0]


def promises_dicom(path: Path) -> bool:
    """Whether a file is DICOM; one that is only named so is an error, for its slice would be missing."""
    promised = formats.named(path)
    if promised is formats.DICOM:
        formats.recognise(path)
        return True
    return formats.is_dicom(path)


def _series_of(path: Path) -> list[Frame]:
    """The series that a file belongs to, with its neighbours in the folder."""
    own = frames_of(path)
    if not own:
        raise FileError(without_image(path))
    frames = list(own)
    if own[0].position is not None:
        for other in _files(path.parent):
            if other.name != path.name:
                frames += _frames_next_to(path, other)
    return series_among(path, groups_of(frames), frames)


def series_among(path: Path, groups: list[list[Frame]], frames: list[Frame]) -> list[Frame]:
    """The one of `groups` that a file belongs to.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    groups : list of list of Frame
        The `frames` by series, see `groups_of`.
    frames : list of Frame
        Those of the folder.

    Raises
    ------
    FileError
        If the file belongs to several, or other images of its series may be the rest of its volume.
    """
    own = [group for group in groups if any(frame.path == path for frame in group)]
    if len(own) > 1:
        raise FileError(f"'{path.name}' holds {listed(own)}. Split it into one file for each.")
    _check_kinds(path, own[0], frames)
    return own[0]


def _check_kinds(path: Path, group: list[Frame], frames: list[Frame]) -> None:
    """Refuse other images of the series at positions of their own: they may be the rest of the volume."""
    first = group[0]
    if first.position is None:
        return
    places = np.unique([frame.position for frame in group], axis=0)
    others = [frame for frame in frames if _same_stack(frame, first) and not fit(first, frame)]
    for frame in others:
        if frame.position is None or np.linalg.norm(places - frame.position, axis=1).min() > _SAME_PLACE:
            raise FileError(
                f"The slices of the series of '{path.name}' differ: '{frame.path.name}' has {_traits(frame, first)}, "
                f"'{first.path.name}' {_traits(first, frame)}. Move the images of each kind to a folder of their own."
            )


def _same_stack(frame: Frame, first: Frame) -> bool:
    """Whether an image may belong to the volume of another: same series, and same direction or none."""
    if frame.series.uid != first.series.uid:
        return False
    if frame.position is None:
        return frame.shape == first.shape
    return np.allclose(frame.directions, first.directions, rtol=0, atol=SAME_DIRECTION)


def _traits(frame: Frame, other: Frame) -> str:
    """In what an image differs from another of its series."""
    if frame.kind != other.kind:
        return kind_words(frame.kind, other.kind)
    if frame.position is None or other.position is None:
        return "no position in space" if frame.position is None else "one"
    size = "{:.4g} x {:.4g} mm".format(*frame.spacing) if frame.spacing else "unknown size"
    return f"{frame.shape[0]} x {frame.shape[1]} pixels of {size}"


def _frames_next_to(path: Path, other: Path) -> list[Frame]:
    try:
        return frames_of(other)
    except FileError as error:
        raise FileError(
            f"{error} It lies next to '{path.name}' and may be a slice of it; if not, move it to another folder."
        ) from error


def _pixels(path: Path, stack: list[list[Frame]]) -> np.ndarray:
    """Output values of all frames, shape (t, z, y, x) or (t, z, y, x, 3)."""
    places = {id(frame): (t, z) for t, slices in enumerate(stack) for z, frame in enumerate(slices)}
    frames = sorted((frame for slices in stack for frame in slices), key=lambda frame: (frame.path, frame.index))
    # besides the result there are the stored values of one file
    most = max(Counter(frame.path for frame in frames).values())
    taken = _RESULT_BYTES + math.ceil(_STORED_BYTES * most / len(frames))
    checks.check_size(path, (len(stack), len(stack[0]), *frames[0].shape), 1, taken)
    images = _images(frames)
    frame, image = next(images)
    out = np.empty((len(stack), len(stack[0]), *image.shape), image.dtype)
    out[places[id(frame)]] = image
    for frame, image in images:
        out = out.astype(np.promote_types(out.dtype, image.dtype), copy=False)
        if image.shape != out.shape[2:]:
            raise FileError(f"'{frame.path.name}' has other colours than the rest of its series. Move it elsewhere.")
        out[places[id(frame)]] = image
    return out


def _images(frames: list[Frame]) -> Iterator[tuple[Frame, np.ndarray]]:
    """Output values of each frame; those of a file follow each other and are unpacked once."""
    for file, group in groupby(frames, key=lambda frame: frame.path):
        images = decode(file, frames[0].shape)
        for frame in group:
            yield frame, scaled(images[frame.index], frame.scale)
