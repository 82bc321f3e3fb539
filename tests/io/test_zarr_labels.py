"""Labels written into the store of their image: nothing else of it changes, and everyone finds them."""

import json
import re

import numpy as np
import pytest
import zarr

from napari_medseg import cli, files, io
from napari_medseg.errors import FileError, JobError
from napari_medseg.io import zarr_labels
from napari_medseg.io.ome_zarr_stream import streamed
from napari_medseg.progress import run
from napari_medseg.volume import LabelClass, Volume

AFFINE = np.diag([0.5, 0.7, 2, 1.0])
CLASSES = (LabelClass(1, "ventricle", "#ff0010"), LabelClass(7, "wall", "#00a087"))


def labels(shape=(4, 20, 16)):
    return Volume(np.random.default_rng(0).choice(np.array([0, 1, 7], np.uint8), shape), "zyx", AFFINE, CLASSES)


def old_image(path, shape=(4, 20, 16), levels=1):
    """A store as programs write it that follow OME-NGFF 0.4."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    rows = []
    for number in range(levels):
        step = 2**number
        scale = [AFFINE[2, 2], AFFINE[1, 1] * step, AFFINE[0, 0] * step]
        rows.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        data = np.random.default_rng(1).integers(0, 900, shape).astype(np.uint16)[:, ::step, ::step]
        group.create_array(str(number), data=data, chunks=(1, 8, 8))
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": rows}]
    return path


@pytest.fixture(params=[2, 3], ids=["0.4", "0.5"])
def image(tmp_path, request):
    path = tmp_path / "image.ome.zarr"
    if request.param == 2:
        return old_image(path)
    data = np.random.default_rng(1).integers(0, 900, (4, 20, 16)).astype(np.uint16)
    return io.write(Volume(data, "zyx", AFFINE), path)


def is_old(image):
    return (image / ".zattrs").exists()


def description(image, place):
    """The file that holds the attributes of a group."""
    return image / place / (".zattrs" if is_old(image) else "zarr.json")


def said(image, place):
    """What a group says about images."""
    content = json.loads(description(image, place).read_text())
    return content if is_old(image) else content["attributes"]["ome"]


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
    new = {name for name in after if "heart/" not in name and name not in before}
    assert new == ({"labels/.zgroup", "labels/.zattrs"} if is_old(image) else {"labels/zarr.json"})
    found, drawn = io.read_all(image)
    assert drawn.classes == CLASSES and np.array_equal(drawn.data, labels().data)
    assert np.array_equal(drawn.affine, found.affine)
    look = said(image, "labels/heart")["image-label"]
    assert look["source"] == {"image": "../../"} and look["colors"][0]["rgba"] == [255, 0, 16, 255]
    assert look.get("version") == ("0.4" if is_old(image) else None)
    assert said(image, "labels")["labels"] == ["heart"]
    back = zarr.open_group(image, mode="r", zarr_format=2 if is_old(image) else 3)["labels/heart/0"]
    assert np.array_equal(back[:], labels().data) and back.metadata.zarr_format == (2 if is_old(image) else 3)
    assert np.array_equal(io.read(image / "labels" / "heart").data, labels().data)


def test_labels_of_others_stay_listed(image):
    group = zarr.open_group(image / "labels", mode="w", zarr_format=2 if is_old(image) else 3)
    listing = {"labels": ["cells"]}
    before = listing if is_old(image) else {"ome": {"version": "0.5", **listing}}
    group.attrs.update({**before, "note": "of another program"})
    for _ in range(2):
        io.write(labels(), image / "labels" / "heart")
    listing["labels"].append("heart")
    after = listing if is_old(image) else {"ome": {"version": "0.5", **listing}}
    assert dict(zarr.open_group(image / "labels", mode="r").attrs) == {**after, "note": "of another program"}


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
    ("link", "name"), [("labels", "heart"), ("labels/heart", "heart"), ("labels/LIST", "heart"), ("", "LIST")]
)
def test_labels_stay_in_the_store_and_replace_nothing_that_describes_it(tmp_path, image, write, link, name):
    listing = description(image, "labels").name
    link, name = link.replace("LIST", listing), name.replace("LIST", listing)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    if link:
        (image / link).parent.mkdir(exist_ok=True)
        (image / link).symlink_to(elsewhere / "mine.txt" if link.endswith(listing) else elsewhere)
    before = tree(tmp_path)
    with pytest.raises(FileError, match=r"has a link at|cannot be called|is a file|no OME-Zarr image"):
        write(image / "labels" / name)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content", ["", "[]", '{"labels": "heart"}', '{"labels": {"heart": 1}}', "an array"])
def test_a_list_of_labels_that_is_damaged_is_refused_before_anything_is_written(image, content):
    (image / "labels").mkdir()
    if content == "an array":
        zarr.create_array(image / "labels", shape=(3,), dtype="u1", zarr_format=2 if is_old(image) else 3)
    else:
        in_group = content.startswith("{") and not is_old(image)
        written = f'{{"attributes": {{"ome": {content}}}}}' if in_group else content
        description(image, "labels").write_text(written)
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


def test_versions_are_not_mixed_in_one_store(image):
    zarr.open_group(image / "labels", mode="w", zarr_format=3 if is_old(image) else 2)
    before = tree(image)
    with pytest.raises(FileError, match=r"labels' follows OME-NGFF 0\.[45], and its image 0\.[45].*store of their own"):
        io.check_target(labels(), image / "labels" / "heart")
    assert tree(image) == before


@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
def test_labels_have_as_many_levels_as_their_image(tmp_path, write):
    path = old_image(tmp_path / "a.zarr", levels=3)
    write(path / "labels" / "heart")
    found = zarr.open_group(path / "labels" / "heart", mode="r")
    (image,) = found.attrs["multiscales"]
    assert [found[level["path"]].shape for level in image["datasets"]] == [(4, 20, 16), (4, 10, 8), (4, 5, 4)]
    scales = [level["coordinateTransformations"][0]["scale"] for level in image["datasets"]]
    assert scales == [[2, 0.7, 0.5], [2, 1.4, 1], [2, 2.8, 2]]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("axes", "scale", "units"),
    [
        ("zyx", [2, 0.3, 0.3], ["micrometer"] * 3),
        ("zyx", [0.002, 0.0003, 0.0003], ["meter"] * 3),
        ("zyx", [2, 0.3, 0.3], ["micrometer", None, "parsec"]),
        ("tzyx", [2.5, 2, 0.3, 0.3], ["second", *["millimeter"] * 3]),
        ("tczyx", [2.5, 1, 2, 0.3, 0.3], ["second", None, *["nanometer"] * 3]),
    ],
)
def test_labels_lie_on_their_image_for_readers_of_the_numbers_alone(tmp_path, version, axes, scale, units):
    path = tmp_path / "a.zarr"
    shape = [{"t": 2, "c": 3, "z": 4, "y": 20, "x": 16}[name] for name in axes]
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("0", data=np.zeros(shape, np.uint16))
    kinds = {"t": "time", "c": "channel"}
    rows = [{"name": name, "type": kinds.get(name, "space")} for name in axes]
    rows = [row if unit is None else {**row, "unit": unit} for row, unit in zip(rows, units, strict=True)]
    moved = [0.0 if name in "tc" else 7 * size for name, size in zip(axes, scale, strict=True)]
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": moved}]
    image = {"axes": rows, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    older = {"multiscales": [{"version": "0.4", **image}]}
    group.attrs.update(older if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}})
    volume = io.read(path)
    volume = volume.select("c", 0) if "c" in axes else volume
    drawn = volume.like(np.ones(volume.data.shape, np.uint8), CLASSES)
    io.write(drawn, path / "labels" / "heart")
    (found,) = said(path, "labels/heart")["multiscales"]
    assert found["axes"] == [row for row in rows if row["name"] != "c"]
    kept = [place for place, name in enumerate(axes) if name != "c"]
    scaled, translated = found["datasets"][0]["coordinateTransformations"]
    assert scaled["scale"] == [scale[place] for place in kept]
    assert translated["translation"] == [moved[place] for place in kept]
    back = io.read(path / "labels" / "heart")
    assert np.array_equal(back.affine, volume.affine) and back.has_spacing == volume.has_spacing


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
@pytest.mark.parametrize("place", ["0", "A/1/0"])
def test_labels_of_an_image_inside_a_store(tmp_path, image, write, place):
    """As bioformats2raw and plates lay them out."""
    store = tmp_path / "scans.zarr"
    zarr.open_group(store, mode="w", zarr_format=2 if is_old(image) else 3).attrs["bioformats2raw.layout"] = 3
    (store / place).parent.mkdir(parents=True, exist_ok=True)
    image.rename(store / place)
    for folder in (store / "A", store / "A" / "1"):
        if folder.exists():
            zarr.open_group(folder, mode="a", zarr_format=2 if is_old(store / place) else 3)
    zarr.consolidate_metadata(store)
    write(store / place / "labels" / "heart")
    assert np.array_equal(io.read_all(store / place)[1].data, labels().data)
    group = zarr.open_consolidated(store)
    assert np.array_equal(group[f"{place}/labels/heart/0"][:], labels().data)
    assert f"{place}/labels" in dict(group.members(max_depth=None))


def test_an_image_whose_list_of_labels_is_damaged_is_still_opened(image, caplog):
    (image / "labels").mkdir()
    description(image, "labels").write_text("{bad")
    assert [volume.data.shape for volume in io.read_all(image)] == [(4, 20, 16)]
    assert "The labels of 'image.ome.zarr' are left out" in caplog.text


def test_labels_that_are_listed_twice_or_are_not_there(image, caplog):
    io.write(labels(), image / "labels" / "heart")
    content = json.loads(description(image, "labels").read_text())
    listing = content if is_old(image) else content["attributes"]["ome"]
    listing["labels"] = ["heart", "heart", "", 3, "gone"]
    description(image, "labels").write_text(json.dumps(content))
    assert [volume.metadata.get("name") for volume in io.read_all(image)] == [None, "heart"]
    assert "lists labels that are not there" in caplog.text and "The labels 'gone' are left out" in caplog.text


def test_info_names_the_labels_of_a_store(image, capsys):
    io.write(labels(), image / "labels" / "heart")
    assert cli.main(["info", str(image)]) == 0
    assert re.search(r"labels +heart\n", capsys.readouterr().out)
    assert cli.main(["info", str(image), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["heart"]


def test_a_list_of_labels_that_is_write_protected_is_refused_before_anything_is_written(image):
    io.write(labels(), image / "labels" / "heart")
    description(image, "labels").chmod(0o444)
    before = tree(image)
    with pytest.raises(FileError, match="write-protected, and has to name the labels"):
        io.write(labels(), image / "labels" / "liver")
    assert tree(image) == before


def test_an_interrupted_run_goes_on(image):
    target = image / "labels" / "heart"
    data = labels().data
    with streamed(target, "zyx", data.shape, data.dtype, {"model": "a"}) as stream:
        stream.write(0, data[0])
        stream.write(2, np.zeros_like(data[2]))
    assert target.with_name("heart.part").exists() and not target.exists()
    with streamed(target, "zyx", data.shape, data.dtype, {"model": "a"}) as stream:
        assert stream.done() == [0, 2]
    with (
        pytest.raises(FileError, match="another model"),
        streamed(target, "zyx", data.shape, data.dtype, {"model": "b"}),
    ):
        pass
    write_streamed(target)
    assert np.array_equal(io.read(target).data, data) and not target.with_name("heart.part").exists()


# ---- consolidated metadata ----


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
@pytest.mark.parametrize("place", ["", "labels"])
def test_readers_of_consolidated_metadata_see_the_labels(image, write, place):
    write(image / "labels" / "liver")
    zarr.consolidate_metadata(image / place)
    write(image / "labels" / "heart")
    group = zarr.open_consolidated(image / place)
    inner = group if place else group["labels"]
    assert sorted(inner.group_keys()) == ["heart", "liver"]
    assert np.array_equal(inner["heart/0"][:], labels().data)
    plain = zarr.open_group(image / place, mode="r", use_consolidated=False)
    assert sorted(key for key, _ in group.members(max_depth=None)) == sorted(
        key for key, _ in plain.members(max_depth=None)
    )
    inner_plain = plain if place else plain["labels"]
    assert dict(inner.attrs) == dict(inner_plain.attrs)
    assert dict(inner["heart"].attrs) == dict(inner_plain["heart"].attrs)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_labels_that_are_replaced_are_consolidated_anew(image):
    io.write(labels(), image / "labels" / "heart")
    zarr.consolidate_metadata(image)
    many = labels()
    many = many.like(many.data.astype(np.uint32) * 90_000, ())
    io.write(Volume(many.data, "zyx", AFFINE, metadata={"labels": True}), image / "labels" / "heart")
    found = zarr.open_consolidated(image)["labels/heart/0"]
    assert found.dtype == np.uint32 and np.array_equal(found[:], many.data)


def test_nothing_is_consolidated_where_nothing_was(image):
    io.write(labels(), image / "labels" / "heart")
    assert not list(image.rglob(".zmetadata"))
    assert not any("consolidated" in path.read_text() for path in image.rglob("zarr.json"))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("content", ["", "[]", '{"metadata": 1}'])
def test_consolidated_metadata_that_are_damaged_are_refused_before_anything_is_written(image, content):
    if is_old(image):
        (image / ".zmetadata").write_text(content)
    else:
        described = json.loads((image / "zarr.json").read_text())
        described["consolidated_metadata"] = json.loads(content or "7")
        (image / "zarr.json").write_text(json.dumps(described))
    before = tree(image)
    with pytest.raises(FileError, match=r"consolidated metadata|cannot be read as JSON"):
        io.write(labels(), image / "labels" / "heart")
    assert tree(image) == before


@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
@pytest.mark.parametrize("name", [".hidden", "__x", "heart.part", "a/heart", "a/heart.zarr", "a/b/heart.nii.gz"])
def test_names_that_nobody_would_find_are_refused(image, write, name):
    before = tree(image)
    with pytest.raises(FileError, match=r"cannot be called|no program finds it|cannot be written"):
        write(image / "labels" / name)
    assert tree(image) == before and not (image / "labels").exists()


def test_labels_take_no_labels(image):
    heart = io.write(labels(), image / "labels" / "heart")
    before = tree(image)
    with pytest.raises(FileError, match="no program finds it"):
        io.write(labels(), heart / "labels" / "wall")
    assert tree(image) == before


def test_labels_may_have_any_letters(image):
    io.write(labels(), image / "labels" / "Herz ä 心")
    assert [volume.metadata.get("name") for volume in io.read_all(image)] == [None, "Herz ä 心"]


@pytest.mark.parametrize("write", [lambda target: io.write(labels(), target), write_streamed])
def test_labels_that_are_write_protected_stay(image, write):
    write(image / "labels" / "heart")
    (image / "labels" / "heart").chmod(0o555)
    before = tree(image)
    with pytest.raises(FileError, match="write-protected"):
        write(image / "labels" / "heart")
    assert tree(image) == before


def test_a_store_at_a_link_is_the_store(image, tmp_path):
    link = tmp_path / "link.zarr"
    link.symlink_to(image)
    io.write(labels(), link / "labels" / "heart")
    assert np.array_equal(io.read_all(image)[1].data, labels().data)


def test_labels_are_not_called_like_files_of_another_format(image):
    with pytest.raises(FileError, match=r"among the labels of a store.*not compressed NIfTI\. Call it 'heart'"):
        io.write(labels(), image / "labels" / "heart.nii.gz")
    assert not (image / "labels").exists()
    assert io.write(labels(), image / "labels" / "heart.zarr").is_dir()


def test_the_store_of_an_image_is_found_where_labels_can_be_added_to_it(image, tmp_path):
    axes, shape = "zyx", labels().data.shape
    assert zarr_labels.store_for(image, "heart", axes, shape) == image
    assert zarr_labels.store_for(image / "labels" / "heart", "heart", axes, shape) == image
    assert zarr_labels.store_for(image, "heart", axes, (4, 20, 15)) is None
    alone = io.write(labels(), tmp_path / "labels.ome.zarr")
    assert zarr_labels.store_for(alone, "heart", axes, shape) is None, "these are labels themselves"
    for other in (tmp_path, tmp_path / "none.zarr", io.write(labels(), tmp_path / "a.nii.gz")):
        assert zarr_labels.store_for(other, "heart", axes, shape) is None


def test_a_second_writer_gets_a_sentence(image):
    target = image / "labels" / "heart"
    with files.lock(target.parent), pytest.raises(JobError, match="Another run"):
        io.write(labels(), target)
    assert not target.exists()
