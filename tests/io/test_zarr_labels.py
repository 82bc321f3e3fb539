"""Labels written into the store of their image: nothing else of it changes, and everyone finds them."""

import json

import numpy as np
import pytest
import zarr

from napari_medseg import files, io
from napari_medseg.errors import FileError, JobError
from napari_medseg.io.ome_zarr_stream import streamed
from napari_medseg.progress import run
from napari_medseg.volume import LabelClass, Volume

AFFINE = np.diag([0.5, 0.7, 2, 1.0])
CLASSES = (LabelClass(1, "ventricle", "#ff0010"), LabelClass(7, "wall", "#00a087"))


def labels(shape=(4, 20, 16)):
    return Volume(np.random.default_rng(0).choice(np.array([0, 1, 7], np.uint8), shape), "zyx", AFFINE, CLASSES)


@pytest.fixture
def image(tmp_path):
    data = np.random.default_rng(1).integers(0, 900, (4, 20, 16)).astype(np.uint16)
    return io.write(Volume(data, "zyx", AFFINE), tmp_path / "image.ome.zarr")


def tree(folder):
    """Every file with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_streamed(target):
    data = labels().data
    with streamed(target, "zyx", data.shape, data.dtype, {"model": "a"}) as stream:
        for number, plane in enumerate(data):
            stream.write(number, plane)
        run(stream.finish_job(labels()))


@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
def test_labels_are_found_with_their_image(image, write):
    before = tree(image)
    write(image / "labels" / "heart")
    after = tree(image)
    assert {name: content for name, content in after.items() if name in before} == before
    assert {name.rpartition("heart/")[0] for name in set(after) - set(before)} == {"", "labels/"}
    assert [name for name in after if "heart/" not in name and name not in before] == ["labels/zarr.json"]
    found, drawn = io.read_all(image)
    assert drawn.classes == CLASSES and np.array_equal(drawn.data, labels().data)
    assert np.array_equal(drawn.affine, found.affine)
    said = json.loads((image / "labels" / "heart" / "zarr.json").read_text())["attributes"]["ome"]
    assert said["image-label"]["source"] == {"image": "../../"}
    assert np.array_equal(io.read(image / "labels" / "heart").data, labels().data)


def test_labels_of_others_stay_listed(image):
    group = zarr.open_group(image / "labels", mode="w", zarr_format=3)
    group.attrs.update({"ome": {"version": "0.5", "labels": ["cells"]}, "note": "of another program"})
    for _ in range(2):
        io.write(labels(), image / "labels" / "heart")
    known = dict(zarr.open_group(image / "labels", mode="r").attrs)
    assert known == {"ome": {"version": "0.5", "labels": ["cells", "heart"]}, "note": "of another program"}


def test_what_does_not_fit_the_image_is_refused_and_nothing_is_left(tmp_path, image):
    before = tree(tmp_path)
    with pytest.raises(FileError, match=r"labels \(4 x 20 x 15\) do not fit the image of .* \(4 x 20 x 16\)"):
        io.write(labels((4, 20, 15)), image / "labels" / "heart")
    with pytest.raises(FileError, match="it is an image, and only labels"):
        io.write(Volume(labels().data, "zyx", AFFINE), image / "labels" / "heart")
    with pytest.raises(FileError, match=r"none\.zarr' does not exist"):
        io.write(labels(), tmp_path / "none.zarr" / "labels" / "heart")
    assert tree(tmp_path) == before and not (image / "labels").exists()


@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
@pytest.mark.parametrize(
    ("link", "name"), [("labels", "heart"), ("labels/heart", "heart"), ("labels/zarr.json", "heart"), ("", "zarr.json")]
)
def test_labels_stay_in_the_store_and_replace_nothing_that_describes_it(tmp_path, image, write, link, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    if link:
        (image / link).parent.mkdir(exist_ok=True)
        (image / link).symlink_to(elsewhere / "mine.txt" if link.endswith(".json") else elsewhere)
    before = tree(tmp_path)
    with pytest.raises(FileError, match=r"has a link at|has this name|is a file|no OME-Zarr image"):
        write(image / "labels" / name)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"attributes": [1]}', '{"node_type": "array"}', '{"attributes": {"ome": {"labels": "heart"}}}']
    + ['{"attributes": {"ome": {"labels": {"heart": 1}}}}'],
)
def test_a_list_of_labels_that_is_damaged_is_refused_before_anything_is_written(image, content):
    (image / "labels").mkdir()
    (image / "labels" / "zarr.json").write_text(content)
    before = tree(image)
    with pytest.raises(FileError, match=r"not a list of labels|cannot be read as JSON"):
        io.write(labels(), image / "labels" / "heart")
    assert tree(image) == before


def test_an_image_that_holds_labels_is_not_replaced(tmp_path, image):
    io.write(labels(), image / "labels" / "heart")
    before = tree(tmp_path)
    with pytest.raises(FileError, match="holds labels in its folder 'labels', which would be lost"):
        io.write(labels(), image)
    with pytest.raises(FileError, match="holds labels"):
        io.check_target(labels(), image)
    assert tree(tmp_path) == before


def test_stores_of_the_earlier_version_are_not_mixed(tmp_path):
    path = tmp_path / "old.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    group.create_array("0", data=labels().data)
    before = tree(path)
    with pytest.raises(FileError, match=r"follows OME-NGFF 0\.4.*store of their own"):
        io.check_target(labels(), path / "labels" / "heart")
    assert tree(path) == before


def test_a_second_writer_gets_a_sentence(image):
    target = image / "labels" / "heart"
    with files.lock(target.parent), pytest.raises(JobError, match="Another run"):
        io.write(labels(), target)
    assert not target.exists()
