"""Tools of Review: boxes change nothing, millimetres are millimetres, classes keep together, protected ones stay."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_medseg.errors import VolumeError
from napari_medseg.progress import run
from napari_medseg.review.planes import Planes
from napari_medseg.review.tools import outlines, pieces, rules, slices, strokes, values
from napari_medseg.review.tools.common import Where
from napari_medseg.review.tools.running import Scope, tool_job
from napari_medseg.review.tools.table import SLICE, TOOLS, VOLUME

SPACING = (3.0, 1.25, 0.75)
NUMBERS = {"keep-range": {"low": 0.3, "high": 0.7}, "relabel": {"into": 2.0}, "grow": {"mm": 3.1}}


def blobs(seed=0, shape=(9, 26, 30), classes=3, level=0.04):
    """Random touching blobs of several classes, up to the border."""
    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    soft = np.stack([ndimage.gaussian_filter(part, (1, 2, 2)) for part in noise])
    return np.where(soft.max(axis=0) > level, soft.argmax(axis=0) + 1, 0).astype(np.uint8)


def where(labels, *classes, **options):
    everything = tuple(range(1, int(labels.max()) + 1))
    return Where(classes or everything, range(len(labels)), SPACING, **options)


def changed(labels, change):
    """The labels after a change."""
    found = labels.copy()
    found[change.box] = change.values
    return found


def image(shape=(9, 26, 30)):
    return np.random.default_rng(5).random(shape).astype(np.float32)


def numbers_of(tool):
    return NUMBERS.get(tool.key, tool.defaults)


def naive_grow(labels, number, mm):
    distance = ndimage.distance_transform_edt(labels != number, SPACING)
    return np.where((labels == 0) & (distance <= mm), number, labels)


def naive_shrink(labels, number, mm):
    distance = ndimage.distance_transform_edt(labels == number, SPACING)
    return np.where((labels == number) & (distance <= mm), 0, labels)


def naive_holes(labels, number, per_slice):
    mask = labels == number
    if per_slice:
        filled = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    else:
        filled = ndimage.binary_fill_holes(mask)
    return np.where(filled & (labels == 0), number, labels)


def naive_pieces(labels, number, stays):
    found, _ = ndimage.label(labels == number)
    sizes = np.bincount(found.ravel())[1:]
    gone = [piece + 1 for piece, size in enumerate(sizes) if not stays(size, sizes)]
    return np.where(np.isin(found, gone), 0, labels)


def naive_smooth(labels, mm):
    sigma = [mm / size for size in SPACING]
    masks = [(labels == number).astype(np.float32) for number in range(labels.max() + 1)]
    return np.stack([ndimage.gaussian_filter(mask, sigma, mode="nearest", truncate=3) for mask in masks]).argmax(0)


@pytest.mark.parametrize("seed", range(3))
def test_a_tool_in_the_box_of_a_class_does_what_it_does_on_the_whole_volume(seed):
    labels = blobs(seed)
    one = where(labels, 2)
    for mm in (1.0, 2.6, 3.0):
        assert (changed(labels, outlines.grow(labels, one, mm)) == naive_grow(labels, 2, mm)).all()
        assert (changed(labels, outlines.shrink(labels, one, mm)) == naive_shrink(labels, 2, mm)).all()
    for flat in (True, False):
        assert (changed(labels, pieces.fill_holes(labels, one, flat)) == naive_holes(labels, 2, flat)).all()
    largest = changed(labels, pieces.keep_largest(labels, one))
    assert (largest == naive_pieces(labels, 2, lambda size, sizes: size == sizes.max())).all()
    small = changed(labels, pieces.remove_small(labels, one, 40.0))
    assert (small == naive_pieces(labels, 2, lambda size, _: size * np.prod(SPACING) >= 40)).all()
    smoothed = changed(labels, outlines.smooth(labels, where(labels), 1.1))
    assert (smoothed == naive_smooth(labels, 1.1)).all()


@pytest.mark.parametrize("mm", [1.0, 2.5, 3.0, 4.2])
def test_growing_agrees_with_simpleitk_on_thick_slices(mm):
    import SimpleITK as sitk

    labels = np.zeros((9, 30, 30), np.uint8)
    labels[2:6, 8:20, 3:17] = 1
    labels[7, 22, 25] = 1
    picture = sitk.GetImageFromArray(labels)
    picture.SetSpacing(SPACING[::-1])
    # the distance to the nearest voxel of the class, between centres
    distance = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(picture, False, False, True))
    grown = changed(labels, outlines.grow(labels, where(labels), mm))
    assert (grown == ((distance <= mm + 1e-5) | (labels == 1))).all()


def test_between_two_classes_the_nearer_one_grows():
    labels = np.zeros((1, 3, 12), np.uint8)
    labels[0, :, :2] = 1
    labels[0, :, 9:] = 2
    grown = changed(labels, outlines.grow(labels, where(labels), 10.0))
    assert grown[0, 1].tolist() == [1] * 6 + [2] * 6 or grown[0, 1].tolist() == [1] * 5 + [2] * 7
    assert (outlines.grow(labels, where(labels, 1), 0.7).values == 1).sum() == 6


def test_smoothing_leaves_no_gap_between_classes_that_touch():
    labels = np.zeros((7, 30, 30), np.uint8)
    labels[1:6, 4:26, 4:26] = 1
    labels[1:6, 4:26, 15:26] = 2
    rough = labels.copy()
    rough[3, ::2, 15] = 1
    smoothed = changed(rough, outlines.smooth(rough, where(rough), 1.5))
    assert smoothed[2:5, 8:22, 8:22].all(), "nothing inside was lost to background"
    assert len(np.unique(smoothed[3, 8:22, 15])) == 1, "the comb is gone"


def test_smoothing_one_class_leaves_the_others_alone():
    labels = blobs(3)
    smoothed = changed(labels, outlines.smooth(labels, where(labels, 1), 1.5))
    others = np.isin(labels, (2, 3))
    assert (smoothed[others] == labels[others]).all() and (smoothed != labels).any()


@pytest.mark.parametrize("key", TOOLS)
def test_every_tool_keeps_protected_classes_and_its_slices_and_can_be_taken_back(key):
    tool = TOOLS[key]
    labels = blobs(4)
    labels[4:6] = 0
    labels[7, ::3] = 0
    labels[2:5, 10:15, 10:15] = 1
    labels[3, 12, 12] = 0
    before = labels.copy()
    earlier = before[3].copy()
    earlier[10:15, 10:15] = 0
    scope = Scope(tool.scopes[0], 3, SPACING, protected=frozenset({2}), before=earlier)
    result = run(tool_job(tool, labels, scope, numbers_of(tool), image()))
    assert (labels == before).all(), "nothing is written before it is asked for"
    assert result.edits and result.fits(labels)
    result.write(labels)
    assert (labels[before == 2] == 2).all() and not result.fits(labels)
    other = [plane for plane in range(len(labels)) if plane not in result.planes]
    assert (labels[other] == before[other]).all()
    if tool.scopes[0] == SLICE:
        assert result.planes == (3 + tool.shift,)
    for number, (lost, gained) in result.voxels.items():
        assert np.sum(labels == number) - np.sum(before == number) == gained - lost
    planes = Planes(labels)
    for edit in result.edits:
        planes.write(edit.plane, edit.top, edit.left, np.ones(edit.before.shape, bool), edit.before.ravel())
    assert (labels == before).all()


@pytest.mark.parametrize("key", [key for key in TOOLS if not TOOLS[key].of_strokes])
@pytest.mark.parametrize("labels", [np.zeros((3, 8, 8), np.uint8), np.ones((3, 8, 8), np.uint8)], ids=["none", "all"])
def test_every_tool_takes_labels_that_are_empty_or_fill_the_image(key, labels):
    tool = TOOLS[key]
    for kind in tool.scopes:
        scope = Scope(kind, 1, SPACING, first=0, last=1)
        result = run(tool_job(tool, labels, scope, numbers_of(tool), image(labels.shape)))
        may_change = labels.any() and key in ("clear", "relabel", "keep-range")
        assert bool(result.edits) == may_change


@pytest.mark.parametrize("shape", [(26, 30), (4, 26, 30), (2, 4, 26, 30)])
@pytest.mark.parametrize("key", TOOLS)
def test_tools_work_on_pictures_volumes_and_time_series(key, shape):
    tool = TOOLS[key]
    labels = blobs(6, (8, 26, 30))[: int(np.prod(shape[:-2]))].reshape(shape).copy()
    shown = 5 if len(shape) == 4 else 1 if len(shape) == 3 else 0
    depth = shape[-3] if len(shape) > 2 else 1
    earlier = np.zeros(shape[-2:], np.uint8)
    for kind in tool.scopes:
        scope = Scope(kind, shown, SPACING, first=0, last=min(2, depth - 1), before=earlier)
        result = run(tool_job(tool, labels, scope, numbers_of(tool), image(shape)))
        if kind != VOLUME:
            assert {plane // depth for plane in result.planes} <= {shown // depth}
        result.write(labels.copy())


def test_slices_in_time_are_frames_of_their_own():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1:, 8:12, 8:12] = 1
    shown = Scope("range", 3, SPACING, first=1, last=2, flat=True)
    result = run(tool_job(TOOLS["grow"], labels, shown, {"mm": 50.0}))
    assert result.planes == (1, 2), "not into the first one, however far"
    assert not run(tool_job(TOOLS["interpolate"], labels, replace(shown, kind=VOLUME), {})).edits


def test_new_objects_get_numbers_that_no_other_frame_has():
    labels = np.zeros((2, 1, 5, 21), np.uint16)
    labels[0, 0, 1:4, 1:20] = 1
    labels[0, 0, :, 10] = 0
    labels[0, 0, 2, 10] = 1
    labels[1, 0, 0, 0] = 700
    result = run(tool_job(TOOLS["split"], labels, Scope("slice", 0, (1, 1, 1), classes=(1,), free=2), {"mm": 4}))
    assert set(result.voxels) == {1, 701}


def test_new_objects_get_numbers_that_no_class_has():
    labels = np.zeros((1, 20, 40), np.uint8)
    labels[0, 4:14, 4:14] = labels[0, 6:12, 17:23] = 1
    labels[0, 8:10, 14:17] = 1
    scope = Scope(SLICE, 0, (1, 1, 1), classes=(1,), free=7)
    assert set(run(tool_job(TOOLS["split"], labels, scope, {"mm": 8.0})).voxels) == {1, 7}


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.uint64, np.int64])
@pytest.mark.parametrize("key", TOOLS)
def test_tools_work_on_every_integer_type_and_on_high_numbers(key, kind):
    tool = TOOLS[key]
    small = blobs(6, (4, 20, 22))
    factor = np.iinfo(kind).max // 4 if np.dtype(kind).itemsize < 8 else 2**40
    labels = small.astype(kind) * kind(factor)
    scope = Scope(tool.scopes[0], 1, SPACING, before=np.zeros((20, 22), kind))
    numbers = numbers_of(tool)
    result = run(tool_job(tool, labels, scope, numbers, image(labels.shape)))
    plain = run(tool_job(tool, small, scope, numbers, image(labels.shape)))
    assert result.planes == plain.planes
    result.write(labels)
    plain.write(small)
    if key not in ("relabel", "split"):
        assert (labels == small.astype(kind) * kind(factor)).all()


def disc(z, shape=(40, 44)):
    """A slice of an object that moves, and changes its size and form."""
    y, x = np.indices(shape)
    return ((y - 10 - z * 1.6) / (5 + 0.3 * z)) ** 2 + ((x - 12 - z) / (8 - 0.2 * z)) ** 2 <= 1


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum())


def test_interpolation_is_better_than_copies_and_stops_at_the_ends():
    truth = np.stack([disc(z) for z in range(12)])
    drawn = truth.astype(np.uint8)
    drawn[[0, 2, 3, 4, 5, 7, 8, 9, 11]] = 0
    one = Where((1,), range(12), (4.0, 1.0, 1.0))
    found = changed(drawn, slices.interpolate(drawn, one)) == 1
    assert not found[0].any() and not found[11].any()
    between = [2, 3, 4, 5, 7, 8, 9]
    nearest = [1, 1, 6, 6, 6, 6, 10]
    assert dice(found[between], truth[between]) > 0.96 > dice(truth[nearest], truth[between]) + 0.05


def test_interpolation_of_classes_that_touch_leaves_no_overlap_and_little_gap():
    truth = np.stack([disc(z) for z in range(7)]).astype(np.uint8)
    truth[:, :, 18:][truth[:, :, 18:] == 1] = 2
    drawn = truth.copy()
    drawn[[1, 2, 4, 5]] = 0
    found = changed(drawn, slices.interpolate(drawn, Where((1, 2), range(7), (4.0, 1.0, 1.0))))
    for number in (1, 2):
        assert dice(found == number, truth == number) > 0.94


def test_interpolation_keeps_thin_rings_closed():
    y, x = np.indices((48, 48))
    truth = np.stack([abs(np.hypot(y - 22 - z, x - 20 - z) - 15 + 2 * z) < 1.1 for z in range(5)]).astype(np.uint8)
    drawn = truth.copy()
    drawn[1:4] = 0
    found = changed(drawn, slices.interpolate(drawn, Where((1,), range(5), (4.0, 1.0, 1.0))))
    assert dice(found[1:4] == 1, truth[1:4] == 1) > 0.9
    for plane in found:
        assert ndimage.label(plane == 0)[1] == 2, "one piece inside, one outside"


def test_interpolation_between_reviewed_slices_replaces_what_lies_between_them():
    truth = np.stack([disc(z) for z in range(5)]).astype(np.uint8)
    labels = truth.copy()
    labels[2] = 0
    labels[2, :4, :4] = 1
    labels[3] = 0
    here = Where((1,), range(5), (4.0, 1.0, 1.0), drawn=frozenset({1, 4}))
    found = changed(labels, slices.interpolate(labels, here))
    assert not found[2, :4, :4].any() and dice(found[2] == 1, truth[2] == 1) > 0.95
    assert (found[[0, 1, 4]] == labels[[0, 1, 4]]).all()
    empty_end = replace(here, drawn=frozenset({1, 3, 4}))
    assert not slices.interpolate(labels, empty_end).values.size, "an approved slice without the class ends it"


def test_propagation_follows_the_image():
    y, x = np.indices((60, 64))
    picture = np.stack([np.exp(-(((y - 30 - s) / 9) ** 2 + ((x - 30 - 2 * s) / 12) ** 2)) for s in (0, 2)])
    labels = np.zeros(picture.shape, np.uint8)
    labels[0] = picture[0] > 0.4
    carried = changed(labels, slices.propagate(labels, Where((1,), range(1), SPACING, image=picture)))[1]
    truth = picture[1] > 0.4
    assert dice(carried == 1, truth) > 0.95 > dice(labels[0] == 1, truth)


def two_discs():
    """A bright and a dark disc on grey, and where they are."""
    y, x = np.indices((48, 64))
    bright = np.hypot(y - 24, x - 18) <= 9
    dark = np.hypot(y - 24, x - 44) <= 9
    pixels = np.where(bright, 0.9, np.where(dark, 0.1, 0.5)) + np.random.default_rng(2).normal(0, 0.03, y.shape)
    return pixels.astype(np.float32)[None], bright, dark


def extended(now, before, pixels, mm=20.0, **options):
    found = Where((1, 2), range(1), (1.0, 1.0, 1.0), image=pixels, before=before, **options)
    return changed(now[None], strokes.extend_strokes(now[None], found, mm))[0]


def test_strokes_go_on_up_to_outlines_and_a_class_gains_near_its_own_alone():
    pixels, bright, dark = two_discs()
    before = np.zeros(bright.shape, np.uint8)
    now = before.copy()
    now[24, 14:22] = 1
    now[24, 40:48] = 2
    found = extended(now, before, pixels)
    assert dice(found == 1, bright) > 0.93 and dice(found == 2, dark) > 0.93
    one = extended(np.where(now == 2, 0, now), before, pixels)
    assert dice(one == 1, bright) > 0.93 and not (one == 2).any()
    near = extended(now, before, pixels, mm=3.0)
    far = ndimage.distance_transform_edt(now == 0) > 3
    assert near.any() and not near[far].any()
    held = before.copy()
    held[10:40, 20:30] = 2
    kept = extended(np.where(now, now, held), held, pixels, protected=frozenset({2}))
    assert (kept[(held == 2) & (now == 0)] == 2).all() and (kept == 1).sum() > 50


def test_what_is_erased_takes_what_belongs_with_it():
    pixels, bright, _ = two_discs()
    before = np.zeros(bright.shape, np.uint8)
    before[bright] = 1
    before[20:29, 27:36] = 1  # grey: it leaked
    now = before.copy()
    now[24, 29:35] = 0
    found = extended(now, before, pixels)
    assert dice(found == 1, bright) > 0.97 and dice(before == 1, bright) < 0.9


def test_without_strokes_it_is_said_what_to_do():
    pixels, bright, _ = two_discs()
    for before in (bright.astype(np.uint8), None):
        with pytest.raises(VolumeError, match=r"Nothing was painted or erased .* Paint or erase a few voxels first"):
            extended(bright.astype(np.uint8), before, pixels)


def test_touching_objects_are_split_in_millimetres():
    z, y, x = (part * size for part, size in zip(np.indices((9, 40, 64)), SPACING, strict=True))
    balls = [((z - 12) ** 2 + (y - 25) ** 2 + (x - centre) ** 2) <= 100 for centre in (14, 31)]
    labels = (balls[0] | balls[1]).astype(np.uint8)
    labels[4, 20, 17:20] = 0  # where the middle of the first one is
    found = changed(labels, pieces.split_touching(labels, where(labels), 12.0))
    assert set(np.unique(found)) == {0, 1, 2} and ((found > 0) == (labels > 0)).all()
    assert dice(found == found[4, 20, 15], balls[0]) > 0.95
    alone = balls[0].astype(np.uint8)
    alone[4, 20:22, 18:20] = 0  # a hole does not split
    assert (changed(alone, pieces.split_touching(alone, where(alone), 12.0)) == alone).all()
    with pytest.raises(VolumeError, match=r"numbers up to 255\. Convert"):
        pieces.split_touching(labels, where(labels, free=256), 12.0)


def test_a_class_that_does_not_fit_is_not_written():
    labels = blobs()
    with pytest.raises(VolumeError, match="Class 300 does not fit"):
        values.relabel(labels, where(labels, 1), 300)
    merged = changed(labels, values.relabel(labels, where(labels, 1, 2), 3))
    assert (merged == np.where(labels > 0, 3, 0)).all()


def test_a_tool_that_needs_an_image_says_so():
    with pytest.raises(VolumeError, match="needs the image"):
        run(tool_job(TOOLS["keep-range"], blobs(), Scope(SLICE, 0, SPACING), {"low": 0, "high": 1}))


def test_rules_give_protected_and_forbidden_voxels_back():
    before = np.array([[1, 2, 0, 0]], np.uint8)
    now = np.array([[3, 3, 3, 3]], np.uint8)
    assert rules.protect([2])(0, before, now).tolist() == [[3, 2, 3, 3]]
    assert rules.protect([7])(0, before, now) is now
    pixels = np.array([[5.0, 5.0, np.nan, 50.0]])
    inside = rules.paint_within(lambda number: pixels, 10, 60)
    assert inside(0, before, now).tolist() == [[1, 2, 0, 3]]
    erased = np.zeros_like(before)
    assert inside(0, before, erased) is erased
