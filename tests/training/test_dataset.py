"""Data sets: what is read is what inference would see, and what does not fit is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_medseg import io
from napari_medseg.errors import FileError, MedsegError, SettingsError
from napari_medseg.labels import from_logits
from napari_medseg.metrics import dice
from napari_medseg.preprocess import Preprocess
from napari_medseg.samples import path as sample_path
from napari_medseg.training.data.dataset import IGNORE, Sample, load, on_working_grid, read_images
from napari_medseg.training.data.folders import LabelledImage, write_dataset
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume

PLAIN = Preprocess()


def arrays(count=4, shape=(20, 24), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (count, *shape), np.uint8)
    return {"image": image, "label": (image > 120).astype(np.uint8), "kind": np.array(list("aabb")[:count])}


@pytest.fixture
def npz(tmp_path):
    """Callable: arrays -> folder with the file data.npz."""

    def write(**changes):
        given = {**arrays(), **changes}
        np.savez(tmp_path / "data.npz", **{k: v for k, v in given.items() if v is not None})
        return tmp_path

    return write


def test_slices_are_normalised_as_in_inference(npz):
    root = npz()
    samples = load([Source("data.npz", case="kind")], PLAIN, root)
    given = arrays()
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.image, PLAIN.normalise(given["image"][index]))
        np.testing.assert_array_equal(sample.labels, given["label"][index])
        assert (sample.case, sample.repeat, sample.spacing) == ("aabb"[index], 1, None)


def test_colour_and_stacks_are_cut_into_slices(npz):
    colour, stack = arrays(shape=(20, 24, 3)), arrays(count=2, shape=(5, 20, 24))
    samples = load([Source("data.npz")], PLAIN, npz(image=colour["image"], label=colour["label"][..., 0]))
    assert [tuple(s.image.shape) for s in samples] == [(3, 20, 24)] * 4
    samples = load([Source("data.npz", case="kind")], PLAIN, npz(**stack))
    assert [s.case for s in samples] == ["a"] * 10
    np.testing.assert_array_equal(samples[7].labels, stack["label"][1, 2])


def test_select_repeat_group_objects_and_images_without_objects(npz):
    root = npz(number=np.arange(4), instance=np.arange(4 * 20 * 24, dtype=np.uint16).reshape(4, 20, 24))
    source = Source(
        "data.npz",
        group="kind",
        objects="instance",
        select={"number": [1, 2]},
        repeat={"kind": {"b": 3}, "number": {"1": 2}},
    )
    first, second = load([source], PLAIN, root)
    assert [(s.group, s.repeat, s.case) for s in (first, second)] == [("a", 2, "data-1"), ("b", 3, "data-2")]
    assert second.objects[0, 0] == 2 * 20 * 24
    empty = load([Source("data.npz", label="")], PLAIN, root)
    assert not any(sample.labels.any() for sample in empty)


def test_one_class_takes_any_positive_value_and_several_only_their_own(npz):
    label = 255 * arrays()["label"]
    (sample, *_) = load([Source("data.npz")], PLAIN, npz(label=label))
    assert set(sample.labels.unique().tolist()) == {0, 1}
    with pytest.raises(SettingsError, match="255, but the classes are 0 to 2"):
        load([Source("data.npz")], PLAIN, npz(label=label), classes=2)
    two = load([Source("data.npz")], PLAIN, npz(label=label // 127), classes=2)
    assert set(two[0].labels.unique().tolist()) == {0, 2}


@pytest.mark.parametrize(
    ("changes", "source", "sentence"),
    [
        ({"label": np.zeros((4, 20, 23), np.uint8)}, {}, r"image \(20, 24\) and labels \(20, 23\) do not fit"),
        ({"label": np.zeros((3, 20, 24), np.uint8)}, {}, "does not fit the images"),
        ({"image": np.zeros((4, 20, 24, 2), np.uint8)}, {}, "do not fit"),
        ({"objects": np.zeros((4, 20, 23))}, {"objects": "objects"}, "objects .* do not fit"),
        ({"label": None}, {}, "has no array label; it holds image, kind"),
        ({}, {"case": "patient"}, "has no array patient"),
        ({}, {"select": {"kind": ["c"]}}, "holds no labelled slices"),
        ({"image": np.array([{}, {}, {}, {}], dtype=object)}, {}, "damaged"),
        ({}, {"path": "other.npz"}, "is not a data set"),
    ],
)
def test_what_does_not_fit_is_refused(npz, changes, source, sentence):
    with pytest.raises(MedsegError, match=sentence):
        load([Source(**{"path": "data.npz", **source})], PLAIN, npz(**changes))


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"no archive"])
def test_damaged_file_is_refused(npz, damage):
    path = npz() / "data.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match=r"data\.npz' is damaged"):
        load([Source("data.npz")], PLAIN, path.parent)


def stack(shape=(3, 40, 30), spacing=(8.0, 2.0, 1.0), seed=0):
    """An image volume and its labels: a slanted bright block; one pixel size per axis."""
    labels = np.zeros(shape, np.uint8)
    labels[:, 10:30, 8:20] = 1
    noise = np.random.default_rng(seed).random(shape, np.float32)
    affine = np.diag([*spacing[::-1], 1.0])
    return Volume(labels + 0.1 * noise, "zyx", affine), Volume(labels, "zyx", affine, (LabelClass(1, "a", "#ffffff"),))


@pytest.fixture
def folder(tmp_path):
    """Callable: suffix -> root of a folder data set with one volume."""

    def make(suffix=".nii.gz"):
        for part, volume in zip(("images", "labels"), stack(), strict=True):
            (tmp_path / "set" / part).mkdir(parents=True)
            io.write(volume, tmp_path / "set" / part / f"a{suffix}")
        return tmp_path

    return make


@pytest.mark.parametrize("suffix", [".nii.gz", ".tif", ".npy"])
def test_folders_pair_images_and_labels_by_name(folder, suffix):
    root = folder(suffix)
    (root / "set" / "images" / ".hidden").touch()
    samples = load([Source("set")], PLAIN, root)
    image, label = stack()
    assert len(samples) == 3 and {s.case for s in samples} == {f"a{suffix}"}
    for z, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.labels, label.data[z])
        np.testing.assert_allclose(sample.image, PLAIN.normalise(image.data[z]), atol=1e-6)


def test_training_sees_the_pixel_size_that_inference_sees(folder):
    root, preprocess = folder(), Preprocess(spacing=1.0)
    sample = load([Source("set")], preprocess, root)[0]
    assert sample.spacing == pytest.approx((2.0, 1.0))
    working = on_working_grid(sample, preprocess)
    volume = io.read(root / "set" / "images" / "a.nii.gz")
    tensor, undo = preprocess.apply(np.asarray(volume.data[:1]), volume.spacing[1:])
    assert tuple(working.labels.shape) == undo.inner == (80, 30)
    assert torch.equal(working.image, tensor[0, :, :80, 1:31])  # padded equally on both sides
    assert torch.equal(preprocess.pad(working.image[None]), tensor)
    assert ((working.image[0] > 0.5) == (working.labels > 0)).float().mean() > 0.99
    assert on_working_grid(working, preprocess) is working


def test_labels_are_taken_from_the_middle_of_the_new_pixels(npz):
    sample = replace(load([Source("data.npz")], PLAIN, npz(**arrays(shape=(30, 36))))[0], spacing=(1.0, 1.0))
    working = on_working_grid(sample, Preprocess(spacing=3.0))
    assert torch.equal(working.labels, sample.labels[1::3, 1::3])
    assert working.image.shape == (3, 10, 12)


def test_pixels_of_unknown_size_are_kept(npz):
    sample = load([Source("data.npz")], PLAIN, npz())[0]
    assert on_working_grid(sample, Preprocess(spacing=0.5)) is sample


def test_incomplete_folders_are_refused(folder):
    root = folder()
    (root / "set" / "labels" / "a.nii.gz").unlink()
    with pytest.raises(FileError, match="no file of the same name"):
        load([Source("set")], PLAIN, root)
    (root / "set" / "labels").rename(root / "set" / "masks")
    with pytest.raises(FileError, match="images/ and labels/"):
        load([Source("set")], PLAIN, root)


def test_beside_the_objects_is_the_largest_part_without_any(npz):
    image = np.tile(np.arange(60, dtype=np.uint8), (1, 40, 1))  # a pixel's value is its column
    label = np.zeros_like(image)
    label[0, 10:20, 5:9] = 1
    root = npz(image=image, label=label, kind=None)
    (sample,) = load([Source("data.npz", beside=6)], Preprocess(percentiles=(0, 100), min_range=0), root)
    assert sample.labels.shape == (40, 60 - 9 - 6) and not sample.labels.any()
    torch.testing.assert_close(sample.image[0, 0] * 44 + 15, torch.arange(15.0, 60.0))
    label[0] = 0
    (sample,) = load([Source("data.npz", beside=6)], PLAIN, npz(image=image, label=label, kind=None))
    assert sample.labels.shape == (40, 60)


def test_slices_without_room_beside_their_objects_are_refused(npz):
    root = npz(label=np.ones((4, 20, 24), np.uint8))
    with pytest.raises(SettingsError, match="no room next to"):
        load([Source("data.npz", beside=3)], PLAIN, root)


def test_neighbours_come_from_the_same_case_and_phase_in_order(npz):
    frames = np.array([45, 5, 25, 6])  # slices 2, 0, 1 of one phase, and a slice of another
    root = npz(frame=frames, patient=np.array(list("pppp")))
    source = Source("data.npz", case="patient", frame="frame", stride=20)
    samples = load([source], PLAIN, root, context=True)
    single = [torch.from_numpy(PLAIN.normalise(image)) for image in arrays()["image"]]
    shown = [[torch.equal(part, image) for image in single].index(True) for s in samples for part in s.image.split(3)]
    # the published rule at the ends: the slices around the last inner one
    assert shown == [1, 1, 0, 1, 2, 0, 1, 0, 0, 3, 3, 3]
    assert [len(s.image) for s in load([source], PLAIN, root)] == [3] * 4


def test_neighbours_are_the_channels_of_a_network_without_context(npz):
    root = npz(frame=np.array([45, 5, 25, 6]), patient=np.array(list("pppp")))
    source = Source("data.npz", case="patient", frame="frame", stride=20)
    trios = load([source], PLAIN, root, context=True)
    samples = load([source], replace(PLAIN, neighbours="z"), root)
    for trio, sample in zip(trios, samples, strict=True):
        assert sample.image.shape == (3, *sample.labels.shape)
        torch.testing.assert_close(sample.image, trio.image[::3])


def test_volumes_are_cropped_and_turned_to_slices_first(npz):
    given = arrays(count=2, shape=(6, 20, 7))
    root = npz(**given, shape=np.array([[6, 20, 7], [4, 18, 5]]), case=np.array(["a", "b"]))
    source = Source("data.npz", case="case", shape="shape", axes="xyz", spacing=(3.0, 2.0, 1.0))
    samples = load([source], PLAIN, root, context=True)
    assert [s.case for s in samples] == ["a"] * 7 + ["b"] * 5
    assert len({s.volume for s in samples[:7]}) == 1 and len({s.volume for s in samples}) == 2
    assert samples[-1].image.shape == (9, 18, 4) and samples[-1].spacing == (2.0, 1.0) and samples[-1].thickness == 3.0
    np.testing.assert_array_equal(samples[-1].labels, given["label"][1, :4, :18, 4].T)


def test_what_nobody_labelled_is_marked_whatever_the_classes(npz):
    label = np.tile(np.arange(4, dtype=np.uint8)[:, None, None], (1, 20, 24))
    label[0, :10] = 9
    label[3] = 9
    root = npz(label=label)
    source = Source("data.npz", ignore=9)
    one, two = (load([source], PLAIN, root, classes) for classes in (1, 2))
    assert [s.case for s in one] == ["data-0", "data-1", "data-2"]  # nothing is known of the last one
    for samples, seen in ((one, (0, 1, 1)), (two, (0, 1, 2))):
        assert set(samples[0].labels.unique().tolist()) == {0, IGNORE} and bool(
            (samples[0].labels[:10] == IGNORE).all()
        )
        assert [int(s.labels[-1, -1]) for s in samples] == list(seen)
    with pytest.raises(SettingsError, match="9, but the classes are 0 to 2"):
        load([Source("data.npz")], PLAIN, root, 2)


def test_marks_stay_when_slices_are_resampled(npz):
    label = np.zeros((4, 30, 36), np.uint8)
    label[:, :15], label[:, 15:, :18] = 9, 1
    root = npz(image=arrays(shape=(30, 36))["image"], label=label)
    sample = replace(load([Source("data.npz", ignore=9)], PLAIN, root)[0], spacing=(1.0, 1.0))
    working = on_working_grid(sample, Preprocess(spacing=3.0))
    assert set(working.labels.unique().tolist()) == {0, 1, IGNORE} and bool((working.labels[:5] == IGNORE).all())


def test_inner_slices_keep_their_neighbours(npz):
    given = arrays(count=2, shape=(4, 20, 7))
    root = npz(**given, case=np.array(["a", "b"]))
    whole, inner = (load([Source("data.npz", case="case", inner=i)], PLAIN, root, context=True) for i in (False, True))
    assert len(whole) == 8 and len(inner) == 4
    for ours, same in zip(inner, [*whole[1:3], *whole[5:7]], strict=True):
        assert torch.equal(ours.image, same.image)
    single = arrays(count=2)
    assert len(load([Source("data.npz", inner=True)], PLAIN, npz(**single))) == 2  # no volumes, no ends


def test_volumes_of_one_case_stay_apart(npz):
    samples = load([Source("data.npz", case="kind")], PLAIN, npz(**arrays(count=2, shape=(3, 20, 7))))
    assert len({s.case for s in samples}) == 1 and len({s.volume for s in samples}) == 2


def test_images_to_reconstruct_need_no_labels(folder):
    root = folder()
    (root / "set" / "labels" / "a.nii.gz").unlink()
    found = list(read_images(Source("set"), root))
    assert [case for case, _ in found] == ["a.nii.gz"] * 3
    np.testing.assert_allclose(np.stack([image for _, image in found]), stack()[0].data, rtol=1e-6)


def test_images_too_large_for_the_memory_are_refused(npz, monkeypatch):
    root = npz()
    monkeypatch.setattr("napari_medseg.io.checks.LIMIT_BYTES", 10_000)
    with pytest.raises(FileError, match="may be used"):
        load([Source("data.npz")], PLAIN, root, context=True)


ODD = {
    "image": [
        np.array("x"),
        np.array(["x"] * 3),
        np.zeros(3),
        np.zeros((3, 8, 8), complex),
        np.zeros((3, 8, 8), "M8[s]"),
    ],
    "label": [np.full((3, 8, 8), "x"), np.zeros(3), np.zeros((3, 8, 8), [("a", "u1")])],
    "case": [np.zeros((3, 2)), np.array("x")],
    "frame": [np.array(["x"] * 3), np.full(3, np.nan), np.zeros((3, 2))],
    "shape": [np.array(["x"] * 3), np.zeros(3), np.full((3, 2), np.inf)],
    "objects": [np.zeros(3), np.full((3, 8, 8), "x")],
}


@pytest.mark.parametrize(("name", "number"), [(name, k) for name in ODD for k in range(len(ODD[name]))])
def test_arrays_of_another_kind_are_told(tmp_path, name, number):
    arrays = {key: np.ones((3, 8, 8), np.uint8) for key in ("image", "label", "objects")}
    arrays |= {"case": np.array(["a", "b", "c"]), "frame": np.arange(3), "shape": np.full((3, 2), 8)}
    np.savez(tmp_path / "a.npz", **{**arrays, name: ODD[name][number]})
    source = Source("a.npz", case="case", frame="frame", shape="shape", objects="objects")
    with pytest.raises(SettingsError, match=f"a.npz.*array {name}"):
        load([source], Preprocess(), tmp_path)


@pytest.mark.parametrize("spacing", [1.0, 1.83, 2.05, 2.74, 3.5])
def test_a_network_that_learnt_everything_would_give_the_labels_back(spacing):
    """On the grid that they were drawn on: no shift by half a pixel, no rounding to whole pixels."""
    heart = io.read(sample_path("sunnybrook_SC-HF-I-01_ED_label.nii.gz"))
    labels = torch.from_numpy(np.asarray(heart.data)).to(torch.uint8)
    preprocess = Preprocess(spacing=spacing)
    scores = []
    for mask in labels[(labels == 1).any((1, 2))]:
        sample = Sample(torch.zeros(3, *mask.shape), mask, "heart", spacing=tuple(heart.spacing[1:]))
        shares = on_working_grid(sample, preprocess, 2).target_of(2)[0]
        _, undo = preprocess.fit(sample.image[None], sample.spacing)
        found = from_logits(undo(preprocess.pad(shares.logit(1e-4)[None])))[0]
        scores.append([dice(found == number, mask.numpy() == number) for number in (1, 2)])
    assert np.mean(scores, axis=0)[0] > 0.985


@pytest.mark.parametrize("spacing", [0.7, 1.5, 2.0, 3.7, 4.0])
def test_labels_stay_where_they_are_in_millimetres(spacing):
    labels = torch.zeros(48, 64, dtype=torch.uint8)
    labels[9:22, 30:47], labels[30:41, 8:19] = 1, 2
    sample = Sample(torch.zeros(3, 48, 64), labels, "a", spacing=(1.0, 1.0))
    working = on_working_grid(sample, Preprocess(spacing=spacing), 2)
    for number in (1, 2):
        share = working.target_of(2)[0, number - 1]
        for axis, length in enumerate(labels.shape):
            pixel = length / share.shape[axis]
            line, native = share.sum(1 - axis), (labels == number).float().sum(1 - axis)
            middle = ((torch.arange(len(line)) + 0.5) * pixel * line).sum() / line.sum()
            expected = ((torch.arange(length) + 0.5) * native).sum() / native.sum()
            assert middle.item() == pytest.approx(expected.item(), abs=0.05)


def test_a_class_that_a_source_does_not_label_is_unknown_there_and_not_absent(npz):
    root = npz()
    (sample, *_) = load([Source("data.npz", unlabelled=(2,))], PLAIN, root, 2)
    working = on_working_grid(replace(sample, spacing=(1.0, 1.0)), Preprocess(spacing=2.0), 2)
    for found in (sample, working):
        known = found.target_of(2)[1]
        assert known[0].eq(1).all() and known[1].eq(0).all()


@pytest.mark.parametrize("reviewed", [None, (1,)])
def test_volumes_are_turned_as_in_inference(tmp_path, reviewed):
    rng = np.random.default_rng(0)
    data = rng.random((3, 20, 24), np.float32)
    straight = Volume(data, "zyx", np.diag([1.0, 2.0, 3.0, 1.0]), metadata={"format": "NIfTI"})
    # the same voxels stored from front to back, slice by slice, and from the other side
    affine = np.array([[-1, 0, 0, 23], [0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 1.0]])
    across = Volume(data.transpose(1, 0, 2)[:, :, ::-1], "zyx", affine, metadata={"format": "NIfTI"})
    found = {}
    for name, volume in (("straight", straight), ("across", across)):
        labels = (np.asarray(volume.data) > 0.5).astype(np.uint8)
        if reviewed is not None:  # of the slices that are shown
            labels[[z for z in range(len(labels)) if z not in reviewed]] = 9
        case = LabelledImage(volume, volume.like(labels), "a", "train")
        write_dataset(tmp_path / name, [case], (LabelClass(1, "x", "#ff0000"),), 9)
        found[name] = load((Source(name, split="train"),), PLAIN, tmp_path, orientation="SAR")
    assert [sample.spacing for sample in found["across"]] == [(2.0, 1.0)] * 3
    assert len(found["straight"]) == (3 if reviewed is None else 1)
    assert {sample.image.shape for sample in found["across"]} == {(3, 20, 24)}
    for sample, other in zip(found["straight"], found["across"], strict=reviewed is None):
        if reviewed is None:
            torch.testing.assert_close(sample.image, other.image)
            assert torch.equal(sample.labels, other.labels) and other.thickness == 3.0
    if reviewed is not None:  # one row of every slice
        assert all((sample.labels != IGNORE).any(1).sum() == 1 for sample in found["across"])


@pytest.mark.parametrize(("along", "order"), [("y", (1, 0, 2)), ("x", (2, 0, 1))])
def test_slices_are_taken_along_the_axis_that_is_asked_for(npz, along, order):
    given = arrays(count=2, shape=(5, 20, 7))
    root = npz(**given)
    samples = load([Source("data.npz", along=along, spacing=(3.0, 2.0, 1.0))], PLAIN, root)
    turned = given["label"].transpose(0, *(axis + 1 for axis in order)).reshape(-1, *np.take((5, 20, 7), order[1:]))
    np.testing.assert_array_equal(np.stack([sample.labels for sample in samples]), turned)
    spacing = np.take((3.0, 2.0, 1.0), order)
    assert (samples[0].thickness, *samples[0].spacing) == tuple(spacing)
    with pytest.raises(SettingsError, match="expected z, y or x, and volumes"):
        load([Source("data.npz", along=along)], PLAIN, npz())


def test_colours_become_grey_where_that_is_asked_for(npz):
    colour = arrays(shape=(20, 24, 3))
    root = npz(image=colour["image"], label=colour["label"][..., 0])
    (sample, *_) = load([Source("data.npz", grey=True)], PLAIN, root)
    expected = np.asarray(Image.fromarray(colour["image"][0]).convert("L"))
    assert np.abs(sample.image.numpy() - PLAIN.normalise(expected)).max() < 0.02  # one grey level of rounding
    torch.testing.assert_close(sample.image[0], sample.image[2])
    plain, grey = (load([Source("data.npz", grey=grey)], PLAIN, npz())[0].image for grey in (False, True))
    assert torch.equal(plain, grey)
