"""Pictures: TIFF and OME-TIFF, PNG, JPEG."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ..errors import FileError, VolumeError
from ..volume import Volume
from . import checks, ome_xml, png
from .notes import KEY, Notes, content_with_notes, is_labels, restore_axes

if TYPE_CHECKING:
    import tifffile
    from PIL.Image import Image

MILLIMETRES = {
    **dict.fromkeys(("um", "µm", "μm", r"\u00B5m", "micron", "microns", "micrometer", "micrometre"), 1e-3),
    "nm": 1e-6,
    "mm": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "inch": 25.4,
}
"""Length of units of length, by the names that programs give them."""

_PRINTERS = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 360, 400, 600, 720, 1200, 2400, 4800)  # dpi
_PRINTED = (MILLIMETRES["inch"], MILLIMETRES["cm"])  # units of printer resolutions, in mm
_CENTIMETRE = 3  # TIFF resolution unit
_WHITE_IS_ZERO, _RGB, _YCBCR = 0, 2, 6  # TIFF photometric interpretations
_ENCLOSED = {"Thumbnail", "Label", "Macro"}  # pictures that slide scanners put next to the image
_JPEG_YCBCR = (6, 7)  # TIFF compressions whose decoder turns YCbCr into RGB
_MOST_LABELS = 32  # a picture with more colours than this is not a label image
_LARGE_BYTES = 2**32 - 2**26  # beyond this a TIFF needs 64-bit offsets
_PICTURE_BYTES = 5  # per sample: Pillow keeps four for a pixel of three, and turns and converts copies
_PRIVATE_TAG = re.compile(r"TiffTag \d{5}")
_logger = logging.getLogger(__name__)


def read(path: Path, axes: str | None = None) -> Volume:
    """Read a TIFF, OME-TIFF, PNG or JPEG file.

    The voxel size is taken from OME-XML, from ImageJ's description, or from a resolution in centimetres; a resolution
    in inches, one that printers have, and that of PNG and JPEG is not used. Transparency is dropped.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Names of the axes in the order of the file, in place of those it gives.

    Raises
    ------
    FileError
        If the file is damaged, incomplete, too large or of an unsupported kind.
    VolumeError
        If its axes cannot be determined.
    """
    return _read_tiff(path, axes) if path.suffix.lower() in (".tif", ".tiff") else _read_picture(path, axes)


def save(volume: Volume, path: Path) -> None:
    """Write a TIFF, or an OME-TIFF if the name says so; axes, affine and classes go into its description.

    Raises
    ------
    VolumeError
        If OME-TIFF has no such type of voxels.
    """
    import tifffile

    ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    if ome and volume.data.dtype in (np.int64, np.uint64):
        raise VolumeError(f"OME-TIFF has no voxels of type {volume.data.dtype}. Convert them, or save as plain TIFF.")
    colours = volume.axes.endswith("c")
    notes = Notes.of(volume)
    metadata: dict[str, Any] = {"axes": (volume.axes[:-1] + "s" if colours else volume.axes).upper()}
    metadata |= {"Description": notes.to_text()} if ome else {KEY: notes.to_json()}
    options: dict[str, Any] = {}
    if ome:
        metadata |= ome_xml.described(volume)
    if volume.has_spacing:
        size = dict(zip(volume.spatial_axes, volume.spacing, strict=True))
        options = {"resolution": (10 / size["x"], 10 / size["y"]), "resolutionunit": _CENTIMETRE}
        if ome:
            metadata |= {f"PhysicalSize{a.upper()}": mm for a, mm in size.items()}
            metadata |= {f"PhysicalSize{a.upper()}Unit": "mm" for a in size}
    tifffile.imwrite(
        path,
        volume.data,
        ome=ome,
        bigtiff=volume.data.nbytes > _LARGE_BYTES,
        photometric="rgb" if colours else "minisblack",
        compression="zlib" if is_labels(volume) else None,
        metadata=metadata,
        **options,
    )


def _read_tiff(path: Path, axes: str | None, *, described: bool = True) -> Volume:
    """Read a TIFF; without what its description says if it is not `described`."""
    import tifffile

    from . import tiff_pages

    told = None if described else False  # None leaves it to tifffile
    with checks.damaged(path):
        pages = tiff_pages.count(path)
    with checks.damaged(path), _strict(path), tifffile.TiffFile(path, is_shaped=told, is_ome=told) as tif:
        xml = tif.ome_metadata
        ome = None if xml is None else ome_xml.parsed(xml)
        if described and _was_changed(tif, ome, pages):
            _logger.warning(
                "'%s' has another size than when napari-medseg wrote it: another program has changed it since. What is "
                "noted in it (voxel size, position, classes) is ignored.",
                path.name,
            )
            return _read_tiff(path, axes, described=False)
        if ome is not None:
            ome_xml.check(path, ome)
        tiff_pages.check(path, tif, ome, pages)
        series = tif.series[0]
        tiff_pages.read_others(tif, series)
        _check_pages(path, tif)
        _check_series(path, series)
        tiff_pages.check_tiles(series)
        data, found = _decode(path, series), series.axes
        photometric = int(series.keyframe.photometric)
        colour = photometric in (_RGB, _YCBCR)
        _check_colours(path, series)
        _check_orientation(path, series)
        stored = _tiff_notes(tif, ome)
        sizes = _voxel_size(tif, ome) if described else {}
    if photometric == _WHITE_IS_ZERO:
        data = _turned_over(path, data)
    data, found = (data, axes) if axes else _arrange(path, data, found, colour)
    if stored and not axes:
        data, found = restore_axes(data, found, stored.axes)
    volume = _volume(data, found, stored or Notes(), sizes)
    count = volume.data.shape[volume.channel_axis] if volume.channel_axis is not None else 1
    names = () if ome is None or found.endswith("c") else ome_xml.channels(ome, count)
    return replace(volume, metadata={**volume.metadata, "channels": names}) if names else volume


def _was_changed(tif: tifffile.TiffFile, ome: ElementTree.Element | None, pages: int) -> bool:
    """Whether the pages of a file with our notes are others than those that its description counts."""
    page = tif.pages.first
    if ome is not None:
        if _tiff_notes(tif, ome) is None:
            return False
        pixels = ome.find(".//{*}Pixels")
        sizes = {a: int(pixels.get(f"Size{a}", 1)) for a in "XYZCT"} if pixels is not None else {}
    else:
        said = content_with_notes(page.description)
        if said is None:
            return False
        sizes = dict(zip(said.get("axes", ""), said.get("shape", ()), strict=False))
    if (sizes.get("Y"), sizes.get("X")) != (page.imagelength, page.imagewidth):
        return True
    return math.prod(sizes.values()) != pages * math.prod(page.shape)


def _check_pages(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse a file of several images, of which only the first would be read."""
    others = [series for series in tif.series[1:] if series.name not in _ENCLOSED]
    others = [series for series in others if not series.keyframe.is_reduced]
    if others:
        sizes = " and ".join(str(series.shape) for series in (tif.series[0], *others[:3]))
        raise FileError(
            f"'{path.name}' holds {len(others) + 1} images that differ in size, type or compression ({sizes}); one is "
            "expected. Save each as a file of its own, or all in the same way."
        )


def _check_colours(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse YCbCr values that the decoder does not turn into RGB."""
    page = series.keyframe
    if page.photometric == _YCBCR and page.compression not in _JPEG_YCBCR:
        raise FileError(f"'{path.name}' holds YCbCr colours without JPEG compression. Save it as an RGB TIFF.")


def _check_orientation(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse pages that are stored turned or mirrored; most programs ignore the tag, some do not."""
    turned = series.keyframe.tags.valueof("Orientation", default=1)
    if turned not in (0, 1):
        raise FileError(
            f"'{path.name}' is stored turned or mirrored (TIFF orientation {turned}), which programs show differently. "
            "Save it upright, with orientation 1."
        )


def _turned_over(path: Path, data: np.ndarray) -> np.ndarray:
    """Values of a white-is-zero image as brightness, as other programs read them."""
    if data.dtype.kind not in "bu":
        raise FileError(
            f"'{path.name}' counts from white to black in values of type {data.dtype}; expected unsigned integers. "
            "Save it with black as zero."
        )
    return np.invert(data)


@contextmanager
def _strict(path: Path) -> Generator[None]:
    """Refuse a file about which tifffile logs an error: it would return fewer slices and say no more."""
    errors: list[str] = []
    reader = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # tags of other programs, numbered from 32768 on, say nothing about the voxels
            if record.thread == reader and not _PRIVATE_TAG.search(text := record.getMessage()):
                errors.append(text)

    logger, listener = logging.getLogger("tifffile"), Listener(logging.ERROR)
    level = logger.level
    logger.setLevel(logging.ERROR)  # else a program that silences its log would silence this too
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
    if errors:
        raise ValueError(errors[0])


def _check_series(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Ask for type, size and completeness before decoding."""
    dtype = series.dtype
    checks.check_real(path, np.dtype(dtype) if dtype is not None else np.dtype("V"))
    # colours are picked, and values counted from white turned over, in a copy
    copied = "S" in series.axes or series.keyframe.photometric == _WHITE_IS_ZERO
    checks.check_size(path, series.shape, dtype.itemsize, 2 * dtype.itemsize if copied else 0)
    checks.check_size(path, series.keyframe.chunks, dtype.itemsize)
    segments = math.prod(series.keyframe.chunked)
    for page in series.pages:
        if page is None:
            raise FileError(
                f"'{path.name}' is a part of an image in several files, of which some are missing. "
                "Put all files into one folder."
            )
        if len(page.dataoffsets) != segments:
            raise ValueError(f"{len(page.dataoffsets)} of {segments} strips or tiles are there")


def _decode(path: Path, series: tifffile.TiffPageSeries) -> np.ndarray:
    try:
        return series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        import tifffile

        kind = tifffile.COMPRESSION(series.keyframe.compression)
        raise FileError(
            f"'{path.name}' is compressed as {kind.name}, which needs another package. "
            "Type 'pip install imagecodecs', or save the file uncompressed."
        ) from error


def _arrange(path: Path, data: np.ndarray, axes: str, colour: bool) -> tuple[np.ndarray, str]:
    """From tifffile's axes to ours; an unnamed axis of pages counts as slices."""
    if "S" in axes:
        # the fourth colour, or the second grey, is transparency
        samples = axes.index("S")
        keep = {2: 1, 4: 3 if colour else 4}.get(data.shape[samples], data.shape[samples])
        data = data.take(range(keep), axis=samples)
        if not (colour and keep == 3):
            axes = axes.replace("S", "C" if "C" not in axes else "?")
    alone = [i for i, name in enumerate(axes) if name not in "YX" and data.shape[i] == 1]
    data, axes = data.squeeze(tuple(alone)), "".join(a for i, a in enumerate(axes) if i not in alone)
    unnamed = [a for a in axes if a not in "TCZYXS"]
    if len(unnamed) == 1 and "Z" not in axes:
        axes = axes.replace(unnamed[0], "Z")
    order = [axes.index(a) for a in "TCZYXS" if a in axes]
    if len(order) != data.ndim or ("C" in axes and "S" in axes):
        raise VolumeError(
            f"'{path.name}' has the axes '{axes}' of lengths {data.shape}; expected time, channel, slice, row, column. "
            "Name them when reading, for example read(path, axes='tczyx')."
        )
    return data.transpose(order), "".join(axes[i] for i in order).lower().replace("s", "c")


def _tiff_notes(tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> Notes | None:
    """Our notes in the description, if any."""
    if ome is not None:
        texts = [element.text or "" for element in ome.iterfind(".//{*}Image/{*}Description")]
        return next(filter(None, map(Notes.from_text, texts)), None)
    contents = [content[KEY] for content in tif.shaped_metadata or () if KEY in content]
    return Notes.from_json(contents[0]) if contents else None


def _voxel_size(tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> dict[str, float]:
    """Voxel size in mm of the axes for which the file states it."""
    sizes: dict[str, float] = {}
    if ome is not None:
        pixels = ome.find(".//{*}Pixels")
        if pixels is None:
            return sizes
        for a in "xyz":
            unit = pixels.get(f"PhysicalSize{a.upper()}Unit", "µm")
            sizes[a] = float(pixels.get(f"PhysicalSize{a.upper()}", 0)) * MILLIMETRES.get(unit, 0)
    else:
        tags = tif.pages.first.tags
        imagej = tif.imagej_metadata or {}
        unit = MILLIMETRES.get(str(imagej.get("unit", "")), 0)
        if not imagej and tags.valueof("ResolutionUnit") == _CENTIMETRE:
            unit = 10.0
        for a, tag in (("x", "XResolution"), ("y", "YResolution")):
            count, length = tags.valueof(tag, default=(0, 0))
            sizes[a] = unit * length / count if count else 0
            if unit in _PRINTED and _is_of_printers(sizes[a]):
                return {}
        sizes["z"] = float(imagej.get("spacing", 0)) * unit
    return {a: mm for a, mm in sizes.items() if math.isfinite(mm) and mm > 0}


def _is_of_printers(mm: float) -> bool:
    """Whether a pixel has the size of a printer's dot: programs write that where nothing was measured."""
    per_inch = MILLIMETRES["inch"] / mm if mm > 0 else 0.0
    return any(abs(per_inch - dpi) < 2e-3 * dpi for dpi in _PRINTERS)


def _read_picture(path: Path, axes: str | None) -> Volume:
    from PIL import Image as pillow
    from PIL import ImageOps

    with checks.damaged(path), path.open("rb") as file:
        head = file.read(26)
        if head[1:4] == b"PNG" and head[24:25] == b"\x10" and head[25] != 0:
            raise FileError(f"'{path.name}' is a PNG with 16-bit colours, which would be cut to 8. Save it as TIFF.")
        file.seek(0)
        with pillow.open(file) as image:
            bands = len(image.getbands())
            checks.check_size(path, (image.height, image.width, bands), 1, _PICTURE_BYTES)
            if image.format == "PNG":
                place = file.tell()
                png.check_rows(file)
                file.seek(place)
            image = ImageOps.exif_transpose(image)
            labels = _is_label_picture(image)
            if not labels and image.mode not in ("1", "L", "I", "F", "I;16", "I;16B", "I;16L"):
                image = image.convert("L" if image.mode in ("LA", "La") else "RGB")
            data = np.asarray(image)
    notes = Notes(metadata={"labels": True}) if labels else Notes()
    return _volume(data, axes or ("yx" if data.ndim == 2 else "yxc"), notes, {})


def _is_label_picture(image: Image) -> bool:
    """Whether a picture with a colour table holds label numbers: few colours, black for background, not grey."""
    table = image.getpalette() if image.mode == "P" else None
    if not table:
        return False
    colours = np.reshape(table, (-1, 3))
    used = np.flatnonzero(image.histogram()[: len(colours)])
    coloured = np.ptp(colours[used], axis=1).any()
    return len(used) <= _MOST_LABELS and not colours[0].any() and bool(coloured)


def _volume(data: np.ndarray, axes: str, notes: Notes, sizes: Mapping[str, float]) -> Volume:
    metadata = dict(notes.metadata)
    affine = notes.affine
    if affine is None:
        known = all(a in sizes for a in axes if a in "zyx")
        # a size known for some axes only would distort the image
        affine = np.diag([sizes.get(a, 1.0) if known else 1.0 for a in "xyz"] + [1.0])
        metadata["has_spacing"] = known
    return Volume(checks.native(data), axes, affine, notes.classes, metadata)
