"""DICOM: slices by position, series apart, time where positions repeat, and files that cannot be read."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import MediaStorageDirectoryStorage, generate_uid

from napari_medseg import io, samples
from napari_medseg.errors import FileError


def test_real_series_lies_where_its_nifti_copy_lies():
    series = io.read(samples.path("sunnybrook_sax_ED"))
    nifti = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    assert series.axes == "zyx" and series.data.shape == (12, 256, 256)
    # the copy has rows and columns exchanged
    np.testing.assert_array_equal(series.data, nifti.data.transpose(0, 2, 1))
    corners = np.array([[0, 0, 0, 1], [255, 10, 0, 1], [30, 255, 11, 1]])
    np.testing.assert_allclose(corners @ series.affine.T, corners[:, [1, 0, 2, 3]] @ nifti.affine.T, atol=0.01)
    assert not series.metadata["frame_of_reference_shared"] and series.metadata["modality"] == "MR"


def test_any_file_stands_for_its_series(tmp_path):
    whole = io.read(samples.path("sunnybrook_sax_ED"))
    files = sorted(samples.path("sunnybrook_sax_ED").iterdir())
    for n, file in enumerate(files[:4]):
        shutil.copy(file, tmp_path / f"{9 - n}")  # neither ending nor order in the name
    part = io.read(tmp_path / "7")
    np.testing.assert_array_equal(part.data, whole.data[-4:])
    np.testing.assert_allclose(part.origin, (whole.affine @ [0, 0, 8, 1])[:3], atol=1e-3)


def test_slices_are_sorted_by_position(slice_file):
    for name, z in (("a", 30), ("b", 10), ("c", 20)):
        path = slice_file(name, (-7, 3, z), value=z)
    volume = io.read(path)
    assert volume.axes == "zyx" and volume.data[:, 0, 0].tolist() == [10, 20, 30]
    assert volume.spacing == (10, 1.5, 0.5)  # not the slice thickness, which is 99
    # left and posterior in the file, right and anterior here
    np.testing.assert_allclose(volume.affine, [[-0.5, 0, 0, 7], [0, -1.5, 0, -3], [0, 0, 10, 10], [0, 0, 0, 1]])


def test_body_part_is_kept_where_the_file_says_it(slice_file):
    assert io.read(slice_file("a", BodyPartExamined="HEART")).metadata["body_part"] == "HEART"
    assert "body_part" not in io.read(slice_file("a")).metadata


def test_localizers_and_images_without_a_place_say_so(slice_file):
    plain = io.read(slice_file("a")).metadata
    assert "localizer" not in plain and "has_place" not in plain
    assert io.read(slice_file("b", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])).metadata["localizer"]
    assert io.read(slice_file("c", ImagePositionPatient=None)).metadata["has_place"] is False


def test_sheared_stack_keeps_its_shear(slice_file):
    for k in range(4):
        path = slice_file(f"{k}", (0, 2.0 * k, 5.0 * k))
    np.testing.assert_allclose(io.read(path).affine[:3, 2], [0, -2, 5])


def test_uneven_gaps_are_named(slice_file):
    for k in (0, 1, 2, 4, 5):
        path = slice_file(f"slice{k}.dcm", (0, 0, 3.0 * k))
    with pytest.raises(FileError, match=r"3 mm as a rule, but 6 mm from 'slice2.dcm' to 'slice4.dcm'"):
        io.read(path.parent)


@pytest.mark.parametrize("distance", [0.625, 0.7, 1.25, 0.5])
def test_rounded_places_are_even(slice_file, distance):
    for k in range(1, 12):
        path = slice_file(f"{k}", (0, 0, round(distance * k, 1)))
    volume = io.read(path)
    assert volume.data.shape == (11, 4, 5) and volume.spacing[0] == pytest.approx(distance, abs=0.02)


@pytest.mark.parametrize("places", [(0.6, 1.2, 1.9, 2.5, 3.8, 4.4), (0, 1, 2, 3.3, 4.3), (0, 3, 6, 10), (0, 0.5, 1.3)])
def test_gaps_are_not_taken_for_rounding(slice_file, places):
    for k, z in enumerate(places):
        path = slice_file(f"{k}", (0, 0, z))
    with pytest.raises(FileError, match="uneven gaps"):
        io.read(path)


def test_a_pixel_size_of_zero_is_not_known(slice_file):
    volume = io.read(slice_file("a.dcm", PixelSpacing=[0, 0]))
    assert not volume.has_spacing and volume.spacing == (1, 1)


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "a Siemens mosaic.*dcm2niix"),
        ({"TotalPixelMatrixRows": 8, "TotalPixelMatrixColumns": 5, "NumberOfFrames": 2}, "a slide in 2 tiles of 4 x 5"),
        ({"TotalPixelMatrixRows": 8, "TotalPixelMatrixColumns": 10}, "a slide in 1 tiles"),
    ],
)
def test_pictures_that_are_no_slices_are_named(slice_file, elements, sentence):
    path = slice_file("a.dcm", **elements)
    for chosen in (path, path.parent):
        with pytest.raises(FileError, match=sentence):
            io.read(chosen)


def test_slices_off_the_line_are_told(slice_file):
    for k, y in enumerate((0, 2, 0)):
        path = slice_file(f"{k}", (0, y, 3.0 * k))
    with pytest.raises(FileError, match="straight line"):
        io.read(path)


def test_equal_positions_are_time_points(slice_file):
    for n, time in enumerate((30, 10, 20)):
        path = slice_file(f"{n}", (0, 0, 5), value=time, TriggerTime=time)
    volume = io.read(path)
    assert volume.axes == "tyx" and volume.data[:, 0, 0].tolist() == [10, 20, 30]
    assert volume.spacing == (1.5, 0.5)


def test_stacks_over_time_have_both_axes(slice_file):
    for z in range(3):
        for t in range(2):
            path = slice_file(f"{z}{t}", (0, 0, 8.0 * z), value=10 * z + t, InstanceNumber=10 * z + t)
    volume = io.read(path)
    assert volume.axes == "tzyx"
    np.testing.assert_array_equal(volume.data[..., 0, 0], [[0, 10, 20], [1, 11, 21]])
    path.unlink()
    with pytest.raises(FileError, match="2 images at most positions, but 1 at that of '20'"):
        io.read(path.parent)


def test_copies_of_a_file_count_once(slice_file):
    for k in range(3):
        path = slice_file(f"{k}", (0, 0, 5.0 * k))
    shutil.copy(path, path.with_name("copy of 2"))
    assert io.read(path).data.shape == (3, 4, 5)


def test_several_series_are_named_and_a_file_picks_its_own(slice_file):
    for k in range(2):
        slice_file(f"a{k}", (0, 0, 5.0 * k), value=1)
    for k in range(3):
        other = slice_file(f"b{k}", (0, 0, 5.0 * k), value=2, SeriesInstanceUID="1.2.3", SeriesDescription="long axis")
    turned = slice_file("c", ImageOrientationPatient=[0, 1, 0, 0, 0, 1], value=3)
    with pytest.raises(FileError, match=r"3 series or orientations: 'short axis' \(2 of 4 x 5.*'long axis' \(3 of"):
        io.read(other.parent)
    assert np.unique(io.read(other).data) == [2] and io.read(other).axes == "zyx"
    assert np.unique(io.read(turned).data) == [3] and io.read(turned).axes == "yx"


def test_series_are_listed_so_that_a_person_can_choose(slice_file, tmp_path):
    for number in (12, 3, 1):
        facts = {"SeriesInstanceUID": f"1.2.{number}", "SeriesNumber": number, "SeriesDescription": f"scan {number}"}
        facts |= {"SeriesDate": "20190304", "SeriesTime": f"10{number:02d}30.5"}
        for k in range(4):
            slice_file(f"{number}-{k}", (0, 0, 5.0 * (k % 2)), **facts)
    for k in range(6):
        slice_file(f"more-{k}", SeriesInstanceUID=f"1.2.4.{k}", SeriesNumber=40 + k, ImagePositionPatient=None)
    with pytest.raises(FileError) as caught:
        io.read(tmp_path)
    said = str(caught.value)
    first, second = (
        "'scan 1' (4 of 4 x 5 pixels in 2 slices, series 1, 2019-03-04 10:01, for example 1-0)",
        "'scan 3' (4",
    )
    assert said.index(first) < said.index(second) < said.index("'short axis' (1 of 4 x 5 pixels, series 45, for ")
    assert said.endswith("Open one file of the series you want, or move its files to a folder of their own.")


def test_rescale_gives_output_values(slice_file):
    path = slice_file("a", value=24, RescaleSlope=2, RescaleIntercept=-1024)
    assert io.read(path).data.dtype == np.int16 and np.unique(io.read(path).data) == [-976]
    path = slice_file("b", value=24, RescaleSlope=0.5, RescaleIntercept=0, SeriesInstanceUID="1.2")
    assert io.read(path).data.dtype == np.float32 and np.unique(io.read(path).data) == [12]
    path = slice_file("c", value=60000, RescaleSlope=1, RescaleIntercept=-1, SeriesInstanceUID="1.3")
    assert np.unique(io.read(path).data) == [59999]


def test_slices_may_differ_in_scale(slice_file):
    for k, slope in enumerate((1, 0.25)):
        path = slice_file(f"{k}", (0, 0, 5.0 * k), value=8, RescaleSlope=slope, RescaleIntercept=0)
    assert io.read(path).data[:, 0, 0].tolist() == [8, 2]


def enhanced(slice_file, positions, **elements):
    """A file of many frames, each with its place, half its values and its own slope."""
    path = slice_file("enhanced.dcm", ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    dataset = pydicom.dcmread(path)

    def sequence(**content):
        item = Dataset()
        item.update({})
        for keyword, value in content.items():
            setattr(item, keyword, value)
        return [item]

    shared = Dataset()
    shared.PlaneOrientationSequence = sequence(ImageOrientationPatient=[0, 1, 0, 0, 0, 1])
    shared.PixelMeasuresSequence = sequence(PixelSpacing=[2, 3])
    frames = []
    for k, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = sequence(ImagePositionPatient=[position, 0, 0])
        frame.PixelValueTransformationSequence = sequence(RescaleSlope=k + 1, RescaleIntercept=0)
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.NumberOfFrames = len(positions)
    dataset.PixelData = np.full((len(positions), 4, 5), 10, "<u2").tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def test_many_frames_with_places_are_a_stack(slice_file):
    volume = io.read(enhanced(slice_file, [40, 20, 30]))
    assert volume.axes == "zyx" and volume.data[:, 0, 0].tolist() == [20, 30, 10] and volume.spacing == (10, 2, 3)
    # rows run to posterior, columns to the head, slices to the left
    np.testing.assert_allclose(volume.affine[:3], [[0, 0, -10, -20], [-3, 0, 0, 0], [0, 2, 0, 0]], atol=1e-12)


def test_many_frames_without_places_are_a_time_series(slice_file):
    path = slice_file("a", ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, NumberOfFrames=3)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = np.arange(60, dtype="<u2").tobytes()
    dataset.save_as(path)
    volume = io.read(path)
    assert volume.axes == "tyx" and not volume.has_spacing
    np.testing.assert_array_equal(volume.data.ravel(), np.arange(60))
    dataset.FrameIncrementPointer = 0x00540080  # slices of a scintigram: their distance is not told
    dataset.save_as(path)
    with pytest.raises(FileError, match="without an image that can be read"):
        io.read(path)


def test_images_without_position_are_not_stacked(slice_file):
    for k in range(2):
        path = slice_file(f"{k}", value=k, ImagePositionPatient=None)
    assert io.read(path).axes == "yx" and np.unique(io.read(path).data) == [1]
    with pytest.raises(FileError, match="no position"):
        io.read(path.parent)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("SC_ybr_full_422_uncompressed.dcm", "yxc"),
        ("examples_palette.dcm", "yxc"),
        ("SC_rgb_rle_2frame.dcm", "tyxc"),
        ("MR_small_RLE.dcm", "yx"),
        ("MR_small_bigendian.dcm", "yx"),
        ("SC_rgb_small_odd_jpeg.dcm", "yxc"),
    ],
)
def test_colours_and_compressions_of_pydicoms_own_files(tmp_path, name, axes):
    volume = io.read(shutil.copy(get_testdata_file(name, download=False), tmp_path))
    assert volume.axes == axes and volume.data.dtype.isnative
    if axes == "yx":
        plain = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
        np.testing.assert_array_equal(volume.data, plain)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_rare_compressions_need_imagecodecs(tmp_path, name, monkeypatch):
    path = shutil.copy(get_testdata_file(name, download=False), tmp_path)
    # gdcm ends the program on some damaged files, so it does not count
    monkeypatch.setattr(Decoder, "available_plugins", ("gdcm",))
    with pytest.raises(FileError, match="pip install imagecodecs"):
        io.read(path)
    monkeypatch.undo()
    assert io.read(path).data.std() > 0


def test_cut_files_are_told(slice_file):
    for k in range(3):
        path = slice_file(f"{k}.dcm", (0, 0, 5.0 * k))
    raw = path.read_bytes()
    for length in (20, 200, 400, len(raw) // 2, len(raw) - 3):
        path.write_bytes(raw[:length])
        with pytest.raises(FileError, match=r"'2\.dcm' is"):
            io.read(path.parent)


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"Rows": 60000, "Columns": 60000}, "damaged|declares"),
        ({"Rows": 0}, "every axis needs"),
        ({"NumberOfFrames": 2**31 - 1}, "declares"),
        ({"NumberOfFrames": 500000}, "frames"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "ImageOrientationPatient"),
        ({"PixelData": None}, "damaged"),
        ({"BitsAllocated": None}, "damaged"),
        ({"Modality": "SEG"}, "without an image"),
    ],
)
def test_headers_that_lie_are_told(slice_file, elements, sentence):
    with pytest.raises(FileError, match=sentence):
        io.read(slice_file("a.dcm", **elements))


def test_folders_without_images_are_told(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileError, match="no DICOM images"):
        io.read(tmp_path)
    for name in ("IMAGES", "VIEWER", "__MACOSX"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileError, match=r"Its folders are not searched: IMAGES, VIEWER\."):
        io.read(tmp_path)
    (tmp_path / "heart.nii.gz").write_bytes(b"")
    with pytest.raises(FileError, match=r"no DICOM images, but heart\.nii\.gz: open these, not the folder\."):
        io.read(tmp_path)


def test_other_objects_in_a_folder_are_passed_over(slice_file):
    path = slice_file("a", (0, 0, 0))
    slice_file("b", Modality="SEG", SOPInstanceUID=generate_uid())
    directory = pydicom.dcmread(path)
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    del directory.Rows
    directory.save_as(path.parent / "DICOMDIR")
    assert io.read(path.parent).axes == "yx"


@pytest.mark.parametrize(
    ("kind", "words"), [("1.2.840.10008.5.1.4.1.1.481.2", "RT Dose Storage"), ("1.2.840.10008.1.3.10", "Directory")]
)
def test_files_without_an_image_are_named_by_their_kind(tmp_path, kind, words):
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = kind
    dataset.SOPInstanceUID = "1.2.3"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    with pytest.raises(FileError, match=f"of the kind '[^']*{words}[^']*', without an image"):
        io.read(tmp_path / "a.dcm")
