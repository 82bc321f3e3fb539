"""What a file keeps of a volume in every format, and the side file of a bare array."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import tifffile
from napari.layers import Layer

from napari_medseg import cli, io
from napari_medseg.errors import FileError
from napari_medseg.io import formats
from napari_medseg.io.contributions import get_reader, layer_tuple, volume_from_layer_data, write_labels
from napari_medseg.io.notes import Notes
from napari_medseg.record import Item, Record, UsedModel
from napari_medseg.volume import Volume

# labels that lie on images have tests of their own
ENDINGS = [suffix for row in formats.FORMATS if row.writes and not row.fitted for suffix in row.suffixes]
RECORD = Record(
    "segment",
    models=(UsedModel("litenext-heart", "12ab", "litenext"),),
    settings={"context": "auto", "batch": 0},
    outputs=(Item("labels", classes=({"id": 1, "name": "Größe", "voxels": 3},)),),
    seconds=3.25,
    warnings=("The image is CT.",),
    reviewed=(2,),
)
SLICES = (
    {"first": 0, "last": 1, "state": "auto", "model": "litenext-heart", "sha256": "12ab", "crc": [1, 4294967295]},
    {"first": 2, "last": 2, "state": "approved", "was": "edited", "at": "2026-11-28T10:12:00Z", "crc": [7]},
)
FOREIGN = [b"[1, 2, 3]", b'{"a": 1} // note', '{"name": "Müller"}'.encode("latin-1"), b"", b'{"a": 1}', b"{}"]


@pytest.fixture
def made(labels):
    """Labels of a model, one slice reviewed, of a DICOM series."""
    notes = {"series_uid": "1.2.3", "modality": "MR", "labels": True, "record": RECORD, "slices": SLICES}
    return replace(labels, metadata=notes)


def same(back, made):
    assert back.record == made.record and back.classes == made.classes and back.axes == made.axes
    assert back.metadata["slices"] == SLICES
    assert (back.metadata["series_uid"], back.metadata["modality"]) == ("1.2.3", "MR")
    np.testing.assert_array_equal(back.data, made.data)
    np.testing.assert_allclose(back.affine, made.affine, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_keeps_model_review_series_and_classes(tmp_path, made, ending):
    path = io.write(made, tmp_path / f"a{ending}")
    same(io.read(path), made)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{ending}"] + ["a.npy.json"] * (ending == ".npy")


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".npy"])
def test_layers_keep_them_from_open_to_save(tmp_path, made, ending):
    path = str(io.write(made, tmp_path / f"a{ending}"))
    (layer_data,) = get_reader(path)(path)
    data, meta, _ = Layer.create(*layer_data).as_layer_data_tuple()
    (again,) = write_labels(str(tmp_path / f"b{ending}"), data, meta)
    same(io.read(again), made)


@pytest.mark.parametrize("ending", ENDINGS)
def test_convert_keeps_them(tmp_path, made, ending):
    path = io.write(made, tmp_path / "a.npz")
    assert cli.main(["convert", str(path), str(tmp_path / f"b{ending}")]) == 0
    same(io.read(tmp_path / f"b{ending}"), made)


def test_labels_drawn_by_hand_keep_what_was_reviewed(tmp_path):
    meta = {"metadata": {"medseg": {"record": Record("draw", reviewed=(1,))}}}
    volume = volume_from_layer_data(np.ones((3, 4, 5), np.uint8), meta)
    assert volume.axes == "zyx" and volume.record.reviewed == (1,)
    write_labels(str(tmp_path / "a.nii.gz"), volume.data, meta)
    assert io.read(tmp_path / "a.nii.gz").record == Record("draw", reviewed=(1,))


def test_series_of_a_dicom_image_is_kept_by_what_is_made_of_it(tmp_path, slice_file):
    paths = [slice_file(f"s/{k}.dcm", (0, 0, 4 * k)) for k in range(2)]
    image = io.read(paths[0].parent)
    labels = image.like(np.ones(image.data.shape, np.uint8))
    data, options, kind = layer_tuple(labels, "labels")
    data, meta, _ = Layer.create(data, options, kind).as_layer_data_tuple()
    write_labels(str(tmp_path / "a.nii.gz"), data, meta)
    back = io.read(tmp_path / "a.nii.gz")
    assert back.metadata["series_uid"] == image.metadata["series_uid"] != ""


# ---- the side file of a bare array ----


def test_side_file_says_what_it_belongs_to(tmp_path, made):
    io.write(made, tmp_path / "x.npy")
    content = json.loads((tmp_path / "x.npy.json").read_text("utf-8"))
    (notes,) = content.values()
    assert list(content) == ["napari_medseg"]
    assert (notes["version"], notes["for"], notes["shape"], notes["dtype"]) == (1, "x.npy", [3, 5, 6], "|u1")
    assert isinstance(notes["crc32"], int) and notes["axes"] == "zyx" and notes["record"]["reviewed"] == [2]


@pytest.mark.parametrize("change", ["voxel", "shape", "type", "name"])
def test_side_file_of_other_voxels_is_ignored_with_a_word(tmp_path, made, caplog, change):
    io.write(made, tmp_path / "x.npy")
    other, path = made.data.copy(), tmp_path / "x.npy"
    if change == "voxel":
        other[0, 0, 0] += 1
    elif change == "shape":
        other = other[:, :-1]
    elif change == "type":
        other = other.view(np.int8)
    else:
        path = tmp_path / "y.npy"
        (tmp_path / "x.npy.json").rename(tmp_path / "y.npy.json")
    np.save(path, other)
    back = io.read(path)
    assert back.record is None and not back.classes and not back.has_spacing
    assert "other voxels" in caplog.text


@pytest.mark.parametrize("content", [*FOREIGN, b'{"x": "' + b"y" * (2**24 + 9) + b'"}'])
def test_a_file_of_another_program_is_never_replaced(tmp_path, made, content):
    """A list, a comment, Latin-1, nothing at all, other keys, more than 16 MiB."""
    (tmp_path / "x.npy.json").write_bytes(content)
    with pytest.raises(FileError, match=r"'x\.npy\.json' .* belongs to another program .*\.npz"):
        io.write(made, tmp_path / "x.npy")
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy.json"]
    assert (tmp_path / "x.npy.json").read_bytes() == content
    (tmp_path / "x.json").write_bytes(content)
    for ending in ENDINGS:
        if ending != ".npy":
            io.write(made, tmp_path / f"x{ending}")
    assert (tmp_path / "x.json").read_bytes() == content


def test_an_old_side_file_is_read_where_it_can_only_mean_the_array(tmp_path, made):
    (tmp_path / "x.json").write_text(json.dumps({"napari_medseg": Notes.of(made).to_json()}))
    np.save(tmp_path / "x.npy", made.data)
    same(io.read(tmp_path / "x.npy"), made)
    nib.save(nib.Nifti1Image(made.data.T, np.eye(4)), tmp_path / "x.nii.gz")
    assert not io.read(tmp_path / "x.npy").classes, "it might describe x.nii.gz"
    assert not io.read(tmp_path / "x.nii.gz").classes


def test_an_old_side_file_of_another_shape_is_ignored(tmp_path, made):
    (tmp_path / "x.json").write_text(json.dumps({"napari_medseg": Notes.of(made).to_json()}))
    np.save(tmp_path / "x.npy", made.data[0])
    assert io.read(tmp_path / "x.npy").axes == "yx"


def test_labels_next_to_an_image_of_the_same_stem_leave_it_an_image(tmp_path, made):
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4)), tmp_path / "scan.nii")
    picture = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "scan.tif", picture, photometric="minisblack", metadata={"axes": "ZYX"})
    (tmp_path / "scan.json").write_text(json.dumps({"napari_medseg": Notes.of(made).to_json()}))
    io.write(made, tmp_path / "scan.nii.gz")
    for name in ("scan.nii", "scan.tif"):
        back = io.read(tmp_path / name)
        assert not back.classes and "labels" not in back.metadata and back.record is None


def test_images_keep_that_they_were_simulated(tmp_path):
    image = Volume(np.ones((2, 3, 4), np.float32), "zyx", metadata={"simulated": True, "modality": "CT"})
    back = io.read(io.write(image, tmp_path / "a.nii.gz"))
    assert back.metadata["simulated"] and back.metadata["modality"] == "CT"
