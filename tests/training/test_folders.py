"""Data sets with a `dataset.json`: what is written is what is read, and what cannot be right is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_medseg.errors import FileError, SettingsError, VolumeError
from napari_medseg.preprocess import Preprocess
from napari_medseg.training.data.dataset import IGNORE, load
from napari_medseg.training.data.folders import DatasetFile, LabelledImage, read_dataset_file, write_dataset
from napari_medseg.training.data.reading import entries
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "liver", "#dd8452"), LabelClass(2, "tumour", "#c44e52"))
AFFINE = np.diag([0.8, 0.9, 3.0, 1.0])
PLAIN = Preprocess()


def pair(shape=(4, 12, 10), axes="zyx", seed=0, **changes):
    rng = np.random.default_rng(seed)
    image = Volume(rng.random(shape, np.float32), axes, AFFINE)
    labels = Volume(rng.integers(0, 3, shape[: len(axes.removesuffix("c"))], np.uint8), axes.removesuffix("c"), AFFINE)
    return LabelledImage(image, labels, **{"case": "patient 1", "split": "train", **changes})


def test_written_data_sets_are_read_back(tmp_path):
    images = [
        pair(reviewed=(1, 2)),
        pair(seed=1, case="patient 1"),
        pair((12, 10), "yx", case="../µ 2", split="val"),
        replace(pair(case="c", split="test"), name="scan.7"),
    ]
    written = write_dataset(tmp_path / "set", images, CLASSES, ignore=255)
    assert read_dataset_file(tmp_path / "set") == written
    assert [case.image for case in written.cases] == [
        "images/patient_1.nii.gz", "images/patient_1-2.nii.gz", "images/µ_2.nii.gz", "images/scan.7.nii.gz",
    ]  # fmt: skip
    for split, expected in (("train", images[:2]), ("val", images[2:3]), ("test", images[3:]), ("", images)):
        found = list(entries(Source("set", split=split), tmp_path))
        assert [(e.case, e.ignore, e.reviewed) for e in found] == [(i.case, 255, i.reviewed) for i in expected]
        for entry, item in zip(found, expected, strict=True):
            np.testing.assert_array_equal(entry.image, item.image.data)
            np.testing.assert_array_equal(entry.labels, item.labels.data)
            assert entry.spacing == pytest.approx((3.0, 0.9, 0.8)[-entry.labels.ndim :])


def test_slices_that_nobody_reviewed_serve_as_neighbours_only(tmp_path):
    item = pair(reviewed=(1, 3), case="a")
    write_dataset(tmp_path / "set", [item], CLASSES)
    samples = load([Source("set", split="train")], PLAIN, tmp_path, 2, context=True)
    assert len(samples) == 2 and not any((s.labels == IGNORE).any() for s in samples)
    for sample, z in zip(samples, (1, 3), strict=True):
        np.testing.assert_array_equal(sample.labels, item.labels.data[z])
    around = [torch.from_numpy(PLAIN.normalise(item.image.data[z])) for z in (0, 1, 2)]
    assert torch.equal(samples[0].image, torch.cat(around))
    assert [s.thickness for s in samples] == [None, None]  # distances across the gap mean nothing
    with pytest.raises(SettingsError, match="no labelled slices"):
        write_dataset(tmp_path / "none", [pair(reviewed=())], CLASSES)
        load([Source("none")], PLAIN, tmp_path, 2)


def test_slices_that_are_held_back_validate_and_are_not_learnt(tmp_path):
    write_dataset(tmp_path / "set", [pair(reviewed=(0, 1, 3), held_back=(1,))], CLASSES)
    labels = pair().labels.data
    for split, slices in {"train": (0, 3), "val": (1,), "": (0, 1, 3)}.items():
        found = [sample.labels.numpy() for sample in load([Source("set", split=split)], PLAIN, tmp_path, 2)]
        np.testing.assert_array_equal(found, labels[list(slices)])


def test_a_whole_volume_keeps_its_thickness(tmp_path):
    write_dataset(tmp_path / "set", [pair(reviewed=(1, 2))], CLASSES)
    assert {s.thickness for s in load([Source("set")], PLAIN, tmp_path, 2)} == {3.0}


@pytest.fixture
def folder(tmp_path):
    """Callable: changes of the first case and of the file -> folder with such a dataset.json."""
    write_dataset(tmp_path / "set", [pair()], CLASSES)
    path = tmp_path / "set" / "dataset.json"
    first = json.loads(path.read_text())

    def change(case=None, **changes):
        path.write_text(json.dumps({**first, "cases": [{**first["cases"][0], **(case or {})}], **changes}))
        return tmp_path

    return change


def test_spacing_is_given_where_the_file_has_none(folder):
    root = folder({"image": "images/p.png", "label": "images/p.png", "spacing": [0.5, 0.25]})
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(root / "set" / "images" / "p.png")
    (sample,) = load([Source("set")], PLAIN, root)
    assert sample.spacing == (0.5, 0.25)


@pytest.mark.parametrize(
    ("case", "changes", "sentence"),
    [
        ({"image": "images/absent.nii.gz"}, {}, r"the file 'images/absent\.nii\.gz' is missing"),
        ({"label": "../../labels.nii.gz"}, {}, "lies outside the folder"),
        ({"image": "/etc/hostname"}, {}, "lies outside the folder"),
        ({"split": "training"}, {}, "the split is 'training'"),
        ({"patient": "a"}, {}, r"cases\[0\].patient is unknown; expected image, label, case"),
        ({"reviewed": [1.5]}, {}, r"cases\[0\].reviewed\[0\] is 1.5; expected a whole number"),
        ({"reviewed": [-1]}, {}, r"cases\[0\]: reviewed must be a list of slice numbers from 0 on"),
        ({"held_back": None}, {}, r"cases\[0\].held_back is null; expected a list of whole numbers"),
        ({"image": "images/\0"}, {}, "does not describe a data set"),
        ({"label": "a" * 5000}, {}, "does not describe a data set"),
        ({"reviewed": [4]}, {}, "lists slice 4 .* but the last one is 3"),
        ({"spacing": [1, 0, 1]}, {}, "sizes in mm above 0"),
        ({"spacing": [3, 1, 1]}, {}, "but the file itself says"),
        ({"spacing": [0.9, 0.8]}, {}, "2 numbers for its 3 axes"),
        ({"case": ""}, {}, "must be texts"),
        ({}, {"cases": []}, "there are no cases"),
        ({}, {"cases": {}}, "cases is {}; expected a list"),
        ({}, {"cases": [{"image": "a"}]}, "missing"),
        ({}, {"classes": [{"id": 2, "name": "a", "colour": "#000000"}]}, "numbered 1, 2"),
        ({}, {"classes": [{"id": 1, "name": "a", "colour": "red"}]}, 'a "colour" like'),
        ({}, {"ignore": 2}, "neither 0 nor that of a class"),
        ({}, {"version": 1}, "version is unknown; expected classes, cases, ignore"),
    ],
)
def test_what_cannot_be_right_is_refused(folder, case, changes, sentence):
    with pytest.raises(FileError, match=sentence):
        list(entries(Source("set"), folder(case, **changes)))


def test_files_that_are_no_json_and_unknown_splits_are_refused(folder):
    root = folder()
    with pytest.raises(SettingsError, match="choose one of train, val, test"):
        list(entries(Source("set", split="valid"), root))
    with pytest.raises(SettingsError, match="holds no labelled slices"):
        load([Source("set", split="test")], PLAIN, root)
    (root / "set" / "dataset.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read as JSON"):
        list(entries(Source("set"), root))


def test_writing_refuses_what_does_not_fit_and_keeps_an_earlier_data_set(tmp_path):
    with pytest.raises(VolumeError, match="both must have the same"):
        write_dataset(tmp_path / "a", [replace(pair(), labels=pair((4, 12, 9)).labels)], CLASSES)
    with pytest.raises(VolumeError, match="Select one time point"):
        write_dataset(tmp_path / "b", [pair((2, 4, 12, 10), "tzyx")], CLASSES)
    assert not (tmp_path / "b" / "dataset.json").exists()
    write_dataset(tmp_path / "c", [pair()], CLASSES)
    with pytest.raises(FileError, match="holds a data set already"):
        write_dataset(tmp_path / "c", [pair()], CLASSES)


def test_json_leaves_out_what_is_not_given(tmp_path):
    found = write_dataset(tmp_path / "set", [pair()], CLASSES)
    assert isinstance(found, DatasetFile) and set(json.loads(found.to_json())) == {"classes", "cases"}
    assert set(json.loads(found.to_json())["cases"][0]) == {"image", "label", "case", "split"}
