"""NIfTI-1 and -2 single files, plain and compressed."""

from __future__ import annotations

import gzip
import math
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import FileHolder
from nibabel.nifti1 import Nifti1Extension
from nibabel.volumeutils import apply_read_scaling

from ..errors import FileError, VolumeError
from ..volume import LabelClass, Volume
from . import checks, class_tables
from .notes import Notes, is_labels, read_old, restore_axes

_COMMENT = 6  # code of a header extension that holds text
_LABEL_TABLES = (0, 30)  # and of those that hold a label table, for TotalSegmentator and for Connectome Workbench
_LABEL_INTENT = 1002
_MILLIMETRES = {1: 1000.0, 3: 1e-3}  # unit codes metre and micrometre; everything else counts as mm
_MAX_HEADER_BYTES = 2**26
_MAX_DEFLATE_RATIO = 1040  # no deflate stream unpacks to more
_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "ctzyx"}
_GEOMETRY = (
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
    "xyzt_units",
)
_QFORM_TOLERANCE = 1e-3  # mm
_SIZES = slice(0, 4)  # of pixdim: the handedness of the quaternion and the voxel size


def read(path: Path, axes: str | None = None) -> Volume:
    """Read a NIfTI file.

    Integers without scaling stay integers; scaled data become real numbers. The affine is the one nibabel picks (sform
    before qform), in mm. ``(x, y)`` is read as ``yx``, four dimensions as ``tzyx``, five as ``czyx`` or ``tczyx``.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Axis names in place of those.

    Raises
    ------
    FileError
        If the file is damaged, too large or of an unsupported kind.
    """
    with checks.damaged(path), _open(path) as stream:
        image = _open_image(path, stream)
        _check_header(path, image)
        data, found = _voxels(image.dataobj)
        stream.read(1)  # the end of a compressed stream holds its check sum
        affine = np.array(image.affine, dtype=np.float64)
        header = image.header
        stored = _stored_notes(header)
        sized = _is_sized(stream, header)
    affine[:3] *= _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    data, found = _time_first(data, found)
    if stored:
        data, found = restore_axes(data, found, stored.axes)
    elif found == "tzyx" and len(data) == 1 and not axes:
        # one time point fills the place of an axis and says nothing
        data, found = data[0], "zyx"
    integers = data.dtype.kind in "iu"
    labels = integers and int(header["intent_code"]) == _LABEL_INTENT
    notes = stored or Notes(classes=_foreign_classes(path, header, labels) if integers else ())
    metadata = {"space_code": int(header["sform_code"]) or int(header["qform_code"]), **notes.metadata}
    if labels or (integers and notes.classes):
        metadata["labels"] = True
    if not sized:
        metadata["has_spacing"] = False
    exact = affine
    if stored and stored.affine is not None and _rounds_to(stored.affine, affine):
        exact = stored.affine
    metadata["nifti"] = _geometry(header, affine)
    return Volume(checks.native(data), axes or found, exact, notes.classes if integers else (), metadata)


def save(volume: Volume, path: Path) -> None:
    """Write a volume as NIfTI-1, with its notes as a header extension.

    The header holds the affine in 32-bit precision, the extension in full. A volume on the grid of the NIfTI file it
    came from gets both transforms of that file, so that labels lie on their scan whichever of the two a program takes.

    Raises
    ------
    VolumeError
        If NIfTI-1 has no place for such an image.
    """
    data = _file_order(volume)
    if max(data.shape) > np.iinfo(np.int16).max:
        raise VolumeError(f"NIfTI holds at most 32767 voxels along an axis; the image is {data.shape}. Save as TIFF.")
    # without an affine nibabel leaves the transforms in the header as they are
    image = nib.Nifti1Image(data, None, dtype=data.dtype)
    if not _copy_geometry(volume, image.header):
        _set_geometry(volume, image)
    if is_labels(volume):
        image.header["intent_code"] = _LABEL_INTENT
    if is_labels(volume) and volume.classes:
        # TotalSegmentator takes the first extension
        table = class_tables.to_xml(volume.classes)
        image.header.extensions.extend(Nifti1Extension(code, table) for code in _LABEL_TABLES)
    image.header.extensions.append(Nifti1Extension(_COMMENT, Notes.of(volume).to_text().encode()))
    image.to_filename(path)


def _is_sized(stream: BufferedIOBase, header: nib.Nifti1Header) -> bool:
    """Whether the affine is of sizes that the header states: nibabel takes a size of 0 for 1."""
    if header["sform_code"] > 0:
        return True
    stream.seek(0)
    raw = type(header).from_fileobj(stream, check=False)
    lengths = np.array(raw.get_data_shape()[:3])
    sizes = raw["pixdim"][1 : 1 + len(lengths)]
    # the thickness of a single slice does not matter
    return bool((sizes[lengths > 1] != 0).all())


def _geometry(header: nib.Nifti1Header, affine: np.ndarray) -> dict[str, Any]:
    """Both transforms of a file, field by field, with the grid that they belong to."""
    fields = {name: header[name].tolist() for name in _GEOMETRY}
    sizes = header["pixdim"][_SIZES].tolist()
    shape = list(header.get_data_shape()[:3])
    found = {"fields": fields, "pixdim": sizes, "shape": shape, "affine": affine.tolist()}
    time = [float(header["pixdim"][4]), float(header["toffset"])]
    if len(header.get_data_shape()) > 3 and np.isfinite(time).all():
        found["time"] = time
    return found


def _copy_geometry(volume: Volume, header: nib.Nifti1Header) -> bool:
    """Copy both transforms of the source file, if the volume still lies on its grid."""
    source = volume.metadata.get("nifti")
    if not source or list(header.get_data_shape()[:3]) != source["shape"]:
        return False
    if not np.allclose(volume.affine, source["affine"], rtol=2**-24, atol=1e-6):
        return False
    for name, value in source["fields"].items():
        header[name] = value
    header["pixdim"][_SIZES] = source["pixdim"]
    if len(header.get_data_shape()) > 3 and source.get("time"):
        header["pixdim"][4], header["toffset"] = source["time"]
    return True


def _set_geometry(volume: Volume, image: nib.Nifti1Image) -> None:
    """Write the affine as sform, and as qform where a quaternion can hold it."""
    code = int(volume.metadata.get("space_code", 0)) or 1
    image.set_sform(volume.affine, code)
    image.set_qform(volume.affine, 0)
    # a quaternion cannot hold shear
    if np.allclose(image.get_qform(coded=False), volume.affine, rtol=0, atol=_QFORM_TOLERANCE):
        image.set_qform(volume.affine, code)
    image.header.set_xyzt_units("mm")


def notice(volume: Volume) -> str:
    """One sentence where programs built on ITK cannot open the NIfTI file of a volume; else empty.

    They take only right-angled axes, so not the tilted stacks of a CT gantry.
    """
    source = volume.metadata.get("nifti") or {}
    turned = bool(source) and source["fields"]["qform_code"] > 0 and np.allclose(volume.affine, source["affine"])
    header = nib.Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_qform(volume.affine, 1)
    if turned or np.allclose(header.get_qform(), volume.affine, rtol=0, atol=_QFORM_TOLERANCE):
        return ""
    return (
        "The axes of the image are not at right angles (a tilted stack); 3D Slicer, ITK-SNAP and other programs built "
        "on ITK cannot open its NIfTI files. Resample it to an upright grid for them."
    )


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _open_image(path: Path, stream: BufferedIOBase) -> nib.Nifti1Image:
    """The image with its header; checks what nibabel loads silently."""
    head = stream.read(4)
    second = 540 in (int.from_bytes(head, "little"), int.from_bytes(head, "big"))
    image_class = nib.Nifti2Image if second else nib.Nifti1Image
    stream.seek(0)
    header = image_class.header_class.from_fileobj(stream, check=False)
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    # a slope of NaN, as some programs write, means no scaling, like 0
    if not math.isnan(slope) and not (math.isfinite(slope) and math.isfinite(offset)):
        raise FileError(f"'{path.name}' scales its voxels by {slope} and {offset}, not a number. Repair its header.")
    if not 0 <= header["vox_offset"] < _MAX_HEADER_BYTES:
        raise FileError(f"'{path.name}' places its voxels at byte {header['vox_offset']}. Its header is damaged.")
    stream.seek(0)
    return image_class.from_file_map({"image": FileHolder(fileobj=stream)}, mmap=False)


def _check_header(path: Path, image: nib.Nifti1Image) -> None:
    header = image.header
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    if len(shape) not in _AXES:
        raise FileError(f"'{path.name}' has {len(shape)} axes {shape}; expected 2 to 5. Extract an image from it.")
    if not {*"RGB"} <= {*(dtype.names or ())}:
        checks.check_real(path, dtype)
    checks.check_size(path, shape, dtype.itemsize, _taken(path, image, len(shape)))
    stored = math.prod(shape) * dtype.itemsize
    room = path.stat().st_size * (_MAX_DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1)
    if stored + int(header["vox_offset"]) > room:
        raise FileError(
            f"'{path.name}' is cut short: its header announces {stored} bytes of voxels, more than the file can hold. "
            "Copy it again from its source."
        )
    affine = np.asarray(image.affine)
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise FileError(
            f"'{path.name}' has a voxel-to-millimetre matrix that is not finite or not invertible. "
            "Repair the geometry in its header."
        )


def _taken(path: Path, image: nib.Nifti1Image, axes: int) -> int:
    """Bytes per voxel that reading takes: unpacking holds the voxels twice, and a result of another type is a copy."""
    stored = image.header.get_data_dtype()
    unpacking = 2 * stored.itemsize if path.name.lower().endswith(".gz") else stored.itemsize
    if _is_scaled(image.dataobj):
        return max(unpacking, stored.itemsize + _scaled_type(stored).itemsize)
    copied = stored.names or not stored.isnative or axes == 5
    return max(unpacking, 2 * stored.itemsize if copied else stored.itemsize)


def _is_scaled(proxy: Any) -> bool:
    return (proxy.slope, proxy.inter) != (1, 0)


def _scaled_type(stored: np.dtype) -> np.dtype:
    """Type of scaled values: the smallest that keeps them apart."""
    exact = stored.itemsize <= 2 or stored == np.float32
    return np.dtype(np.float32 if exact else np.float64)


def _voxels(proxy: Any) -> tuple[np.ndarray, str]:
    """All voxels z-first, scaled as the header says, and the names of the axes."""
    axes = _AXES[len(proxy.shape)]
    if proxy.dtype.names:
        raw = proxy.get_unscaled().T
        return np.stack([raw[name] for name in "RGB"], axis=-1), axes + "c"
    raw = proxy.get_unscaled().T
    if not _is_scaled(proxy):
        return raw, axes
    # plane by plane: scaling holds two copies of double precision
    scaled = np.empty(raw.shape, _scaled_type(proxy.dtype))
    for plane, values in zip(scaled, raw, strict=True):
        plane[...] = apply_read_scaling(values, proxy.slope, proxy.inter)
    return scaled, axes


def _time_first(data: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """Move channels behind time; of the two, one that only fills the place is dropped."""
    if axes != "ctzyx":
        return data, axes
    data, axes = np.moveaxis(data, 0, 1), "tczyx"
    for name in "tc":
        if data.shape[axes.index(name)] == 1:
            data, axes = data.squeeze(axes.index(name)), axes.replace(name, "")
    return data, axes


def _stored_notes(header: nib.Nifti1Header) -> Notes | None:
    """Our notes among the header extensions, if any."""
    for extension in header.extensions:
        if extension.get_code() == _COMMENT:
            content = extension.get_content()
            notes = Notes.from_text(content if isinstance(content, str) else bytes(content).rstrip(b"\0"))
            if notes:
                return notes
    return None


def _foreign_classes(path: Path, header: nib.Nifti1Header, labels: bool) -> tuple[LabelClass, ...]:
    """The classes of a file without our notes: from its label table, or from a file next to it."""
    for extension in header.extensions:
        if extension.get_code() in _LABEL_TABLES:
            found = class_tables.from_xml(extension.content)
            if found:
                return found
    return class_tables.next_to(path) or (_old_classes(path) if labels else ())


def _old_classes(path: Path) -> tuple[LabelClass, ...]:
    """The class table that earlier versions put next to labels, for files whose notes another program dropped."""
    old = read_old(path)
    return old.classes if old else ()


def _rounds_to(exact: np.ndarray, affine: np.ndarray) -> bool:
    """Whether `affine` is `exact` in 32-bit precision: else another program changed the header since."""
    return np.array_equal(exact.astype(np.float32), affine.astype(np.float32))


def _file_order(volume: Volume) -> np.ndarray:
    """The voxels as (x, y, z, t, c), colours as one structured value."""
    data, axes = np.asarray(volume.data), volume.axes
    if axes.endswith("c"):
        if data.dtype != np.uint8 or data.shape[-1] != 3:
            raise VolumeError(
                f"NIfTI holds 3 colours of 8 bits; the image has {data.shape[-1]} of type {data.dtype}. Save as TIFF."
            )
        data = np.ascontiguousarray(data).view([(name, np.uint8) for name in "RGB"])[..., 0]
        axes = axes[:-1]
    if axes == "yx":
        return data.T
    order = "xyztc" if "c" in axes else "xyzt" if "t" in axes else "xyz"
    present = [axes.index(name) for name in order if name in axes]
    missing = tuple(i for i, name in enumerate(order) if name not in axes)
    return np.expand_dims(data.transpose(present), missing)
