"""What there is to learn from in a folder: classes that somebody named, or those of the labels."""

import json

import numpy as np
import pytest
from PIL import Image

from napari_medseg.errors import FileError, MedsegError
from napari_medseg.progress import run
from napari_medseg.training.data.survey import survey_job


def survey(folder):
    return run(survey_job(folder))


@pytest.fixture
def labelled(tmp_path):
    """Callable: labels of each image -> folder with images/ and labels/."""

    def make(*labels, ending="png"):
        for number, values in enumerate(labels):
            for part, content in (("images", np.arange(64)), ("labels", np.resize(values, 64))):
                (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
                kind = content.dtype if content.dtype.kind == "f" else np.uint8
                array = content.astype(kind).reshape(8, 8)
                suffix = "tif" if kind != np.uint8 else "jpg" if part == "images" else ending
                Image.fromarray(array).save(tmp_path / "set" / part / f"{number}.{suffix}")
        return tmp_path / "set"

    return make


@pytest.mark.parametrize(("labels", "count"), [(([0, 255],), 1), (([0], [0, 1]), 1), (([0, 2], [0, 1]), 2)])
def test_classes_without_names_are_those_of_the_labels(labelled, labels, count):
    found = survey(labelled(*labels))
    assert [(row.id, row.name) for row in found.classes] == [(n, f"class {n}") for n in range(1, count + 1)]
    assert not found.named and found.ignore is None
    assert found.words == ("1 labelled image." if len(labels) == 1 else f"{len(labels)} labelled images.")


def test_very_many_labels_are_objects_of_one_class(labelled):
    found = survey(labelled(range(60)))
    assert len(found.classes) == 1 and "59 different labels are taken for the numbers of objects" in found.words


def test_fewer_labels_are_objects_where_each_is_one_region(labelled):
    squares = np.kron(np.arange(16).reshape(4, 4), np.ones((2, 2), int))
    assert len(survey(labelled(squares.ravel())).classes) == 1
    assert len(survey(labelled(np.arange(16))).classes) == 15


def test_names_of_the_decathlon_and_of_nnunet_are_taken(labelled):
    folder = labelled([0, 1, 2])
    names = {"0": "background", "1": "head", "2": "body"}
    for labels in (names, {name: int(number) for number, name in names.items()}):
        (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
        found = survey(folder)
        assert [row.name for row in found.classes] == ["head", "body"] and found.named
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "head": 1, "ignore": 2}}))
    assert ([row.name for row in survey(folder).classes], survey(folder).ignore) == (["head"], 2)
    (folder / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "head"}}))
    with pytest.raises(FileError, match="names the labels 1, but the labels hold 2"):
        survey(folder)


def test_what_is_left_out_is_said(labelled):
    folder = labelled([0, 1])
    (folder / "labels" / "9.png").write_bytes((folder / "labels" / "0.png").read_bytes())
    assert "Left out: 1 file in 'labels' without an image of that name: 9.png." in survey(folder).words


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0], "are empty: there is no class to learn"),
        ([0, 1, 255], "are 1, 255; expected 1, 2, ... without gaps"),
        (np.array([0, 0.5, 1], np.float32), r"'0\.tif' is not a label image .*fractions from 0 to 1"),
        (np.array([0, np.nan, 1], np.float32), "NaN or infinity in 21 voxels"),
    ],
)
def test_labels_that_cannot_be_classes_say_why(labelled, labels, sentence):
    with pytest.raises(MedsegError, match=sentence):
        survey(labelled(labels))


def test_folders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileError, match=r"does not exist\. Choose one with images"):
        survey(tmp_path / "absent")
