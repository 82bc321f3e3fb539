"""One model finds the object, another one looks at a piece about it: networks that label what is bright."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.models import Locator, ModelCard, TrainedModel
from napari_medseg.models.registry import ARCHITECTURES, Architecture
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import beyond, locating, stacks
from napari_medseg.segmentation.consensus import consensus_job
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.segmentation.orientation import AS_IT_LIES, Turn
from napari_medseg.segmentation.settings import BEYOND
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
SPEC = Preprocess(percentiles=(0, 100), spacing=1.0)
LOCATOR = Locator("finder", (32.0, 48.0), "abc")
SHAPE = (5, 90, 110)  # (z, y, x) of 1 mm
MIDDLE = (41, 63)


class Bright(torch.nn.Module):
    """Labels what is above a level, and remembers what it saw."""

    def __init__(self, level=0.5):
        super().__init__()
        self.level = level
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[-2:]))
        return 20 * (x.mean(1, keepdim=True) - self.level)


def finder(**card):
    spec = replace(SPEC, **card.pop("preprocess", {}))
    return TrainedModel(ModelCard("finder", "litenext", spec, CLASSES, sha256="abc", **card), Bright(0.9))


def looking(locator=LOCATOR, found=None, **card):
    spec = replace(SPEC, **card.pop("preprocess", {}))
    made = ModelCard("second", "litenext", spec, CLASSES, locator=locator, **card)
    first = finder() if found is None else found
    return TrainedModel(made, Bright(), locator=first if locator else None)


def scan(empty=(), shape=SHAPE):
    """A square of brightness 1 about MIDDLE with a rim of 0.7, and a stray pixel of 0.7 far off, in every slice."""
    data = np.zeros(shape, np.float32)
    row, column = MIDDLE
    data[..., row - 6 : row + 7, column - 6 : column + 7] = 0.7
    data[..., row - 3 : row + 4, column - 3 : column + 4] = 1.0
    data[..., 2, 3] = 0.7
    for index in empty:
        data[index] = 0
        data[index, 10:13, 20:23] = 0.7
        data[index, 80, 100] = 0.8  # the brightest: what the scaling makes 1 is one pixel
    return Volume(data, "zyx")


def segment(volume, model, **settings):
    return run(segment_job(volume, model, InferenceSettings(**settings)))


def in_the_piece(volume, size=(32, 48)):
    """What of an image lies in the piece about MIDDLE."""
    kept = np.zeros(volume.data.shape, bool)
    rows, columns = (
        slice(round(m + 0.5 - s / 2), round(m + 0.5 - s / 2) + s) for m, s in zip(MIDDLE, size, strict=True)
    )
    kept[..., rows, columns] = True
    return kept


@pytest.mark.parametrize("per", ["stack", "slice"])
def test_only_a_piece_about_what_the_first_model_finds_is_segmented(per):
    volume, model = scan(), looking(replace(LOCATOR, per=per))
    steps = list(segment_job(volume, model, InferenceSettings(uncertainty=True)))
    assert {step.total for step in steps} == {5} and steps[-1].done == 5, "slices of the image, once"
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert sum(len(step.partial.indices) for step in steps if step.partial) == 5
    result = segment(volume, model, uncertainty=True)
    np.testing.assert_array_equal(result.labels.data, (volume.data > 0.5) & in_the_piece(volume))
    assert set(model.network.seen) == {(32, 48)} and set(model.locator.network.seen) == {(96, 112)}
    assert not result.uncertainty.data[~in_the_piece(volume)].any()
    assert not any("finder" in text for text in result.report["warnings"])


def test_the_plan_counts_both_stages(monkeypatch):
    volume, model = scan(), looking()
    monkeypatch.setattr("napari_medseg.segmentation.engine.try_out", lambda model: (1e-6, 0.0))
    made = plan(volume, model, InferenceSettings(device="cpu"))
    assert made.slices == 5 and made.seconds == pytest.approx(5 * 1e-6 * (96 * 112 + 32 * 48))
    alone = plan(volume, looking(None), InferenceSettings(device="cpu"))
    assert alone.seconds == pytest.approx(5 * 1e-6 * 96 * 112)


@pytest.mark.parametrize(("gate", "labelled"), [(False, {0, 1, 2, 3, 4}), (True, {1, 2, 4})])
def test_a_gate_leaves_slices_without_label_in_which_nothing_was_found(gate, labelled):
    volume = scan()
    volume.data[[0, 3], 38:45, 60:67] = 0.7  # no core: the first model finds nothing there
    volume.data[[0, 3], 2, 3] = 1.0
    volume = Volume(volume.data, "zyx")
    nothing = finder(certainty=0.5)
    nothing.network.level = 0.9
    model = looking(replace(LOCATOR, gate=gate), found=_larger_than(5))
    result = segment(volume, model)
    assert set(np.flatnonzero(result.labels.data.any((1, 2)))) == labelled
    kept = (volume.data > 0.5) & in_the_piece(volume)
    kept[sorted({0, 1, 2, 3, 4} - labelled)] = False
    np.testing.assert_array_equal(result.labels.data, kept)


def _larger_than(pixels):
    """A first model that finds pieces of more pixels than that only."""

    class Large(Bright):
        def forward(self, x):
            logits = super().forward(x)
            enough = (logits > 0).flatten(1).sum(1) > pixels
            return torch.where(enough[:, None, None, None], logits, -1.0)

    return replace(finder(), network=Large(0.9))


@pytest.mark.parametrize(("gate", "text"), [(False, "whole slices were segmented"), (True, "nothing was labelled")])
def test_where_nothing_is_found_anywhere_a_sentence_says_so(gate, text):
    volume, model = scan(), looking(replace(LOCATOR, gate=gate), found=_larger_than(1000))
    result = segment(volume, model)
    np.testing.assert_array_equal(result.labels.data, (volume.data > 0.5) & (not gate))
    assert text in " ".join(result.report["warnings"])


def test_a_missing_or_another_first_model_is_named():
    volume = scan()
    alone = replace(looking(), locator=None)
    np.testing.assert_array_equal(segment(volume, alone).labels.data, volume.data > 0.5)
    assert "Install finder" in " ".join(plan(volume, alone, InferenceSettings(), trial=False).warnings)
    other = looking(replace(LOCATOR, sha256="def"))
    assert "another version of finder" in " ".join(segment(volume, other).report["warnings"])


def test_stray_centres_do_not_move_the_piece_of_a_stack():
    volume = scan(empty=(0, 4))
    result = segment(volume, looking())
    np.testing.assert_array_equal(result.labels.data[1:4], ((volume.data > 0.5) & in_the_piece(volume))[1:4])
    assert not result.labels.data[[0, 4]].any()


def test_a_preview_looks_for_the_place_in_its_slice_and_then_next_to_it():
    volume, model = scan(), looking(found=_larger_than(5))
    volume.data[0, 38:45, 60:67] = 0.7
    volume.data[0, 2, 3] = 1.0
    job = segment_job(volume, model, InferenceSettings(batch=1), start=0, near=True)
    part = next(step.partial for step in job if step.partial)
    job.close()
    assert part.indices == [0] and len(model.locator.network.seen) == 2
    np.testing.assert_array_equal(part.labels[0], ((volume.data > 0.5) & in_the_piece(volume))[0])


class Sum(torch.nn.Module):
    """A network with context whose logits are those of the three slices together."""

    def encode(self, images):
        return [images[:, :1]]

    def fuse(self, *slices):
        total = sum(each[0] for each in slices) / 3
        return torch.cat([0.5 - total, total - 0.5], 1)

    def forward(self, *slices):
        return self.fuse(*map(self.encode, slices))


@pytest.mark.parametrize("per", ["stack", "slice"])
def test_neighbours_are_cut_at_the_same_place(monkeypatch, per):
    monkeypatch.setitem(ARCHITECTURES, "sum", Architecture(Sum, "Sum", 100, background=True, context=True))
    volume = scan()
    volume.data[2] = np.roll(volume.data[2], 20, 0)  # its object lies elsewhere: the pieces differ slice by slice
    card = ModelCard("second", "sum", SPEC, CLASSES, locator=replace(LOCATOR, per=per))
    model = TrainedModel(card, Sum(), locator=finder())
    centres = [MIDDLE] * 5  # of the whole image: slices serve those next to them
    expected = np.zeros(SHAPE, bool)
    for index, (row, column) in enumerate(centres):
        around = [min(max(index, 1), 3) + step for step in (-1, 1)]
        mean = (volume.data[around[0]] + volume.data[index] + volume.data[around[1]]) / 3
        window = np.zeros(SHAPE[1:], bool)
        window[row - 16 : row + 16, column - 24 : column + 24] = True
        expected[index] = (mean > 0.5) & window
    np.testing.assert_array_equal(segment(volume, model).labels.data, expected)


@pytest.mark.parametrize("per", ["stack", "slice"])
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("keep", ["", "largest"])
def test_slices_at_hand_are_labelled_as_in_a_run(per, gate, keep):
    volume = scan(empty=(1,))
    volume.data[2, 30, 45] = 0.7  # in the piece, and apart
    model = looking(replace(LOCATOR, per=per, gate=gate), found=_larger_than(5), keep=keep, preprocess={"spacing": 0.8})
    images = [torch.from_numpy(SPEC.normalise(plane)) for plane in volume.data]
    found = stacks.label_stack(model, images, (1.0, 1.0), volume=True)
    np.testing.assert_array_equal(found, segment(volume, model).labels.data)
    assert found.any() and not found[1].any()


def test_models_that_scale_grey_values_differently_cannot_be_validated_together():
    model = looking(found=finder(preprocess={"percentiles": (5, 95)}))
    with pytest.raises(ModelError, match="same percentiles"):
        stacks.label_stack(model, [torch.zeros(3, 20, 20)], None)


def test_a_place_is_the_median_of_what_was_found_or_each_slice_its_own():
    found = {0: (1.0, 2.0), 1: (3.0, 5.0), 2: None, 3: (9.0, 3.0)}
    model = looking()
    assert locating.settle(found, model, 4) == locating.Places(((3.0, 3.0),) * 4)
    own = looking(replace(LOCATOR, per="slice", gate=True))
    each = ((1.0, 2.0), (3.0, 5.0), (3.0, 3.0), (9.0, 3.0))
    assert locating.settle(found, own, 4) == locating.Places(each, frozenset({2}))
    assert locating.settle({0: None}, model, 2) == locating.Places()
    nowhere = looking(replace(LOCATOR, fallback="none"))
    assert locating.settle({0: None}, nowhere, 2) == locating.Places((), frozenset({0, 1}))


def test_a_locator_is_loaded_with_its_model(tmp_path, monkeypatch):
    monkeypatch.setattr(models.library, "models_folder", lambda: tmp_path)
    network = models.build("litenext")
    card = ModelCard("finder", "litenext", SPEC, CLASSES)
    saved = models.save(tmp_path / "finder.safetensors", network, card)
    locator = replace(LOCATOR, sha256=saved.sha256)
    models.save(tmp_path / "second.safetensors", network, replace(card, name="second", locator=locator))
    model = models.load(tmp_path / "second.safetensors")
    assert model.locator.card == saved and not locating.remarks(model)
    (tmp_path / "finder.safetensors").write_bytes(b"damaged")
    assert models.load(tmp_path / "second.safetensors").locator is None


def test_models_that_look_for_themselves_decide_with_others():
    volume = scan()
    volume.data[[0, 3], 38:45, 60:67] = 0.7
    volume.data[[0, 3], 2, 3] = 1.0
    looks = looking(replace(LOCATOR, gate=True), found=_larger_than(5))
    also = looking(found=_larger_than(5))
    pair = [looks, replace(also, card=replace(also.card, name="third"))]
    steps = list(consensus_job(volume, pair, InferenceSettings(batch=2)))
    done = [step.done for step in steps]
    assert done == sorted(done) and done[-1] == 5 and {step.total for step in steps} == {5}
    result = run(consensus_job(volume, pair, InferenceSettings(batch=2), start=2))
    # logits of the gated one are surely background: the mean probability stays at one half
    np.testing.assert_array_equal(np.flatnonzero(result.labels.data.any((1, 2))), [1, 2, 4])
    assert not (result.labels.data.astype(bool) & ~in_the_piece(volume)).any()


@pytest.mark.parametrize(
    ("unseen", "labelled", "stack", "count", "expected"),
    [
        ({0, 1, 5}, {0, 1, 2, 3, 4, 5}, 6, 6, [0, 1, 5]),
        ({0, 1, 5}, {1, 2, 3}, 6, 6, [1]),
        ({2}, {0, 1, 2, 3}, 4, 4, []),  # a gap within the organ
        ({0, 1, 2}, {0, 1, 2}, 3, 3, []),  # not found at all
        ({0, 5}, {0, 1, 2, 3, 4, 5}, 3, 6, [0, 5]),  # two stacks
    ],
)
def test_labels_at_the_ends_of_a_stack_where_nothing_is_found_are_doubtful(unseen, labelled, stack, count, expected):
    assert beyond.outer_slices(unseen, labelled, stack, count) == expected


@pytest.mark.parametrize(
    ("turn", "slices"),
    [
        (AS_IT_LIES, "0 to 1, 4 (of 0 to 4)"),
        (Turn(("z", "y", "x"), (True, False, False)), "0, 3 to 4 (of 0 to 4)"),
        (Turn(("x", "y", "z")), "0 to 1, 4 along x (of 0 to 4)"),
    ],
)
def test_slices_beyond_the_organ_are_numbered_as_the_image_lies(turn, slices):
    volume = turn_back(turn)
    card = looking().card
    expected = f"{BEYOND}slices {slices}. finder finds nothing there or farther out."
    assert beyond.remark(volume, turn, card, {0, 1, 4}, range(5)).startswith(expected)
    # in the run of a consensus the image is turned already
    assert beyond.remark(turn.volume(volume), AS_IT_LIES, card, {0, 1, 4}, range(5)).startswith(expected)


def turn_back(turn):
    """An image that becomes one of five slices."""
    shape = [8, 8, 8]
    shape["zyx".index(turn.sources[0])] = 5
    return Volume(np.zeros(shape, np.float32), "zyx")


@pytest.mark.parametrize(("gate", "said"), [(False, 1), (True, 0)])
def test_a_run_warns_of_labels_beyond_the_organ(gate, said):
    data = scan().data
    data[[0, 4], 38:45, 60:67] = 0.7  # no core: the first model finds nothing there
    data[[0, 4], 2, 3] = 1.0
    result = segment(Volume(data, "zyx"), looking(replace(LOCATOR, gate=gate), found=_larger_than(5)))
    found = [text for text in result.report["warnings"] if text.startswith(BEYOND)]
    assert len(found) == said and all("slices 0, 4 (of 0 to 4). finder" in text for text in found)
