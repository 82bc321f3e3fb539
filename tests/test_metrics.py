import numpy as np
import pytest

from napari_medseg import metrics
from napari_medseg.cli import terminal
from napari_medseg.errors import VolumeError
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
