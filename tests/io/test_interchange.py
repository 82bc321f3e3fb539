"""What other programs find in our NRRD, MetaImage and NIfTI files, and what we find in theirs."""

import gzip
import logging
import os
import zlib

import nrrd as pynrrd
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from napari_medseg import codes, io
from napari_medseg.codes import Code, Coding
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.io import formats
from napari_medseg.volume import LabelClass, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
GRIDS = 30
JUDGED = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha")
# labels that lie on images have tests of their own
FREE = [suffix for row in formats.FORMATS if row.writes and not row.fitted for suffix in row.suffixes]
OTHERS = [suffix for suffix in FREE if suffix not in JUDGED]
CLASSES = (
    LabelClass(1, "cavity", "#e64b35"),
    LabelClass(3, "肝臓 Größe", "#4dbbd5"),
    LabelClass(300, "liver", "#00a087"),
)


def grid(seed):
    """A random oblique, anisotropic grid, left-handed for every second seed, and labels on it."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * rng.uniform(0.3, 8, 3)
    if (np.linalg.det(affine[:3, :3]) < 0) == bool(seed % 2):
        affine[:3, seed % 3] *= -1
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    shape = tuple(rng.integers(2, 9, 3))
    return Volume(rng.choice(np.array([0, 1, 3, 300], np.uint16), shape), "zyx", affine, CLASSES)


def equal(back, volume, tolerance=1e-6):
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, volume.affine, rtol=0, atol=tolerance)
    assert (back.axes, back.classes) == (volume.axes, volume.classes)


def place(image):
    """The affine of a SimpleITK image, in RAS+."""
    affine = np.eye(4)
    count = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (count, count))
    used = min(count, 3)
    affine[:used, :used] = (directions * image.GetSpacing())[:used, :used]
    affine[:used, 3] = image.GetOrigin()[:used]
    return LPS @ affine


@pytest.mark.parametrize("ending", JUDGED)
def test_simpleitk_finds_our_files_in_the_right_place(tmp_path, ending):
    for seed in range(GRIDS):
        volume = grid(seed)
        path = io.write(volume, tmp_path / f"a{ending}")
        equal(io.read(path), volume)
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.data)
        np.testing.assert_allclose(place(image), volume.affine, rtol=0, atol=1e-3 if "nii" in ending else 1e-9)


@pytest.mark.parametrize("ending", OTHERS)
def test_other_formats_give_back_any_grid(tmp_path, ending):
    for seed in range(GRIDS):
        if ending != ".npy":
            equal(io.read(io.write(grid(seed), tmp_path / f"a{ending}")), grid(seed))


@pytest.mark.parametrize("ending", FREE)
def test_odd_class_tables_come_back(tmp_path, ending):
    odd = (LabelClass(300, "liver", "#00A087"), LabelClass(3, "", "#4dbbd5"), LabelClass(1, "a:=b\\c", "#E64B35"))
    volume = Volume(grid(0).data, "zyx", grid(0).affine, odd)
    equal(io.read(io.write(volume, tmp_path / f"a{ending}")), volume)


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd"])
def test_pynrrd_finds_our_files_exactly_in_place(tmp_path, ending):
    for seed in range(GRIDS):
        volume = grid(seed)
        data, header = pynrrd.read(str(io.write(volume, tmp_path / f"a{ending}")))
        np.testing.assert_array_equal(data.T, volume.data)
        affine = np.eye(4)
        affine[:3, :3] = header["space directions"].T
        affine[:3, 3] = header["space origin"]
        np.testing.assert_array_equal(LPS @ affine, volume.affine)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_tilted_stacks_stay_tilted(tmp_path, ending):
    volume = grid(1)
    volume.affine[:3, 2] += 0.3 * volume.affine[:3, 1]
    path = io.write(volume, tmp_path / f"a{ending}")
    equal(io.read(path), volume)
    np.testing.assert_allclose(place(sitk.ReadImage(str(path))), volume.affine, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_every_type_of_voxel_is_kept_for_us_and_for_simpleitk(tmp_path, ending, dtype):
    data = (np.random.default_rng(0).random((3, 4, 5)) * 100).astype(dtype)
    path = io.write(Volume(data, "zyx", grid(0).affine), tmp_path / f"a{ending}")
    back = io.read(path)
    assert back.data.dtype == data.dtype
    np.testing.assert_array_equal(back.data, data)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), data)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("axes", ["yx", "tyx", "tzyx", "czyx", "cyx", "yxc", "zyxc", "tczyx"])
def test_axes_come_back(tmp_path, ending, axes):
    sizes = dict(t=4, c=3, z=2, y=5, x=6)
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, [sizes[a] for a in axes], np.uint8)
    volume = Volume(data, axes, grid(3).affine)
    path = io.write(volume, tmp_path / f"a{ending}")
    equal(io.read(path), volume)
    if axes in ("yx", "zyxc", "czyx", "tzyx"):
        image = sitk.ReadImage(str(path))
        found = sitk.GetArrayFromImage(image)
        if ending == ".nrrd" and axes == "tzyx":
            found = np.moveaxis(found, -1, 0)  # a list of images is an image of lists there
        if axes == "czyx":
            found = np.moveaxis(found, -1, 0)
        np.testing.assert_array_equal(found.reshape(data.shape), data)
        np.testing.assert_allclose(place(image), volume.affine, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_guessed_voxel_size_is_not_written(tmp_path, ending):
    volume = Volume(np.ones((2, 3, 4), np.uint8), "zyx", metadata={"has_spacing": False})
    path = io.write(volume, tmp_path / f"a{ending}")
    assert not io.read(path).has_spacing
    assert b"pacing =" not in path.read_bytes() and b"directions" not in path.read_bytes()


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", ["oblique", "flat", "time", "colours", "channels"])
def test_files_of_simpleitk_are_read(tmp_path, ending, compressed, kind):
    shape = {"flat": (4, 5), "time": (6, 3, 4, 5)}.get(kind, (3, 4, 5))
    vector = {"colours": 3, "channels": 2}.get(kind, 1)
    dtype = np.uint8 if kind == "colours" else np.int16
    data = np.random.default_rng(0).integers(0, 99, shape + (vector,) * (vector > 1)).astype(dtype)
    image = sitk.GetImageFromArray(data, isVector=vector > 1)
    volume = grid(5)
    if len(shape) == 3:
        affine = LPS @ volume.affine
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(sizes)
        image.SetDirection((affine[:3, :3] / sizes).ravel())
        image.SetOrigin(affine[:3, 3])
    else:
        image.SetSpacing([1.5, 2.5, 3.5, 4.5][: len(shape)])
        image.SetOrigin([10, 20, 30, 40][: len(shape)])
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(image, str(path), useCompression=compressed)
    back = io.read(path)
    assert back.has_spacing
    np.testing.assert_allclose(back.affine[:, [0, 1, 3]], place(image)[:, [0, 1, 3]], rtol=0, atol=1e-9)
    if kind != "flat":
        np.testing.assert_allclose(back.affine, place(image), rtol=0, atol=1e-9)
    assert back.axes == {"flat": "yx", "time": "tzyx", "colours": "zyxc", "channels": "czyx"}.get(kind, "zyx")
    np.testing.assert_array_equal(back.data, np.moveaxis(data, -1, 0) if kind == "channels" else data)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_files_of_pynrrd_are_read(tmp_path, encoding, endian):
    data = np.arange(60, dtype="<i2" if endian == "little" else ">i2").reshape(5, 4, 3)
    header = {"space": "right-anterior-superior", "space directions": 2 * np.eye(3), "space origin": [1, 2, 3]}
    pynrrd.write(str(tmp_path / "a.nrrd"), data, {**header, "encoding": encoding, "endian": endian})
    back = io.read(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(back.data, data.T)
    np.testing.assert_array_equal(back.affine, [[2, 0, 0, 1], [0, 2, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])


@pytest.mark.parametrize(("space", "signs"), [("LAS", (-1, 1, 1)), ("RAS", (1, 1, 1)), ("LPS", (-1, -1, 1))])
def test_spaces_and_units(tmp_path, space, signs):
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nspace: {space}\nsizes: 2 2 2\n"
    header += "space directions: (1,0,0) (0,2,0) (0,0,3)\n"
    header += 'space units: "um" "um" "um"\nencoding: raw\nspace origin: (4,5,6)\n\n'
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(8))
    back = io.read(tmp_path / "a.nrrd")
    expected = np.diag([*signs, 1.0]) @ [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]]
    expected[:3] *= 1e-3
    np.testing.assert_allclose(back.affine, expected, rtol=1e-12)


# ---- segmentations of 3D Slicer ----


def segments(path):
    """The segments of a file, as Slicer's own library describes them in its header."""
    _, header = pynrrd.read(str(path))
    count = sum(key.endswith("_LabelValue") for key in header)
    return [
        {name: header[f"Segment{i}_{name}"] for name in ("Name", "LabelValue", "Extent", "Tags")} for i in range(count)
    ]


def test_segments_are_described_as_slicer_does(tmp_path):
    data = np.zeros((4, 5, 6), np.uint8)
    data[1:3, 2, 3:] = 1
    data[0, 0, 0] = 9
    classes = (LabelClass(1, "liver", "#e64b35"), LabelClass(2, "nothing here", "#4dbbd5"))
    path = io.write(Volume(data, "zyx", classes=classes), tmp_path / "a.seg.nrrd")
    one, two, nine = segments(path)
    assert (one["Name"], one["LabelValue"], one["Extent"]) == ("liver", "1", "3 5 2 2 1 2")
    assert "SCT^91723000^Anatomical Structure~SCT^10200004^Liver~^^~" in one["Tags"]
    assert (two["Extent"], nine["LabelValue"], nine["Extent"]) == ("0 -1 0 -1 0 -1", "9", "0 0 0 0 0 0")
    assert b"\nSegmentation_MasterRepresentation:=Binary labelmap\n" in path.read_bytes()
    equal(io.read(path), Volume(data, "zyx", classes=classes))


def test_names_colours_and_codes_survive_without_our_notes(tmp_path):
    foreign = Coding(Code("99X", "7", "Thing"), codes.ANATOMY, Code("SCT", "7771000", "Left"))
    classes = (LabelClass(1, "肝臓 \\n", "#010203"), LabelClass(4000000000, "liver", "#fffefd", foreign))
    data = np.array([[[0, 1], [4000000000, 0]]], np.uint32)
    path = io.write(Volume(data, "zyx", classes=classes), tmp_path / "a.seg.nrrd")
    content = path.read_bytes()
    begin = content.index(b"napari_medseg:=")
    path.write_bytes(content[:begin] + content[content.index(b"\n", begin) + 1 :])
    back = io.read(path)
    assert back.classes == classes and back.metadata["labels"]
    np.testing.assert_array_equal(back.data, data)


LAYERS = """NRRD0004
# made as 3D Slicer does
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: 2 3 2 1
space directions: none (1,0,0) (0,1,0) (0,0,1)
kinds: list domain domain domain
encoding: raw
space origin: (0,0,0)
Segment0_ID:=Segment_1
Segment0_Name:=liver
Segment0_Color:=0.9 0.2 0.2
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment1_ID:=Segment_2
Segment1_Name:=lesion
Segment1_LabelValue:=1
Segment1_Layer:=1
Segment2_ID:=Segment_3
Segment2_Name:=vessel
Segment2_LabelValue:=2
Segment2_Layer:=1

"""


def test_overlapping_segments_become_several_volumes(tmp_path, caplog):
    liver, others = [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 2]
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(LAYERS.encode() + bytes(np.transpose([liver, others]).ravel().tolist()))
    first, second = io.read_all(path)
    assert [row.name for row in first.classes] == ["liver", "vessel"]
    np.testing.assert_array_equal(first.data, [[[1, 1, 0], [0, 0, 2]]])
    assert [(row.id, row.name, row.colour) for row in second.classes] == [(1, "lesion", "#9a9a9a")]
    np.testing.assert_array_equal(second.data, [[[1, 0, 0], [0, 0, 0]]])
    assert first.classes[0].colour == "#e63333"
    with caplog.at_level(logging.WARNING):
        assert io.read(path).axes == "zyx"
    assert "lesion" in caplog.text


def test_a_segmentation_without_segments_is_told(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1 1 1\nencoding: raw\n"
    for keys in ("Segmentation_MasterRepresentation:=Binary labelmap\n", "Segment0_ID:=a\nSegment0_LabelValue:=1\n"):
        path.write_bytes(f"{head}{keys}\n".encode() + b"\0")
        with pytest.raises(FileError, match="holds no segments"):
            io.read(path)


def test_many_descriptions_of_one_segment_are_one(tmp_path):
    lines = "".join(f"Segment{i}_LabelValue:=1\nSegment{i}_Layer:=1\n" for i in range(3, 2000))
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(LAYERS.rstrip().encode() + b"\n" + lines.encode() + b"\n" + bytes([1, 1] * 6))
    assert [len(volume.classes) for volume in io.read_all(path)] == [2, 1]


def test_early_segmentations_have_a_layer_for_each_segment(tmp_path):
    text = "".join(f"{line}\n" for line in LAYERS.splitlines() if "LabelValue" not in line and "_Layer" not in line)
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(
        text.replace("Segment2_ID:=Segment_3\nSegment2_Name:=vessel\n", "").encode() + bytes([1, 0, 0, 1] * 3)
    )
    (labels,) = io.read_all(path)
    assert [(row.id, row.name) for row in labels.classes] == [(1, "liver"), (2, "lesion")]
    np.testing.assert_array_equal(labels.data, [[[1, 2, 1], [2, 1, 2]]])


def test_layers_of_napari_show_all_of_them(tmp_path):
    from napari_medseg.io.contributions import get_reader

    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(LAYERS.encode() + bytes([1, 1] * 6))
    assert [(options["name"], kind) for _, options, kind in get_reader(str(path))(str(path))] == [
        ("a", "labels"),
        ("a 2", "labels"),
    ]


def test_a_segmentation_holds_labels_in_three_axes(tmp_path):
    with pytest.raises(VolumeError, match="this is an image"):
        io.write(Volume(np.ones((2, 3, 4), np.float32), "zyx"), tmp_path / "a.seg.nrrd")
    with pytest.raises(VolumeError, match="'tzyx'"):
        io.write(Volume(np.ones((2, 2, 3, 4), np.uint8), "tzyx", classes=CLASSES[:1]), tmp_path / "a.seg.nrrd")
    assert not list(tmp_path.iterdir())


# ---- hostile and damaged files ----

HEAD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: {encoding}\n{more}\n"


def nrrd_file(tmp_path, content=b"", sizes="2 2 2", encoding="raw", more=""):
    path = tmp_path / "a.nrrd"
    path.write_bytes(HEAD.format(sizes=sizes, encoding=encoding, more=more).encode() + content)
    return path


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("cut short", {"content": bytes(7)}),
        ("cut short", {"content": gzip.compress(bytes(8))[:-9], "encoding": "gzip"}),
        ("cut short", {"content": gzip.compress(bytes(7)), "encoding": "gzip"}),
        ("damaged", {"content": gzip.compress(bytes(8))[:-8] + bytes(8), "encoding": "gzip"}),
        ("more than the 8 bytes", {"content": gzip.compress(bytes(10**8)), "encoding": "gzip"}),
        ("GiB", {"content": bytes(8), "sizes": "99999 99999 99999"}),
        ("cut short", {"content": bytes(8), "sizes": "999 999 9"}),
        ("every axis needs at least one", {"sizes": "2 0 2"}),
        ("every axis needs at least one", {"sizes": "2 -1 2"}),
        ("another file", {"more": "data file: ../../etc/passwd\n"}),
        ("another file", {"more": "datafile: LIST\n"}),
        ("byte skip", {"more": "byte skip: 12\n"}),
        ("raw or gzip", {"encoding": "bzip2"}),
        ("raw or gzip", {"encoding": "ascii"}),
        ("damaged", {"more": "nonsense\n"}),
        ("damaged", {"more": "space directions: (1,0,0)\n"}),
        ("not a finite", {"content": bytes(8), "more": "space directions: (1,0,0) (1,0,0) (0,0,1)\n"}),
        ("of the kinds", {"content": bytes(8), "more": "kinds: complex domain domain\n"}),
    ],
)
def test_bad_nrrd_files_are_one_sentence(tmp_path, words, options):
    with pytest.raises((FileError, VolumeError), match=words) as caught:
        io.read(nrrd_file(tmp_path, **options))
    assert len(str(caught.value)) < 400


def test_a_header_of_detached_voxels_is_refused(tmp_path):
    path = nrrd_file(tmp_path).rename(tmp_path / "a.nhdr")
    with pytest.raises(FileError, match=r"another file\. .* one \.nrrd"):
        io.read(path)


META = "NDims = 3\nDimSize = {sizes}\nElementType = {kind}\nElementSpacing = 1 2 3\n{more}ElementDataFile = {place}\n"


def meta_file(tmp_path, content=b"", sizes="2 2 2", kind="MET_UCHAR", more="", place="LOCAL"):
    path = tmp_path / "in" / "a.mhd"
    path.parent.mkdir()
    header = META.format(sizes=sizes, kind=kind, more=more, place=place)
    path.write_bytes(header.encode() + content)
    return path


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("cut short", {"content": bytes(7)}),
        ("cut short", {"content": zlib.compress(bytes(8))[:-4], "more": "CompressedData = True\n"}),
        ("more than the 8 bytes", {"content": zlib.compress(bytes(10**8)), "more": "CompressedData = True\n"}),
        ("GiB", {"content": bytes(8), "sizes": "99999 99999 99999"}),
        ("same folder", {"place": "../secret.raw"}),
        ("same folder", {"place": "..\\secret.raw"}),
        ("same folder", {"place": "{secret}"}),
        ("same folder", {"place": "link.raw"}),
        ("same folder", {"place": ".."}),
        ("missing", {"place": "LIST"}),
        ("missing", {"place": "none.raw"}),
        ("as text", {"more": "BinaryData = False\n"}),
        ("expected an Image", {"kind": "MET_STRING"}),
        ("expected an Image", {"more": "ObjectType = Tube\n"}),
        ("damaged", {"more": "nonsense\n"}),
        ("damaged", {"sizes": "2 2"}),
    ],
)
def test_bad_meta_images_are_one_sentence(tmp_path, words, options):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(8))
    if "place" in options:
        options = {**options, "place": options["place"].format(secret=secret)}
    path = meta_file(tmp_path, **options)
    (path.parent / "link.raw").symlink_to(secret)
    with pytest.raises(FileError, match=words) as caught:
        io.read(path)
    assert len(str(caught.value)) < 400


def test_voxels_next_to_their_header_are_read(tmp_path):
    path = meta_file(tmp_path, place="a.raw", kind="MET_SHORT", more="BinaryDataByteOrderMSB = True\nHeaderSize = -1\n")
    (path.parent / "a.raw").write_bytes(b"head" + np.arange(8, dtype=">i2").tobytes())
    back = io.read(path)
    np.testing.assert_array_equal(back.data.ravel(), np.arange(8))
    assert back.spacing == (3, 2, 1)


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".mha"])
def test_a_save_leaves_its_target_alone_in_the_folder(tmp_path, ending):
    io.write(grid(0), tmp_path / f"a{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("ending", FREE)
def test_folders_and_pipes_are_not_replaced_by_a_file(tmp_path, ending):
    target = tmp_path / f"a{ending}"
    target.mkdir()
    with pytest.raises(FileError, match=r"is a folder"):
        io.write(grid(0), target)
    target.rmdir()
    os.mkfifo(target)
    with pytest.raises(FileError, match=r"is a named pipe; expected a file"):
        io.write(grid(0), target)
    assert target.is_fifo() and len(list(tmp_path.iterdir())) == 1


def test_a_side_file_whose_name_would_be_too_long_is_one_sentence(tmp_path):
    with pytest.raises(FileError, match="has 259 bytes; expected a shorter one"):
        io.write(grid(0), tmp_path / f"{'a' * 250}.npy")
    assert not list(tmp_path.iterdir())
