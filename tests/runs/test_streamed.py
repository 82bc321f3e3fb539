"""A store in, a store out: slice by slice, equal to a run in memory, and taken up again after an interruption."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg import cli, io, models
from napari_medseg.io.ome_zarr_stream import Stream
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import voxel_hash
from napari_medseg.runs import streamed
from napari_medseg.segmentation.slices import Canvas
from napari_medseg.volume import LabelClass, Volume

COUNT = 12


@pytest.fixture
def scan(tmp_path):
    """Discs that move, whose slices are all different, as a store."""
    rows, columns = np.mgrid[:64, :48]
    planes = [np.hypot(rows - 12 - 3 * n, columns - 24) < 6 + n % 4 for n in range(COUNT)]
    data = np.array(planes, np.uint8) * 200 + np.random.default_rng(0).integers(0, 30, (COUNT, 64, 48)).astype(np.uint8)
    return io.write(Volume(data, "zyx", np.diag([1.5, 1.5, 8, 1.0])), tmp_path / "scan.ome.zarr")


def save_model(home, **card):
    """A model that calls what is brighter than the mean an object."""
    import torch

    network = models.build("litenext")
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(9)
    folder = home / "models"
    folder.mkdir(exist_ok=True)
    said = {"modality": "noise", "data": "none", "licence": "CC0"}
    classes = (LabelClass(1, "everything", "#e64b35"),)
    models.save(
        folder / "all.safetensors", network, models.ModelCard("all", "litenext", Preprocess(), classes, **said, **card)
    )
    return "all"


def segment(source, target, model="litenext-nuclei", *more):
    return cli.main(["segment", str(source), "-o", str(target), "--model", model, *more])


@pytest.mark.parametrize("more", [(), ("--split-objects",)])
def test_labels_are_those_of_a_run_in_memory(tmp_path, scan, more, monkeypatch):
    assert segment(scan, tmp_path / "a.npz", "litenext-nuclei", *more) == 0
    monkeypatch.setattr(np, "zeros", forbidden(np.zeros, (COUNT, 64, 48)))
    assert segment(scan, tmp_path / "a.ome.zarr", "litenext-nuclei", *more) == 0
    monkeypatch.undo()
    memory, disk = io.read(tmp_path / "a.npz"), io.read(tmp_path / "a.ome.zarr")
    assert memory.data.any() and np.array_equal(disk.data, memory.data)
    assert np.array_equal(disk.affine, memory.affine) and disk.classes == memory.classes
    (made,) = disk.record.outputs
    assert made.voxels == voxel_hash(disk.data) and made.classes == memory.record.outputs[0].classes
    assert disk.record.figures == memory.record.figures
    assert not list(tmp_path.glob("*.part"))


def forbidden(make, shape):
    """Fails for the labels of the whole image."""

    def made(wanted, *given, **options):
        assert tuple(np.atleast_1d(wanted)) != shape, "all labels are in memory"
        return make(wanted, *given, **options)

    return made


class Stop(BaseException):
    """As a signal that ends the program."""


@pytest.mark.parametrize("more", [(), ("--split-objects",)])
def test_an_interrupted_run_goes_on(tmp_path, scan, monkeypatch, capsys, more):
    assert segment(scan, tmp_path / "whole.zarr", "litenext-nuclei", *more) == 0
    target = tmp_path / "a.zarr"
    written = []
    write = Stream.write

    def stopping(stream, number, plane):
        if len(written) == 5:
            raise Stop
        written.append(number)
        write(stream, number, plane)

    monkeypatch.setattr(Stream, "write", stopping)
    with pytest.raises(Stop):
        segment(scan, target, "litenext-nuclei", *more)
    assert not target.exists() and Path(f"{target}.part").exists()

    def going_on(stream, number, plane):
        written.append(number)
        write(stream, number, plane)

    monkeypatch.setattr(Stream, "write", going_on)
    assert segment(scan, target, "litenext-nuclei", *more) == 0
    assert sorted(written) == list(range(COUNT)), "no slice is done twice"
    assert "5 slices were there already" in capsys.readouterr().err
    found, whole = io.read(target), io.read(tmp_path / "whole.zarr")
    assert np.array_equal(found.data, whole.data)
    assert found.record.outputs == whole.record.outputs and found.record.id == whole.record.id


def test_another_model_does_not_go_on(tmp_path, scan, own_home, monkeypatch, capsys):
    model = save_model(own_home)

    def stopping(*_):
        raise Stop

    monkeypatch.setattr(Stream, "write", stopping)
    with pytest.raises(Stop):
        segment(scan, tmp_path / "a.zarr")
    monkeypatch.undo()
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(own_home))
    assert segment(scan, tmp_path / "a.zarr", model) == 1
    assert "left unfinished by another model (litenext-nuclei)" in capsys.readouterr().err


def test_a_finished_store_is_skipped_and_made_again(tmp_path, scan, capsys):
    target = tmp_path / "labels.zarr"
    assert segment(scan, target) == 0
    assert segment(scan, target, "litenext-nuclei", "--resume") == 0
    assert "skipped" in capsys.readouterr().out
    assert segment(scan, target) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "scan.ome.zarr"]


def test_folders_of_stores_give_stores(tmp_path, scan):
    assert segment(tmp_path, tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix] == ["scan.ome.zarr"]


def test_turned_images_are_turned_back(tmp_path, scan, own_home):
    """The network labels everything; a slice of which a corner is not finite shows where it lies."""
    data = np.asarray(io.read(scan).data).astype(np.float32)
    data[2, :8, :4] = np.nan
    affine = np.diag([-1.5, 1.5, 8, 1.0])
    source = io.write(Volume(data, "zyx", affine), tmp_path / "turned.zarr")
    model = save_model(own_home, orientation="IPL")
    assert segment(source, tmp_path / "a.zarr", model) == 0
    labels = io.read(tmp_path / "a.zarr")
    assert labels.record.place.get("turned")
    assert not labels.data[2, :8, :4].any() and labels.data.sum() == data.size - 32


def test_the_largest_piece_is_kept_where_labels_fit_into_memory(tmp_path, scan, own_home, monkeypatch, capsys):
    model = save_model(own_home, keep="largest")
    seen = []
    keep = Canvas.keep_largest
    monkeypatch.setattr(Canvas, "keep_largest", lambda canvas: (seen.append(canvas), keep(canvas))[1])
    assert segment(scan, tmp_path / "a.zarr", model) == 0 and len(seen) == 1
    monkeypatch.setattr(streamed, "_fits", lambda _: False)
    assert segment(scan, tmp_path / "b.zarr", model) == 0 and len(seen) == 1
    assert "all pieces of every class are kept" in capsys.readouterr().err


def test_labels_go_into_the_store_of_the_image(tmp_path, scan):
    assert segment(scan, scan / "labels" / "nuclei") == 0
    image, labels = io.read_all(scan)
    assert labels.metadata["labels"] and labels.data.shape == image.data.shape and labels.data.any()
    assert sorted(path.name for path in (scan / "labels").iterdir()) == ["nuclei", "zarr.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["scan.ome.zarr"]
