"""Several models on one image: mean probability, votes, disagreement, agreement."""

import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.errors import SettingsError
from napari_medseg.labels import mean_logits, vote
from napari_medseg.metrics import dice
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import consensus
from napari_medseg.segmentation.consensus import consensus_job, consensus_plan, segment
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"), LabelClass(2, "brightest", "#00ff00"))


class Steps(torch.nn.Module):
    """Calls bright what lies above one limit and brightest what lies above another."""

    def __init__(self, *limits):
        super().__init__()
        self.limits = limits

    def forward(self, x):
        return torch.cat([factor * (x[:, :1] - limit) for factor, limit in zip((1, 99), self.limits, strict=True)], 1)


def trained(name, *limits, classes=CLASSES):
    return TrainedModel(ModelCard(name, "litenext", Preprocess(percentiles=(0, 100)), classes), Steps(*limits))


MODELS = [trained("a", 0.2, 0.7), trained("b", 0.4, 0.8), trained("c", 0.3, 0.5)]


@pytest.fixture
def volume():
    data = np.random.default_rng(0).random((5, 20, 30), np.float32)
    data[:, 0, :2] = 0, 1  # every slice spans 0 to 1
    return Volume(data, "zyx", np.diag([1.0, 1, 4, 1]))


def test_consensus_is_the_vote_over_single_runs(volume):
    result = segment(volume, MODELS, vote="labels")
    singles = np.stack([segment(volume, model).labels.data for model in MODELS])
    chosen, doubt = vote(singles)
    np.testing.assert_array_equal(result.labels.data, chosen)
    np.testing.assert_array_equal(result.disagreement.data, doubt)
    assert result.labels.classes == CLASSES and result.labels.axes == result.disagreement.axes == "zyx"
    np.testing.assert_array_equal(result.disagreement.affine, volume.affine)

    report = json.loads(json.dumps(result.report))
    assert [model["name"] for model in report["models"]] == ["a", "b", "c"] and "model" not in report
    assert [row["voxels"] for row in report["classes"]] == [(chosen == 1).sum(), (chosen == 2).sum()]
    for row in CLASSES:
        masks = singles == row.id
        pairs = [dice(masks[a], masks[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert report["agreement"][row.name] == pytest.approx(np.mean(pairs))


def probabilities(volume, model):
    """Of every class (z, c, y, x), in numbers of twice the precision."""
    logits = model.network(torch.from_numpy(volume.data)[:, None].double())
    return torch.sigmoid(logits).numpy()


def test_labels_come_from_the_mean_of_the_probabilities(volume):
    result = segment(volume, MODELS)
    singles = [probabilities(volume, model) for model in MODELS]
    mean = np.mean(singles, 0)
    expected = np.where(mean.max(1) > 0.5, mean.argmax(1) + 1, 0)
    np.testing.assert_array_equal(result.labels.data, expected)
    by_label = segment(volume, MODELS, vote="labels")
    assert (by_label.labels.data != expected).any(), "the votes differ here"
    np.testing.assert_array_equal(result.disagreement.data, by_label.disagreement.data)
    assert result.record.settings["vote"] == "probability" and by_label.record.settings["vote"] == "labels"
    with pytest.raises(SettingsError, match="vote 'loudest' does not exist; choose one of probability, labels"):
        segment(volume, MODELS, vote="loudest")


@pytest.mark.parametrize("certainty", [0.5, 0.9])
def test_two_equal_models_decide_as_each_of_them(volume, certainty):
    twins = []
    for name in "ab":
        model = trained(name, 0.3, 0.295)  # 99 times as steep: probabilities from 0 to all but 1
        twins.append(replace(model, card=replace(model.card, certainty=certainty)))
    both, alone = segment(volume, twins), segment(volume, twins[0])
    np.testing.assert_array_equal(both.labels.data, alone.labels.data)
    assert not both.disagreement.data.any() and alone.labels.data.any()


def test_mean_of_logits_keeps_small_and_large_ones():
    values = torch.tensor([-80.0, -1e-6, 0.0, 1e-6, 2.5, 60.0, 70.0, -torch.inf], dtype=torch.float32)
    equal = mean_logits(values.repeat(3, 1))
    torch.testing.assert_close(equal, values.double(), rtol=1e-9, atol=1e-12)
    assert mean_logits(torch.tensor([4.0, -4.0])) == 0, "one half is not above one half"
    mean = torch.sigmoid(mean_logits(torch.tensor([1.0, -3.0, 0.5])))
    assert mean == pytest.approx(np.mean(1 / (1 + np.exp([-1.0, 3.0, -0.5]))))


def test_certainty_of_several_models_is_the_mean_of_theirs(volume):
    doubting = trained("a", 0.0, 2.0)
    certain = replace(doubting, card=replace(doubting.card, name="b", certainty=0.9))
    # the probability is at most sigmoid(1) = 0.73, above (0.5 + 0.9) / 2
    assert not segment(volume, certain).labels.data.any()
    assert segment(volume, [doubting, certain]).labels.data.any()
    other = replace(certain, card=replace(certain.card, name="c"))
    assert not segment(volume, [other, certain]).labels.data.any()


def test_models_of_different_grids_meet_on_that_of_the_image(volume):
    coarse = trained("coarse", 0.4, 0.8)
    coarse = replace(coarse, card=replace(coarse.card, preprocess=replace(coarse.card.preprocess, spacing=2.0)))
    result = segment(volume, [MODELS[0], coarse])
    opinions = []
    for each in (MODELS[0], coarse):
        steps = segment_job(volume, each, InferenceSettings(batch=5))
        opinions.append(next(step.partial for step in steps if step.partial))
    mean = np.mean([part.answers.logits().sigmoid().numpy() for part in opinions], 0)
    np.testing.assert_array_equal(result.labels.data, np.where(mean.max(1) > 0.5, mean.argmax(1) + 1, 0))


def test_parts_come_when_all_models_have_seen_a_slice_from_the_one_in_view(volume):
    steps = list(consensus_job(volume, MODELS, InferenceSettings(batch=1), start=3))
    assert [step.done for step in steps] == [number // 3 for number in range(1, 16)]
    assert {step.total for step in steps} == {5}
    parts = [step.partial and step.partial.indices for step in steps]
    assert parts == [None, None, [3], None, None, [4], None, None, [0], None, None, [1], None, None, [2]]
    assert steps[-1].partial.disagreement.any() and steps[-1].partial.labels.any()


def test_members_wait_for_each_other(volume, monkeypatch):
    """However different their batches, what is kept of a member is never more than a batch."""
    kept = []
    count = consensus._Ballot.count
    monkeypatch.setattr(
        consensus._Ballot, "count", lambda *a: (kept.append([len(m.opinions) for m in a[1]]), count(*a))[1]
    )
    monkeypatch.setattr(consensus, "segment_job", batches_of({"a": 3, "b": 1, "c": 2}))
    result = segment(volume, MODELS, vote="labels")
    assert np.max(kept, 0).tolist() == [3, 1, 2]
    singles = np.stack([segment(volume, model).labels.data for model in MODELS])
    np.testing.assert_array_equal(result.labels.data, vote(singles)[0])


def batches_of(sizes):
    """Runs whose batches have sizes by the name of the model."""

    def job(volume, model, settings, **more):
        return segment_job(volume, model, replace(settings, batch=sizes[model.card.name]), **more)

    return job


def test_cancel_leaves_nothing(volume):
    job = consensus_job(volume, MODELS, InferenceSettings(batch=1))
    part = next(step.partial for step in job if step.partial)
    kept = [weakref.ref(part.labels), weakref.ref(part.disagreement)]
    del part
    job.close()
    assert [ref() for ref in kept] == [None, None]


def test_objects_of_the_consensus_are_numbered(volume):
    volume.data[:, 4:9, 4:9] = volume.data[:, 12:17, 20:26] = 1
    volume.data[volume.data < 1] = 0
    result = segment(volume, MODELS[:2], split_objects=True)
    assert result.report["objects"] == result.labels.data.max() == 10
    assert result.labels.classes == ()


def test_models_must_share_their_classes(volume):
    other = trained("other", 0.1, 0.2, classes=CLASSES[::-1])
    with pytest.raises(SettingsError, match="a finds bright, brightest; other finds brightest, bright"):
        segment(volume, [MODELS[0], other])
    with pytest.raises(SettingsError, match="chosen twice"):
        segment(volume, [MODELS[0], MODELS[0]])
    with pytest.raises(SettingsError, match="models is 0; expected two or more"):
        segment(volume, [])


def test_no_model_runs_before_all_fit(volume, monkeypatch):
    ran = []
    monkeypatch.setattr(Steps, "forward", lambda *_: ran.append(1))
    with pytest.raises(SettingsError, match="no channels"):
        segment(volume, MODELS, channel=1)
    assert not ran


def test_disagreement_takes_the_place_of_uncertainty(volume):
    result = segment(volume, MODELS[:2], uncertainty=True)
    assert result.uncertainty is None and set(np.unique(result.disagreement.data)) == {0, 255}
    assert any("you get a disagreement map instead" in warning for warning in result.report["warnings"])


def test_plan_covers_all_models(volume):
    what = consensus_plan(volume, MODELS, InferenceSettings(uncertainty=True))
    assert what.slices == 5 and what.seconds > 0
    assert what.memory_mb > plan(volume, MODELS[0], InferenceSettings()).memory_mb
    assert [warning for warning in what.warnings if "disagreement map instead" in warning]


def test_class_that_nobody_finds_has_no_agreement(volume):
    result = segment(volume, [trained("a", 0.5, 2.0), trained("b", 0.5, 3.0)])
    assert result.report["agreement"] == {"bright": 1.0, "brightest": None}


def test_one_model_in_a_list_is_a_single_run(volume):
    single = segment(volume, MODELS[:1])
    np.testing.assert_array_equal(
        single.labels.data, run(segment_job(volume, MODELS[0], InferenceSettings())).labels.data
    )
    assert single.disagreement is None and single.report["model"]["name"] == "a"
    with pytest.raises(SettingsError, match="does not take"):
        segment(volume, MODELS, colour="blue")


def test_voxels_without_a_value_get_no_label(volume):
    data = np.asarray(volume.data, np.float32)
    data[2, 3] = np.nan
    found = segment(replace(volume, data=data), [trained("a", 0.0, -1.0), trained("b", 0.0, -1.0)])
    assert not found.labels.data[2, 3].any() and found.labels.data[2, 4].any()
    assert "not finite numbers" in found.report["warnings"][-1]
