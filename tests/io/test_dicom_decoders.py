"""DICOM: unpacked values are those that were packed, over compression, bits, signs and colours."""

import itertools
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_medseg import io

imagecodecs = pytest.importorskip("imagecodecs")

SIZES = [(8, 8), (8, 16), (12, 16), (16, 16)]  # bits stored and allocated
RED = np.full((16, 16, 3), (200, 60, 30), np.uint8)


@pytest.fixture
def packed(slice_file):
    """A function that writes a file with packed or plain pixels and returns what is read."""

    def read(pixels, content, syntax, **elements):
        path = slice_file("a.dcm", Rows=16, Columns=16, **elements)
        dataset = pydicom.dcmread(path)
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        dataset.BitsStored = elements.get("BitsStored", dataset.BitsAllocated)
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        if pixels.ndim == 3:
            dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, elements.get("PlanarConfiguration", 0)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([content]) if syntax.is_encapsulated else content
        dataset["PixelData"].VR = "OB" if syntax.is_encapsulated or pixels.dtype.itemsize == 1 else "OW"
        little = syntax != ExplicitVRBigEndian
        pydicom.dcmwrite(path, dataset, little_endian=little, implicit_vr=False, enforce_file_format=True)
        return io.read(path).data

    return read


def drawn(bits, allocated, signed):
    """Values over the whole range, and the bits that hold them."""
    low = -(1 << bits - 1) if signed else 0
    values = np.random.default_rng(bits).integers(low, low + (1 << bits), (16, 16))
    values[0, :2] = low, low + (1 << bits) - 1
    raw = (values & ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return values.astype(f"{'i' if signed else 'u'}{allocated // 8}"), raw


GRID = list(itertools.product(SIZES, (False, True)))


@pytest.mark.parametrize(("size", "signed"), GRID)
def test_plain_values(packed, size, signed):
    values, _ = drawn(*size, signed)
    for syntax, order in ((ExplicitVRLittleEndian, "<"), (ExplicitVRBigEndian, ">")):
        content = values.astype(values.dtype.newbyteorder(order)).tobytes()
        np.testing.assert_array_equal(packed(values, content, syntax, BitsStored=size[0]), values)


@pytest.mark.parametrize(("size", "signed"), GRID)
def test_run_lengths(packed, size, signed):
    values, _ = drawn(*size, signed)
    planes = values.astype(values.dtype.newbyteorder(">")).view(np.uint8).reshape(256, -1).T
    # literal runs of 128 bytes, one segment for each byte of the values
    segments = [b"\x7f" + plane[:128].tobytes() + b"\x7f" + plane[128:].tobytes() for plane in planes]
    starts = np.zeros(16, "<u4")
    starts[0] = len(segments)
    starts[1 : 1 + len(segments)] = 64 + 258 * np.arange(len(segments))
    content = starts.tobytes() + b"".join(segments)
    np.testing.assert_array_equal(packed(values, content, RLELossless, BitsStored=size[0]), values)


@pytest.mark.parametrize(("size", "signed"), GRID)
def test_jpeg_ls(packed, size, signed):
    values, raw = drawn(*size, signed)
    found = packed(values, imagecodecs.jpegls_encode(raw), JPEGLSLossless, BitsStored=size[0])
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("size", "signed"), GRID)
def test_lossless_jpeg(packed, size, signed):
    values, raw = drawn(*size, signed)
    content = imagecodecs.jpeg8_encode(raw, lossless=True, predictor=1, bitspersample=size[0])
    np.testing.assert_array_equal(packed(values, content, JPEGLosslessSV1, BitsStored=size[0]), values)


@pytest.mark.parametrize(("size", "signed"), GRID)
def test_jpeg_2000(packed, size, signed):
    values, raw = drawn(*size, signed)
    options = {"codecformat": "j2k", "level": 0, "reversible": True, "bitspersample": size[0]}
    # signed values are found in streams that are signed and in streams that are not
    for stream in (values.astype(f"{values.dtype.kind}{raw.dtype.itemsize}"), raw):
        content = imagecodecs.jpeg2k_encode(stream, **options)
        np.testing.assert_array_equal(packed(values, content, JPEG2000Lossless, BitsStored=size[0]), values)


def jpeg(**options):
    file = BytesIO()
    Image.fromarray(RED).save(file, "JPEG", quality=100, subsampling=0, **options)
    return file.getvalue()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
@pytest.mark.parametrize("colours", ["YBR_FULL", "YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("keep_rgb", [False, True])
def test_colours_of_lossy_jpeg_are_converted_once(packed, syntax, colours, keep_rgb):
    found = packed(RED, jpeg(keep_rgb=keep_rgb), syntax, PhotometricInterpretation=colours)
    assert np.abs(found.astype(int) - RED).max() <= 3


@pytest.mark.parametrize(
    ("colours", "syntax", "encode"),
    [
        ("RGB", JPEGLSLossless, imagecodecs.jpegls_encode),
        (
            "RGB",
            JPEGLosslessSV1,
            lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB"),
        ),
        ("RGB", JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=0, mct=False)),
        ("YBR_RCT", JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=0, mct=True)),
    ],
)
def test_colours_of_lossless_compressions(packed, colours, syntax, encode):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(packed(pixels, encode(pixels), syntax, PhotometricInterpretation=colours), pixels)


def test_colours_by_plane(packed):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    content = pixels.transpose(2, 0, 1).tobytes()
    options = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 1}
    np.testing.assert_array_equal(packed(pixels, content, ExplicitVRLittleEndian, **options), pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_palettes(slice_file, packed, syntax):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    table = np.random.default_rng(0).integers(0, 256, (3, 256), np.uint8)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    elements = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in zip(("Red", "Green", "Blue"), table, strict=True):
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        content = (values.astype(np.uint16) << 8).astype(f"{order}u2").tobytes()
        elements[f"{name}PaletteColorLookupTableData"] = content
    found = packed(pixels, pixels.tobytes(), syntax, **elements)
    np.testing.assert_array_equal(found, table.T[pixels])
