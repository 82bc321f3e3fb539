"""What a run will take, by the last run of the model on this computer."""

import math
import os
import stat
import threading
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from napari_medseg import models
from napari_medseg.models import TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import engine, inference, last_runs
from napari_medseg.segmentation.consensus import consensus_job, consensus_plan
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.segmentation.last_runs import Way, speed_folder
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "all", "#e64b35"),)
CARD = models.ModelCard("secret-study", "litenext", Preprocess(), CLASSES, sha256="a1" * 32)
WAY = Way(CARD, InferenceSettings(), "cpu", 2)
PIXELS = 64 * 64


class Bright(nn.Module):
    """Finds what is brighter than the mean."""

    def forward(self, images):
        return images[:, :1]


MODEL = TrainedModel(CARD, Bright())
OTHER = TrainedModel(replace(CARD, sha256="b2" * 32), Bright())


def scan(slices, side):
    return Volume(np.random.default_rng(0).random((slices, side, side), np.float32), "zyx")


@pytest.fixture
def clock(monkeypatch):
    """Each slice that a network sees takes 3 s."""
    now = [100.0]
    monkeypatch.setattr(inference.time, "monotonic", lambda: now[0])
    logits = TrainedModel.logits

    def slow(self, images):
        now[0] += 3 * len(images)
        return logits(self, images)

    monkeypatch.setattr(TrainedModel, "logits", slow)
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)


def files_of_times():
    return list(speed_folder().glob("*"))


def test_second_plan_is_the_last_run_scaled_by_slices_and_pixels(clock, monkeypatch):
    run(segment_job(scan(4, 64), MODEL, InferenceSettings()))
    monkeypatch.setattr(engine, "try_out", lambda model: pytest.fail("what is known need not be tried"))
    for slices, side, seconds in ((4, 64, 12), (40, 64, 120), (4, 128, 48)):
        assert plan(scan(slices, side), MODEL, InferenceSettings()).seconds == pytest.approx(seconds)
    assert math.isnan(plan(scan(4, 64), MODEL, InferenceSettings(), trial=False).seconds)


def test_the_last_run_counts():
    for seconds in (10, 20, 5):
        WAY.note(seconds, 5, PIXELS)
        assert WAY.seconds(10, PIXELS) == pytest.approx(2 * seconds)
    assert len(files_of_times()) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(WAY, card=OTHER.card),
        replace(WAY, device="cuda"),
        replace(WAY, workers=1),
        replace(WAY, settings=InferenceSettings(split_objects=True)),
        replace(WAY, settings=InferenceSettings(uncertainty=True)),
    ],
    ids=["model", "device", "workers", "split", "uncertainty"],
)
def test_what_takes_another_time_is_known_apart(other):
    WAY.note(10, 1, PIXELS)
    assert math.isnan(other.seconds(1, PIXELS))


def test_the_name_of_the_device_and_the_channel_do_not_matter():
    WAY.note(10, 1, PIXELS)
    same = replace(WAY, settings=InferenceSettings(device="cpu", channel=1))
    assert same.seconds(1, PIXELS) == pytest.approx(10)


def test_runs_of_far_smaller_slices_tell_nothing_and_the_nearest_size_counts():
    WAY.note(1, 1, 32 * 32)
    assert math.isnan(WAY.seconds(1, 2048 * 2048))
    WAY.note(8, 1, 128 * 128)
    assert WAY.seconds(1, 256 * 256) == pytest.approx(32)


def test_several_models_are_planned_by_their_last_runs(clock):
    settings = InferenceSettings(split_objects=True, uncertainty=True)
    run(consensus_job(scan(2, 64), [MODEL, OTHER], settings))
    assert consensus_plan(scan(4, 64), [MODEL, OTHER], settings).seconds == pytest.approx(24)


def test_a_run_that_was_cancelled_says_nothing(clock):
    job = segment_job(scan(6, 64), MODEL, InferenceSettings(batch=1))
    next(job)
    job.close()
    assert not files_of_times()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b"7",
        b'{"seconds": 1}',
        b'{"seconds": "1", "pixels": 4096}',
        b'{"seconds": 0, "pixels": 4096}',
        b'{"seconds": -1.0, "pixels": 4096}',
        b'{"seconds": 1e999, "pixels": 4096}',
        b'{"seconds": NaN, "pixels": 4096}',
        b'{"seconds": 1.0, "pixels": 0}',
        b"[" * 100_000,
        b'{"seconds": 0.3, "pixels": 1' + 400 * b"0" + b"}",
        b'{"seconds": 1e308, "pixels": 1}',
        b'{"seconds": 5e-324, "pixels": 1}',
    ],
)
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(content):
    WAY.note(10, 1, PIXELS)
    (path,) = files_of_times()
    path.write_bytes(content)
    assert math.isnan(WAY.seconds(1, PIXELS))
    WAY.note(20, 1, PIXELS)
    assert WAY.seconds(1, PIXELS) == pytest.approx(20)


def test_something_else_in_the_place_of_file_or_folder_does_no_harm(own_home):
    WAY.note(10, 1, PIXELS)
    (path,) = files_of_times()
    path.unlink()
    path.mkdir()
    WAY.note(10, 1, PIXELS)
    assert math.isnan(WAY.seconds(1, PIXELS))
    path.rmdir()
    speed_folder().rmdir()
    speed_folder().write_text("a file")
    WAY.note(10, 1, PIXELS)
    assert math.isnan(WAY.seconds(1, PIXELS))


def test_a_folder_that_cannot_be_written_to_does_no_harm(own_home, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        WAY.note(10, 1, PIXELS)
    own_home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        WAY.note(10, 1, PIXELS)
    finally:
        own_home.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(("seconds", "slices"), [(0, 1), (-1, 1), (0.4, 9), (math.nan, 1), (math.inf, 1)])
def test_times_that_cannot_be_or_tell_little_are_not_kept(seconds, slices):
    WAY.note(seconds, slices, PIXELS)
    assert not files_of_times()


def test_several_at_once_leave_whole_files():
    ways = [replace(WAY, workers=number) for number in (1, 1, 2, 2)]

    def note(way):
        for _ in range(5):
            way.note(10, 1, PIXELS)

    threads = [threading.Thread(target=note, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files_of_times()) == 2, "nothing half-written is left"
    assert [way.seconds(1, PIXELS) for way in ways] == pytest.approx([10] * 4)


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(last_runs, "_MOST_FILES", 3)
    for workers in range(1, 6):
        way = replace(WAY, workers=workers)
        before = set(files_of_times())
        way.note(10, 1, PIXELS)
        for path in set(files_of_times()) - before:
            os.utime(path, (workers, workers))
    kept = [workers for workers in range(1, 6) if replace(WAY, workers=workers).seconds(1, PIXELS) > 0]
    assert kept == [3, 4, 5]


def test_nothing_of_the_person_is_kept(own_home, clock):
    volume = replace(scan(2, 64), metadata={"source": "/home/ada/patient-7.nii.gz", "patient": "Ada"})
    run(segment_job(volume, MODEL, InferenceSettings()))
    (path,) = files_of_times()
    assert set(path.stem) <= set("0123456789abcdef")
    assert path.read_text().split() == ["{", '"seconds":', "3.0,", '"pixels":', "4096", "}"]
