"""Findings: each fault is said once, and sound data give no warning."""

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import SettingsError
from napari_medseg.preprocess import Preprocess
from napari_medseg.training.data.dataset import class_numbers
from napari_medseg.training.data.findings import findings, inspect, report
from napari_medseg.training.data.reading import entries
from napari_medseg.training.data.sources import Entry, Source
from napari_medseg.volume import LabelClass, Volume

ONE = (LabelClass(1, "liver", "#dd8452"),)
PLAIN = Preprocess()
RAMP = np.arange(24.0).reshape(3, 1, 8)
TWO = (*ONE, LabelClass(2, "tumour", "#c44e52"))


def entry(case="a", seed=0, shape=(3, 8, 8), **changes):
    labels = np.zeros(shape, np.uint8)
    labels[:, 2:4], labels[:, 5] = 1, 2
    image = np.random.default_rng(seed).random(shape).astype(np.float32)
    return Entry(**{"image": image, "labels": labels, "case": case, "spacing": (3.0, 1.0, 1.0), **changes})


def said(train, val=(), classes=TWO, preprocess=PLAIN, spacing_mm=None):
    facts = [inspect(one, "train") for one in train] + [inspect(one, "val") for one in val]
    found = report(facts, classes, preprocess, spacing_mm)
    return [f.text for f in found if not f.warning], [f.text for f in found if f.warning]


def test_sound_data_are_counted_and_give_no_warning():
    empty = entry("b", 1)
    empty.labels[0] = 0
    counts, warnings = said([entry(), empty], [entry("c", 2)])
    assert not warnings
    assert counts == [
        "train: 2 cases, 6 slices, 1 slice without any object.",
        "val: 1 case, 3 slices, 0 slices without any object.",
    ]


def test_what_is_ignored_is_counted():
    sparse = entry(reviewed=(1,), ignore=2)
    (text,), _ = said([sparse])
    assert "2 slices without labels; 70.8 % of all voxels are ignored" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.ones((3, 8, 8), np.uint8)}, "The class 'tumour' never occurs in train: it cannot be learnt."),
        ({"labels": np.full((3, 8, 8), 7)}, "The labels 7 of train do not belong to any class (case a)."),
        ({"image": np.ones((3, 8, 8))}, "A single grey value in 3 slices of train (case a)."),
        (
            {"image": np.where(np.eye(8), np.nan, np.arange(24.0).reshape(3, 1, 8))},
            "Values that are not finite in 3 slices of train",
        ),
        ({"remarks": ("image and labels are said to lie up to 9 mm apart",)}, "up to 9 mm apart (case a). Check"),
    ],
)
def test_faults_of_one_case_are_named(changes, sentence):
    _, warnings = said([entry(**changes)])
    assert any(sentence in text for text in warnings)


def test_several_labels_of_one_class_are_doubted_unless_they_number_objects():
    _, warnings = said([entry()], classes=ONE)
    assert warnings == [
        "The labels 1, 2 of train all count as 'liver'. If one of them means 'not known', name it in 'ignore'."
    ]
    numbered = entry()
    assert said([entry(objects=numbered.labels)], classes=ONE)[1] == []


def test_cases_and_images_in_two_splits_are_leaks():
    _, warnings = said([entry("a"), entry("b", 1), entry("d", 3)], [entry("a", 2), entry("c", 1)])
    assert [text.split(":")[0] for text in warnings] == [
        "The same case in train and val (case a)",
        "Equal images under different names in train and val (cases b, c)",
    ]
    blank = np.zeros((3, 8, 8))
    assert not any("Equal" in text for text in said([entry("a", image=blank)], [entry("b", image=blank)])[1])


def test_voxel_sizes_that_do_not_go_together_are_named():
    coarse = entry("b", 1, spacing=(9.0, 2.5, 2.5))
    _, warnings = said([entry(), coarse], spacing_mm=(0.5, 1.5))
    assert warnings == [
        "Pixel sizes reach from 1 mm in 'a' to 2.5 mm in 'b'.",
        "Distances between slices reach from 3 mm in 'a' to 9 mm in 'b'.",
        "Pixels outside of the 0.5 to 1.5 mm that the model is meant for in 1 image (case b).",
    ]
    _, warnings = said([entry(spacing=None)], preprocess=Preprocess(spacing=1.0))
    assert warnings == ["Pixel size not known in 1 image (case a): no resampling to 1 mm."]


def test_a_data_set_is_read_once_and_grids_are_compared(tmp_path):
    labels = entry().labels
    for part, shift in (("images", 0.0), ("labels", 6.0)):
        (tmp_path / "set" / part).mkdir(parents=True)
        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        affine[2, 3] = shift
        data = labels if part == "labels" else entry().image
        io.write(Volume(data, "zyx", affine, TWO if part == "labels" else ()), tmp_path / "set" / part / "a.nii.gz")
    found = findings({"train": [Source("set")]}, tmp_path, TWO, Preprocess())
    assert [str(f) for f in found] == [
        "train: 1 case, 3 slices, 0 slices without any object.",
        "Warning: In train, image and labels are said to lie up to 6 mm apart (case a.nii.gz). Check the pairs.",
    ]
    (read,) = entries(Source("set"), tmp_path)
    assert read.remarks


def test_images_without_classes_are_only_counted():
    counts, warnings = said([entry()], classes=())
    assert (counts, warnings) == (["train: 1 case, 3 slices."], [])


def test_numbered_objects_of_one_class_are_said_and_no_warning():
    numbers = np.zeros((1, 24, 24), np.uint16)
    for number in range(9):
        y, x = divmod(number, 3)
        numbers[0, 8 * y : 8 * y + 5, 8 * x : 8 * x + 5] = number + 1
    counts, warnings = said([entry(shape=(1, 24, 24), labels=numbers)], classes=ONE)
    assert not warnings and "all count as 'liver': they number objects one by one." in counts[-1]
    with pytest.raises(SettingsError, match="name a single class"):
        class_numbers(entry(shape=(1, 24, 24), labels=numbers), classes=2)


def test_label_images_in_place_of_scans_are_named():
    image = np.arange(64).reshape(1, 8, 8) % 3
    _, warnings = said([entry(shape=(1, 8, 8), image=image.astype(np.uint8))])
    assert any("Values of a label image, not of a scan, in 1 slice of train" in text for text in warnings)
