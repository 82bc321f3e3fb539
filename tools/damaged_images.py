"""Damaged images for `make_damaged.py`: what a reader must not believe of a NIfTI, DICOM, TIFF, PNG or JPEG file."""

from __future__ import annotations

import gzip
import io as memory
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fuzz_dicom
import fuzz_seeds
import nibabel
import numpy as np
from damaged_files import INF, NAN, Files, Row, first, over

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
    noted = first(fuzz_seeds.nifti(folder))["a.nii"]
    whole = nibabel.Nifti1Image(np.arange(40, dtype=np.uint8).reshape(5, 4, 2), fuzz_seeds.AFFINE).to_bytes()
    for name, (at, layout, value) in _NIFTI.items():
        content = noted if name.startswith("extension") else whole
        yield name, {"a.nii": over(content, at, layout, *(value if isinstance(value, tuple) else (value,)))}
    plain = over(whole, 252, "<2h", 0, 0)
    yield "no transform", {"a.nii": plain}
    yield "no transform and no size", {"a.nii": over(plain, 80, "<3f", 0, 0, 0)}
    yield "one time point", {"a.nii": over(over(whole, 40, "<h", 4), 48, "<h", 1)}
    yield "other byte order in part", {"a.nii": over(whole, 40, ">8h", 3, 5, 4, 2, 1, 1, 1, 1)}


def compressed_nifti(folder: Path) -> Iterator[Row]:
    whole = nibabel.Nifti1Image(np.arange(40, dtype=np.uint8).reshape(5, 4, 2), fuzz_seeds.AFFINE).to_bytes()
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
    "slope is a word": (b"\x53\x10DS\x04\0" + b"2.0 ", b"\x53\x10DS\x04\0" + b"two "),
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


_NRRD = {
    "declares 10^15 voxels": ("sizes: 6 4", "sizes: 100000000 10000000"),
    "a size below zero": ("sizes: 6 4", "sizes: -6 4"),
    "no sizes": ("sizes: 6 4\n", ""),
    "three sizes of two axes": ("sizes: 6 4", "sizes: 6 4 2"),
    "unknown numbers": ("type: uint8", "type: block"),
    "unknown packing": ("encoding: raw", "encoding: hex2"),
    "voxels in another folder": ("encoding: raw", "encoding: raw\ndata file: ../../secret.raw"),
    "directions that are not numbers": ("encoding: raw", "encoding: raw\nspace: LPS\nspace directions: (a,b,c) none"),
}


def nrrd(folder: Path) -> Iterator[Row]:
    head = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 6 4\nencoding: raw\n\n"
    for name, change in _NRRD.items():
        yield name, {"a.nrrd": head.replace(*change).encode() + bytes(24)}


_META = {
    "declares 10^15 voxels": ("DimSize = 6 4", "DimSize = 100000000 10000000"),
    "a size below zero": ("DimSize = 6 4", "DimSize = -6 4"),
    "no sizes": ("DimSize = 6 4\n", ""),
    "unknown numbers": ("MET_UCHAR", "MET_OTHER"),
    "voxels in another folder": ("LOCAL", "../../secret.raw"),
    "spacing of zero": ("NDims = 2", "NDims = 2\nElementSpacing = 0 1"),
}


def meta_image(folder: Path) -> Iterator[Row]:
    head = "ObjectType = Image\nNDims = 2\nDimSize = 6 4\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    for name, change in _META.items():
        yield name, {"a.mha": head.replace(*change).encode() + bytes(24)}


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
    yield "last rows are missing", _png((4, 2**23, 8, 0, 0, 0, 0), zlib.compress(b"\0" * 20))
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
