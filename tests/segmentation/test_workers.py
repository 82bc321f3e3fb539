"""Passes through a network in threads of their own: the same answers, an end in time, and nothing left behind."""

import threading

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import Progress, run
from napari_medseg.segmentation import engine
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.volume import LabelClass, Volume

STEP = Progress(0, 1)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = models.build("litenext", channels=4, width=8).eval()
    return TrainedModel(ModelCard("small", "litenext", Preprocess(), (LabelClass(1, "one", "#ff0000"),)), network)


@pytest.mark.parametrize("side", [160, 1024])
def test_labels_are_those_of_one_thread(model, two_threads, monkeypatch, side):
    monkeypatch.setattr(engine, "tile_side", lambda model: side)
    volume = Volume(np.random.default_rng(0).random((5, 176, 192), np.float32), "zyx")
    many = run(segment_job(volume, model, InferenceSettings()))
    torch.set_num_threads(1)
    one = run(segment_job(volume, model, InferenceSettings(batch=1)))
    assert 0 < one.labels.data.mean() < 1
    np.testing.assert_array_equal(many.labels.data, one.labels.data)


def test_each_worker_computes_alone_and_the_number_of_threads_comes_back(two_threads):
    seen = []
    run(engine.side_by_side([lambda: seen.append(torch.get_num_threads())] * 4, 2, STEP))
    assert seen == [1] * 4 and torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_a_run_that_is_cancelled_begins_no_more_passes(two_threads, monkeypatch):
    monkeypatch.setattr(engine, "_BEAT", 0.01)
    gate, begun = threading.Event(), []

    def work():
        begun.append(1)
        gate.wait(20)

    job = engine.side_by_side([work] * 6, 2, STEP)
    next(job)
    threading.Timer(0.05, gate.set).start()
    job.close()
    assert len(begun) == 2 and torch.get_num_threads() == 2


def test_an_error_of_a_pass_ends_the_others(two_threads):
    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(engine.side_by_side([fail] * 3, 2, STEP))


def test_a_run_without_memory_goes_on_with_fewer_workers(model, two_threads, monkeypatch):
    whole, calls = TrainedModel.logits, []

    def scarce(self, images):
        calls.append(threading.current_thread())
        if calls[-1] is not threading.main_thread():
            raise MemoryError
        return whole(self, images)

    monkeypatch.setattr(TrainedModel, "logits", scarce)
    volume = Volume(np.zeros((3, 32, 32), np.float32), "zyx")
    assert run(segment_job(volume, model, InferenceSettings())).labels.data.shape == (3, 32, 32)
    assert threading.main_thread() in calls
