"""TIFF, PNG and JPEG: axes and voxel sizes of other programs, and files that promise too much."""

import logging
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_medseg import io
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.volume import Volume

NOISE = np.random.default_rng(0).integers(0, 60000, (2, 3, 4, 5, 6), np.uint16)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("YX", "yx"),
        ("ZYX", "zyx"),
        ("TYX", "tyx"),
        ("CYX", "cyx"),
        ("TZYX", "tzyx"),
        ("ZCYX", "czyx"),
        ("TZCYX", "tczyx"),
        ("CTYX", "tcyx"),
    ],
)
@pytest.mark.parametrize("ome", [True, False])
def test_axes_come_from_the_file(tmp_path, axes, expected, ome):
    data = NOISE[(0,) * (5 - len(axes))]
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    tifffile.imwrite(path, data, ome=ome, metadata={"axes": axes}, photometric="minisblack")
    volume = io.read(path)
    assert volume.axes == expected and not volume.has_spacing
    np.testing.assert_array_equal(volume.data, np.einsum(f"{axes.lower()}->{expected}", data))


def test_pages_without_a_name_are_slices(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in NOISE[0, 0]:
            writer.write(page, metadata=None)
    volume = io.read(tmp_path / "a.tif")
    assert volume.axes == "zyx"
    np.testing.assert_array_equal(volume.data, NOISE[0, 0])


@pytest.mark.parametrize(("samples", "axes"), [(3, "yxc"), (4, "yxc")])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_are_last_and_transparency_is_dropped(tmp_path, samples, axes, planar):
    data = np.random.default_rng(0).integers(0, 255, (20, 30, samples), np.uint8)
    stored = data if planar == "contig" else data.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    volume = io.read(tmp_path / "a.tif")
    assert volume.axes == axes
    np.testing.assert_array_equal(volume.data, data[..., :3])


@pytest.mark.parametrize(
    ("unit", "mm"), [("um", 1e-3), ("micron", 1e-3), ("\\u00B5m", 1e-3), ("mm", 1), ("pixel", None)]
)
def test_imagejs_voxel_size(tmp_path, unit, mm):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, NOISE[0, 0], imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "unit": unit, "spacing": 3}
    )
    volume = io.read(path)
    assert volume.has_spacing == (mm is not None)
    assert volume.spacing == pytest.approx((3 * mm, 0.5 * mm, 0.25 * mm) if mm else (1, 1, 1))


@pytest.mark.parametrize(("unit", "mm"), [(None, 1e-3), ("nm", 1e-6), ("mm", 1)])
def test_voxel_size_of_ome(tmp_path, unit, mm):
    metadata = {"axes": "ZYX"}
    for axis, size in (("X", 0.065), ("Y", 0.065), ("Z", 0.2)):
        metadata |= {f"PhysicalSize{axis}": size} | ({f"PhysicalSize{axis}Unit": unit} if unit else {})
    tifffile.imwrite(tmp_path / "a.ome.tif", NOISE[0, 0], metadata=metadata)
    volume = io.read(tmp_path / "a.ome.tif")
    assert volume.has_spacing and volume.spacing == pytest.approx((0.2 * mm, 0.065 * mm, 0.065 * mm))


@pytest.mark.parametrize(("unit", "known"), [("CENTIMETER", True), ("INCH", False), ("NONE", False)])
def test_resolution_of_printers_is_no_voxel_size(tmp_path, unit, known):
    tifffile.imwrite(tmp_path / "a.tif", NOISE[0, 0, 0], resolution=(100, 50), resolutionunit=unit)
    volume = io.read(tmp_path / "a.tif")
    assert volume.has_spacing == known and volume.spacing == pytest.approx((0.2, 0.1) if known else (1, 1))


@pytest.mark.parametrize("dpi", [72, 96, 300])
@pytest.mark.parametrize("imagej", [False, True])
def test_dots_of_printers_are_not_pixels(tmp_path, dpi, imagej):
    path = tmp_path / "a.tif"
    density = round(dpi / 2.54, 3)
    if imagej:
        tifffile.imwrite(path, NOISE[0, 0, 0], imagej=True, resolution=(dpi, dpi), metadata={"unit": "inch"})
    else:
        tifffile.imwrite(path, NOISE[0, 0, 0], resolution=(density, density), resolutionunit="CENTIMETER")
    volume = io.read(path)
    assert not volume.has_spacing and volume.spacing == (1, 1)


def test_a_size_known_by_half_is_not_known(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "mm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", NOISE[0, 0, 0], metadata=metadata)
    volume = io.read(tmp_path / "a.ome.tif")
    assert not volume.has_spacing and volume.spacing == (1, 1)


def test_pages_of_two_kinds_are_told(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, compression in zip(NOISE[0, 0], ("zlib", None, "zlib", None), strict=False):
            writer.write(page, metadata=None, compression=compression, photometric="minisblack")
    with pytest.raises(FileError, match="holds 2 images that differ"):
        io.read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_over(tmp_path, dtype):
    data = NOISE[0, 0, 0].astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite")
    np.testing.assert_array_equal(io.read(tmp_path / "a.tif").data, np.iinfo(dtype).max - data)


def test_white_is_zero_needs_a_largest_value(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.float32), photometric="miniswhite")
    with pytest.raises(FileError, match="black as zero"):
        io.read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_pages_are_told(tmp_path, orientation):
    tag = (274, 3, 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", NOISE[0, 0, 0], extratags=[tag])
    with pytest.raises(FileError, match="upright"):
        io.read(tmp_path / "a.tif")


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_pictures_are_turned_upright(tmp_path, orientation, turns):
    data = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(data).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(io.read(tmp_path / "a.png").data, np.rot90(data, turns))


def test_colours_with_jpeg_compression_are_colours(tmp_path):
    pytest.importorskip("imagecodecs")
    data = np.full((64, 64, 3), (200, 90, 150), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="ycbcr", compression="jpeg")
    volume = io.read(tmp_path / "a.tif")
    expected = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB")).astype(int)
    assert volume.axes == "yxc" and abs(volume.data - expected).max() <= 3


def test_unknown_distance_of_slices_makes_the_voxel_size_unknown(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", NOISE[0, 0], photometric="minisblack", resolution=(9, 9), resolutionunit=3)
    assert not io.read(tmp_path / "a.tif").has_spacing


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_other_programs_see_our_axes_and_voxel_size(tmp_path, volume, name):
    io.write(volume, tmp_path / name)
    with tifffile.TiffFile(tmp_path / name) as tif:
        assert tif.series[0].axes == "ZYX" and tif.is_ome == ("ome" in name)
        count, length = tif.pages.first.tags.valueof("XResolution")
        assert 10 * length / count == pytest.approx(volume.spacing[-1])
        np.testing.assert_array_equal(tif.series[0].asarray(), volume.data)


def described(path):
    with tifffile.TiffFile(path) as tif:
        return tif.pages.first.description


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize("shape", [(4, 10, 12), (4, 20, 30), (2, 20, 24), (8, 10, 24), (4, 24, 20)])
def test_what_is_noted_does_not_hold_once_another_program_has_changed_the_image(tmp_path, caplog, name, shape):
    """Resized, cropped or cut into other pages, with the description that was there: no page is lost, either."""
    io.write(Volume(np.ones((4, 20, 24), np.uint8), "zyx", np.diag([0.5, 0.5, 3, 1])), tmp_path / name)
    data = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    text = described(tmp_path / name).encode()
    options = {"metadata": None, "photometric": "minisblack", "resolution": (20, 20), "resolutionunit": 3}
    tifffile.imwrite(tmp_path / f"b{name}", data, description=text, **options)
    volume = io.read(tmp_path / f"b{name}")
    assert not volume.has_spacing and volume.spacing == (1, 1, 1)
    np.testing.assert_array_equal(volume.data, data)
    assert "another program has changed it" in caplog.text


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_what_is_noted_holds_for_a_copy(tmp_path, name):
    io.write(Volume(np.ones((4, 20, 24), np.uint8), "zyx", np.diag([0.5, 0.5, 3, 1])), tmp_path / name)
    options = {"metadata": None, "photometric": "minisblack", "description": described(tmp_path / name).encode()}
    tifffile.imwrite(tmp_path / f"b{name}", np.zeros((4, 20, 24), np.uint8), **options)
    assert io.read(tmp_path / f"b{name}").spacing == (3, 0.5, 0.5)


def test_more_axes_than_we_know_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", NOISE[0], metadata={"axes": "QZYX"}, photometric="minisblack")
    with pytest.raises(VolumeError, match="axes='tczyx'"):
        io.read(tmp_path / "a.tif")
    assert io.read(tmp_path / "a.tif", axes="tzyx").axes == "tzyx"


def test_types_that_ome_lacks_are_refused(tmp_path, volume):
    with pytest.raises(VolumeError, match="int64"):
        io.write(replace(volume, data=volume.data.astype(np.int64)), tmp_path / "a.ome.tif")


def test_missing_pages_are_told(tmp_path, caplog):
    """Most readers return the pages that are left."""
    caplog.set_level(logging.CRITICAL)  # the log tells, whatever a program does with it
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(page) for page in np.zeros((9, 40, 40), np.uint8)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    raw = path.read_bytes()
    for length in (len(raw) // 2, len(raw) * 2 // 3, len(raw) - 30):
        path.write_bytes(raw[:length])
        with pytest.raises(FileError, match="damaged"):
            io.read(path)
    assert not logging.getLogger("tifffile").handlers and logging.getLogger("tifffile").level == logging.NOTSET


def test_missing_files_of_an_image_are_told(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, NOISE[0, 0], metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        description = tif.ome_metadata
    block = '<TiffData IFD="0" FirstZ="1" PlaneCount="2"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    start, end = description.index("<TiffData"), description.index("</Pixels>")
    split = description[:start] + '<TiffData IFD="0" FirstZ="0" PlaneCount="1"/>' + block + description[end:]
    tifffile.imwrite(path, NOISE[0, 0, 0], description=split, metadata=None)
    with pytest.raises(FileError, match="some are missing"):
        io.read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [('SizeZ="4"', 'SizeZ="4000000000"'), ('PlaneCount="4"', 'PlaneCount="900000000"'), ('SizeT="1"', 'SizeT="0"')],
)
def test_descriptions_that_lie_are_told(tmp_path, old, new):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, NOISE[0, 0], metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        description = tif.ome_metadata
    assert old in description
    changed = description.replace(old, new)
    tifffile.imwrite(path, NOISE[0, 0], description=changed, metadata=None, photometric="minisblack")
    with pytest.raises(FileError, match=r"declares|planes"):
        io.read(path)


@pytest.mark.parametrize("tag", ["ImageWidth", "ImageLength", "RowsPerStrip"])
def test_huge_sizes_in_small_files_are_told(tmp_path, tag):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE[0, 0, 0], compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags[tag].overwrite(4_000_000_000, dtype="I")
    if tag == "RowsPerStrip":  # bounded by the height of the image
        assert io.read(path).data.shape == (5, 6)
    else:
        with pytest.raises(FileError, match=r"'a\.tif' (declares|is)"):
            io.read(path)


def test_missing_strips_are_told(tmp_path):
    """Most readers fill them with zeros, as many gigabytes as the file declares."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 17), np.uint16), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages.first.tags["ImageLength"].overwrite(10_000_000, dtype="I")
    with pytest.raises(FileError, match="strips or tiles"):
        io.read(path)


def test_compressions_without_their_package_are_told(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE[0, 0, 0], compression="zlib")
    monkeypatch.setattr(
        tifffile.TiffPageSeries, "asarray", lambda self: (_ for _ in ()).throw(ValueError("requires imagecodecs"))
    )
    with pytest.raises(FileError, match="pip install imagecodecs"):
        io.read(path)


@pytest.mark.parametrize(
    ("mode", "shape", "axes"),
    [("L", (20, 30), "yx"), ("RGB", (20, 30, 3), "yxc"), ("RGBA", (20, 30, 4), "yxc"), ("LA", (20, 30, 2), "yx")],
)
def test_png(tmp_path, mode, shape, axes):
    data = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    Image.fromarray(data, mode).save(tmp_path / "a.png")
    volume = io.read(tmp_path / "a.png")
    assert volume.axes == axes and not volume.has_spacing
    np.testing.assert_array_equal(volume.data, data[..., :3] if axes == "yxc" else data.reshape(20, 30, -1)[..., 0])


def test_png_keeps_16_bits(tmp_path):
    Image.fromarray(NOISE[0, 0, 0]).save(tmp_path / "a.png")
    volume = io.read(tmp_path / "a.png")
    assert volume.data.dtype == np.uint16
    np.testing.assert_array_equal(volume.data, NOISE[0, 0, 0])


def png(path, width, height, depth, colour, data):
    """A PNG file of any declared size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    body = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))
    return path


def test_png_colours_of_16_bits_are_refused(tmp_path):
    path = png(tmp_path / "a.png", 1, 1, 16, 2, zlib.compress(bytes(7)))
    with pytest.raises(FileError, match="16-bit colours"):
        io.read(path)


def test_png_of_huge_size_is_refused(tmp_path):
    path = png(tmp_path / "a.png", 2**31 - 1, 2**31 - 1, 8, 2, zlib.compress(bytes(10**6)))
    with pytest.raises(FileError, match=r"damaged|declares"):
        io.read(path)


def test_palette_becomes_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png")
    assert io.read(tmp_path / "a.png").data.tolist() == [[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [10, 20, 30]]]


def test_palette_that_begins_black_and_has_few_colours_holds_labels(tmp_path):
    numbers = np.array([[0, 1, 2], [0, 255, 2]], np.uint8)
    image = Image.fromarray(numbers, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [224] * 759)
    image.save(tmp_path / "a.png")
    volume = io.read(tmp_path / "a.png")
    assert volume.axes == "yx" and volume.metadata["labels"]
    np.testing.assert_array_equal(volume.data, numbers)


def test_palette_of_a_picture_stays_a_picture(tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(photo).quantize(200).save(tmp_path / "a.png")
    assert io.read(tmp_path / "a.png").axes == "yxc"
    grey = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    grey.putpalette(np.repeat(np.arange(256), 3).tolist())
    grey.save(tmp_path / "b.png")
    assert "labels" not in io.read(tmp_path / "b.png").metadata


def test_jpeg(tmp_path):
    Image.fromarray(np.full((20, 30, 3), 77, np.uint8)).save(tmp_path / "a.jpg")
    volume = io.read(tmp_path / "a.jpg")
    assert volume.axes == "yxc" and abs(volume.data.astype(int) - 77).max() <= 2
