import numpy as np
import pytest

from napari_medseg import metrics
from napari_medseg.cli import terminal
from napari_medseg.errors import VolumeError
from napari_medseg.label_values import number_objects, whole_labels
from napari_medseg.volume import LabelClass, Volume


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random smooth masks: a threshold of a sum of plane waves, plus single voxels, one of them in a corner."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij"))
    waves = sum(np.cos(2 * np.pi * (np.tensordot(rng.normal(0, 2, len(shape)), grid, 1) + rng.random())) for _ in "123")
    mask = (waves > 1.2) | (rng.random(shape) > 0.997)
    mask.flat[0] = True
    return mask


def brute_force(prediction: np.ndarray, reference: np.ndarray, spacing) -> np.ndarray:
    """All surface distances by comparing every pair of surface voxels, neighbours looked up one by one."""

    def surface(mask):
        points = []
        for index in np.argwhere(mask):
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    n = index.copy()
                    n[axis] += step
                    if not 0 <= n[axis] < mask.shape[axis] or not mask[tuple(n)]:
                        points.append(index * spacing)
        return np.unique(points, axis=0)

    a, b = surface(prediction), surface(reference)
    pairs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return np.concatenate([pairs.min(1), pairs.min(0)])


@pytest.mark.parametrize(
    ("shape", "spacing"), [((23, 31), (0.7, 2.5)), ((7, 15, 12), (8.0, 1.25, 1.4)), ((5, 9, 9), (1, 1, 1))]
)
def test_distances_equal_brute_force(shape, spacing):
    prediction, reference = blobs(1, shape), blobs(2, shape)
    expected = brute_force(prediction, reference, spacing)
    assert metrics.hd95(prediction, reference, spacing=spacing) == pytest.approx(np.percentile(expected, 95))
    assert metrics.mean_surface_distance(prediction, reference, spacing=spacing) == pytest.approx(expected.mean())
    assert metrics.hd95(prediction, reference, spacing) == pytest.approx(metrics.hd95(reference, prediction, spacing))


def test_released_figures_of_lstm_sa():
    # Dice and HD95 of the authors' own function on this random pair (unit spacing, 6-connected borders)
    rng = np.random.default_rng(302)
    p, q = rng.random((6, 40, 44)) > 0.6, rng.random((6, 40, 44)) > 0.6
    p[:, 20:] = q[:, 22:] = False
    assert metrics.dice(p, q) == pytest.approx(0.38022472, abs=1e-8)
    assert metrics.hd95(p, q) == pytest.approx(1.41421356, abs=1e-8)


def test_a_shift_along_an_axis_is_its_spacing():
    mask = np.zeros((9, 40, 40), bool)
    mask[2:6, 10:30, 10:30] = True
    moved = np.roll(mask, 1, axis=0)
    assert metrics.hd95(mask, moved, spacing=(10, 1, 1)) == 10
    assert metrics.hd95(mask, mask, spacing=(10, 1, 1)) == metrics.mean_surface_distance(mask, mask) == 0


def test_a_single_slice_is_a_plane():
    prediction, reference = blobs(3, (20, 20)), blobs(4, (20, 20))
    flat = metrics.mean_surface_distance(prediction, reference, (0.5, 2))
    assert metrics.mean_surface_distance(prediction[None], reference[None], (10, 0.5, 2)) == flat > 0


def test_overlap():
    prediction, reference = blobs(5, (30, 30)), blobs(6, (30, 30))
    a, b = set(map(tuple, np.argwhere(prediction))), set(map(tuple, np.argwhere(reference)))
    assert metrics.iou(prediction, reference) == pytest.approx(len(a & b) / len(a | b))
    assert metrics.dice(prediction, reference) == pytest.approx(2 * len(a & b) / (len(a) + len(b)))


@pytest.mark.parametrize("shape", [(6, 7), (3, 6, 7), (1, 1, 1)])
def test_empty_masks(shape):
    nothing, something = np.zeros(shape, bool), np.ones(shape, bool)
    scores = (metrics.dice, metrics.iou, metrics.hd95, metrics.mean_surface_distance)
    assert all(np.isnan(score(nothing, nothing)) for score in scores)
    for pair in ((nothing, something), (something, nothing)):
        assert [score(*pair) for score in scores] == [0, 0, np.inf, np.inf]
    assert [score(something, something) for score in scores] == [1, 1, 0, 0]


def test_masks_that_do_not_fit_are_refused():
    mask = np.ones((4, 4), bool)
    with pytest.raises(VolumeError, match="equal shapes"):
        metrics.hd95(mask, mask[:3])
    with pytest.raises(VolumeError, match="one positive size per axis"):
        metrics.hd95(mask, mask, spacing=(1, 1, 1))


def labels(data, axes="zyx", **options) -> Volume:
    return Volume(np.asarray(data), axes, options.pop("affine", np.diag([0.5, 2, 8, 1])), **options)


def test_compare_names_units_and_classes():
    reference = np.zeros((3, 6, 6), np.uint8)
    reference[1:, 1:4, 1:4], reference[0, 0, 0] = 1, 7
    prediction = np.where(reference == 1, 1.0, 0.0)
    rows = metrics.compare(
        labels(prediction, classes=(LabelClass(1, "cavity", "#ff0000"), LabelClass(3, "wall", "#00ff00"))),
        labels(reference),
    )
    assert [(row["id"], row["name"], row["time"]) for row in rows] == [
        (1, "cavity", None),
        (3, "wall", None),
        (7, "class 7", None),
    ]
    cavity, wall, missed = rows
    assert (cavity["dice"], cavity["iou"], cavity["hd95_mm"], cavity["mean_surface_distance_mm"]) == (1, 1, 0, 0)
    assert cavity["volume_ml"] == cavity["reference_volume_ml"] == pytest.approx(18 * 8 / 1000)
    assert np.isnan(wall["dice"])
    assert (missed["dice"], missed["hd95_mm"], missed["volume_ml"]) == (0, np.inf, 0)


def test_compare_single_images_and_unknown_spacing():
    one, two = np.eye(6, dtype=np.uint8), np.eye(6, k=1, dtype=np.uint8)
    known = metrics.compare(labels(one, "yx"), labels(two, "yx"))[0]
    assert known["area_mm2"] == 6
    assert known["mean_surface_distance_mm"] == pytest.approx((10 * 0.5 + 2) / 11)
    unknown = metrics.compare(labels(one, "yx"), labels(two, "yx", metadata={"has_spacing": False}))[0]
    assert (unknown["voxels"], unknown["reference_voxels"], unknown["hd95_px"]) == (6, 5, 1)
    assert not {"area_mm2", "hd95_mm"} & set(unknown)


def test_compare_scores_each_time_point():
    data = np.zeros((2, 3, 4, 4), np.uint8)
    data[1, :, :2] = 1
    rows = metrics.compare(labels(data, "tzyx"), labels(data[:, :, :, ::-1], "tzyx"))
    assert [(row["time"], row["volume_ml"]) for row in rows] == [(0, 0), (1, pytest.approx(24 * 8 / 1000))]


def test_compare_refuses_what_cannot_be_compared():
    data = np.ones((3, 4, 5), np.uint8)
    moved = np.diag([0.5, 2, 8, 1.0])
    moved[0, 1] = 0.01
    for other, text in (
        (labels(data[:, 1:]), "Compare labels that were made for the same image"),
        (labels(data, "tyx"), "axes zyx .* and the reference tyx"),
        (labels(data, affine=moved), "0.03 mm apart"),
        (labels(data * 0.5), "whole numbers"),
        (labels(np.where(data, np.nan, 0)), "whole numbers"),
        (labels(np.where(data, np.inf, 0)), "whole numbers"),
        (labels(-data.astype(int)), "whole numbers"),
    ):
        with pytest.raises(VolumeError, match=text):
            metrics.compare(labels(data), other)
    moved[0, 1] = 0.0001
    assert metrics.compare(labels(data), labels(data, affine=moved))[0]["dice"] == 1


def test_numbered_objects_are_not_taken_for_classes():
    objects = labels(np.arange(16).reshape(4, 4), "yx")
    mask = labels((np.arange(16).reshape(4, 4) > 0).astype(np.uint8), "yx")
    with pytest.raises(VolumeError, match="number objects"):
        metrics.compare(mask, objects)
    (row,) = metrics.compare(mask, objects, foreground=True)
    assert (row["id"], row["name"], row["dice"]) == (1, "foreground", 1)
    assert len(metrics.compare(mask, objects, foreground=False)) == 15


def test_summary_leaves_out_what_is_not_measured():
    rows = [
        {"id": 1, "name": "a", "dice": 0.5, "hd95_mm": np.inf},
        {"id": 1, "name": "a", "dice": 0.7, "hd95_mm": 3.0},
        {"id": 1, "name": "a", "dice": np.nan, "hd95_px": 4.0},
        {"id": 2, "name": "b", "dice": 0.1, "hd95_mm": 2.0},
    ]
    mean, sd, number, *other = metrics.summarise(rows)
    assert (mean["of"], mean["dice"], mean["hd95_mm"], mean["hd95_px"]) == ("mean", pytest.approx(0.6), 3, 4)
    assert (sd["of"], sd["dice"]) == ("sd", pytest.approx(np.sqrt(0.02)))
    assert np.isnan(sd["hd95_mm"])
    assert (number["of"], number["dice"], number["hd95_mm"]) == ("number", 2, 1)
    assert [row["id"] for row in other] == [2, 2, 2]


def test_a_new_score_is_one_row(monkeypatch):
    farthest = metrics.Score("farthest", lambda pair: float(pair.distances.max()), "lower", length=True, decimals=3)
    ratio = metrics.Score("ratio", lambda pair: pair.ours.sum() / pair.theirs.sum(), "higher", decimals=1)
    monkeypatch.setitem(metrics.SCORES, "farthest", farthest)
    monkeypatch.setitem(metrics.SCORES, "ratio", ratio)
    ours = np.zeros((4, 9), np.uint8)
    theirs = ours.copy()
    ours[1:3, 1:7] = 1
    theirs[1:3, 1:4] = 1
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    (row,) = metrics.compare(Volume(ours, "yx", affine), Volume(theirs, "yx", affine))
    assert (row["farthest_mm"], row["ratio"]) == (6, 2)
    (row,) = rows = metrics.compare(*(Volume(data, "yx", metadata={"has_spacing": False}) for data in (ours, theirs)))
    assert (row["farthest_px"], row["ratio"]) == (3, 2)
    mean = metrics.summarise(rows)[0]
    assert mean["farthest_px"] == 3
    text = terminal.scores([{"prediction": "a", "reference": "b", **row}], [])
    heading, line = text.splitlines()
    assert "farthest (px)" in heading and "ratio" in heading and "Dice" in heading and "HD95 (px)" in heading
    assert line.split()[2:4] == ["0.6667", "0.5000"] and "3.000" in line.split() and "2.0" in line.split()


def squares(numbers, axes="yx", **options) -> Volume:
    """Five squares in a row with these numbers, on a grid of their own unless `options` give one."""
    data = np.zeros((20, 5), np.uint16)
    for place, number in enumerate(numbers):
        data[4 * place : 4 * place + 3] = number
    return labels(data, axes, **options)


def test_masks_of_other_numbers_are_explained_and_can_be_compared():
    ours, theirs = squares([255] * 5), squares([1] * 5)
    with pytest.raises(VolumeError, match=r"holds 255, the reference 1: they have no number in common.*--foreground"):
        metrics.compare(ours, theirs)
    assert metrics.compare(ours, theirs, foreground=True)[0]["dice"] == 1
    assert [row["dice"] for row in metrics.compare(ours, theirs, foreground=False)] == [0, 0]
    named = squares([2] * 5, classes=(LabelClass(1, "a", "#ff0000"), LabelClass(2, "b", "#00ff00")))
    assert [row["dice"] for row in metrics.compare(named, theirs)] == [0, 0], "classes with names may differ"


def test_objects_with_other_numbers_are_explained_and_matched():
    ours, theirs = squares([2, 3, 4, 5, 1]), squares([1, 2, 3, 4, 5])
    with pytest.raises(VolumeError, match=r"1 is 5, 2 is 1, .*--objects"):
        metrics.compare(ours, theirs)
    names = tuple(LabelClass(number, f"part {number}", "#ff0000") for number in range(1, 6))
    named = metrics.comparison(squares([2, 3, 4, 5, 1], classes=names), theirs)
    assert len(named.rows) == 5 and "other numbers" in named.notes[0]
    ours.data[:4] = 0
    (row,) = metrics.comparison(ours, theirs, objects=True).rows
    assert (row["objects"], row["reference_objects"], row["matched"]) == (4, 5, 4)
    assert (row["precision"], row["recall"], row["f1"], row["matched_iou"]) == (1, 0.8, pytest.approx(8 / 9), 1)


def test_same_numbers_on_the_same_objects_are_compared_as_before():
    rows = metrics.compare(squares([1, 2, 3, 4, 5]), squares([1, 2, 3, 5, 4]))
    assert [row["dice"] for row in rows] == [1, 1, 1, 0, 0]


def test_objects_of_masks_are_their_connected_regions():
    found = metrics.comparison(squares([255] * 5), squares([3, 0, 2, 9, 7]), objects=True)
    assert found.rows[0]["matched"] == 4 and "The prediction holds a single number" in found.notes[0]


def test_nothing_on_either_side_is_a_row_without_figures():
    nothing = squares([0])
    found = metrics.comparison(nothing, nothing)
    assert "nothing to score" in found.notes[0]
    (row,) = found.rows
    assert (row["id"], row["area_mm2"]) == (0, 0) and np.isnan(row["dice"]) and np.isnan(row["hd95_mm"])
    (row,) = metrics.comparison(nothing, nothing, objects=True).rows
    assert np.isnan([row["f1"], row["precision"], row["recall"], row["matched_iou"]]).all()


def test_no_case_vanishes_from_a_table():
    one, nothing = squares([1, 2]), squares([0])
    tables = metrics.complete([metrics.compare(one, one), metrics.compare(nothing, nothing)])
    assert [[row["name"] for row in table] for table in tables] == [["class 1", "class 2"]] * 2
    assert np.isnan(tables[1][0]["dice"]) and tables[1][0]["area_mm2"] == 0
    summary = metrics.summarise([row for table in tables for row in table])
    assert [row["dice"] for row in summary if row["id"] == 1] == [1, pytest.approx(np.nan, nan_ok=True), 1]


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SAL"])
@pytest.mark.parametrize("axes", ["zyx", "tzyx"])
def test_the_same_place_stored_otherwise_is_turned(codes, axes):
    from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

    data = np.random.default_rng(0).integers(0, 3, (2, 3, 4, 5)[-len(axes) :]).astype(np.uint8)
    affine = np.array([[1.2, 0.1, 0.3, -7], [-0.1, 1.3, 0.2, 5], [0.2, -0.2, 2.5, 30], [0, 0, 0, 1]])
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = labels(apply_orientation(data.T, change).T, axes, affine=affine @ inv_ornt_aff(change, data.T.shape[:3]))
    found = metrics.comparison(labels(data, axes, affine=affine), stored)
    assert {row["dice"] for row in found.rows} == {1}
    assert bool(found.notes) == (codes != "RAS")


def test_a_flipped_picture_is_turned_and_one_that_is_not_flipped_in_space_is_not():
    data = np.zeros((4, 6), np.uint8)
    data[0, :2] = 1
    affine = np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = 5
    turned = metrics.compare(labels(data, "yx", affine=np.eye(4)), labels(data[:, ::-1], "yx", affine=affine))
    assert turned[0]["dice"] == 1
    with pytest.raises(VolumeError, match="mm apart"):
        metrics.compare(labels(data, "yx", affine=np.eye(4)), labels(data, "yx", affine=np.diag([-1.0, 1, 1, 1])))


def test_axes_of_length_one_do_not_matter():
    data = np.ones((3, 4, 5), np.uint8)
    rows = metrics.compare(labels(data), labels(data[None], "tzyx"))
    assert [(row["dice"], row["time"]) for row in rows] == [(1, None)]
    assert metrics.compare(labels(data[0], "yx"), labels(data[None, :1], "tzyx"))[0]["area_mm2"] == 20


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.02, 0.9], "probabilities"),
        ([1.5, 2], "interpolated"),
        ([np.nan, 1], "NaN or infinity in 1 voxel;"),
        ([-1, 1], "below 0, down to -1"),
        ([2.0**60, 1], "values up to"),
        ([1j, 0], "complex128"),
    ],
)
def test_what_is_not_a_label_is_named(values, words):
    with pytest.raises(VolumeError, match=f"Case 7 is not a label image.*{words}"):
        whole_labels(np.array(values), "Case 7")


def test_jpeg_noise_is_told_from_numbers():
    rng = np.random.default_rng(0)
    mask = np.repeat([0, 255], 500)
    noisy = np.clip(mask + rng.integers(-9, 10, 1000), 0, 255).astype(np.uint8)
    with pytest.raises(VolumeError, match="JPEG"):
        whole_labels(noisy)
    for numbers in (mask, np.arange(256), np.append(np.arange(21), 255), np.arange(230) % 3 * 127):
        assert whole_labels(numbers.astype(np.uint8)).dtype == np.uint8


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([1, 2, 3, 4, 5], True), ([7, 3, 1, 9, 6], True), ([1, 2, 1, 2, 2], False), ([1, 1, 1, 1, 255], False)],
)
def test_numbers_of_objects_are_told_from_classes(numbers, expected):
    assert number_objects(squares(numbers).data) is expected
    assert number_objects(np.stack([squares(numbers).data] * 2)) is expected


def test_scores_of_micrometre_data_are_shown_in_micrometres():
    mask = labels(np.ones((4, 5), np.uint8), "yx", affine=np.diag([1e-4, 1e-4, 1e-4, 1]))
    other = labels(np.arange(20).reshape(4, 5) // 18, "yx", affine=mask.affine)
    (row,) = metrics.compare(mask, other)
    heading, line = terminal.scores([{"prediction": "a", "reference": "b", **row}], []).splitlines()
    assert "HD95 (um)" in heading and "area (um2)" in heading
    assert line.split()[-2:] == ["0.20", "0.02"]


def test_a_validation_without_a_figure_is_shown_as_such():
    line = {"step": 4, "loss": 0.25, "figure": "dice", "val": None, "best": None}
    assert terminal.validation(line) == "step 4: loss 0.2500, dice on val -, best -"
    assert terminal.validation({**line, "loss": None, "val": 0.5, "best": 0.75}).startswith("step 4: dice on val 0.5")


def test_distances_and_volumes_on_a_tilted_grid_are_those_of_the_positions():
    affine = np.diag([1.0, 1.5, 4.0, 1.0])
    affine[1, 2] = 2.0
    ours = np.zeros((4, 12, 12), np.uint8)
    theirs = ours.copy()
    ours[1, 3:6, 3:6] = theirs[2, 3:6, 3:6] = 1
    (row,) = metrics.compare(Volume(ours, "zyx", affine), Volume(theirs, "zyx", affine))
    assert row["volume_ml"] == pytest.approx(9 * 6e-3)
    places = [np.argwhere(mask)[:, ::-1] @ affine[:3, :3].T for mask in (ours, theirs)]
    apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=2)
    nearest = np.concatenate([apart.min(0), apart.min(1)])
    assert row["hd95_mm"] == pytest.approx(np.percentile(nearest, 95))
    assert row["mean_surface_distance_mm"] == pytest.approx(nearest.mean())
