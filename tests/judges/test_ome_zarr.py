"""OME-Zarr as ome-zarr-py and ome-zarr-models see it, and their stores as this plugin does; see `make judges`."""

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.io import zarr_levels
from napari_medseg.volume import LabelClass, Volume

FOLDER = Path(__file__).parent / "ome_zarr"
PYTHON = FOLDER / ".venv" / "bin" / "python"
SIZES = {"t": 3, "c": 2, "z": 7, "y": 33, "x": 26}
CLASSES = (LabelClass(1, "ventricle", "#ff0010"), LabelClass(7, "wall", "#00a087"))

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="ome-zarr is not installed: make judges")


def judged(*words):
    """What the judge prints."""
    command = [str(PYTHON), str(FOLDER / "judge.py"), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def grids():
    """Thirty images: axes, voxels, and where they lie."""
    random = np.random.default_rng(5)
    for number in range(30):
        axes = ["zyx", "yx", "tzyx", "czyx", "tczyx"][number % 5]
        shape = [SIZES[axis] for axis in axes]
        dtype = [np.uint8, np.int16, np.uint16, np.float32][number % 4]
        affine = np.diag([*random.uniform(0.3, 3, 3), 1])
        affine[:3, 3] = random.uniform(-200, 200, 3)
        metadata = {"channels": ("T1", "T2")} if "c" in axes else {}
        yield Volume(random.integers(0, 100, shape).astype(dtype), axes, affine, metadata=metadata)


def place(volume):
    """Voxel size and position along the axes of a volume whose directions are those of the patient."""
    sizes = dict(zip("xyz", np.diag(volume.affine), strict=False))
    starts = dict(zip("xyz", volume.affine[:3, 3], strict=True))
    return [sizes.get(axis, 1.0) for axis in volume.axes], [starts.get(axis, 0.0) for axis in volume.axes]


def test_what_we_write_is_valid_and_lies_where_it_did(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_levels, "_WHOLE", 8)
    volumes = list(grids())
    paths = [io.write(volume, tmp_path / f"{number}.ome.zarr") for number, volume in enumerate(volumes)]
    for volume, said in zip(volumes, json.loads(judged("read", *paths)), strict=True):
        (found,) = said["images"]
        assert said["kind"] == "Image" and "".join(found["axes"]) == volume.axes and found["units"] == ["millimeter"]
        assert found["dtype"] == volume.data.dtype.str
        assert found["voxels"] == hashlib.sha256(np.ascontiguousarray(volume.data)).hexdigest()
        assert len(found["shapes"]) >= 3 and found["shapes"][0] == list(volume.data.shape)
        size, start = place(volume)
        (scale, move), *coarser = found["steps"]
        assert np.allclose(scale["scale"], size, rtol=1e-12) and np.allclose(move["translation"], start, rtol=1e-12)
        for wider, moved in coarser:
            # the outer face of the first voxel is where it was
            face = np.array(moved["translation"]) - np.array(wider["scale"]) / 2
            assert np.allclose(face, np.array(start) - np.array(size) / 2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_in_the_store_of_their_image_are_found(tmp_path, version):
    volumes = list(grids())[:10:5]
    for number, volume in enumerate(volumes):
        path = written(tmp_path, number, volume, version)
        labels = np.random.default_rng(0).choice(np.array([0, 1, 7], np.uint8), volume.data.shape)
        io.write(volume.like(labels, CLASSES), path / "labels" / "heart")
        alone, image = json.loads(judged("read", path / "labels" / "heart", path))
        assert alone["kind"] == "ImageLabel" and image["kind"] == "Image"
        grey, drawn = image["images"]
        assert drawn["voxels"] == hashlib.sha256(labels).hexdigest() and drawn["axes"] == grey["axes"]
        assert np.allclose(drawn["steps"][0][0]["scale"], grey["steps"][0][0]["scale"], rtol=1e-12)
        assert np.allclose(drawn["steps"][0][1]["translation"], grey["steps"][0][1]["translation"], rtol=1e-12)
        assert len(drawn["shapes"]) == len(grey["shapes"])
        assert drawn["colours"]["1"] == pytest.approx([1, 0, 16 / 255, 1])


def written(folder, number, volume, version):
    """A store of an image: of 0.4 as ome-zarr-py writes it, of 0.5 as this plugin does."""
    path = folder / f"{number}.ome.zarr"
    if version == "0.5":
        return io.write(volume, path)
    (folder / "orders.json").write_text(json.dumps([ordered(folder, number, volume, version, path)]))
    judged("write", folder / "orders.json")
    return path


def ordered(folder, number, volume, version, path):
    """What ome-zarr-py is asked to write."""
    voxels = folder / f"{number}.npy"
    np.save(voxels, volume.data)
    scale, translation = place(volume)
    told = {"version": version, "axes": volume.axes, "scale": scale, "translation": translation}
    return {"path": str(path), "voxels": str(voxels), **told}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_their_stores_are_read_where_they_lie(tmp_path, version):
    volumes = list(grids())
    orders = [
        ordered(tmp_path, number, volume, version, tmp_path / f"{number}.zarr") for number, volume in enumerate(volumes)
    ]
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    judged("write", tmp_path / "orders.json")
    for number, volume in enumerate(volumes):
        found = io.read(tmp_path / f"{number}.zarr")
        assert found.axes == volume.axes and np.array_equal(found.data, volume.data)
        known = ["xyz".index(axis) for axis in volume.spatial_axes]
        assert np.allclose(found.affine[known], volume.affine[known], rtol=1e-12)
