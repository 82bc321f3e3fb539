"""Damaged files by the fault that they have: numbers, texts and parts that readers must not believe.

`FAULTS` holds for every reader of `fuzz_readers.READERS` what is done to one of its sound files. A row is a name, and
a function of the files of the seed that changes them.
"""

from __future__ import annotations

import gzip
import io as memory
import json
import math
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fuzz_dicom
import fuzz_seeds
import numpy as np
from fuzz_seeds import HEADER, Seed

Files = dict[str, bytes]
Row = tuple[str, Files]
NAN, INF = math.nan, math.inf


def over(content: bytes, at: int, layout: str, *numbers: Any) -> bytes:
    """The content with numbers written over it."""
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, *numbers)
    return bytes(changed)


def first(seeds: Iterator[Seed], number: int = 0) -> Files:
    return dict([*seeds][number].files)


# NIfTI: offsets as nifti1.h has them

_NIFTI: dict[str, tuple[int, str, Any]] = {
    "no axes": (40, "<h", 0),
    "nine axes": (40, "<h", 9),
    "axis of no voxels": (42, "<h", 0),
    "negative axis": (44, "<h", -4),
    "axis longer than the file": (46, "<h", 32767),
    "unknown type": (70, "<h", 3),
    "complex voxels": (70, "<h", 32),
    "type of one bit": (70, "<h", 1),
    "bits that do not fit the type": (72, "<h", 64),
    "slope of infinity": (112, "<f", INF),
    "slope of NaN": (112, "<f", NAN),
    "offset of the voxels is negative": (108, "<f", -1.0),
    "offset of the voxels is NaN": (108, "<f", NAN),
    "offset of the voxels beyond the end": (108, "<f", 1e7),
    "size of the header": (0, "<i", 0),
    "row of NaN": (280, "<f", NAN),
    "row of zeros": (280, "<4f", (0.0,) * 4),
    "quaternion beyond 1": (256, "<3f", (3.0, 3.0, 3.0)),
    "unknown codes of both transforms": (252, "<2h", (99, -7)),
    "unit that does not exist": (123, "<B", 255),
    "magic of a pair": (344, "<4s", b"ni1\0"),
    "no magic": (344, "<4s", b"\0\0\0\0"),
    "extension of negative size": (352, "<i", -16),
    "extension longer than the file": (352, "<i", 2**30),
}


def nifti(folder: Path) -> Iterator[Row]:
    whole = first(fuzz_seeds.nifti(folder))["a.nii"]
    for name, (at, layout, value) in _NIFTI.items():
        yield name, {"a.nii": over(whole, at, layout, *(value if isinstance(value, tuple) else (value,)))}
    plain = over(whole, 252, "<2h", 0, 0)
    yield "no transform", {"a.nii": plain}
    yield "no transform and no size", {"a.nii": over(plain, 80, "<3f", 0, 0, 0)}
    yield "one time point", {"a.nii": over(over(whole, 40, "<h", 4), 48, "<h", 1)}
    yield "other byte order in part", {"a.nii": over(whole, 40, ">8h", 3, 5, 4, 2, 1, 1, 1, 1)}


def compressed_nifti(folder: Path) -> Iterator[Row]:
    whole = first(fuzz_seeds.nifti(folder))["a.nii"]
    packed = gzip.compress(whole, mtime=0)
    yield "check sum is wrong", {"a.nii.gz": packed[:-8] + b"\1\2\3\4" + packed[-4:]}
    yield "bytes behind the end", {"a.nii.gz": packed + b"garbage"}
    yield "text inside", {"a.nii.gz": gzip.compress(b"not an image\n" * 40, mtime=0)}
    yield "nothing inside", {"a.nii.gz": gzip.compress(b"", mtime=0)}
    yield "packed twice", {"a.nii.gz": gzip.compress(packed, mtime=0)}
    huge = over(whole, 42, "<3h", 32767, 32767, 32767)
    yield "declares 35 TB", {"a.nii.gz": gzip.compress(huge, mtime=0)}
    wide = over(whole, 42, "<3h", 2000, 2000, 20)
    yield "declares 80 MB", {"a.nii.gz": gzip.compress(wide, mtime=0)}


# DICOM

_ELEMENTS: dict[str, dict[str, Any]] = {
    "no rows": {"Rows": 0},
    "more rows than bytes": {"Rows": 65535, "Columns": 65535},
    "no bits": {"BitsAllocated": 0},
    "more bits stored than allocated": {"BitsStored": 32},
    "twelve bits allocated": {"BitsAllocated": 12},
    "sizes of 0": {"PixelSpacing": [0, 0]},
    "negative size": {"PixelSpacing": [-1, 1]},
    "one size of two": {"PixelSpacing": [1.5]},
    "directions not at right angles": {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
    "directions of length 0": {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
    "four directions of six": {"ImageOrientationPatient": [1, 0, 0, 0]},
    "two coordinates of three": {"ImagePositionPatient": [1, 2]},
    "frames without end": {"NumberOfFrames": 2**31 - 1},
    "negative number of frames": {"NumberOfFrames": -1},
    "unknown photometric interpretation": {"PhotometricInterpretation": "MAGIC"},
    "palette without tables": {"PhotometricInterpretation": "PALETTE COLOR"},
    "mosaic": {"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]},
    "low values are bright": {"PhotometricInterpretation": "MONOCHROME1"},
    "tiles of a slide": {"TotalPixelMatrixRows": 4000, "TotalPixelMatrixColumns": 4000},
    "control characters in the description": {"SeriesDescription": "a\x1b[31mb\x07"},
    "segmentation": {"Modality": "SEG"},
    "five samples per pixel": {"SamplesPerPixel": 5},
    "sign that does not exist": {"PixelRepresentation": 7},
}
_TEXTS = {
    "size is a word": (b"1.5\\0.5", b"a\\bcdef"),
    "size is infinite": (b"1.5\\0.5", b"1e999\\1"),
    "size is NaN": (b"1.5\\0.5", b"nan\\nan"),
    "slope is a word": (b"\x28\0\x53\x10DS\x02\0002 ", b"\x28\0\x53\x10DS\x02\0x "),
    "syntax that does not exist": (b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0"),
    "syntax of compressed pixels": (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"),
    "type of an element does not exist": (b"\x28\0\x10\0US", b"\x28\0\x10\0ZZ"),
    "length beyond the end": (b"\xe0\x7f\x10\0OW\0\0\x30\0\0\0", b"\xe0\x7f\x10\0OW\0\0\xf0\xff\xff\x7f"),
    "undefined length of plain pixels": (b"\xe0\x7f\x10\0OW\0\0\x30\0\0\0", b"\xe0\x7f\x10\0OW\0\0\xff\xff\xff\xff"),
}


def dicom(folder: Path) -> Iterator[Row]:
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    for name, elements in _ELEMENTS.items():
        yield name, {"a.dcm": fuzz_dicom.image(pixels, **elements)}
    whole = fuzz_dicom.image(pixels)
    for name, (old, new) in _TEXTS.items():
        yield name, {"a.dcm": whole.replace(old, new, 1)}
    yield "no preamble", {"a.dcm": whole[132:]}
    yield "pixels of odd length", {"a.dcm": whole[:-1]}
    yield "no pixels", {"a.dcm": whole[: whole.rindex(b"\xe0\x7f\x10\0")]}


def compressed_dicom(folder: Path) -> Iterator[Row]:
    rle, jpeg, lossless, jpeg_ls, jpeg_2000 = (seed.files["a.dcm"] for seed in fuzz_dicom.compressed(folder))
    item = rle.index(b"\xfe\xff\x00\xe0", rle.index(b"\xe0\x7f\x10\0") + 20) + 8
    yield "RLE of 2**32 segments", {"a.dcm": over(rle, item, "<I", 2**32 - 1)}
    yield "RLE segment beyond the end", {"a.dcm": over(rle, item + 4, "<I", 2**31)}
    yield "no items", {"a.dcm": rle[: item - 16]}
    yield "item longer than the file", {"a.dcm": over(rle, item - 4, "<I", 2**31)}
    for name, whole in {"JPEG": jpeg, "lossless JPEG": lossless, "JPEG-LS": jpeg_ls}.items():
        size = next(re.finditer(rb"\xff[\xc0\xc3\xf7]\0\x0b", whole)).start() + 5
        yield f"{name} of 65,535 pixels", {"a.dcm": over(whole, size, ">2H", 65535, 65535)}
        yield f"{name} of another size", {"a.dcm": over(whole, size, ">2H", 8, 8)}
        yield f"{name} without its end", {"a.dcm": whole[:-30]}
    size = jpeg_2000.index(b"\xff\x51") + 6
    yield "JPEG 2000 of another size", {"a.dcm": over(jpeg_2000, size, ">2I", 8, 8)}
    yield "JPEG 2000 without its end", {"a.dcm": jpeg_2000[:-40]}


def frames(folder: Path) -> Iterator[Row]:
    plain, enhanced = (seed.files for seed in fuzz_dicom.frames(folder))
    (old,) = plain.values()
    (new,) = enhanced.values()
    yield "more frames than pixels", {"a.dcm": old.replace(b"IS\x02\x003 ", b"IS\x02\x009 ", 1)}
    yield "fewer frames than described", {"b.dcm": new.replace(b"IS\x02\x003 ", b"IS\x02\x002 ", 1)}
    yield "uneven places", {"b.dcm": new.replace(b"0.0\\0.0\\8.0", b"0.0\\0.0\\9.0")}
    before, after = new.rsplit(b"\x20\0\x32\0DS", 1)
    yield "place of a frame is missing", {"b.dcm": before + b"\x20\0\x33\0DS" + after}


def series(folder: Path) -> Iterator[Row]:
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    one, two, three = (fuzz_dicom.image(pixels, number) for number in (1, 2, 3))
    yield "slice is missing", {"1.dcm": one, "2.dcm": two, "4.dcm": fuzz_dicom.image(pixels, 4)}
    yield "slice is empty", {"1.dcm": one, "2.dcm": b"", "3.dcm": three}
    yield "slice is a text", {"1.dcm": one, "2": b"\0\1\2\3 not a slice", "3.dcm": three}
    yield "slice of another size", {"1.dcm": one, "2.dcm": fuzz_dicom.image(pixels[:2], 2), "3.dcm": three}
    echoes = (fuzz_dicom.image(pixels, n, EchoTime=10 * n) for n in (1, 2, 3))
    yield "echo times differ", {f"{n}.dcm": content for n, content in enumerate(echoes, start=1)}
    other = fuzz_dicom.image(pixels + 1, 2, SOPInstanceUID="1.2.826.0.1.3680043.8.498.1")
    yield "one identifier for two slices", {"1.dcm": one, "2.dcm": other, "3.dcm": three}
    yield "files of macOS and Windows", {"1.dcm": one, "2.dcm": two, "3.dcm": three, "._1.dcm": b"a", "Thumbs.db": b"b"}


# pictures

_TAGS = {
    "width of 0": (256, 0),
    "width of 2**31": (256, 2**31),
    "height of 2**31": (257, 2**31),
    "no bits": (258, 0),
    "thirteen bits": (258, 13),
    "unknown compression": (259, 60000),
    "compression that is not in the strips": (259, 8),
    "unknown colours": (262, 99),
    "white is zero": (262, 0),
    "strip beyond the end": (273, 2**31),
    "no samples": (277, 0),
    "65,535 samples": (277, 65535),
    "no rows in a strip": (278, 0),
    "strip of 2**32 bytes": (279, 2**32 - 1),
    "unknown type of voxels": (339, 77),
    "complex voxels": (339, 5),
    "turned": (274, 6),
}


def _tag(content: bytes, tag: int, value: int, kind: int = 4) -> bytes:
    """A little-endian TIFF with another value of a tag in its first directory."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    (place,) = [at for at in places if struct.unpack_from("<H", content, at)[0] == tag]
    return over(content, place, "<HHII", tag, kind, 1, value)


def tiff(folder: Path) -> Iterator[Row]:
    import tifffile

    def made(data: np.ndarray, **options: Any) -> bytes:
        stream = memory.BytesIO()
        tifffile.imwrite(stream, data, **{"metadata": None, **options})
        return stream.getvalue()

    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    whole = made(pixels, extratags=[(274, 3, 1, 1, True)])
    signed = made(pixels.astype(np.int8), extratags=[(274, 3, 1, 1, True)])
    for name, (tag, value) in _TAGS.items():
        yield name, {"a.tif": _tag(signed if tag == 339 else whole, tag, value)}
    (start,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, start)
    after = start + 2 + 12 * count
    yield "directory beyond the end", {"a.tif": over(whole, 4, "<I", 2**31)}
    yield "directory of 65,535 entries", {"a.tif": over(whole, start, "<H", 65535)}
    yield "next page beyond the end", {"a.tif": over(whole, after, "<I", 2**31)}
    yield "pages in a circle", {"a.tif": over(whole, after, "<I", start)}
    yield "printer resolution", {"a.tif": made(pixels, resolution=(118.11, 118.11), resolutionunit=3)}
    measured = made(pixels, resolution=((7, 11), (7, 11)), resolutionunit=3)
    ratio = struct.pack("<2I", 7, 11)
    for name, numbers in {"resolution of 0": (0, 1), "resolution of 1 / 0": (1, 0)}.items():
        yield name, {"a.tif": measured.replace(ratio, struct.pack("<2I", *numbers))}
    yield "shape in the description is not true", {"a.tif": made(pixels, description='{"shape": [9, 9, 9]}')}
    stream = memory.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(pixels, metadata=None)
        writer.write(pixels[:2], metadata=None)
    yield "page of another size", {"a.tif": stream.getvalue()}


_OME = {
    "planes without end": (rb'SizeZ="\d+"', b'SizeZ="999999999"'),
    "negative size": (rb'SizeZ="\d+"', b'SizeZ="-2"'),
    "size is a word": (rb'SizeZ="\d+"', b'SizeZ="two"'),
    "order that does not exist": (rb'DimensionOrder="\w+"', b'DimensionOrder="ABCDE"'),
    "type that is not that of the pages": (rb'Type="uint\d+"', b'Type="double"'),
    "voxel size of NaN": (rb'PhysicalSizeX="[\d.]+"', b'PhysicalSizeX="NaN"'),
    "negative voxel size": (rb'PhysicalSizeX="[\d.]+"', b'PhysicalSizeX="-1"'),
    "unknown unit": (rb'PhysicalSizeXUnit="[^"]+"', b'PhysicalSizeXUnit="parsec"'),
    "description is cut short": (rb"</OME>", b""),
    "document type": (rb"<OME ", b"<!DOCTYPE a [<!ENTITY b 'c'>]><OME "),
    "plane in a file outside the folder": (
        rb"<TiffData",
        b'<TiffData FirstZ="0" PlaneCount="1"><UUID FileName="../../b.tif">urn:uuid:1</UUID></TiffData><TiffData',
    ),
}


def ome_tiff(folder: Path) -> Iterator[Row]:
    import tifffile

    size = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "mm"}
    path = folder / "ome.ome.tif"
    pixels = np.arange(48, dtype=np.uint16).reshape(2, 4, 6)
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX", **size}, photometric="minisblack")
    text = tifffile.tiffcomment(path)
    for name, (old, new) in _OME.items():
        changed = re.sub(old, new.replace(b"\\", b"\\\\"), fuzz_seeds.without_uuid(text.encode()), count=1)
        stream = memory.BytesIO()
        tifffile.imwrite(stream, pixels, description=changed, metadata=None, photometric="minisblack")
        yield name, {"a.ome.tif": stream.getvalue()}


_IMAGEJ = {
    "images without end": ("images", 1_000_000),
    "negative number of slices": ("slices", -3),
    "slices that do not fit": ("slices", 7),
    "spacing of NaN": ("spacing", NAN),
    "negative spacing": ("spacing", -1),
    "unknown unit": ("unit", "cubit"),
    "unit is a control character": ("unit", "\x07"),
}


def imagej(folder: Path) -> Iterator[Row]:
    import tifffile

    known = {"ImageJ": "1.11a", "images": 2, "slices": 2, "spacing": 2.0, "unit": "um"}
    pixels = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    for name, (key, value) in _IMAGEJ.items():
        text = "".join(f"{k}={v}\n" for k, v in (known | {key: value}).items())
        stream = memory.BytesIO()
        tifffile.imwrite(stream, pixels, description=text.encode(), metadata=None, resolution=(2, 2))
        yield name, {"a.tif": stream.getvalue()}


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(head: tuple[int, ...], body: bytes = zlib.compress(b"\0" * 40), *more: bytes) -> Files:
    parts = (_chunk(b"IHDR", struct.pack(">2I5B", *head)), *more, _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    return {"a.png": b"\x89PNG\r\n\x1a\n" + b"".join(parts)}


def png(folder: Path) -> Iterator[Row]:
    yield "declares 60,000 x 60,000 pixels", _png((60000, 60000, 8, 0, 0, 0, 0))
    yield "width of 0", _png((0, 4, 8, 0, 0, 0, 0))
    yield "three bits", _png((4, 4, 3, 0, 0, 0, 0))
    yield "kind of colours that does not exist", _png((4, 4, 8, 9, 0, 0, 0))
    yield "compression that does not exist", _png((4, 4, 8, 0, 9, 0, 0))
    yield "fewer pixels than declared", _png((40, 40, 8, 0, 0, 0, 0))
    yield "table of colours is missing", _png((4, 4, 8, 3, 0, 0, 0))
    yield "16-bit colours", _png((2, 2, 16, 2, 0, 0, 0))
    yield "pixels are not packed", _png((4, 4, 8, 0, 0, 0, 0), b"\0" * 20)
    yield "text of 2 MB", _png((4, 4, 8, 0, 0, 0, 0), zlib.compress(b"\0" * 40), _chunk(b"zTXt", _bomb()))
    palette = _chunk(b"PLTE", bytes((0, 0, 0, 255, 0, 0)))
    yield "numbers of labels as colours", _png((4, 4, 8, 3, 0, 0, 0), zlib.compress(b"\0\0\1\0\1" * 4), palette)
    sound = _png((4, 4, 8, 0, 0, 0, 0), zlib.compress(b"\0" * 20))["a.png"]
    yield "check sum is wrong", {"a.png": over(sound, 29, ">I", 1)}
    yield "no pixels", {"a.png": sound[:33] + _chunk(b"IEND", b"")}


def _bomb() -> bytes:
    return b"a\0\0" + zlib.compress(b"\0" * 2_000_000, 9)


def jpeg(folder: Path) -> Iterator[Row]:
    grey, colour, _ = (seed.files["a.jpg"] for seed in fuzz_seeds.jpeg(folder))
    size = grey.index(b"\xff\xc0") + 5
    yield "declares 65,500 x 65,500 pixels", {"a.jpg": over(grey, size, ">2H", 65500, 65500)}
    yield "width of 0", {"a.jpg": over(grey, size, ">2H", 12, 0)}
    yield "five components", {"a.jpg": over(grey, size + 4, ">B", 5)}
    yield "twelve bits", {"a.jpg": over(grey, size - 1, ">B", 12)}
    yield "table of codes is missing", {"a.jpg": grey.replace(b"\xff\xc4", b"\xff\xfe", 2)}
    yield "no pixels", {"a.jpg": grey[: grey.index(b"\xff\xda")] + b"\xff\xd9"}
    yield "orientation in broken EXIF", {"a.jpg": colour.replace(b"MM\0*\0\0\0\x08", b"MM\0*\xff\xff\xff\xff", 1)}


# arrays


def _array(text: str, body: bytes = b"\0" * 40, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode("latin-1") + body


_ARRAYS = {
    "pickled objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }",
    "complex voxels": "{'descr': '<c8', 'fortran_order': False, 'shape': (1, 4), }",
    "texts": "{'descr': '<U1', 'fortran_order': False, 'shape': (2, 4), }",
    "times": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1, 4), }",
    "several values per voxel": "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1, 4), }",
    "negative axis": "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 4), }",
    "axis of no voxels": "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4), }",
    "no axes": "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
    "forty axes": "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)*40, }",
    "declares 10**24 voxels": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000000000000), }",
    "axis is a fraction": "{'descr': '|u1', 'fortran_order': False, 'shape': (2.5, 4), }",
    "axis beyond 64 bits": "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999, 1), }",
    "type that does not exist": "{'descr': '<q7', 'fortran_order': False, 'shape': (2, 4), }",
    "key is missing": "{'descr': '|u1', 'shape': (2, 4), }",
    "code in place of the header": "__import__('os').getpid()",
    "header is not closed": "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4",
}


def npy(folder: Path) -> Iterator[Row]:
    for name, text in _ARRAYS.items():
        yield name, {"a.npy": _array(text)}
    sound = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4), }"
    yield "version that does not exist", {"a.npy": _array(sound, version=b"\x09\0")}
    yield "header longer than the file", {"a.npy": over(_array(sound), 8, "<H", 65535)}
    yield "pickle in place of an array", {"a.npy": pickle.dumps({"a": 1}, 2)}


def _zip(**members: bytes) -> bytes:
    stream = memory.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name + ".npy"), body, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def npz(folder: Path) -> Iterator[Row]:
    sound = _array("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), }")
    yield "no arrays", {"a.npz": _zip()}
    yield "none is clearly the image", {"a.npz": _zip(one=sound, two=sound)}
    yield "pickled objects", {"a.npz": _zip(image=_array(_ARRAYS["pickled objects"]))}
    yield "declares 10**24 voxels", {"a.npz": _zip(image=_array(_ARRAYS["declares 10**24 voxels"]))}
    yield "more voxels than stored", {"a.npz": _zip(image=sound.replace(b"(5, 8)", b"(9, 8)"))}
    yield "member is a text", {"a.npz": _zip(image=b"a text")}
    yield "notes are not notes", {"a.npz": _zip(image=sound, napari_medseg=sound)}
    yield "labels of another size", {"a.npz": _zip(image=sound, label=sound.replace(b"(5, 8)", b"(4, 8)"))}
    whole = _zip(image=sound)
    yield "member is encrypted", {"a.npz": over(over(whole, 6, "<H", 1), whole.index(b"PK\1\2") + 8, "<H", 1)}
    yield "check sum is wrong", {"a.npz": over(over(whole, 14, "<I", 1), whole.index(b"PK\1\2") + 16, "<I", 1)}
    yield "unknown compression", {"a.npz": over(over(whole, 8, "<H", 99), whole.index(b"PK\1\2") + 10, "<H", 99)}
    yield "list of members is missing", {"a.npz": whole[: whole.index(b"PK\1\2")]}


_SIDE: dict[str, Any] = {
    "shape of another array": {"shape": [9, 9]},
    "voxels of another array": {"crc32": 1},
    "of another file": {"for": "b.npy"},
    "affine of NaN": {"affine": [[NAN] * 4] * 4},
    "singular affine": {"affine": [[0] * 4] * 4},
    "affine of text": {"affine": "none"},
    "affine of another size": {"affine": [[1, 0], [0, 1]]},
    "axes that do not exist": {"axes": "abc"},
    "too few axes": {"axes": "yx"},
    "axes are a number": {"axes": 7},
    "class without a name": {"classes": [{"id": 1}]},
    "class number beyond 64 bits": {"classes": [{"id": 10**30, "name": "a", "colour": "#ffffff"}]},
    "colour that does not exist": {"classes": [{"id": 1, "name": "a", "colour": "red"}]},
    "name with control characters": {"classes": [{"id": 1, "name": "\x1b[2J", "colour": "#ffffff"}]},
    "record is a list": {"record": [1, 2]},
    "reviewed slices are text": {"record": {"what": "segment", "reviewed": ["a"]}},
}


def side_file(folder: Path) -> Iterator[Row]:
    sound = first(fuzz_seeds.side_file(folder))
    content = json.loads(sound["a.npy.json"])
    for name, values in _SIDE.items():
        text = json.dumps({key: {**inner, **values} for key, inner in content.items()})
        yield name, {**sound, "a.npy.json": text.encode()}
    for name, text in {"list": b"[1]", "Latin-1": b'{"a": "\xe9"}', "deep lists": b"[" * 3000, "empty": b""}.items():
        yield name, {**sound, "a.npy.json": text}


def record(folder: Path) -> Iterator[Row]:
    sound = json.loads(first(fuzz_seeds.record(folder))["a.json"])
    for name, values in {
        "inputs are a text": {"inputs": "a.nii"},
        "shape of an input is a text": {"inputs": [{"role": "image", "shape": "2x3"}]},
        "affine of NaN": {"inputs": [{"role": "image", "affine": [[NAN] * 4] * 4}]},
        "settings are a list": {"settings": [1]},
        "models are numbers": {"models": [1, 2]},
        "seconds are a text": {"seconds": "long"},
        "kind is a number": {"what": 7},
    }.items():
        content = {key: {"record": {**inner["record"], **values}} for key, inner in sound.items()}
        yield name, {"a.json": json.dumps(content).encode()}


# raw data


def fastmri(folder: Path) -> Iterator[Row]:
    import h5py

    parts: dict[str, dict[str, Any]] = {
        "real numbers": {"kspace": np.ones((2, 4, 4))},
        "five axes": {"kspace": np.ones((1, 1, 1, 4, 4), np.complex64)},
        "no k-space": {"image": np.ones((4, 4), np.float32)},
        "k-space is a text": {"kspace": "none"},
        "mask of another length": {"mask": np.ones(9)},
        "mask of zeros": {"mask": np.zeros(4)},
        "header is a number": {"ismrmrd_header": 5},
        "header is not XML": {"ismrmrd_header": "<a"},
        "header with a document type": {"ismrmrd_header": "<!DOCTYPE a>" + HEADER[21:]},
        "header with sizes of 0": {"ismrmrd_header": HEADER.replace("<x>4</x>", "<x>0</x>")},
        "header with fields of view of NaN": {"ismrmrd_header": HEADER.replace("<x>32</x>", "<x>nan</x>")},
        "link out of the file": {"kspace": h5py.ExternalLink("other.h5", "/kspace")},
        "link that leads nowhere": {"kspace": h5py.SoftLink("/nothing")},
        "reference of other slices": {"reconstruction_esc": np.ones((5, 2, 2), np.float32)},
        "values that are not finite": {"kspace": np.full((1, 4, 4), NAN, np.complex64)},
    }
    for number, (name, members) in enumerate(parts.items()):
        path = folder / f"part-{number}.h5"
        with h5py.File(path, "w") as file:
            for key, value in {"kspace": np.ones((1, 4, 4), np.complex64), **members}.items():
                if name != "no k-space" or key != "kspace":
                    file[key] = value
        yield name, {"a.h5": path.read_bytes()}
    with h5py.File(folder / "never.h5", "w") as file:
        file.create_dataset("kspace", (10**5, 10**5, 100), np.complex64, chunks=(1, 64, 64))
    yield "declares 8 TB that were never written", {"a.h5": (folder / "never.h5").read_bytes()}
    with h5py.File(folder / "text.h5", "w") as file:
        file["kspace"] = np.ones((1, 4, 4), np.complex64)
        file["ismrmrd_header"] = HEADER[:80]
    whole = (folder / "text.h5").read_bytes()
    heap = whole.index(b"GCOL")
    yield "heap of 2**62 bytes", {"a.h5": over(whole, heap + 8, "<Q", 2**62)}
    yield "text in the heap without a length", {"a.h5": over(whole, heap + 24, "<Q", 0)}


def bart(folder: Path) -> Iterator[Row]:
    pair, single = (seed.files for seed in fuzz_seeds.bart(folder))
    for name, text in {
        "sizes are words": b"# Dimensions\na b\n",
        "negative axis": b"# Dimensions\n-8 6 1 2\n",
        "axis of 0": b"# Dimensions\n8 6 0 2\n",
        "seventeen axes": b"# Dimensions\n8 6 1 2" + b" 1" * 13 + b"\n",
        "more than the data": b"# Dimensions\n8 6 1 20\n",
        "beyond 64 bits": b"# Dimensions\n4294967296 4294967296 4 2\n",
        "no sizes": b"# Dimensions\n",
        "another text": b"hello\n8 6 1 2\n",
    }.items():
        yield name, {**pair, "a.hdr": text}
    yield "data are missing", {"a.hdr": pair["a.hdr"]}
    yield "data are cut short", {**pair, "a.cfl": pair["a.cfl"][:-3]}
    whole = single["b.ra"]
    for name, at, number in (("flags", 8, 1), ("whole numbers", 16, 1), ("size", 32, 7), ("axes", 40, 2**40)):
        yield f"single file: {name}", {"b.ra": over(whole, at, "<Q", number)}
    yield "single file: axis beyond 64 bits", {"b.ra": over(whole, 48, "<2Q", 2**62, 2**62)}


def raw_numpy(folder: Path) -> Iterator[Row]:
    yield "real numbers", {"a.npy": _array("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), }")}
    yield "pickled objects", {"a.npy": _array(_ARRAYS["pickled objects"])}
    yield "three axes without names", {"a.npy": fuzz_seeds.saved(fuzz_seeds.kspace(2, 3, 4))}
    sound, mask = fuzz_seeds.saved(fuzz_seeds.kspace(3, 4)), fuzz_seeds.saved(np.ones(9, np.uint8))
    yield "mask of another length", {"a.npz": _zip(kspace=sound, mask=mask)}
    yield "mask of 7", {"a.npz": _zip(kspace=sound, mask=fuzz_seeds.saved(np.full(4, 7)))}
    yield "none is clearly k-space", {"a.npz": _zip(one=sound, two=sound)}
    huge = _array("{'descr': '<c8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000000), }")
    yield "declares 8 * 10**18 bytes", {"a.npz": _zip(kspace=huge)}


# settings and models


def settings(folder: Path) -> Iterator[Row]:
    sound = {
        "name": "a",
        "architecture": "litenext",
        "classes": [{"id": 1, "name": "a", "colour": "#ffffff"}],
        "phases": [{"until": 1.0, "size": 64, "batch": 1}],
        "train": [{"path": "a"}],
        "val": [{"path": "a"}],
        "steps": 5,
    }
    for name, values in {
        "nothing wrong": {},
        "unknown option": {"stepz": 1},
        "steps are a text": {"steps": "five"},
        "steps are a fraction": {"steps": 1.5},
        "negative steps": {"steps": -1},
        "seed beyond 64 bits": {"seed": 10**30},
        "learning rate of NaN": {"learning_rate": NAN},
        "learning rate of infinity": {"learning_rate": INF},
        "phases that do not end": {"phases": [{"until": 0.5, "size": 64, "batch": 1}]},
        "size of a phase": {"phases": [{"until": 1.0, "size": 63, "batch": 1}]},
        "classes without 1": {"classes": [{"id": 2, "name": "a", "colour": "#ffffff"}]},
        "name is a path": {"name": "../a"},
        "architecture that does not exist": {"architecture": "net"},
        "kind that does not exist": {"kind": "sorcery"},
        "like itself": {"like": "a"},
        "like a path": {"like": "../a"},
        "like a name of 400 letters": {"like": "a" * 400},
        "like a list": {"like": [[]]},
        "text is an object": {"data": {"a": {}}},
    }.items():
        yield name, {"a.json": json.dumps(sound | values).encode()}
    texts = {"list": b"[1]", "not JSON": b"{'a': 1}", "Latin-1": b'{"a": "\xe9"}', "deep": b"[" * 3000}
    for name, text in texts.items():
        yield name, {"a.json": text}


def fine_tune(folder: Path) -> Iterator[Row]:
    sound = json.loads(first(fuzz_seeds.fine_tune(folder))["a.json"])
    for name, values in {
        "base is a number": {"base": 7},
        "class without a colour": {"classes": [{"id": 1, "name": "a"}]},
        "slices are text": {"annotated": [{"image": "a", "labels": "b", "reviewed": ["1"]}]},
        "label that is ignored is a fraction": {"ignore": 0.5},
        "seconds are infinite": {"seconds": INF},
        "unknown option": {"secs": 1},
    }.items():
        yield name, {"a.json": json.dumps(sound | values).encode()}


def dataset(folder: Path) -> Iterator[Row]:
    files = first(fuzz_seeds.dataset(folder))
    sound = json.loads(files["dataset.json"])
    for name, values in {
        "image outside the folder": {"image": "../a.nii"},
        "absolute path": {"image": "/etc/passwd"},
        "image that is not there": {"image": "c.nii"},
        "name of 400 letters": {"image": "a" * 400},
        "part that does not exist": {"split": "exam"},
        "negative slice": {"held_back": [-1]},
        "size of 0": {"spacing": [0, 1]},
        "size of infinity": {"spacing": [INF, 1]},
        "case without a name": {"case": ""},
        "unknown field": {"colour": 1},
    }.items():
        changed = sound | {"cases": [sound["cases"][0] | values]}
        yield name, {**files, "dataset.json": json.dumps(changed).encode()}


def _weights(head: Any, body: bytes = b"\0" * 24) -> bytes:
    text = json.dumps(head).encode() if not isinstance(head, bytes) else head
    return struct.pack("<Q", len(text)) + text + body


def model(folder: Path) -> Iterator[Row]:
    card = json.loads(first(fuzz_seeds.model(folder))["tiny.json"])
    tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    sound = _weights({"a": tensor})

    def files(weights: bytes = sound, **values: Any) -> Files:
        changed = {"tiny.safetensors": weights, "tiny.json": json.dumps(card | values).encode()}
        fuzz_seeds.new_hash(changed)
        return changed

    yield "weights of another network", files()
    for name, weights in {
        "header longer than the file": over(sound, 0, "<Q", 2**40),
        "header is not JSON": _weights(b"{'a'}"),
        "unknown type": _weights({"a": tensor | {"dtype": "F33"}}),
        "tensor beyond the end": _weights({"a": tensor | {"data_offsets": [0, 2**40]}}),
        "shape that does not fit": _weights({"a": tensor | {"shape": [2**40, 3]}}),
        "negative shape": _weights({"a": tensor | {"shape": [-2, 3]}}),
        "tensors that overlap": _weights({"a": tensor, "b": tensor}),
    }.items():
        yield name, files(weights)
    for name, values in {
        "architecture that does not exist": {"architecture": "net"},
        "classes are a text": {"classes": "all"},
        "certainty is a text": {"certainty": "high"},
        "turns is a number": {"turns": 1},
        "options are a list": {"options": [1]},
        "option that does not exist": {"options": {"depth": 10**9}},
        "unknown field": {"licence_of": "a"},
        "figures are infinite": {"metrics": {"dice": INF}},
    }.items():
        yield f"card: {name}", files(**values)
    yield "card of other weights", {**files(), "tiny.json": json.dumps(card | {"sha256": "0" * 64}).encode()}
    yield "no card", {"tiny.safetensors": sound}


def checkpoint(folder: Path) -> Iterator[Row]:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("code of a file ran",))

    import torch

    torch.save({"a": Code()}, folder / "code.pt")
    yield "code", {"a.pt": (folder / "code.pt").read_bytes()}
    yield "code in a plain pickle", {"a.pt": pickle.dumps(Code(), 2)}
    torch.save([torch.ones(2)], folder / "list.pt")
    yield "list in place of weights", {"a.pt": (folder / "list.pt").read_bytes()}
    yield "safetensors without an end", {"a.pt": _weights({"a": {}})[:-30]}
    yield "a picture", {"a.pt": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}


def replay(folder: Path) -> Iterator[Row]:
    image = fuzz_seeds.saved(np.zeros((2, 4, 5), np.uint8))
    yield "no labels", {"a.npz": _zip(image=image, case=fuzz_seeds.saved(np.array(["a", "b"])))}
    yield "pickled objects", {"a.npz": _zip(image=_array(_ARRAYS["pickled objects"]), label=image, case=image)}
    yield "member is a text", {"a.npz": _zip(image=b"a text", label=image, case=image)}


def mask(folder: Path) -> Iterator[Row]:
    for name, array in {
        "three axes": np.ones((2, 2, 2)),
        "complex": np.ones(4, "c8"),
        "texts": np.array(["a"]),
    }.items():
        yield name, {"a.npy": fuzz_seeds.saved(array)}
    yield "header is not closed", {"a.npy": _array(_ARRAYS["header is not closed"])}
    yield "axis beyond 64 bits", {"a.npy": _array(_ARRAYS["axis beyond 64 bits"])}
    yield "pickled objects", {"a.npy": _array(_ARRAYS["pickled objects"])}


def of_length(seeds: Callable[[Path], Iterator[Seed]], folder: Path) -> Iterator[Row]:
    """What is true of every format: files that are empty, cut short, or full of zeros."""
    files = min((dict(seed.files) for seed in seeds(folder)), key=lambda files: sum(map(len, files.values())))
    name, content = next(iter(files.items()))
    for fault, changed in {
        "nothing in it": b"",
        "cut in its first bytes": content[:20],
        "cut in the middle": content[: len(content) // 2],
        "zeros": b"\0" * 64,
    }.items():
        yield fault, {**files, name: changed}


FAULTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "dicom plain": dicom,
    "dicom compressed": compressed_dicom,
    "dicom multi-frame": frames,
    "dicom series": series,
    "nifti": nifti,
    "nifti.gz": compressed_nifti,
    "tiff": tiff,
    "ome-tiff": ome_tiff,
    "imagej": imagej,
    "png": png,
    "jpeg": jpeg,
    "npy": npy,
    "npz": npz,
    "side file": side_file,
    "record": record,
    "fastmri": fastmri,
    "ismrmrd": partial(of_length, fuzz_seeds.ismrmrd),
    "bart": bart,
    "k-space numpy": raw_numpy,
    "reconstruction": partial(of_length, fuzz_seeds.reconstruction),
    "settings": settings,
    "fine-tune settings": fine_tune,
    "dataset.json": dataset,
    "model": model,
    "checkpoint": checkpoint,
    "replay": replay,
    "mask": mask,
}
"""Faults by the name of the reader."""
