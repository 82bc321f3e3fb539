"""Passes through a network in threads of their own: the same answers, an end in time, and nothing left behind."""

import threading

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import Progress, run
from napari_medseg.segmentation import engine, passes
from napari_medseg.segmentation.engine import ContextEngine
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


@pytest.fixture
def in_context():
    torch.manual_seed(0)
    network = models.build("lstm-sa", width=4, levels=1).eval()
    images = torch.rand(3, 1, 3, 16, 16)
    with torch.no_grad():  # half of the pixels
        maps = network(*images)
        network.head.classes.bias[0] += (maps[:, 1] - maps[:, 0]).median()
    card = ModelCard("context", "lstm-sa", Preprocess(), (LabelClass(1, "one", "#ff0000"),))
    return TrainedModel(card, network)


def test_labels_with_context_are_those_of_one_thread(in_context, two_threads):
    volume = Volume(np.random.default_rng(0).random((5, 24, 32), np.float32), "zyx")
    many = run(segment_job(volume, in_context, InferenceSettings()))
    torch.set_num_threads(1)
    one = run(segment_job(volume, in_context, InferenceSettings()))
    assert many.record.place["batch"] == 2 and one.record.place["batch"] == 1
    assert 0 < one.labels.data.mean() < 1
    np.testing.assert_array_equal(many.labels.data, one.labels.data)


@pytest.mark.parametrize("count", [6, 12])
def test_few_encodings_are_kept_however_long_the_volume(in_context, two_threads, monkeypatch, count):
    kept = []
    fuse = ContextEngine._fuse

    def watch(self, *given):
        kept.append(len(self._encodings))
        return fuse(self, *given)

    monkeypatch.setattr(ContextEngine, "_fuse", watch)
    run(segment_job(Volume(np.zeros((count, 16, 16), np.float32), "zyx"), in_context, InferenceSettings()))
    assert len(kept) == count // 2 and max(kept) == 4


def test_workers_with_context_are_few_and_fit_the_memory(in_context, monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 64)
    assert engine.plan_batch(in_context, "cpu", 256) == 4
    assert engine.plan_batch(in_context, "cpu", 256, wanted=1) == 1
    one = engine.memory_needed(in_context, 256, 1, 0)
    monkeypatch.setattr(engine, "free_bytes", lambda: 2 * 2.5 * one)
    assert engine.plan_batch(in_context, "cpu", 256) == 2
    monkeypatch.setattr(engine, "free_bytes", lambda: 0)
    assert engine.plan_batch(in_context, "cpu", 256) == 1


def test_a_run_with_context_is_cancelled_between_passes(in_context, two_threads, monkeypatch):
    monkeypatch.setattr(passes, "_BEAT", 0.01)
    gate, begun = threading.Event(), []

    def encode(self, images):
        begun.append(1)
        gate.wait(20)

    monkeypatch.setattr(TrainedModel, "encode", encode)
    job = segment_job(Volume(np.zeros((8, 16, 16), np.float32), "zyx"), in_context, InferenceSettings())
    next(job)
    threading.Timer(0.05, gate.set).start()
    job.close()
    assert len(begun) == 2


def test_workers_share_the_threads(two_threads):
    torch.set_num_threads(5)
    seen = []
    run(passes.side_by_side([lambda: seen.append(torch.get_num_threads())] * 2, 2, STEP))
    assert seen == [2, 2] and torch.get_num_threads() == 5


def test_each_worker_computes_alone_and_the_number_of_threads_comes_back(two_threads):
    seen = []
    run(passes.side_by_side([lambda: seen.append(torch.get_num_threads())] * 4, 2, STEP))
    assert seen == [1] * 4 and torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_a_run_that_is_cancelled_begins_no_more_passes(two_threads, monkeypatch):
    monkeypatch.setattr(passes, "_BEAT", 0.01)
    gate, begun = threading.Event(), []

    def work():
        begun.append(1)
        gate.wait(20)

    job = passes.side_by_side([work] * 6, 2, STEP)
    next(job)
    threading.Timer(0.05, gate.set).start()
    job.close()
    assert len(begun) == 2 and torch.get_num_threads() == 2


def test_a_pass_under_way_ends_before_its_next_operation(two_threads, monkeypatch):
    monkeypatch.setattr(passes, "_BEAT", 0.01)
    begun, ended = threading.Semaphore(0), []

    def work():
        begun.release()
        try:
            for _ in range(10**9):  # of torch: nothing else would end it
                torch.zeros(1)
        finally:
            ended.append(1)

    job = passes.side_by_side([work] * 6, 2, STEP)
    next(job)
    assert begun.acquire(timeout=20) and begun.acquire(timeout=20)
    job.close()
    assert len(ended) == 2


def test_an_error_of_a_pass_ends_the_others(two_threads):
    def fail():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(passes.side_by_side([fail] * 3, 2, STEP))


def test_a_run_with_context_and_without_memory_goes_on_with_fewer_workers(in_context, two_threads, monkeypatch):
    volume = Volume(np.random.default_rng(0).random((5, 16, 16), np.float32), "zyx")
    expected = run(segment_job(volume, in_context, InferenceSettings())).labels.data
    whole, parts = TrainedModel.fuse, []

    def scarce(self, *codes):
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        return whole(self, *codes)

    monkeypatch.setattr(TrainedModel, "fuse", scarce)
    job = segment_job(volume, in_context, InferenceSettings())
    found = run(job, lambda step: parts.append(step.partial))
    np.testing.assert_array_equal(found.labels.data, expected)
    assert [part.indices for part in filter(None, parts)] == [[0, 1], [2], [3], [4]]
    assert found.record.place["batch"] == 1


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
