"""What labels measure, against SimpleITK, MONAI and what holds by construction."""

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg import metrics
from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.review.ledger import Ledger
from napari_medseg.review.measure import measure
from napari_medseg.review.measure_table import cine_text, csv_rows, shown
from napari_medseg.review.planes import checksum
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "muscle", "#4dbbd5"), LabelClass(3, "none", "#00a087"))
STRAIGHT = np.diag([1.4, 1.1, 8, 1])


def oblique(affine=STRAIGHT):
    """The same voxels, turned in space about two axes."""
    a, b = np.deg2rad([25, 40])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turned = affine.copy()
    turned[:3, :3] = about_z @ about_x @ affine[:3, :3]
    turned[:3, 3] = (-40, 12, 33)
    return turned


def blob(shape, centre, radii):
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    parts = [((grid - c) / r) ** 2 for grid, c, r in zip(grids, centre, radii, strict=True)]
    return sum(parts) <= 1


def hearts():
    """Labels with two classes, others of the same scan, and intensities."""
    shape = (6, 40, 36)
    found = []
    for shift in (0, 2):
        data = np.zeros(shape, np.uint8)
        data[blob(shape, (2.5, 20 + shift, 18), (2.4, 15, 12))] = 2
        data[blob(shape, (2.5, 20, 17 + shift), (2, 9, 7))] = 1
        found.append(data)
    image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    return (*found, image)


def row_of(measured, name, **where):
    rows = [row for row in measured.rows if row.name == name and all(getattr(row, k) == v for k, v in where.items())]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("affine", [STRAIGHT, oblique()], ids=["anisotropic", "oblique"])
def test_measures_are_those_of_simpleitk_and_monai(affine):
    import SimpleITK as sitk
    import torch
    from monai import metrics as monai

    ours, theirs, image = hearts()
    labels = Volume(ours, "zyx", affine, CLASSES)
    measured = measure(labels, Volume(image, "zyx", affine), reference=Volume(theirs, "zyx", affine))

    def of_itk(array):
        found = sitk.GetImageFromArray(array)
        found.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0).tolist())
        found.SetDirection((affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).ravel().tolist())
        return found

    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(of_itk(ours))
    intensities = sitk.LabelStatisticsImageFilter()
    intensities.Execute(of_itk(image), of_itk(ours))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(of_itk(theirs), of_itk(ours))
    for number, name in ((1, "cavity"), (2, "muscle")):
        row = row_of(measured, name)
        assert row.voxels == shapes.GetNumberOfPixels(number)
        assert row.size == pytest.approx(shapes.GetPhysicalSize(number), rel=1e-9)
        assert row.mean == pytest.approx(intensities.GetMean(number), rel=1e-6)
        assert row.sd == pytest.approx(intensities.GetSigma(number), rel=1e-6)
        assert row.scores["dice"] == pytest.approx(overlap.GetDiceCoefficient(number), abs=1e-12)
        assert row.scores["iou"] == pytest.approx(overlap.GetJaccardCoefficient(number), abs=1e-12)
        assert row.diameter == pytest.approx(_feret(sitk, ours == number, labels.spacing), rel=1e-6)
        pair = [torch.tensor(array == number)[None, None] for array in (ours, theirs)]
        surface = monai.compute_average_surface_distance(*pair, symmetric=True, spacing=labels.spacing)
        assert row.scores["mean_surface_distance_mm"] == pytest.approx(surface.item(), rel=1e-5)
        # MONAI takes the larger of the percentiles of both directions; pooled, as here, it lies between them
        both = [
            monai.compute_hausdorff_distance(*order, percentile=95, spacing=labels.spacing, directed=True).item()
            for order in (pair, pair[::-1])
        ]
        assert min(both) - 1e-5 <= row.scores["hd95_mm"] <= max(both) + 1e-5
    none = row_of(measured, "none")
    assert none.voxels == 0 and none.size == 0 and none.plane is None and math.isnan(none.diameter)


def _feret(sitk, mask, spacing):
    """The largest Feret diameter of all slices, by SimpleITK."""
    largest = 0.0
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputeFeretDiameterOn()
    for plane in mask.astype(np.uint8):
        if plane.any():
            image = sitk.GetImageFromArray(plane)
            image.SetSpacing(spacing[:0:-1])
            shapes.Execute(image)
            largest = max(largest, shapes.GetFeretDiameter(1))
    return largest


@pytest.mark.parametrize("shape", [(90, 1), (1, 90), (70, 80)])
def test_the_diameter_is_the_largest_of_all_distances(shape):
    mask = np.zeros((100, 100), bool)
    mask[5 : 5 + shape[0], 7 : 7 + shape[1]] = True
    expected = math.hypot((shape[0] - 1) * 2, (shape[1] - 1) * 0.5)
    assert metrics.largest_diameter(mask, np.diag([2, 0.5])) == pytest.approx(expected)
    # on a sheared grid, whose steps lie in space
    steps = np.array([[0, 2, 0], [0.5, 0.5, 0.1]])
    corners = np.argwhere(mask)[[0, -1]] @ steps
    assert metrics.largest_diameter(mask, steps) >= np.linalg.norm(corners[0] - corners[1]) - 1e-9


def test_one_voxel_a_single_image_and_a_grid_of_unknown_size():
    data = np.zeros((9, 8), np.uint16)
    data[4, 5] = 1
    row = measure(Volume(data, "yx", np.diag([0.5, 2, 1, 1]))).rows[0]
    assert (row.voxels, row.size, row.diameter, row.centre, row.plane) == (1, 1.0, 0.0, (4, 5), 0)
    data[4, 7] = 1
    measured = measure(Volume(data, "yx", metadata={"has_spacing": False}))
    row = measured.rows[0]
    assert math.isnan(row.size) and row.diameter == 2 and measured.unit == "px"
    assert "voxel size is not known" in measured.notes[0]
    assert shown(measured)[0] == ["class", "voxels", "diameter (px)", "not approved"]
    assert "volume" not in str(csv_rows(measured)) and "area" not in str(csv_rows(measured))
    assert measure(Volume(np.zeros((4, 4), np.uint8), "yx")).rows == ()


def test_intensities_that_are_not_finite_are_left_out_and_said():
    data = np.zeros((3, 4), np.uint8)
    data[0] = 1
    data[2, 0] = 2
    image = np.arange(12.0).reshape(3, 4)
    image[0, 0] = np.nan
    image[2, 0] = np.inf
    measured = measure(Volume(data, "yx"), Volume(image, "yx"))
    assert [(row.mean, row.sd) for row in measured.rows[:1]] == [(2, 1)]
    assert math.isnan(measured.rows[1].mean) and math.isnan(measured.rows[1].sd)
    assert measured.notes == (
        "2 labelled voxels have no finite intensity (NaN or infinity): left out of mean and standard deviation.",
    )


def test_objects_share_faces_and_have_a_place():
    data = np.zeros((2, 3, 8, 8), np.uint8)
    data[0, 1, 1:3, 1:3] = 2
    data[0, 1, 3, 3] = 2  # touches at a corner only
    data[1, 2, 5, 5:8] = 2
    measured = measure(Volume(data, "tzyx", STRAIGHT, CLASSES), objects="muscle")
    found = [(row.time, row.object, row.voxels, row.plane, row.centre) for row in measured.rows]
    assert found == [(0, 1, 4, 1, (1, 1.5, 1.5)), (0, 2, 1, 1, (1, 3, 3)), (1, 1, 3, 5, (2, 5, 6))]
    assert "6 neighbours" in measured.notes[0] and not measured.cines
    assert measure(Volume(data, "tzyx", STRAIGHT, CLASSES), objects="2").rows == measured.rows
    heading, first, *_ = csv_rows(measured)
    assert dict(zip(heading, first, strict=True))["centre_y"] == 1.5


@pytest.mark.parametrize("kind", [bool, np.int8, ">u2", np.uint64, np.float32])
def test_every_type_of_label_measures_alike(kind):
    data = np.zeros((1, 3, 6, 6), kind)
    data[0, 1, 2:4, 2:4] = 1
    image = Volume(np.full((1, 3, 6, 6), 5, np.int16), "czyx", STRAIGHT)
    (row,) = measure(Volume(data, "czyx", STRAIGHT), image).rows
    assert (row.id, row.name, row.voxels, row.plane, row.mean, row.sd) == (1, "class 1", 4, 1, 5, 0)


def test_large_numbers_and_a_microscope():
    data = np.zeros((6, 6), np.uint64)
    data[0, 0] = 7
    data[3:5, 3] = 2**40
    measured = measure(Volume(data, "yx", np.diag([0.001, 0.001, 1, 1])))
    assert [(row.id, row.voxels) for row in measured.rows] == [(7, 1), (2**40, 2)]
    heading, _, second = csv_rows(measured)
    cells = dict(zip(heading, second, strict=True))
    assert cells["area_um2"] == pytest.approx(2) and cells["diameter_um"] == pytest.approx(1)
    assert shown(measured)[0][1:3] == ["area (um2)", "diameter (um)"]


def cine(volumes, approved=()):
    data = np.zeros((len(volumes), 2, 6, 6), np.uint8)
    for time, count in enumerate(volumes):
        data[time].reshape(-1)[:count] = 1
    ledger = Ledger(data.shape[0] * 2)
    planes = data.reshape(-1, 6, 6)
    for number in approved:
        ledger.approve(number, checksum(planes[number]))
    return Volume(data, "tzyx", STRAIGHT, CLASSES[:1]).with_slices(ledger.to_json())


def test_a_cine_has_an_ejection_fraction_and_says_what_nobody_approved():
    labels = cine([30, 60, 24, 0], approved=[2, 4])
    measured = measure(labels)
    (found,) = measured.cines
    assert (found.diastole, found.systole, found.ejection_fraction) == (1, 2, pytest.approx(0.6))
    assert found.sizes[1] == pytest.approx(60 * 1.4 * 1.1 * 8) and (found.not_approved, found.slices) == (2, 4)
    assert "not labelled at 1 time point of 4" in " ".join(measured.notes)
    assert "ejection fraction 60.0%" in cine_text(found) and "2 of 4 slices" in cine_text(found)
    rows = csv_rows(measured)
    column = rows[0].index("phase")
    assert [row[column] for row in rows[1:]] == ["", "end-diastole", "end-systole", ""]


def test_an_approval_counts_for_the_labels_that_were_approved():
    labels = cine([30, 60], approved=[0, 2])
    labels.data[0, 0, 0, 0] = 0
    rows = measure(labels).rows
    assert [row.not_approved for row in rows] == [1, 1] and [row.slices for row in rows] == [1, 2]


@pytest.mark.parametrize(("volumes", "words"), [([0, 0], "at no time point"), ([0, 4], "at time point 1 only")])
def test_a_cine_of_one_phase_has_no_ejection_fraction(volumes, words):
    measured = measure(cine(volumes))
    assert math.isnan(measured.cines[0].ejection_fraction) and words in measured.notes[0]
    assert cine_text(measured.cines[0]) == ""


def test_time_that_is_something_else_makes_no_cine():
    labels = cine([30, 60])
    assert measure(replace(labels, metadata={"t_axis": "b-value"})).cines == ()


def test_a_class_of_the_reference_alone_has_a_row():
    data = np.zeros((3, 8, 8), np.uint8)
    reference = data.copy()
    data[1, 2:5, 2:5] = 1
    reference[1, 2:5, 2:6] = 2
    measured = measure(Volume(data, "zyx"), reference=Volume(reference, "zyx", classes=CLASSES))
    row = row_of(measured, "muscle")
    assert row.voxels == 0 and row.scores["dice"] == 0 and row.scores["hd95_mm"] == math.inf
    assert csv_rows(measured)[2][csv_rows(measured)[0].index("hd95_mm")] == math.inf


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.full((3, 8, 8), 0.5)}, "fractions"),
        ({"labels": np.full((3, 8, 8), -1)}, "below 0"),
        ({"image": Volume(np.zeros((3, 8, 9)), "zyx")}, "image has the axes"),
        ({"image": Volume(np.zeros((3, 8, 8)), "zyx", np.diag([1, 1, 3, 1]))}, "mm apart"),
        ({"image": Volume(np.zeros((8, 8, 3)), "yxc")}, "channels"),
        ({"reference": Volume(np.zeros((2, 8, 8), int), "zyx")}, "reference"),
        ({"reference": Volume(np.full((3, 8, 8), 0.5), "zyx")}, "reference"),
        ({"objects": "liver"}, "no class 'liver'"),
        ({"objects": 1, "reference": Volume(np.zeros((3, 8, 8), int), "zyx")}, "without a reference"),
    ],
)
def test_bad_input_is_one_sentence(change, words):
    data = np.zeros((3, 8, 8), np.uint8)
    data[1, 2:5] = 1
    given = {"labels": data, **change}
    with pytest.raises((VolumeError, SettingsError), match=words):
        measure(Volume(given.pop("labels"), "zyx"), **given)


def test_an_image_that_is_stored_in_another_order_is_turned():
    data = np.zeros((3, 8, 8), np.uint8)
    data[0, 0, 0] = 1
    image = np.arange(192.0).reshape(3, 8, 8)
    affine = np.diag([1.0, -1, 1, 1])
    affine[1, 3] = 7
    turned = Volume(image[:, ::-1], "zyx", affine)
    assert measure(Volume(data, "zyx"), turned).rows[0].mean == 0


@pytest.mark.parametrize(("known", "size"), [(False, "36 pixels"), (True, "9.0 mm2")])
def test_numbered_objects_are_counted(known, size):
    place = {"affine": np.diag([0.5, 0.5, 1, 1]), "metadata": {"has_spacing": known}}
    data = np.zeros((60, 60), np.uint8)
    for number in range(1, 11):
        data[5 * number : 5 * number + 4, 3:12] = number
    (note, *_) = measure(Volume(data, "yx", **place)).notes
    assert note == f"10 objects, mean area {size}."
    assert not any("objects" in note for note in measure(Volume(data, "yx", classes=CLASSES)).notes)
