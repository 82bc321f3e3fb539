"""Raw MR data: fastMRI, ISMRMRD, BART and NumPy files as `KSpace`.

h5py is imported on first use.
"""

from __future__ import annotations

import operator
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..errors import FileError, SettingsError, VolumeError, reason
from ..kspace import KSpace
from . import arrays, bart, checks, ismrmrd, kspace_foreign, kspace_hdf5
from .hdf5_heaps import is_hdf5
from .kspace_header import Header, parse_header
from .kspace_masks import inferred
from .stacks import AXES, stack

if TYPE_CHECKING:
    import h5py

_ATTRIBUTES = ("acquisition", "patient_id", "max", "norm", "acceleration", "num_low_frequency")
_BART = (".cfl", ".hdr", ".ra")
_HEAD_BYTES = 4096
_LEAST_BYTES = 16  # that a kind of foreign file is known by
_DEFAULT_AXES = {2: "yx", 3: "syx", 4: "scyx"}
_MOST_COILS = 64


def read_kspace(
    path: str | Path, *, axes: str | None = None, conjugate: bool = False, first: Mapping[str, int] | None = None
) -> KSpace:
    """Read raw MR data.

    HDF5, ``.npy`` and BART's files stay on disk and are read one slice at a time. A mask that the file does not hold is
    inferred slice by slice: columns that are zero in all rows and coils were not measured; and if more than 10 % of the
    samples in the other columns are zero in all coils, neither were these. If the first, the middle and the last slice
    hold no such zeros, the others are not looked at.

    Parameters
    ----------
    path : str or pathlib.Path
        HDF5 file of fastMRI, ISMRMRD or MATLAB (7.3); ``.cfl`` or ``.hdr`` (the other one next to it) or ``.ra`` of
        BART; ``.npy`` or ``.npz`` with a complex array, or a real one with the last axis (real, imaginary), named
        ``kspace`` and optionally ``mask`` in archives.
    axes : str, optional
        Names of the axes in the order of the file: ``t`` frame, ``s`` slice, ``c`` coil, ``y`` readout, ``x`` phase
        encoding; in BART's files of the axes longer than one. A mask has them in the same order. Needed for NumPy
        arrays of three axes and for MATLAB's files.
    conjugate : bool
        Take the complex conjugate, for data measured with the other sign of the phase: their images are mirrored.
    first : mapping, optional
        Which ``repetition``, ``contrast``, ``phase``, ``set`` or ``average`` (ISMRMRD) or ``echo``, ``time``, ...
        (BART) to take. Of what is left out all are taken: they become frames, only averages their mean.

    Returns
    -------
    KSpace
        Its metadata have ``source`` and ``format`` and, where the file states them, ``acquisition``, ``patient_id``,
        ``max``, ``norm``, ``acceleration``, ``num_low_frequency``, ``encoding_size`` and ``recon_size`` (x, y, z),
        ``reference`` (``esc`` or ``rss``: how the reference image was made), ``frames`` (what each frame is),
        ``averages`` (how many), ``across`` (true where slices lie across the readout of a 3-D scan) and ``taken``
        (which of several repetitions and so on was chosen).

    Raises
    ------
    FileError
        If the file is missing, damaged, too large, not Cartesian, or does not hold raw data.
    VolumeError
        If its axes cannot be determined or the mask does not fit.
    SettingsError
        If `axes` or `first` do not fit the file.

    References
    ----------
    Zbontar et al., arXiv:1811.08839, 2018; Inati et al., Magn Reson Med 77:411, 2017.
    """
    path = Path(path)
    if axes is not None and (set(axes) - set(AXES) or len(set(axes)) < len(axes) or not {"y", "x"} <= set(axes)):
        raise SettingsError(f"axes='{axes}' is not possible; expected y and x, and t, s and c at most once each.")
    if first and path.suffix.lower() in (".npy", ".npz"):
        raise _no_frames(path, first)
    with checks.damaged(path):
        kspace = _opened(path, axes, first or {})
    checks.check_size(path, kspace.data.shape[1:], np.dtype(np.complex64).itemsize)
    _refuse_wrong_axes(path, kspace)
    # the readouts of ISMRMRD themselves say what was measured
    if kspace.mask is None and kspace.metadata["format"] != "ISMRMRD":
        kspace = inferred(kspace)
    return replace(
        kspace,
        data=_Conjugate(kspace.data) if conjugate else kspace.data,
        noise=kspace.noise.conj() if conjugate and kspace.noise is not None else kspace.noise,
        metadata={"source": str(path), **kspace.metadata},
    )


def _opened(path: Path, axes: str | None, first: Mapping[str, int]) -> KSpace:
    """Raw data as the module for the format of the file reads them."""
    head = _first_bytes(path)
    suffix = path.suffix.lower()
    if suffix in _BART:
        kspace = bart.read(path, axes, first)
        return replace(kspace, metadata={"format": "BART", **kspace.metadata})
    if suffix in (".npy", ".npz"):
        return _read_numpy(path, axes)
    if is_hdf5(head):
        return _read_hdf5(path, axes, first)
    raise FileError(
        kspace_foreign.kind_of(path, head)
        or f"'{path.name}' cannot be read as raw data. Expected an HDF5 file of fastMRI or "
        "ISMRMRD, .cfl, .hdr, .ra, .npy or .npz; convert a scanner's own format to ISMRMRD first."
    )


def foreign(path: Path) -> str:
    """What a file of raw data is that is not read here, and what converts it, in a sentence; empty if not known."""
    try:
        return kspace_foreign.kind_of(path, _first_bytes(path).ljust(_LEAST_BYTES, b"\0"))
    except FileError:
        return ""


def is_kspace(path: str | Path) -> bool:
    """Whether a file looks like raw data, from its name, its first bytes and the names of what it holds."""
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        head = _first_bytes(path)
        if suffix in (".cfl", ".hdr"):
            return all(file.is_file() for file in bart.pair(path))
        if suffix == ".ra":
            return head.startswith(bart.MAGIC)
        if suffix in (".npy", ".npz"):
            return _is_complex(path)
        if not is_hdf5(head):
            return False
        with kspace_hdf5.opened(path) as file:
            return kspace_hdf5.has(file, "kspace") or ismrmrd.find_group(path, file) is not None
    except FileError:
        return False


@dataclass(frozen=True, eq=False)
class _Conjugate:
    """k-space, complex conjugated slice by slice."""

    data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        return np.conj(self.data[operator.index(index)])


def _refuse_wrong_axes(path: Path, kspace: KSpace) -> None:
    """Refuse more coils than scanners have, of a matrix that is smaller than their number."""
    rows, columns = kspace.matrix
    if kspace.coils > max(_MOST_COILS, min(rows, columns)):
        raise VolumeError(
            f"'{path.name}' would have {kspace.coils} coils of {rows} x {columns} samples, so its axes are probably in "
            f"another order; up to {_MOST_COILS} coils are usual. Name the axes in the order of the file, for example "
            "axes='yxc'."
        )


def _first_bytes(path: Path) -> bytes:
    files.refuse_special(path)
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be opened ({reason(error)}). Check the path.") from error


def _no_frames(path: Path, first: Mapping[str, int]) -> SettingsError:
    """The error to raise where a frame of an array was asked for."""
    asked = ", ".join(first)
    return SettingsError(f"'{path.name}' is a plain array, which does not say what '{asked}' is. Leave it out.")


def _named(path: Path, shape: tuple[int, ...], axes: str | None) -> str:
    """The axes given, or those that an array with so many has."""
    named = axes or _DEFAULT_AXES.get(len(shape), "")
    if len(named) != len(shape):
        raise VolumeError(
            f"'{path.name}' holds k-space of shape {shape}; its {len(shape)} axes do not match "
            f"{f'the names {axes!r}' if axes else 'slice, coil, y, x'}. Name each axis, for example axes='scyx', or "
            "axes='tscyx' with frames."
        )
    return named


def _read_hdf5(path: Path, axes: str | None, first: Mapping[str, int]) -> KSpace:
    with kspace_hdf5.opened(path) as file:
        if kspace_hdf5.has(file, "kspace"):
            if first:
                raise _no_frames(path, first)
            return _read_fastmri(path, file, axes)
        group = ismrmrd.find_group(path, file)
        if group is None:
            names = ", ".join(kspace_hdf5.names(file, 5)) or "nothing"
            raise FileError(
                f"'{path.name}' holds no raw data: neither a dataset 'kspace', as fastMRI has it, nor a group with "
                f"'xml' and 'data', as in ISMRMRD. It holds {checks.short(ValueError(names))}."
            )
        if axes:
            raise SettingsError(f"'{path.name}' is an ISMRMRD file, which names its axes itself. Leave out axes.")
        return ismrmrd.read(path, file, group, first)


def _read_fastmri(path: Path, file: h5py.File, axes: str | None) -> KSpace:
    found = kspace_hdf5.dataset(path, file, "kspace")
    if kspace_hdf5.complex_type(found.dtype) is None:
        raise FileError(f"'kspace' in '{path.name}' is of type {found.dtype}; expected complex numbers.")
    if path.suffix.lower() == ".mat" and axes is None:
        raise VolumeError(
            f"'kspace' in '{path.name}' has the shape {found.shape}; MATLAB lists the axes the other way round. Name "
            "them in the order of this shape: scyx, for example, for MATLAB's (x, y, c, s)."
        )
    axes = _named(path, found.shape, axes)
    data = kspace_hdf5.Slices(path, "kspace", axes, found.shape, found.dtype)
    rows, columns = data.shape[2:]
    has_header = kspace_hdf5.has(file, "ismrmrd_header")
    text = kspace_hdf5.text(path, file, "ismrmrd_header") if has_header else ""
    header = parse_header(path, text) if has_header else Header()
    crop = header.crop(rows, columns)
    reference = _reference(path, file, data.shape, crop)
    if crop is None and reference is not None:
        crop = (reference.shape[1], reference.shape[2])
    mask = None
    if kspace_hdf5.has(file, "mask"):
        mask = _mask(path, kspace_hdf5.dataset(path, file, "mask"), (rows, columns), axes)
    metadata = {"format": "fastMRI" if has_header else "HDF5", **header.metadata()}
    metadata |= {"reference": reference.name.removeprefix("reconstruction_")} if reference else {}
    return KSpace(
        data,
        mask=mask,
        mask_origin="" if mask is None else "file",
        acquired=header.acquired(columns),
        crop=crop,
        spacing=header.spacing(crop),
        frames=data.frames,
        reference=reference,
        metadata=metadata | kspace_hdf5.attributes(file, _ATTRIBUTES),
    )


def _reference(
    path: Path, file: h5py.File, shape: tuple[int, ...], crop: tuple[int, int] | None
) -> kspace_hdf5.Slices | None:
    """The image that the full data gave: of one coil its magnitude (esc), of several the root of the sum of squares."""
    names = ("reconstruction_rss", "reconstruction_esc")
    name = next((n for n in (names if shape[1] > 1 else names[::-1]) if kspace_hdf5.has(file, n)), None)
    if name is None:
        return None
    found = kspace_hdf5.dataset(path, file, name)
    if found.dtype.kind != "f" or found.ndim != 3 or found.shape[0] != shape[0]:
        raise FileError(
            f"'{name}' in '{path.name}' has the shape {found.shape} and the type {found.dtype}; expected real images "
            f"of the {shape[0]} slices of k-space. Delete it, or copy the file again."
        )
    checks.check_size(path, found.shape[1:], found.dtype.itemsize)
    larger = crop is not None and found.shape[1] >= crop[0] and found.shape[2] >= crop[1]
    return kspace_hdf5.Slices(path, name, "syx", found.shape, found.dtype, coils=False, crop=crop if larger else None)


def _mask(path: Path, stored: np.ndarray | h5py.Dataset, matrix: tuple[int, int], axes: str) -> np.ndarray:
    """The mask of a file, (x,) or (y, x), once shape and type allow to read it."""
    turned = axes.index("x") < axes.index("y")
    if stored.shape not in ((matrix[1],), matrix[::-1] if turned else matrix):
        raise VolumeError(
            f"The mask in '{path.name}' has the shape {stored.shape}, but k-space has {matrix[0]} rows and {matrix[1]} "
            "columns (readout and phase encoding); expected one number per column or per sample. Correct the mask, or "
            "axes."
        )
    if stored.dtype.kind not in "biuf":
        raise VolumeError(f"The mask in '{path.name}' is of type {stored.dtype}; expected 0 and 1. Correct it.")
    mask = stored[()]
    if not mask.any() or not np.isin(mask, (0, 1)).all():
        raise VolumeError(f"The mask in '{path.name}' is not made of 0 and at least one 1. Correct it.")
    return (mask.T if turned else mask).astype(bool)


def _read_numpy(path: Path, axes: str | None) -> KSpace:
    mask = None
    if path.suffix.lower() == ".npz":
        with checks.damaged(path), zipfile.ZipFile(path) as archive:
            name = _kspace_member(path, archive)
            data = arrays.read_array_of(path, archive, name)
            if name != "mask" and "mask.npy" in archive.namelist():
                mask = arrays.read_array_of(path, archive, "mask")
    else:
        with checks.damaged(path):
            data = np.lib.format.open_memmap(path, "r")
    data = _as_complex(path, data)
    if axes is None and data.ndim == 3:
        raise VolumeError(
            f"'{path.name}' holds k-space of shape {data.shape}, whose first axis can be slices or coils. "
            "Name its axes: syx for slices, cyx for coils."
        )
    axes = _named(path, data.shape, axes)
    kspace = replace(stack(data, axes), metadata={"format": "NumPy"})
    if mask is None:
        return kspace
    return replace(kspace, mask=_mask(path, mask, kspace.matrix, axes), mask_origin="file")


def _kspace_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    others = [name for name in names if name != "mask"]
    if "kspace" in names or len(others) == 1:
        return "kspace" if "kspace" in names else others[0]
    raise FileError(
        f"'{path.name}' holds the arrays {', '.join(names) or '(none)'}; none of them is clearly k-space. Name it "
        "'kspace'."
    )


def _as_complex(path: Path, data: np.ndarray) -> np.ndarray:
    if data.dtype.kind == "c":
        return data
    if data.dtype.kind not in "iuf" or data.ndim < 3 or data.shape[-1] != 2:
        raise FileError(
            f"'{path.name}' holds an array of type {data.dtype} and shape {data.shape}; expected complex numbers, or "
            "real ones "
            "with a last axis of 2 (real, imaginary). Open images as images."
        )
    # a view keeps the array on disk
    pairs = data if data.dtype in (np.float32, np.float64) and data.flags.c_contiguous else data.astype(np.float32, "C")
    return pairs.view(np.result_type(pairs.dtype, np.complex64))[..., 0]


def _is_complex(path: Path) -> bool:
    """Whether the header of a NumPy file announces complex numbers, or of pairs that are named k-space."""
    with checks.damaged(path):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return arrays.read_header(path, file)[1].kind == "c"
        with zipfile.ZipFile(path) as archive:
            name = _kspace_member(path, archive)
            with archive.open(f"{name}.npy") as file:
                shape, dtype, _ = arrays.read_header(path, file)
    return dtype.kind == "c" or (name == "kspace" and dtype.kind in "iuf" and shape[-1:] == (2,))
