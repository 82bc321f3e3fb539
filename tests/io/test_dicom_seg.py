"""DICOM segmentations: what is written lies where the images lie, and what others write is read."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import Segmentation, segread
from pydicom.data import get_testdata_file

from napari_medseg import io
from napari_medseg.codes import Code, Coding
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.io import dicom_seg_read, dicom_seg_write, formats
from napari_medseg.io.contributions import get_reader, layer_tuple, volume_from_layer_data
from napari_medseg.record import Record, UsedModel
from napari_medseg.reference import Reference
from napari_medseg.volume import LabelClass, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FOREIGN = Coding(Code("99ME", "x1", "Blob"), Code("SCT", "49755003", "Morphologically Abnormal Structure"))
CLASSES = (
    LabelClass(1, "left kidney", "#e64b35"),
    LabelClass(2, "心肌 ä " * 30, "#00a087", FOREIGN),
    LabelClass(52, "a\\b", "#3c5488"),
)


def turn(rng):
    """A random rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, ::-1]


@pytest.fixture
def series(slice_file):
    """A function that writes a series of images and returns its folder."""

    def write(shape=(6, 7, 9), rng=None, folder="images", gap=4.0, spacing=(1.5, 0.8), **elements):
        axes = np.eye(3) if rng is None else turn(rng)
        origin = np.array([10.0, -20.0, 30.0])
        for z in range(shape[0]):
            path = slice_file(
                f"{folder}/{z:03}.dcm",
                [float(f"{n:.8g}") for n in origin + z * gap * axes[2]],
                Rows=shape[1],
                Columns=shape[2],
                PixelData=np.full(shape[1:], z, "<u2").tobytes(),
                PixelSpacing=list(spacing),
                ImageOrientationPatient=[float(f"{n:.10f}") for n in (*axes[0], *axes[1])],
                InstanceNumber=z + 1,
                **{"StudyInstanceUID": "1.2.3", **elements},
            )
        return path.parent

    return write


def labels_on(image, seed=0, numbers=(0, 1, 2, 52)):
    """Labels with empty slices at both ends and between."""
    data = np.random.default_rng(seed).choice(np.array(numbers, np.uint8), image.data.shape)
    if data.ndim == 3 and len(data) > 4:
        data[[0, 2, -1]] = 0
    return image.like(data, CLASSES)


def positions(affine, data):
    """LPS position and number of every voxel that is not 0, as rows in order of their position."""
    zyx = np.argwhere(data)
    places = (LPS @ affine @ np.column_stack([zyx[:, ::-1], np.ones(len(zyx))]).T)[:3].T
    return places, data[tuple(zyx.T)]


def as_judged(path, image_files):
    """Labels by highdicom, put onto the grid that SimpleITK sees in the images: shape (z, y, x)."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in image_files])
    grid = reader.Execute()
    found = np.zeros(grid.GetSize()[::-1], int)
    volume = segread(path).get_volume(combine_segments=True)
    for index in np.argwhere(volume.array):
        place = (volume.affine @ [*index, 1])[:3]
        at = np.array(grid.TransformPhysicalPointToContinuousIndex(place.tolist()))
        assert np.abs(at - np.round(at)).max() < 1e-3
        found[tuple(np.round(at).astype(int)[::-1])] = volume.array[tuple(index)]
    return found


def rearranged(volume, rng):
    """The same labels with other directions and another order of the axes."""
    order = rng.permutation(3)
    data = volume.data.transpose(order)
    affine = volume.affine[:, [*(2 - order[::-1]), 3]].copy()
    for axis in np.flatnonzero(rng.random(3) < 0.5):
        data = np.flip(data, axis)
        column = 2 - axis
        affine[:3, 3] += (data.shape[axis] - 1) * affine[:3, column]
        affine[:, column] *= -1
    return Volume(data, "zyx", affine, volume.classes, volume.metadata)


@pytest.mark.parametrize("seed", range(30))
def test_random_grids_lie_where_others_see_them(series, tmp_path, seed):
    rng = np.random.default_rng(seed)
    shape = (1 if seed % 10 == 3 else int(rng.integers(2, 9)), *map(int, rng.integers(3, 12, 2)))
    gap, spacing = float(rng.uniform(0.5, 12)), tuple(rng.uniform(0.3, 3, 2).round(4).tolist())
    folder = series(shape, rng, gap=gap, spacing=spacing, SliceThickness=str(round(gap / 2, 4)))
    image = io.read(folder)
    labels = labels_on(image, seed)
    given = rearranged(labels, rng) if labels.data.ndim == 3 and seed % 2 else labels
    path = io.write(given, tmp_path / "a.seg.dcm", label_map=seed % 3 == 0)
    back = io.read(path)
    assert np.array_equal(back.data, labels.data)
    assert np.abs(back.affine - image.affine).max() < 1e-6
    assert back.classes == CLASSES
    files = sorted(folder.iterdir(), key=lambda file: -int(file.stem))
    judged = as_judged(path, files[::-1])
    numbers = [0, 1, 2, 52] if seed % 3 == 0 else [0, 1, 2, 3]
    expected = np.select([labels.data == old for old in (1, 2, 52)], numbers[1:]).reshape(shape)
    assert np.array_equal(judged, expected)


def test_tags_alone_are_within_a_thousandth_of_a_voxel(series, tmp_path):
    folder = series(rng=np.random.default_rng(5))
    image = io.read(folder)
    labels = labels_on(image)
    path = io.write(labels, tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    dataset.save_as(path)
    for file in folder.iterdir():
        file.unlink()
    back = io.read(path)
    own, seen = positions(labels.affine, labels.data), positions(back.affine, back.data)
    assert np.abs(own[0] - seen[0]).max() < 1e-3 * 0.8
    assert len(back.data) == 4  # from the first slice with labels to the last
    assert back.classes[0].name == "left kidney"


def test_images_near_give_the_grid_of_a_foreign_file(series, tmp_path):
    folder = series(rng=np.random.default_rng(6))
    image = io.read(folder)
    labels = labels_on(image)
    path = io.write(labels, tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    (tmp_path / "other").mkdir()
    for place in (tmp_path, folder, tmp_path / "other"):
        dataset.save_as(place / "foreign")
        back = io.read(place / "foreign")
        assert back.data.shape == image.data.shape
        assert np.array_equal(back.data > 0, labels.data > 0)
        assert np.array_equal(back.affine, image.affine)
        assert back.metadata["reference"].series_uid == image.metadata["series_uid"]


def test_edit_cycle_keeps_everything(series, tmp_path):
    folder = series()
    before = {file: file.read_bytes() for file in folder.iterdir()}
    image = io.read(folder)
    record = Record("segment", software={"napari-medseg": "1"}, models=(UsedModel("m", "0"),), reviewed=(1,))
    labels = labels_on(image).made_by(record)
    first = io.read(io.write(labels, tmp_path / "a.seg.dcm"))
    data = first.data.copy()
    data[0, 0, 0] = 52
    edited = Volume(data, "zyx", first.affine, first.classes, first.metadata)
    second = io.read(io.write(edited, tmp_path / "b.seg.dcm"))
    assert np.array_equal(second.data, data)
    assert second.classes == CLASSES
    assert second.record == record.normal()
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.seg.dcm", "b.seg.dcm", "images"]


def test_segments_say_what_they_are(series, tmp_path):
    image = io.read(series())
    record = Record("segment", software={"napari-medseg": "1"}, models=(UsedModel("litenext-heart", "0"),))
    path = io.write(labels_on(image).made_by(record), tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    assert dataset.Modality == "SEG"
    assert dataset.StudyInstanceUID == "1.2.3"
    assert dataset.SeriesInstanceUID != image.metadata["series_uid"]
    assert dataset.SeriesDescription == "litenext-heart"
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == image.metadata["series_uid"]
    kidney, blob, slashed = dataset.SegmentSequence
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("64033007", "Left")
    assert kidney.SegmentAlgorithmType == "AUTOMATIC"
    assert len(blob.SegmentLabel.encode()) <= 64
    assert blob.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99ME"
    assert slashed.SegmentLabel == "a/b"
    assert slashed.TrackingID == "class 52"
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.SpatialLocationsPreserved == "YES"


def test_what_another_program_changed_counts(series, tmp_path):
    image = io.read(series())
    path = io.write(labels_on(image), tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence[0].SegmentLabel = "renamed"
    dataset.save_as(path)
    first, *rest = io.read(path).classes
    assert (first.id, first.name, first.colour) == (1, "renamed", "#e64b35")
    assert tuple(rest) == CLASSES[1:]


@pytest.mark.parametrize("label_map", [False, True])
@pytest.mark.parametrize("filled", [[], [0], [5], [1, 4]])
def test_empty_slices_and_empty_labels(series, tmp_path, filled, label_map):
    image = io.read(series())
    data = np.zeros(image.data.shape, np.uint8)
    data[filled, 2:4, 3] = 2
    path = io.write(image.like(data, CLASSES), tmp_path / "a.seg.dcm", label_map=label_map)
    back = io.read(path)
    assert np.array_equal(back.data, data)
    assert back.classes == CLASSES


def test_numbers_without_a_class(series, tmp_path):
    image = io.read(series())
    data = labels_on(image).data
    labels = Volume(data, "zyx", image.affine, CLASSES[:1], image.metadata)
    back = io.read(io.write(labels, tmp_path / "a.dcm"))
    assert np.array_equal(back.data, data)
    assert back.classes == CLASSES[:1]


def test_the_distance_between_slices_is_the_true_one(series, tmp_path):
    folder = series(SpacingBetweenSlices="0.667", SliceThickness="0.667")
    path = io.write(labels_on(io.read(folder)), tmp_path / "a.seg.dcm")
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == 4


def test_faulty_headers(series, tmp_path):
    said = []
    folder = series(
        PatientBirthDate="00000000", StudyTime="later", PatientName="Ärger^Ä", SpecificCharacterSet="ISO_IR 100"
    )
    for number, file in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(file)
        dataset.FrameOfReferenceUID = f"1.2.{number + 1}"
        dataset.save_as(file)
    path = io.write(labels_on(io.read(folder)), tmp_path / "a.seg.dcm", say=said.append)
    assert said == ["The images have 6 frames of reference; the labels have the first one."]
    dataset = pydicom.dcmread(path)
    assert str(dataset.PatientName) == "Ärger^Ä"
    assert not dataset.PatientBirthDate


def test_missing_identifiers(series, tmp_path):
    folder = series(StudyInstanceUID=None)
    labels = labels_on(io.read(folder))
    path = io.write(labels, tmp_path / "a.seg.dcm")
    assert np.array_equal(io.read(path).data, labels.data)
    file = folder / "003.dcm"
    dataset = pydicom.dcmread(file)
    del dataset.SOPInstanceUID
    dataset.save_as(file)
    with pytest.raises(FileError, match=r"'003.dcm' has no SOPInstanceUID, by which"):
        io.write(labels, tmp_path / "b.seg.dcm")


# ---- other grids ----


def test_crops_and_single_slices_are_put_onto_the_images(series, tmp_path):
    image = io.read(series())
    labels = labels_on(image)
    affine = image.affine.copy()
    affine[:3, 3] = (affine @ [2, 1, 1, 1])[:3]
    crop = Volume(labels.data[1:5, 1:6, 2:8], "zyx", affine, CLASSES, image.metadata)
    expected = np.zeros_like(labels.data)
    expected[1:5, 1:6, 2:8] = crop.data
    assert np.array_equal(io.read(io.write(crop, tmp_path / "a.seg.dcm")).data, expected)
    one = labels.select("z", 3)
    expected = np.zeros_like(labels.data)
    expected[3] = one.data
    assert np.array_equal(io.read(io.write(one, tmp_path / "b.seg.dcm")).data, expected)


def test_other_grids_are_resampled_with_a_sentence(series, tmp_path):
    said = []
    image = io.read(series())
    labels = labels_on(image)
    affine = image.affine.copy()
    affine[:3, 2] /= 3
    affine[:3, 3] -= affine[:3, 2]  # the middle one of three lies on the slice
    fine = Volume(np.repeat(labels.data, 3, axis=0), "zyx", affine, CLASSES, image.metadata)
    back = io.read(io.write(fine, tmp_path / "a.seg.dcm", say=said.append))
    assert np.array_equal(back.data, labels.data)
    (sentence,) = said
    assert "nearest" in sentence and "18 x 7 x 9" in sentence


def test_lost_classes_are_named(series):
    image = io.read(series())
    affine = image.affine.copy()
    affine[:3, 2] /= 3
    fine = np.zeros((18, 7, 9), np.uint8)
    fine[4, 3, 3] = 1  # between two slices
    fine[6, 3, 3] = 2
    found = dicom_seg_write.fitted(Volume(fine, "zyx", affine, CLASSES, image.metadata), image.data, None)
    assert "lost: left kidney." in found.notes[0]


def test_labels_elsewhere_are_refused(series, tmp_path):
    image = io.read(series())
    labels = labels_on(image)
    affine = labels.affine.copy()
    affine[:3, 3] += 5 * affine[:3, 2]
    with pytest.raises(FileError, match=r"do not lie on the images in '000.dcm'.*reach .* mm beyond"):
        io.write(Volume(labels.data, "zyx", affine, CLASSES, image.metadata), tmp_path / "a.seg.dcm")
    assert not list(tmp_path.glob("*.seg.dcm"))


def test_a_hair_off_is_snapped(series, tmp_path):
    image = io.read(series())
    labels = labels_on(image)
    affine = labels.affine.copy()
    affine[:3, 3] += 0.003
    path = io.write(Volume(labels.data, "zyx", affine, CLASSES, image.metadata), tmp_path / "a.seg.dcm")
    assert np.array_equal(io.read(path).affine, image.affine)


def test_phase_of_a_cine_is_the_one_referenced(series, tmp_path):
    folder = series(TriggerTime=10)
    for file in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(file)
        dataset.TriggerTime, dataset.SOPInstanceUID = 20, f"1.2.{int(file.stem)}.77"
        dataset.save_as(folder / f"late-{file.name}")
    cine = io.read(folder)
    assert cine.axes == "tzyx"
    late = cine.select("t", 1)
    dataset = pydicom.dcmread(io.write(labels_on(late), tmp_path / "a.seg.dcm"))
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID.endswith(".77")


# ---- the images are remembered ----


def test_reference_survives_other_formats(series, tmp_path):
    image = io.read(series())
    between = io.write(labels_on(image), tmp_path / "a.nii.gz")
    assert str(tmp_path).encode() not in __import__("gzip").decompress(between.read_bytes())
    labels = io.read(between)
    assert labels.metadata["reference"] == image.metadata["reference"]
    assert np.array_equal(io.read(io.write(labels, tmp_path / "b.seg.dcm")).data, labels.data)


def test_reference_survives_a_layer(series, tmp_path):
    labels = labels_on(io.read(series()))
    data, options, kind = layer_tuple(labels, "labels")
    assert kind == "labels"
    back = io.read(io.write(volume_from_layer_data(data, options), tmp_path / "b.seg.dcm"))
    assert np.array_equal(back.data, labels.data)


def test_reference_can_be_given(series, tmp_path):
    folder = series()
    image = io.read(folder)
    labels = Volume(labels_on(image).data, "zyx", image.affine, CLASSES)
    with pytest.raises(FileError, match=r"'a.seg.dcm' needs the images it was drawn on. Open their DICOM"):
        io.write(labels, tmp_path / "a.seg.dcm")
    assert np.array_equal(io.read(io.write(labels, tmp_path / "a.seg.dcm", folder)).data, labels.data)


def test_lost_images_are_named(series, tmp_path):
    labels = labels_on(io.read(series()))
    gone = {**labels.metadata, "reference": Reference("1.2", str(tmp_path / "gone"))}
    with pytest.raises(FileError, match="they lay in 'gone'"):
        io.write(Volume(labels.data, "zyx", labels.affine, CLASSES, gone), tmp_path / "a.seg.dcm")


def test_labels_without_a_place_take_that_of_the_images(series, tmp_path):
    said = []
    folder = series()
    image = io.read(folder)
    labels = Volume(labels_on(image).data, "zyx", classes=CLASSES, metadata={"has_spacing": False})
    back = io.read(io.write(labels, tmp_path / "a.seg.dcm", folder, say=said.append))
    assert np.array_equal(back.affine, image.affine)
    assert "voxel by voxel" in said[0]


# ---- refused ----


def test_no_image_is_replaced(series, tmp_path):
    folder = series()
    labels = labels_on(io.read(folder))
    image = sorted(folder.iterdir())[0]
    before = image.read_bytes()
    for ask in (io.check_target, io.write):
        with pytest.raises(FileError, match="is a DICOM file and not a segmentation; it would be lost"):
            ask(labels, image, folder)
    assert image.read_bytes() == before


def test_images_and_time_series_are_refused(series, tmp_path):
    image = io.read(series())
    with pytest.raises(VolumeError, match="hold labels; this is an image"):
        io.write(image, tmp_path / "a.seg.dcm")
    cine = Volume(np.zeros((2, 6, 7, 9), np.uint8), "tzyx", image.affine, CLASSES, image.metadata)
    with pytest.raises(VolumeError, match="2 time points"):
        io.write(cine, tmp_path / "a.seg.dcm")


def test_tilted_images_are_refused(slice_file, tmp_path):
    for z in range(4):
        slice_file(f"images/{z}.dcm", (0, z * 0.5, z * 4.0), StudyInstanceUID="1.2")
    labels = labels_on(io.read(tmp_path / "images"))
    with pytest.raises(FileError, match=r"tilted by 7.1 degrees .*Save as .seg.nrrd"):
        io.write(labels, tmp_path / "a.seg.dcm")


def test_probabilities_are_refused(series, tmp_path):
    from highdicom.seg import SegmentDescription

    image = io.read(series())
    fit = dicom_seg_write.fitted(labels_on(image), tmp_path / "a.seg.dcm")
    path = io.write(labels_on(image), tmp_path / "a.seg.dcm")
    description = SegmentDescription.from_dataset(segread(path).SegmentSequence[0])
    for name, values in (("soft", np.linspace(0, 1, image.data.size)), ("hard", np.arange(image.data.size) % 2)):
        dataset = Segmentation(
            fit.images.stand_ins,
            values.reshape(image.data.shape).astype(np.float32),
            "FRACTIONAL",
            [description],
            *("1.2.3.4", 1, "1.2.3.5", 1, "me", "me", "1", "1"),
        )
        dataset.save_as(tmp_path / f"{name}.dcm")
    with pytest.raises(FileError, match=r"'soft.dcm' holds probabilities \(FRACTIONAL\), not labels"):
        io.read(tmp_path / "soft.dcm")
    assert np.array_equal(io.read(tmp_path / "hard.dcm").data.ravel(), np.arange(image.data.size) % 2)


def test_overlap_becomes_layers(series, tmp_path, caplog):
    from highdicom.seg import SegmentDescription

    image = io.read(series())
    fit = dicom_seg_write.fitted(labels_on(image), tmp_path / "a.seg.dcm")
    described = segread(io.write(labels_on(image), tmp_path / "a.seg.dcm")).SegmentSequence
    masks = np.random.default_rng(3).random((*image.data.shape, 3)) < 0.2
    masks[..., 2] &= ~masks[..., 0]  # fits into the first layer
    dataset = Segmentation(
        fit.images.stand_ins,
        masks.astype(np.uint8),
        "BINARY",
        [SegmentDescription.from_dataset(each) for each in described],
        *("1.2.3.4", 1, "1.2.3.5", 1, "me", "me", "1", "1"),
    )
    dataset.save_as(tmp_path / "b.dcm")
    first, second = io.read_all(tmp_path / "b.dcm")
    assert np.array_equal(first.data, masks[..., 0] + 3 * masks[..., 2])
    assert np.array_equal(second.data, 2 * masks[..., 1])
    alone = io.read(tmp_path / "b.dcm")
    assert alone.metadata["layers"] == 2
    assert "overlap" in caplog.text
    assert [kind for _, _, kind in get_reader(str(tmp_path / "b.dcm"))(str(tmp_path / "b.dcm"))] == ["labels"] * 2


# ---- other programs' files ----


def test_a_file_of_another_program(tmp_path):
    dataset = pydicom.dcmread(get_testdata_file("liver_1frame.dcm"))
    with pytest.raises(FileError, match="declares 1 frames and describes 3"):
        io.read(dataset.filename)
    del dataset.PerFrameFunctionalGroupsSequence[1:]
    dataset.save_as(tmp_path / "liver.dcm")
    volume = io.read(tmp_path / "liver.dcm")
    assert volume.metadata["format"] == "DICOM segmentation"
    assert np.array_equal(volume.data[0], dataset.pixel_array)
    (row,) = volume.classes
    assert (row.id, row.name, row.code.kind.value) == (1, "Liver", "T-62000")


def test_big_endian_is_refused():
    with pytest.raises(FileError, match="big-endian"):
        io.read(get_testdata_file("liver_expb_1frame.dcm"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: setattr(d, "NumberOfFrames", 10**6),
        lambda d: setattr(d, "Rows", 60000),
        lambda d: setattr(d, "PixelData", d.PixelData[:10]),
        lambda d: delattr(d, "SegmentSequence"),
        lambda d: setattr(d, "SegmentSequence", []),
        lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"),
        lambda d: delattr(d, "SharedFunctionalGroupsSequence"),
        lambda d: setattr(
            d.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0], "ReferencedSegmentNumber", 9
        ),
        lambda d: setattr(
            d.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0], "ImagePositionPatient", [0, 0, 1e9]
        ),
        lambda d: setattr(
            d.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0], "ImagePositionPatient", [10, -20, 40]
        ),
        lambda d: setattr(d.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "SpacingBetweenSlices", 1e-9),
    ],
)
def test_damaged_files_end_in_a_sentence(series, tmp_path, damage):
    path = io.write(labels_on(io.read(series())), tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    damage(dataset)
    dataset.save_as(path)
    with pytest.raises(FileError):
        io.read(path)


# ---- folders ----


def test_segmentation_in_the_folder_lies_over_its_images(series, tmp_path):
    folder = series()
    image = io.read(folder)
    labels = labels_on(image)
    path = io.write(labels, tmp_path / "a.seg.dcm").rename(folder / "IM_SEG")
    shown = get_reader(str(folder))(str(folder))
    assert [kind for _, _, kind in shown] == ["image", "labels"]
    assert np.array_equal(shown[1][0], labels.data)
    assert shown[0][1]["scale"] == shown[1][1]["scale"]
    assert shown[0][1]["translate"] == shown[1][1]["translate"]
    assert np.array_equal(io.read(folder).data, image.data)
    assert io.read(folder / "000.dcm").data.shape == image.data.shape
    path.write_bytes(path.read_bytes()[:3000])
    assert [kind for _, _, kind in get_reader(str(folder))(str(folder))] == ["image"]


def test_folder_with_one_segmentation(series, tmp_path):
    (tmp_path / "alone").mkdir()
    labels = labels_on(io.read(series()))
    io.write(labels, tmp_path / "alone" / "a.seg.dcm")
    ((data, _, kind),) = get_reader(str(tmp_path / "alone"))(str(tmp_path / "alone"))
    assert kind == "labels"
    assert np.array_equal(data, labels.data)
    io.write(labels, tmp_path / "alone" / "b.seg.dcm")
    with pytest.raises(FileError, match="2 segmentations"):
        io.read_all(tmp_path / "alone")


def test_names_and_kinds(series, tmp_path):
    path = io.write(labels_on(io.read(series())), tmp_path / "a.seg.dcm")
    assert formats.stem(path) == "a"
    assert formats.recognise(path) is formats.DICOM_SEG
    for name in ("b.dcm", "c", "d.ima"):
        assert formats.recognise(path.rename(tmp_path / name)) is formats.DICOM_SEG
        path = tmp_path / name
    assert dicom_seg_read.read(path, "zyx").axes == "zyx"


def test_odd_class_tables_come_back(series, tmp_path):
    image = io.read(series())
    odd = (LabelClass(52, "liver", "#00A087"), LabelClass(2, "", "#4dbbd5"), LabelClass(1, "a\\b", "#E64B35"))
    labels = image.like(labels_on(image).data, odd)
    for label_map in (False, True):
        back = io.read(io.write(labels, tmp_path / "a.seg.dcm", label_map=label_map))
        assert back.classes == odd and np.array_equal(back.data, labels.data)
