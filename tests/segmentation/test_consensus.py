"""Several models on one image: votes, disagreement, agreement."""

import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.errors import SettingsError
from napari_medseg.labels import vote
from napari_medseg.metrics import dice
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
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
    result = segment(volume, MODELS)
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


def test_parts_come_with_the_last_model_from_the_slice_in_view(volume):
    steps = list(consensus_job(volume, MODELS, InferenceSettings(batch=1), start=3))
    assert [step.done for step in steps] == [*range(1, 16)] and steps[-1].total == 15
    assert [step.partial and step.partial.indices for step in steps] == [None] * 10 + [[3], [4], [0], [1], [2]]
    assert steps[-1].partial.disagreement.any() and steps[-1].partial.labels.any()


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
