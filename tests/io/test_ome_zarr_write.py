"""Stores that are written read back the same, and whoever is interrupted loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr

from napari_medseg import files, io
from napari_medseg.errors import FileError, JobError
from napari_medseg.files import folders
from napari_medseg.io.ome_zarr_stream import streamed
from napari_medseg.progress import run
from napari_medseg.record import Record, voxel_hash
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "Mühle", "#ff0010"), LabelClass(7, "心", "#00a087"))
OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])


def labels(shape=(5, 40, 30)):
    return np.random.default_rng(0).choice(np.array([0, 1, 7], np.uint8), shape)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- whole volumes ----


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("axes", ["yx", "zyx", "tzyx", "czyx", "tczyx", "zyxc", "yxc"])
def test_images_read_back_the_same(tmp_path, axes, dtype):
    sizes = {"t": 2, "c": 3, "z": 4, "y": 6, "x": 5}
    shape = [sizes[axis] for axis in axes]
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    volume = Volume(data, axes, OBLIQUE)
    path = io.write(volume, tmp_path / "a.ome.zarr")
    back = io.read(path)
    assert back.axes == axes and back.data.dtype == dtype and np.array_equal(back.data, data)
    assert np.array_equal(back.affine, OBLIQUE)
    assert names(tmp_path) == ["a.ome.zarr"]


def test_labels_keep_names_colours_and_record(tmp_path):
    record = Record("segment", seconds=2.0).sealed()
    volume = Volume(labels(), "zyx", OBLIQUE, CLASSES).made_by(record)
    back = io.read(io.write(volume, tmp_path / "a.zarr"))
    assert back.classes == CLASSES and back.metadata["labels"] and back.record == record.normal()


def test_other_programs_find_place_names_and_colours(tmp_path):
    path = io.write(Volume(labels(), "zyx", np.diag([0.5, 0.7, 2, 1.0]), CLASSES), tmp_path / "a.zarr")
    said = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    (image,) = said["multiscales"]
    assert [axis["unit"] for axis in image["axes"]] == ["millimeter"] * 3
    scale, move = image["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [2, 0.7, 0.5] and move["translation"] == [0, 0, 0]
    assert said["image-label"]["colors"][0] == {"label-value": 1, "rgba": [255, 0, 16, 255]}
    assert said["image-label"]["properties"][1] == {"label-value": 7, "class": "心"}
    assert np.array_equal(zarr.open_array(path / "0", mode="r")[:], labels())


def test_a_place_that_another_program_changed_counts(tmp_path):
    path = io.write(Volume(labels(), "zyx", OBLIQUE, CLASSES), tmp_path / "a.zarr")
    content = json.loads((path / "zarr.json").read_text())
    steps = content["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps[0]["scale"] = [3, 2, 1]
    (path / "zarr.json").write_text(json.dumps(content))
    assert io.read(path).spacing == (3, 2, 1)


def test_images_go_from_store_to_store_slice_by_slice(tmp_path, monkeypatch):
    first = io.write(Volume(labels((50, 40, 30)), "zyx"), tmp_path / "a.zarr")
    volume = io.read(first, lazy=True)
    whole = zarr.Array.__getitem__

    def watched(array, selection):
        found = whole(array, selection)
        assert found.size <= 40 * 30
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", watched)
    second = io.write(volume, tmp_path / "b.zarr")
    monkeypatch.undo()
    assert np.array_equal(io.read(second).data, labels((50, 40, 30)))


def test_only_stores_are_replaced(tmp_path):
    path = io.write(Volume(labels(), "zyx"), tmp_path / "a.zarr")
    io.write(Volume(labels() + 1, "zyx"), path)
    assert np.array_equal(io.read(path).data, labels() + 1)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "letter.txt").write_text("dear")
    with pytest.raises(FileError, match="holds no OME-Zarr image"):
        io.write(Volume(labels(), "zyx"), tmp_path / "b.zarr")
    assert names(tmp_path) == ["a.zarr", "b.zarr"] and names(tmp_path / "b.zarr") == ["letter.txt"]


@pytest.mark.parametrize("step", range(3))
def test_a_replacement_that_is_interrupted_leaves_the_old_or_the_new(tmp_path, monkeypatch, step):
    path = io.write(Volume(labels(), "zyx"), tmp_path / "a.zarr")
    real, seen = os.replace, []

    def killed(source, target):
        if os.path.isdir(source):
            seen.append(source)
            if len(seen) > step:
                raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(folders.os, "replace", killed)
    if step < 2:
        with pytest.raises(KeyboardInterrupt):
            io.write(Volume(labels() + 1, "zyx"), path)
    else:
        io.write(Volume(labels() + 1, "zyx"), path)
    monkeypatch.undo()
    files.put_back(path)
    assert np.array_equal(io.read(path).data, labels() + (step == 2))
    assert [name for name in names(tmp_path) if ".old-" in name] == []


def test_a_full_disk_leaves_the_earlier_store(tmp_path, monkeypatch):
    path = io.write(Volume(labels(), "zyx"), tmp_path / "a.zarr")

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(zarr.storage.LocalStore, "set", full)
    with pytest.raises(FileError, match=r"No space left.*The earlier file is unchanged"):
        io.write(Volume(labels() + 1, "zyx"), path)
    monkeypatch.undo()
    assert np.array_equal(io.read(path).data, labels()) and names(tmp_path) == ["a.zarr"]


# ---- slice by slice ----

GRID = ("zyx", (5, 40, 30), np.dtype(np.uint8), {"model": "a"})


def finished(path, data, **options):
    with streamed(path, *GRID) as stream:
        for number in set(range(len(data))) - set(stream.done()):
            stream.write(number, data[number])
        digest = run(stream.hash_job())
        stream.finish(Volume(stream.array, "zyx", OBLIQUE, CLASSES))
    return digest


def test_labels_written_slice_by_slice_are_those_of_a_whole(tmp_path):
    path = tmp_path / "a.ome.zarr"
    assert finished(path, labels()) == voxel_hash(labels())
    back = io.read(path)
    assert np.array_equal(back.data, labels()) and back.classes == CLASSES and np.array_equal(back.affine, OBLIQUE)
    assert names(tmp_path) == ["a.ome.zarr"] and names(path) == ["0", "zarr.json"]


def test_slices_without_labels_count_as_done(tmp_path):
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        stream.write(1, np.zeros((40, 30), np.uint8))
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        assert stream.done() == [1]
        stream.write(2, labels()[2])
        (tmp_path / "a.zarr.part" / "0" / "c" / "1" / "0" / "0").unlink()
        assert stream.done() == [2]


def test_another_run_does_not_go_on(tmp_path):
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        stream.write(1, labels()[1])
    sentence = r"another model \(a\)\. Remove 'a\.zarr\.part' or choose another name"
    with pytest.raises(FileError, match=sentence), streamed(tmp_path / "a.zarr", *GRID[:3], {"model": "b"}):
        pass
    other = {"model": "a", "settings": 1}
    with pytest.raises(FileError, match="other settings"), streamed(tmp_path / "a.zarr", *GRID[:3], other):
        pass


def test_two_do_not_write_one_store(tmp_path):
    first, second = (streamed(tmp_path / "a.zarr", *GRID) for _ in range(2))
    with first, pytest.raises(JobError, match="Another run"), second:
        pass


def test_a_slice_that_reads_back_otherwise_is_told(tmp_path, monkeypatch):
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        monkeypatch.setattr(zarr.Array, "__getitem__", lambda *_: np.ones((40, 30), np.uint8))
        with pytest.raises(FileError, match="Slice 3 of"):
            stream.write(2, labels()[2])


WRITER = """
import sys, time
import numpy as np
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_ome_zarr_write as t
path = Path(sys.argv[1])
print("ready", flush=True)
data = t.large()
with t.streamed(path, "zyx", data.shape, data.dtype, {{"model": "a"}}) as stream:
    for number in sorted(set(range(len(data))) - set(stream.done())):
        stream.write(number, data[number])
    stream.finish(t.Volume(stream.array, "zyx", t.OBLIQUE, t.CLASSES))
"""


def large():
    return labels((300, 64, 64)) * (np.arange(300) % 3 > 0)[:, None, None].astype(np.uint8)


def test_killed_at_ten_moments_it_goes_on_and_the_earlier_store_is_unharmed(tmp_path):
    path = io.write(Volume(labels(), "zyx"), tmp_path / "a.zarr")
    program = WRITER.format(tests=os.path.dirname(__file__))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pauses = np.random.default_rng(1).uniform(0.02, 0.15, 10)
    reached = []
    for pause in pauses:
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
        files.put_back(path)
        back = io.read(path).data
        if not killed:  # it was done before
            assert np.array_equal(back, large())
            break
        assert np.array_equal(back, labels()), "the earlier store"
        reached.append(len(list((tmp_path / "a.zarr.part").glob("0/c/*/0/0"))))
    assert reached == sorted(reached), "nothing that was finished is lost"
    assert any(0 < count < len(large()) for count in reached)
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=True, stdout=subprocess.PIPE)
    assert np.array_equal(io.read(path).data, large())
    assert names(tmp_path) == ["a.zarr"]
