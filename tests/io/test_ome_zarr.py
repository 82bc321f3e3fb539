"""OME-Zarr stores of others: what they say is read, what would do harm is refused, and no voxel is read in vain."""

import gzip
import json
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr

from napari_medseg import files, io
from napari_medseg.cli import facts
from napari_medseg.errors import FileError
from napari_medseg.io import contributions, formats
from napari_medseg.runs.inputs import find_inputs, left_out, stem

AXES = [
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "millimeter"},
    {"name": "x", "type": "space", "unit": "millimeter"},
]


def steps(scale, translation=None):
    """Transformations of the metadata."""
    found = [{"type": "scale", "scale": list(scale)}]
    return found if translation is None else [*found, {"type": "translation", "translation": list(translation)}]


def described(paths, axes=AXES, version="0.5", scale=(2000, 0.5, 0.25), translation=(1000, 2, 3), **more):
    """Metadata of an image with levels, each half as fine."""
    levels = [
        {"path": path, "coordinateTransformations": steps([size * 2**number for size in scale], translation)}
        for number, path in enumerate(paths)
    ]
    image = {"axes": axes, "datasets": levels, **more}
    return (
        {"version": version, "multiscales": [image]}
        if version == "0.5"
        else {"multiscales": [{"version": version, **image}]}
    )


def store(path, data, version="0.5", levels=1, labels=None, **more):
    """A store of an image (z, y, x), as other programs write them, and labels."""
    old = version == "0.4"
    group = zarr.open_group(path, mode="w", zarr_format=2 if old else 3)
    said = described([str(number) for number in range(levels)], version=version, **more)
    group.attrs.update(said if old else {"ome": said})
    for number in range(levels):
        part = data[:: 2**number, :: 2**number, :: 2**number]
        array = group.create_array(str(number), shape=part.shape, chunks=(1, 16, 16), dtype=part.dtype)
        array[:] = part
    if labels is not None:
        inner = group.create_group("labels/heart")
        place = described(["0"], version=version)
        look = {
            "colors": [{"label-value": 2, "rgba": [255, 0, 16, 255]}],
            "properties": [{"label-value": 2, "class": "Mühle"}],
        }
        place["image-label"] = {**look, "source": {"image": "../../"}}
        inner.attrs.update(place if old else {"ome": place})
        inner.create_array("0", data=labels, chunks=(1, 16, 16))
        group["labels"].attrs.update({"labels": ["heart"]} if old else {"ome": {"labels": ["heart"]}})
    return path


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 900, (6, 40, 30)).astype(np.uint16)


@pytest.fixture
def nothing_large_is_read(monkeypatch):
    """Whoever reads more than a slice fails."""
    whole = zarr.Array.__getitem__
    seen = []

    def watched(array, selection):
        found = whole(array, selection)
        seen.append(found.shape)
        assert found.size <= 16 * 16, "more than a chunk is read at once"
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", watched)
    return seen


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_voxels_and_place_are_those_of_the_store(tmp_path, image, version, nothing_large_is_read):
    path = store(tmp_path / "a.ome.zarr", image, version)
    volume = io.read(path, lazy=True)
    assert not nothing_large_is_read
    assert volume.axes == "zyx" and volume.data.dtype == np.uint16
    assert volume.spacing == (2.0, 0.5, 0.25) and volume.origin == (3.0, 2.0, 1.0)
    assert volume.has_spacing and volume.metadata["format"] == "OME-Zarr"
    assert np.array_equal(volume.data[3], image[3])
    assert np.array_equal(np.asarray(volume.data), image)


def test_transformations_of_image_and_level_follow_each_other(tmp_path, image):
    more = {"coordinateTransformations": steps((3, 4, 5), (6, 7, 8))}
    volume = io.read(store(tmp_path / "a.zarr", image, **more), lazy=True)
    assert volume.spacing == (6.0, 2.0, 1.25)
    assert volume.origin == pytest.approx((3 * 5 + 8, 2 * 4 + 7, (1000 * 3 + 6) / 1000))


def test_without_units_the_voxel_size_is_not_known(tmp_path, image):
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    volume = io.read(store(tmp_path / "a.zarr", image, axes=axes), lazy=True)
    assert not volume.has_spacing


def test_axes_in_another_order_are_arranged(tmp_path, image):
    axes = AXES[::-1]
    path = store(
        tmp_path / "a.zarr", image.transpose(2, 1, 0), axes=axes, scale=(0.25, 0.5, 2000), translation=(3, 2, 1000)
    )
    volume = io.read(path, lazy=True)
    assert volume.axes == "zyx" and volume.spacing == (2.0, 0.5, 0.25)
    assert np.array_equal(np.asarray(volume.data), image)


def test_channels_and_time_stay(tmp_path, image):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}, *AXES]
    omero = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    said = described(["0"], axes=axes, scale=(1, 1, 2000, 1, 1), translation=(0, 0, 0, 0, 0))
    group.attrs["ome"] = {**said, "omero": omero}
    group.create_array("0", data=np.stack([image, image + 1])[None], chunks=(1, 1, 1, 16, 16))
    volume = io.read(path, lazy=True)
    assert volume.axes == "tczyx" and volume.metadata["channels"] == ("DAPI", "GFP")
    chosen = volume.select("c", 1)
    assert chosen.axes == "tzyx" and np.array_equal(chosen.data[0, 2], image[2] + 1)


def test_napari_gets_all_levels_and_labels(tmp_path, image):
    labels = (image > 800).astype(np.uint8) * 2
    path = store(tmp_path / "a.ome.zarr", image, levels=3, labels=labels)
    (data, options, kind), (drawn, look, labelled) = contributions.get_reader(str(path))(str(path))
    assert (
        kind == "image"
        and options["multiscale"]
        and [level.shape for level in data]
        == [
            (6, 40, 30),
            (3, 20, 15),
            (2, 10, 8),
        ]
    )
    assert options["scale"] == [2.0, 0.5, 0.25] and options["translate"] == [1.0, 2.0, 3.0]
    assert 0 <= options["contrast_limits"][0] < options["contrast_limits"][1] < 900
    assert labelled == "labels" and isinstance(drawn, np.ndarray) and np.array_equal(drawn, labels)
    assert look["name"] == "a heart" and look["scale"] == options["scale"]
    (row,) = look["metadata"]["medseg"]["classes"]
    assert (row.id, row.name, row.colour) == (2, "Mühle", "#ff0010")


def test_contrast_is_found_in_a_few_slices(tmp_path, nothing_large_is_read):
    data = np.zeros((200, 16, 16), np.uint16)
    data[::3] = np.arange(256, dtype=np.uint16).reshape(16, 16)
    volume = io.read(store(tmp_path / "a.zarr", data), lazy=True)
    _, options, _ = contributions.layer_tuple(volume, "a")
    assert options["contrast_limits"][1] > 200
    assert len(nothing_large_is_read) <= 20


def test_whoever_does_not_ask_for_pieces_gets_an_array(tmp_path, image):
    path = store(tmp_path / "a.zarr", image, levels=2)
    volume = io.read(path)
    assert isinstance(volume.data, np.ndarray) and np.array_equal(volume.data, image)
    with pytest.raises(FileError, match="free memory or crop"):
        io.read(declared(path, [500_000, 2048, 2048], [1, 1024, 1024]))


def test_info_says_what_it_looked_at(tmp_path, image):
    path = store(tmp_path / "a.zarr", image, levels=2)
    found = facts.of(path, None)
    assert found.content["levels"] == [[6, 40, 30], [3, 20, 15]]
    assert "in a sample of slices" in found.words["values"]
    files.to_json(found.content)


# ---- folders ----


def test_a_store_is_one_input_and_so_are_those_in_a_folder(tmp_path, image):
    path = store(tmp_path / "scans" / "a.ome.zarr", image)
    other = store(tmp_path / "scans" / "b.zarr", image)
    assert formats.recognise(path) is formats.OME_ZARR and formats.is_store(path)
    assert find_inputs([str(path)])[0] == [path]
    assert find_inputs([str(path / "zarr.json")])[0] == [path]
    assert find_inputs([str(tmp_path / "scans")])[0] == [path, other]
    assert find_inputs([str(tmp_path / "scans" / "*.zarr")])[0] == [path, other]
    assert not left_out([str(tmp_path / "scans")])
    assert [stem(path), stem(other)] == ["a", "b"]


@pytest.mark.parametrize(("version", "mark"), [("0.4", ".zattrs"), ("0.4", ".zgroup"), ("0.5", "zarr.json")])
def test_a_file_of_a_store_stands_for_it(tmp_path, image, version, mark):
    path = store(tmp_path / "a.zarr", image, version)
    assert io.read(path / mark, lazy=True).metadata["source"] == str(path)
    assert contributions.get_reader(str(path / mark)) is not None


# ---- what does harm ----


def edited(path, change):
    """Change the description of a store of version 0.5."""
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    change(content["attributes"]["ome"])
    file.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("place", ["../secret", "/etc", "0/../../secret", "..\\secret", "file:///etc", ".", 7, ""])
def test_places_outside_are_not_opened(tmp_path, image, place):
    store(tmp_path / "secret", image)

    def change(said):
        said["multiscales"][0]["datasets"][0]["path"] = place

    path = edited(store(tmp_path / "a.zarr", image), change)
    with pytest.raises(FileError, match=r"points outside its own folder|does not name its arrays"):
        io.read(path, lazy=True)


@pytest.mark.parametrize("link", ["zarr.json", "0/zarr.json", "0/c/3/0/0", "0/c/3"])
def test_links_out_of_a_store_are_not_followed(tmp_path, image, link):
    path = store(tmp_path / "a.zarr", image)
    moved = tmp_path / "secret"
    (path / link).rename(moved)
    (path / link).symlink_to(moved)
    with pytest.raises(FileError, match=r"'a\.zarr' points outside its own folder"):
        np.asarray(io.read(path, lazy=True).data[3])


def test_links_inside_a_store_are_followed(tmp_path, image):
    path = store(tmp_path / "a.zarr", image)
    (path / "0/c/3/0/0").unlink()
    (path / "0/c/3/0/0").symlink_to("../../2/0/0")
    assert np.array_equal(np.asarray(io.read(path, lazy=True).data[3, :16, :16]), image[2, :16, :16])


@pytest.mark.parametrize("link", ["zarr.json", "0/zarr.json", "0/c/3/0/0", "0/c/3", "0"])
def test_links_in_a_circle_are_told(tmp_path, image, link):
    path = store(tmp_path / "a.zarr", image)
    (path / link).rename(path / "moved")
    (path / link).symlink_to((path / link).name)
    with pytest.raises(FileError) as told:
        np.asarray(io.read(path, lazy=True).data[3])
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../../secret", "/etc", "heart/../../../secret", "..", "circle"])
def test_labels_that_lie_elsewhere_are_left_out(tmp_path, image, name, caplog):
    store(tmp_path / "secret", image)
    path = store(tmp_path / "a.zarr", image, labels=np.ones((6, 40, 30), np.uint8))
    (path / "labels" / "circle").symlink_to("circle")
    edited(path / "labels", lambda said: said.update(labels=[name, "heart"]))
    _, drawn = io.read_all(path)
    assert drawn.metadata["name"] == "heart" and f"The labels '{name}' are left out" in caplog.text


def test_a_pipe_in_a_store_is_not_waited_for(tmp_path, image):
    path = store(tmp_path / "a.zarr", image)
    (path / "0/c/3/0/0").unlink()
    os.mkfifo(path / "0/c/3/0/0")
    with pytest.raises(FileError, match="named pipe"):
        np.asarray(io.read(path, lazy=True).data[3])


@pytest.mark.parametrize("codec", ["pickle", "json2", "vlen-utf8", "object"])
def test_arrays_of_objects_are_refused_and_no_code_runs(tmp_path, image, codec):
    path = store(tmp_path / "a.zarr", image, "0.4")
    file = path / "0" / ".zarray"
    content = json.loads(file.read_text())
    content["dtype"] = "|O"
    if codec != "object":
        content["filters"] = [{"id": codec}]
    file.write_text(json.dumps(content))
    with pytest.raises(FileError, match="objects can run programs"):
        io.read(path, lazy=True)


@pytest.mark.parametrize("mark", ["zarr.json", "0/zarr.json"])
def test_huge_descriptions_are_refused(tmp_path, image, mark):
    path = store(tmp_path / "a.zarr", image)
    with (path / mark).open("r+b") as file:
        file.truncate(2**25)
    with pytest.raises(FileError, match="bytes; expected at most"):
        io.read(path, lazy=True)


def declared(path, shape, chunks):
    file = path / "0" / "zarr.json"
    content = json.loads(file.read_text())
    content["shape"] = shape
    content["chunk_grid"]["configuration"]["chunk_shape"] = chunks
    file.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("shape", "chunks", "sentence"),
    [
        ([6, 2**17, 2**17], [1, 2**17, 2**17], "GiB can be read at a time"),
        ([6, 2**14, 2**14], [1, 1, 1], "too many for a slice"),
        ([2**60, 40, 30], [1, 16, 16], "too many for a slice"),
        ([0, 40, 30], [1, 16, 16], "at least one|expected"),
    ],
)
def test_sizes_that_cannot_be_read_are_refused(tmp_path, image, shape, chunks, sentence):
    path = declared(store(tmp_path / "a.zarr", image), shape, chunks)
    with pytest.raises(FileError, match=sentence):
        io.read(path, lazy=True)


def test_images_larger_than_memory_are_opened(tmp_path, image):
    path = declared(store(tmp_path / "a.zarr", image), [500_000, 2048, 2048], [1, 1024, 1024])
    volume = io.read(path, lazy=True)
    assert volume.data.nbytes > 2**41
    assert volume.data[499_999].shape == (2048, 2048)


BOMB = bytes(2**26)


def packed(codec, data):
    """Bytes as a codec packs them; by some of the codecs so that they do not say how many they are."""
    if codec == "zstd of unknown size":
        # frame header without sizes, then blocks of one repeated byte
        blocks = [(number == 0) | 1 << 1 | 2**17 << 3 for number in range(len(data) >> 17)][::-1]
        return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(block.to_bytes(3, "little") + b"\0" for block in blocks)
    if codec == "gzip":
        return gzip.compress(data)
    return numcodecs.get_codec({"id": codec}).encode(data)


def peak():
    """Most bytes that were resident since the peak was forgotten."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(line)


@contextmanager
def no_memory():
    """Whoever takes 16 MB fails, where the system tells."""
    # not by tracemalloc: its end crashes Python while threads of zarr still work
    if sys.platform != "linux":
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = peak()
    yield
    assert peak() - before < 2**24, "memory was taken"


@pytest.mark.parametrize("codec", ["zstd", "zstd of unknown size", "blosc", "gzip", "zlib", "bz2", "lzma", "lz4"])
def test_chunks_that_unpack_to_more_are_refused(tmp_path, codec):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs.update(described(["0"], version="0.4"))
    name = codec.split()[0]
    known = numcodecs.get_codec({"id": name})
    group.create_array("0", data=np.ones((2, 512, 512), np.uint8), chunks=(1, 512, 512), compressors=known)
    (path / "0" / "1.0.0").write_bytes(packed(codec, BOMB))
    volume = io.read(path, lazy=True)
    assert np.asarray(volume.data[0]).all()
    with no_memory(), pytest.raises(FileError, match="made to fill the memory"):
        np.asarray(volume.data[1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said: said.update(version="0.2"), "found: 0.2"),
        (lambda said: said.pop("multiscales"), "found: none"),
        (lambda said: (said.pop("multiscales"), said.update(plate={})), "several images"),
        (lambda said: said["multiscales"][0]["axes"][0].update(name="angle"), "has the axes angle, y, x"),
        (lambda said: said["multiscales"][0]["axes"].pop(), "has the axes z, y"),
        (lambda said: said["multiscales"][0].update(datasets=[]), "damaged"),
        (lambda said: said["multiscales"][0]["datasets"][0].update(path="7"), "which is not there"),
        (
            lambda said: said["multiscales"][0]["datasets"][0].update(
                coordinateTransformations=[{"type": "scale", "scale": [1, "a", 1]}]
            ),
            "damaged",
        ),
        (
            lambda said: said["multiscales"][0]["datasets"][0].update(coordinateTransformations=[{"type": "rotation"}]),
            "rotation",
        ),
    ],
)
def test_what_is_not_an_image_is_told(tmp_path, image, change, sentence):
    path = edited(store(tmp_path / "a.zarr", image), change)
    with pytest.raises(FileError, match=sentence):
        io.read(path, lazy=True)


def test_a_single_array_is_told(tmp_path, image):
    path = store(tmp_path / "a.zarr", image)
    with pytest.raises(FileError, match="Open the folder that it lies in"):
        io.read(path / "0")


def test_labels_that_are_damaged_are_left_out(tmp_path, image, caplog):
    path = store(tmp_path / "a.zarr", image, labels=np.ones((6, 40, 30), np.uint8))
    edited(path / "labels" / "heart", lambda said: said.pop("multiscales"))
    assert len(io.read_all(path)) == 1
    assert "The labels 'heart' are left out" in caplog.text


# ---- several chunks in a file ----


def sharded(path, shards=(1, 64, 64), where="end", **options):
    """A store with shards, whose first slice is ones."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs["ome"] = described(["0"])
    codec = zarr.codecs.ShardingCodec(
        chunk_shape=(1, 32, 32), codecs=[zarr.codecs.BytesCodec(), zarr.codecs.GzipCodec()], index_location=where
    )
    array = group.create_array(
        "0", shape=(2, 64, 64), dtype=np.uint8, chunks=shards, serializer=codec, compressors=None, **options
    )
    array[:] = 1
    return path / "0" / "c" / "1" / "0" / "0"


def with_index(chunks, places, where):
    """A shard: chunks and an index."""
    index = np.array(places, "<u8").tobytes()
    index += int(google_crc32c.value(index)).to_bytes(4, "little")
    return index + chunks if where == "start" else chunks + index


@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("shards", [(1, 64, 64), (1, 32, 32)])
def test_chunks_of_a_shard_that_unpack_to_more_are_refused(tmp_path, where, shards):
    file = sharded(tmp_path / "a.zarr", shards, where)
    bomb = gzip.compress(BOMB)
    count = 4 if shards == (1, 64, 64) else 1
    start = (16 * count + 4) * (where == "start")
    file.write_bytes(with_index(bomb[: 2**20], [[start, len(bomb)]] * count, where))
    volume = io.read(tmp_path / "a.zarr", lazy=True)
    assert np.asarray(volume.data[0]).all()
    with no_memory(), pytest.raises(FileError, match="made to fill the memory"):
        np.asarray(volume.data[1])


@pytest.mark.parametrize("shards", [(1, 64, 64), (1, 32, 32)])
@pytest.mark.parametrize("place", [[0, 2**40], [2**40, 16], [2**63, 2**63]])
def test_an_index_that_lies_is_refused(tmp_path, place, shards):
    file = sharded(tmp_path / "a.zarr", shards)
    count = 4 if shards == (1, 64, 64) else 1
    file.write_bytes(with_index(gzip.compress(bytes(1024)), [place] * count, "end"))
    volume = io.read(tmp_path / "a.zarr", lazy=True)
    with no_memory(), pytest.raises(FileError, match="index that points behind its end"):
        np.asarray(volume.data[1])


@pytest.mark.parametrize("lazy", [False, True])
def test_a_folder_in_place_of_a_file_of_chunks_is_told(tmp_path, lazy):
    file = sharded(tmp_path / "a.zarr")
    file.unlink()
    file.mkdir()
    with pytest.raises(FileError, match=r"cannot be read \(Is a directory\)"):
        np.asarray(io.read(tmp_path / "a.zarr", lazy=lazy).data[1])


def test_empty_files_are_told(tmp_path, image):
    file = sharded(tmp_path / "a.zarr")
    file.write_bytes(b"")
    with pytest.raises(FileError, match="too short for its index"):
        np.asarray(io.read(tmp_path / "a.zarr", lazy=True).data[1])


def test_chunks_that_are_packed_twice_are_refused(tmp_path):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs["ome"] = described(["0"])
    twice = [zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec()]
    group.create_array("0", data=np.ones((2, 16, 16), np.uint8), compressors=twice)
    with pytest.raises(FileError, match="packed more than once"):
        io.read(path, lazy=True)
