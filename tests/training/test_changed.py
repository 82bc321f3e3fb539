"""Data of a run: what was changed, added or removed since it began is named; what was only copied is not."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from napari_medseg import io
from napari_medseg.errors import SettingsError
from napari_medseg.training.data.changed import describe, refuse_changes
from napari_medseg.training.data.folders import LabelledImage, write_dataset
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume


@pytest.fixture
def pictures(tmp_path):
    """Two pairs in tmp_path/set."""
    for part in ("images", "labels"):
        (tmp_path / "set" / part).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "set" / part / name)
    return tmp_path


def changed(root, before, **options):
    """What is said of the changes; empty if nothing is."""
    try:
        refuse_changes(root / "run", before, describe([Source("set", **options)], root))
    except SettingsError as error:
        return str(error)
    return ""


def test_content_decides_and_not_the_time(pictures):
    before = describe([Source("set"), Source("set", select={"case": ["a.png"]})], pictures)
    assert [file.name for file in before.files] == [f"set/{p}/{n}.png" for p in ("images", "labels") for n in "ab"]
    label = pictures / "set" / "labels" / "b.png"
    time = label.stat().st_mtime_ns
    shutil.copy(label, label.with_suffix(".tmp"))
    label.with_suffix(".tmp").replace(label)
    (pictures / "set" / "notes.txt").touch()
    assert not changed(pictures, before)
    content = bytearray(label.read_bytes())
    content[-20] ^= 1
    label.write_bytes(content)
    os.utime(label, ns=(time, time))
    said = changed(pictures, before)
    assert "'set/labels/b.png' has other content. Restore them, or train in a new folder." in said


def test_images_that_were_added_or_removed_are_named(pictures):
    before = describe([Source("set")], pictures)
    for part in ("images", "labels"):
        shutil.move(pictures / "set" / part / "a.png", pictures / "set" / part / "c.png")
    said = changed(pictures, before)
    assert "'set/images/a.png' is missing, 'set/images/c.png' is new, 'set/labels/a.png' is missing and 1 more" in said
    assert not changed(
        pictures, describe([Source("set", select={"case": ["b.png"]})], pictures), select={"case": ["b.png"]}
    )


def test_the_list_of_a_data_set_is_a_part_of_it(tmp_path):
    image = Volume(np.arange(32, dtype=np.int16).reshape(2, 4, 4), "zyx")
    item = LabelledImage(image, image.like(np.ones((2, 4, 4), np.uint8)), "a", "train")
    write_dataset(tmp_path / "set", [item], (LabelClass(1, "x", "#ffffff"),))
    before = describe([Source("set", split="train")], tmp_path)
    assert [file.name for file in before.files] == [
        "set/dataset.json", "set/images/a.nii.gz", "set/labels/a.nii.gz",
    ]  # fmt: skip
    io.write(image.like(np.zeros((2, 4, 4), np.uint8)), tmp_path / "set" / "labels" / "a.nii.gz")
    assert "'set/labels/a.nii.gz' has other content" in changed(tmp_path, before, split="train")
