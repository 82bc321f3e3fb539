"""Where training data come from: `Source` as it stands in a recipe, and the cases that its readers find."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import FileError, SettingsError
from ...io import read
from ...io.arrays import read_array_of
from ...io.checks import check_size, damaged
from ...volume import Volume


@dataclass(frozen=True)
class Source:
    """Where slices come from.

    Parameters
    ----------
    path : str
        An ``.npz`` file; a folder with a ``dataset.json``, see `folders.DatasetFile`; a folder with images and labels,
        such as ``images`` and ``labels``, see `pairs.parts`; or the folder of a published data set, see `layout`.
    image, label : str
        Names of the arrays in an npz file. Slices are (n, y, x) or (n, y, x, 3); volumes (n, z, y, x), see `axes`.
        An empty `label` says that no slice holds any labelled object. Some layouts offer a choice of both.
    case : str
        Array with the case (patient, image) of each entry; empty where every entry is a case of its own.
    group : str
        Array whose values the evaluation reports apart, for example ``kind``; empty for none.
    objects : str
        Array of object numbers shaped like `label`, for the object scores of the evaluation; empty for none.
    select : mapping of str to list
        Keep only the entries whose array of that name has one of the listed values. Folders know ``case`` and
        ``group``.
    repeat : mapping of str to mapping of str to int, optional
        How often entries are drawn in one epoch, by the value of an array: ``{"kind": {"stained": 2}}``.
    axes : str
        Order of the axes of each volume in an npz file, ``zyx`` or ``xyz``.
    along : {"z", "y", "x"}
        Axis along which slices of the volumes in an npz file are taken: ``y`` gives slices (z, x), ``x`` (z, y).
    shape : str
        Array with the true shape of each volume, which lies in the first corner of its array; empty where it fills it.
    spacing : tuple of float or None
        Voxel size (y, x) or (z, y, x) in mm of the entries that do not state theirs; None where it is not known.
    frame : str
        Array with the number of each slice in the series of its `case`. Slices of one case whose numbers differ by
        multiples of `stride` lie on top of each other: they are neighbours. Empty: slices have no neighbours.
    stride : int
        See `frame`: images per slice position, for example the phases of a cine series.
    beside : int
        If above 0, show of each slice only the largest part next to its objects, at least this many pixels
        away from them: an image without any object, of the same kind.
    split : str
        Read only the cases of this part of a folder that has splits: ``train``, ``val`` or ``test``; empty reads
        all.
    layout : str
        A published data set whose folders lie as their authors made them, see `layouts.LAYOUTS`; empty for the others.
    ignore : int or None
        Label for voxels about which nothing is known. None: a ``dataset.json`` may name one.
    grey : bool
        Turn colours to grey, as pictures are saved without them; images of one channel stay as they are.
    inner : bool
        Leave out the first and the last slice of every volume, as the authors of LSTM-SA do when they score.
    unlabelled : tuple of int
        Numbers of the classes that nobody drew here, although they may be there: they count in no loss and no score.
    """

    path: str
    image: str = "image"
    label: str = "label"
    case: str = ""
    group: str = ""
    objects: str = ""
    select: Mapping[str, list] = field(default_factory=dict)
    repeat: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    axes: str = "zyx"
    along: str = "z"
    shape: str = ""
    spacing: tuple[float, ...] | None = None
    frame: str = ""
    stride: int = 1
    beside: int = 0
    split: str = ""
    layout: str = ""
    ignore: int | None = None
    grey: bool = False
    inner: bool = False
    unlabelled: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Entry:
    """A slice or a volume as it lies in the file.

    Parameters
    ----------
    image : numpy.ndarray, shape (y, x), (z, y, x) or one of them with three colours at the end
    labels : numpy.ndarray, shape (y, x) or (z, y, x)
    case, group : str
        See `dataset.Sample`.
    name : str
        Distinguishes the entry from all others, as a path; empty where `case` does.
    repeat : int
        Share of an epoch.
    spacing : tuple of float or None
        Voxel size in mm, in the order of the axes of `labels`.
    objects : numpy.ndarray or None
        Object numbers shaped like `labels`.
    stack : (str, int or str) or None
        What a single slice is a part of; slices of equal `stack` lie on top of each other in the order of `frame`.
    frame, step : int
        Number of a single slice, and what lies between the numbers of slices that follow each other in its stack.
    ignore : int or None
        Label of voxels about which nothing is known.
    reviewed : tuple of int or None
        The slices that are labelled; None for all.
    remarks : tuple of str
        What the person should know, as half sentences.
    divided : bool
        Whether some of its slices are for training and others, held back, for validation: as the person wants it.
    unlabelled : tuple of int
        See `Source.unlabelled`.
    place : Volume or None
        The image as it was read, which says where it lies; None where that is not known.
    """

    image: np.ndarray
    labels: np.ndarray
    case: str
    group: str = ""
    name: str = ""
    repeat: int = 1
    spacing: tuple[float, ...] | None = None
    objects: np.ndarray | None = None
    stack: tuple[str, int | str] | None = None
    frame: int = 0
    step: int = 1
    ignore: int | None = None
    reviewed: tuple[int, ...] | None = None
    remarks: tuple[str, ...] = ()
    divided: bool = False
    unlabelled: tuple[int, ...] = ()
    place: Volume | None = None

    @property
    def slices(self) -> int:
        """Number of slices along z."""
        return self.labels.shape[-3] if self.labels.ndim > 2 else 1

    @property
    def plane_spacing(self) -> tuple[float, float] | None:
        """Pixel size (y, x) of its slices in mm; None where it is not known."""
        if not self.spacing:
            return None
        height, width = self.spacing[-2:]
        return height, width

    def ignored(self) -> np.ndarray:
        """Where nothing is known, shape of `labels`, bool."""
        where = np.zeros(self.labels.shape, bool) if self.ignore is None else np.asarray(self.labels == self.ignore)
        if self.reviewed is not None:
            unseen = np.ones(self.slices, bool)
            unseen[list(self.reviewed)] = False
            where |= unseen[:, None, None] if where.ndim > 2 else unseen[0]
        return where


@dataclass(frozen=True)
class Case:
    """An entry that is not read yet.

    Parameters
    ----------
    name, group : str
        `Entry.case` and `Entry.group`.
    read : callable
    files : tuple of pathlib.Path
        What is read: files, and folders that hold a DICOM series.
    remarks : tuple of str
        What the person should know of the data set, as half sentences.
    """

    name: str
    group: str
    read: Callable[[], Entry]
    files: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def read_pair(
    image_path: Path, label_path: Path | None, case: str, *, reader: Callable[[Path], Volume] = read
) -> Entry:
    """An image file and its label file; without one nothing is labelled.

    Labels that were saved as a picture of three equal colours become one.

    Raises
    ------
    FileError, VolumeError
        If a file cannot be read, or holds coloured labels.
    """
    image = reader(image_path)
    spacing = image.spacing if image.has_spacing else None
    data, remarks = np.asarray(image.as_seen()), ()
    if label_path is None:
        labels = unlabelled(data.shape[:-1] if image.axes.endswith("c") else data.shape)
    else:
        label = reader(label_path)
        labels, remarks = one_channel(label_path, label), _grid_remarks(image, label)
    return Entry(data, labels, case, name=str(image_path), spacing=spacing, remarks=remarks, place=image)


def unlabelled(shape: tuple[int, ...]) -> np.ndarray:
    """Labels of an image without any object; takes no memory and cannot be written to."""
    return np.broadcast_to(np.uint8(0), shape)


def one_channel(path: Path, label: Volume) -> np.ndarray:
    """Labels as one number per voxel; a picture of three equal colours becomes that.

    Raises
    ------
    FileError
        If they are coloured.
    """
    data = np.asarray(label.data)
    if not label.axes.endswith("c"):
        return data
    if (data != data[..., :1]).any():
        raise FileError(f"The labels in '{path.name}' are coloured. Save them as one number per pixel, or as grey.")
    return data[..., 0]


def _grid_remarks(image: Volume, label: Volume) -> tuple[str, ...]:
    """How far apart image and labels are said to lie, if both say so and it is more than a tenth of a voxel."""
    if not (image.has_spacing and label.has_spacing) or image.spatial_axes != label.spatial_axes:
        return ()
    sizes = dict(zip(label.axes, label.data.shape, strict=True))
    corners = np.array(np.meshgrid(*[(0, sizes.get(a, 1) - 1) for a in "xyz"], (1,))).reshape(4, -1)
    apart = float(np.linalg.norm(((image.affine - label.affine) @ corners)[:3], axis=0).max())
    if apart <= 0.1 * min(image.spacing):
        return ()
    return (f"image and labels are said to lie up to {apart:.3g} mm apart",)


def npz_arrays(path: Path, names: set[str]) -> dict[str, np.ndarray]:
    """The arrays of those names.

    Raises
    ------
    FileError, SettingsError
        If the file is damaged or too large, or lacks one of them.
    """
    with damaged(path), zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist() if part.filename.removesuffix(".npy") in names)
        check_size(path, (max(size, 1),), 1)
        there = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        arrays = {name: read_array_of(path, archive, name) for name in there if name in names}
    missing = sorted(names - set(there))
    if missing:
        raise SettingsError(f"'{path.name}' has no array {', '.join(missing)}; it holds {', '.join(there)}.")
    return arrays
