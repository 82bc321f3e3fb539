"""Stores that are written read back the same, and whoever is interrupted loses nothing."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from napari_medseg import files, io
from napari_medseg.errors import FileError, JobError
from napari_medseg.files import folders
from napari_medseg.io import contributions, zarr_levels
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


@pytest.mark.filterwarnings("error::FutureWarning")  # dask says them to the person
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


def test_channels_have_names_and_a_range_for_other_programs(tmp_path):
    data = np.stack([np.full((4, 6, 5), 3, np.float32), np.full((4, 6, 5), 7, np.float32)])
    data[0, 1, 2, 3] = -1
    data[1] = np.nan
    image = Volume(data, "czyx", OBLIQUE, metadata={"channels": ("T1", "T2")})
    path = io.write(image, tmp_path / "a.zarr")
    assert io.read(path).metadata["channels"] == ("T1", "T2")
    said = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    first, second = said["omero"]["channels"]
    assert first == {"label": "T1", "color": "FFFFFF", "window": {"min": -1, "max": 3, "start": -1, "end": 3}}
    assert second["window"] == {"min": 0, "max": 0, "start": 0, "end": 0}
    one = image.select("c", 0)
    drawn = one.like(np.ones((4, 6, 5), np.uint8), CLASSES)
    for volume, name in ((one, "one.zarr"), (drawn, "a.zarr/labels/heart")):
        described = json.loads((io.write(volume, tmp_path / name) / "zarr.json").read_text())
        assert "omero" not in described["attributes"]["ome"], "it has no channels"


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
        run(stream.finish_job(Volume(stream.array, "zyx", OBLIQUE, CLASSES)))
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
        piece = tmp_path / "a.zarr.part" / "0" / "c" / "1" / "0" / "0"
        piece.write_bytes(b"")
        assert stream.done() == [2], "as a computer leaves it that has lost power"
        piece.unlink()
        assert stream.done() == [2]


def test_what_a_run_left_damaged_is_told(tmp_path):
    part = tmp_path / "a.zarr.part"
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        stream.write(1, labels()[1])
        piece = part / "0" / "c" / "1" / "0" / "0"
        piece.write_bytes(piece.read_bytes()[:20])
        with pytest.raises(FileError, match=r"Remove it, and run the same again"):
            stream.read(1)
    for description in ("0/zarr.json", "zarr.json"):
        (part / description).write_text("{bad")
        with pytest.raises(FileError, match=r"'a\.zarr\.part' was left"), streamed(tmp_path / "a.zarr", *GRID):
            pass


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


@pytest.mark.parametrize("link", ["a.zarr.part", "a.zarr.part/0", "a.zarr.part/0/c"])
def test_a_planted_link_is_not_followed(tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / link).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match=r"a\.zarr\.part.* is a link"), streamed(tmp_path / "a.zarr", *GRID):
        pass
    assert not names(tmp_path / "elsewhere")


def test_names_that_are_too_long_to_be_replaced_are_refused(tmp_path):
    path = tmp_path / f"{'ä' * 120}.zarr"
    with pytest.raises(FileError, match="has 245 bytes; expected a shorter one, of at most 240"):
        io.write(Volume(labels(), "zyx"), path)
    with pytest.raises(FileError, match="has 245 bytes"), streamed(path, *GRID):
        pass
    longest = tmp_path / f"{'a' * 235}.zarr"
    for _ in range(2):
        io.write(Volume(labels(), "zyx"), longest)
    assert names(tmp_path) == [longest.name]


def test_a_slice_that_reads_back_otherwise_is_told(tmp_path, monkeypatch):
    with streamed(tmp_path / "a.zarr", *GRID) as stream:
        monkeypatch.setattr(zarr.Array, "__getitem__", lambda *_: np.ones((40, 30), np.uint8))
        with pytest.raises(FileError, match="Slice 2 of"):
            stream.write(2, labels()[2])


# ---- coarser levels ----


def corners(block):
    """The voxels at each place in blocks of 2 x 2 of slices (n, y, x)."""
    return [plane[row::2, column::2] for plane in block for row in (0, 1) for column in (0, 1)]


@pytest.fixture
def small_levels(monkeypatch):
    monkeypatch.setattr(zarr_levels, "_WHOLE", 16)


def test_images_of_few_pixels_have_one_level(tmp_path):
    assert names(io.write(Volume(labels(), "zyx", OBLIQUE, CLASSES), tmp_path / "a.zarr")) == ["0", "zarr.json"]
    assert len(zarr_levels.levels_of("zyx", (5000, 512, 512), (1, 1, 1))) == 1
    shapes = [level.shape for level in zarr_levels.levels_of("tzyx", (3, 40, 2048, 1025), (1, 3.0, 1.0, 1.0))]
    assert shapes == [(3, 40, 2048, 1025), (3, 40, 1024, 513), (3, 20, 512, 257)]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_coarse_label_is_the_commonest_of_those_that_it_covers(tmp_path, small_levels, streaming):
    path = tmp_path / "a.zarr"
    if streaming:
        finished(path, labels())
    else:
        io.write(Volume(labels(), "zyx", OBLIQUE, CLASSES), path)
    coarse, coarsest = (zarr.open_array(path / name, mode="r")[:] for name in "12")
    # slices are 8 mm apart and pixels 1.4 mm: only the pixels become larger
    assert coarse.shape == (5, 20, 15) and coarsest.shape == (5, 10, 8)
    for place in [(0, 0, 0), (3, 7, 11), (4, 19, 14)]:
        z, y, x = place
        block = labels()[z, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert np.count_nonzero(block == coarse[place]) == max(np.bincount(block.ravel()))
    assert set(np.unique(coarsest)) <= {0, 1, 7} and coarsest.any()


def test_the_commonest_of_many_is_counted_to_the_end():
    # stores of others may have levels that are eight times coarser along every axis
    block = [np.full((1, 1), number) for number in [1] * 160 + [2] * 352]
    assert zarr_levels.commonest(block) == 2


def test_every_level_lies_where_its_voxels_do(tmp_path, small_levels):
    volume = Volume(np.zeros((9, 40, 30), np.float32), "zyx", np.diag([0.5, 0.7, 0.6, 1.0]))
    ramp = np.arange(40, dtype=np.float32)[:, None] * 0.7
    path = io.write(volume.like(np.broadcast_to(ramp, (9, 40, 30))), tmp_path / "a.zarr")
    (image,) = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"]
    for level in image["datasets"]:
        scale, move = (step[step["type"]] for step in level["coordinateTransformations"])
        found = zarr.open_array(path / level["path"], mode="r")[0, :, 0]
        # the value of a voxel is where its middle lies in mm
        assert np.allclose(found, move[1] + scale[1] * np.arange(len(found)))
    assert scale == pytest.approx([2.4, 2.8, 2.0]) and move == pytest.approx([0.9, 1.05, 0.75])


def test_napari_gets_the_levels_that_were_written(tmp_path, small_levels):
    path = io.write(Volume(np.zeros((6, 40, 30), np.uint16), "zyx"), tmp_path / "a.zarr")
    ((data, options, _),) = contributions.get_reader(str(path))(str(path))
    assert options["multiscale"] and [level.shape for level in data] == [(6, 40, 30), (3, 20, 15), (2, 10, 8)]


def test_levels_that_are_there_are_not_made_again(tmp_path, small_levels, monkeypatch):
    path, made = tmp_path / "a.zarr", []
    plane = zarr_levels._plane

    def stopping(fine, place, *given, **options):
        made.append((fine.name, place))
        if len(made) == 7:
            raise KeyboardInterrupt
        return plane(fine, place, *given, **options)

    monkeypatch.setattr(zarr_levels, "_plane", stopping)
    with pytest.raises(KeyboardInterrupt):
        finished(path, labels())
    assert not path.exists()
    finished(path, labels())
    assert sorted(made[:6] + made[7:]) == sorted(set(made)) and len(set(made)) == 10
    assert np.array_equal(io.read(path).data, labels())


WRITER = """
import sys
import numpy as np
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_ome_zarr_write as t
path = Path(sys.argv[1])
t.zarr_levels._WHOLE = 16
data = t.large()
say = lambda *_: print(end=".", flush=True)
with t.streamed(path, "zyx", data.shape, data.dtype, {{"model": "a"}}) as stream:
    for number in sorted(set(range(len(data))) - set(stream.done())):
        stream.write(number, data[number])
        say()
    t.run(stream.finish_job(t.Volume(stream.array, "zyx", t.OBLIQUE, t.CLASSES)), say)
"""


def large():
    return labels((120, 64, 64)) * (np.arange(120) % 3 > 0)[:, None, None].astype(np.uint8)


def test_killed_at_ten_moments_it_goes_on_and_the_earlier_store_is_unharmed(tmp_path):
    path = io.write(Volume(labels(), "zyx"), tmp_path / "a.zarr")
    program = WRITER.format(tests=os.path.dirname(__file__))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    counts = np.random.default_rng(1).integers(1, 60, 10)
    reached = []
    for count in map(int, counts):
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            said = process.stdout.read(count)
            process.send_signal(signal.SIGKILL)
        assert len(said) == count, "it was to be killed while it wrote"
        files.put_back(path)
        assert np.array_equal(io.read(path).data, labels()), "the earlier store"
        reached.append(sum(1 for _ in (tmp_path / "a.zarr.part").glob("[012]/c/*/0/0")))
    assert reached == sorted(reached), "nothing that was finished is lost"
    assert reached[0] < len(large()) < reached[-1], "in the finest level and in a coarser one"
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=True, stdout=subprocess.PIPE)
    assert np.array_equal(io.read(path).data, large())
    assert names(tmp_path) == ["a.zarr"] and names(path) == ["0", "1", "2", "zarr.json"]
    coarse = zarr.open_array(path / "1", mode="r")
    assert np.array_equal(coarse[7], zarr_levels.commonest(corners(large()[7:8])))
