"""Folders of real people: wherever images and labels lie, they are paired rightly, or a sentence names what is left."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_medseg import io, samples
from napari_medseg.errors import FileError, MedsegError, SettingsError
from napari_medseg.preprocess import Preprocess
from napari_medseg.training.data.findings import findings
from napari_medseg.training.data.reading import entries, files_of
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume


def put(folder, *names):
    """Pictures and volumes of one value each: 9 for images, 1 for labels."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.full((4, 6), 1, np.uint8)
        if name.lower().endswith((".nii", ".nii.gz")):
            io.write(Volume(array[None], "zyx"), path.with_name(path.name.lower()))
            path.with_name(path.name.lower()).rename(path)
        else:
            Image.fromarray(array).save(path)


def cases(folder, **options):
    return [entry.case for entry in entries(Source(folder.name, **options), folder.parent)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["images/a.jpg", "labels/a.png"], ["a.jpg"]),
        (["images/a.JPG", "masks/a.PNG"], ["a.JPG"]),
        (["Images/a.bmp", "Masks/a_mask.bmp"], ["a.bmp"]),
        (["imgs/a.tif", "Ground_Truth/a_gt.tif"], ["a.tif"]),
        (["images/p1/s.png", "images/p2/s.png", "labels/p1/s.png", "labels/p2/s.png"], ["p1/s.png", "p2/s.png"]),
        (["imagesTr/h_001_0000.nii.gz", "labelsTr/h_001.nii.gz", "imagesTs/h_002_0000.nii.gz"], ["h_001_0000.nii.gz"]),
        (["img_dir/train/a.png", "ann_dir/train/a.png"], ["a.png"]),
        (["JPEGImages/a.jpg", "SegmentationClass/a.png"], ["a.jpg"]),
        (["a.jpg", "a_mask.png"], ["a.jpg"]),
        (["a.JPG", "masks/a.png"], ["a.JPG"]),
        (["p1/BraTS_1_flair.nii.gz", "p1/BraTS_1_seg.nii.gz"], ["p1/BraTS_1_flair.nii.gz"]),
        (["case_0/imaging.NII.GZ", "case_0/segmentation.NII.GZ"], ["case_0/imaging.NII.GZ"]),
        (["set/images/a.png", "set/labels/a.png"], ["a.png"]),
        (["ISIC-2017_Training_Data/I_0.jpg", "ISIC-2017_Training_Part1_GroundTruth/I_0_segmentation.png"], ["I_0.jpg"]),
    ],
)
def test_images_and_labels_are_found_where_people_put_them(tmp_path, files, expected):
    put(tmp_path / "set", *files)
    for clutter in ("._a.png", "Thumbs.db", ".DS_Store", "desktop.ini", "README.txt", "a.csv", "a_superpixels.png"):
        for folder in {(tmp_path / "set" / name).parent for name in files}:
            (folder / clutter).write_bytes(b"\0\5\x16\7")
    shutil.copytree(tmp_path / "set", tmp_path / "copy" / "__MACOSX")
    assert cases(tmp_path / "set") == expected


@pytest.mark.parametrize(
    "files",
    [
        ["train/images/a.png", "train/labels/a.png", "val/images/a.png", "val/labels/a.png"],
        ["images/train/a.png", "images/val/a.png", "labels/train/a.png", "labels/val/a.png"],
        ["train_images/a.png", "val_images/a.png", "train_masks/a.png", "val_masks/a.png"],
        ["train/a.png", "train_masks/a_mask.png", "val/a.png", "val_masks/a_mask.png"],
        ["Training/a.png", "Training/a_seg.png", "Validation/a.png", "Validation/a_seg.png"],
    ],
)
def test_folders_of_splits_are_splits(tmp_path, files):
    put(tmp_path / "set", *files)
    assert [cases(tmp_path / "set", split=split) for split in ("train", "val")] == [["train/a.png"], ["val/a.png"]]
    assert cases(tmp_path / "set") == ["train/a.png", "val/a.png"]
    with pytest.raises(SettingsError, match="no labelled images for the split 'test', only for train, val"):
        cases(tmp_path / "set", split="test")


def test_several_folders_of_a_split_keep_their_cases_apart(tmp_path):
    put(tmp_path / "set", *(f"{top}/{part}/a.png" for top in ("train_1", "train_2") for part in ("images", "labels")))
    assert cases(tmp_path / "set", split="train") == ["train_1/images/a.png", "train_2/images/a.png"]
    put(tmp_path / "in", *(f"{part}/train_{n}/a.png" for n in (1, 2) for part in ("images", "labels")))
    assert cases(tmp_path / "in") == ["train_1/a.png", "train_2/a.png"]


def test_a_list_of_the_decathlon_is_not_taken_for_ours(tmp_path):
    put(tmp_path / "set", "imagesTr/h_1.nii.gz", "labelsTr/h_1.nii.gz")
    (tmp_path / "set" / "imagesTr" / "._h_1.nii.gz").write_bytes(b"\0\5\x16\7")  # as in the archives
    content = {"name": "Hippocampus", "labels": {"0": "background", "1": "head"}, "training": []}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(content))
    assert cases(tmp_path / "set", split="train") == ["h_1.nii.gz"]


def test_every_image_without_labels_is_counted_and_named(tmp_path):
    put(tmp_path / "set", *(f"images/{n}.jpg" for n in range(7)), "labels/3.png")
    with pytest.raises(FileError, match=r"6 of 7 images in .* have no file .*: 0.jpg, 1.jpg, 2.jpg, 4.jpg and 2"):
        cases(tmp_path / "set")


def test_what_is_left_out_is_reported_before_training(tmp_path):
    put(tmp_path / "set", "images/a.png", "labels/a.png", "labels/b.png")
    (tmp_path / "set" / "images" / "c.mgz").write_bytes(b"\x1f\x8b")
    found = findings({"train": [Source("set")]}, tmp_path, [LabelClass(1, "x", "#ffffff")], Preprocess())
    texts = [finding.text for finding in found if finding.warning]
    assert any("1 file in 'labels' without an image of that name: b.png" in text for text in texts)
    assert any("1 file in 'images' and 'labels' cannot be read: c.mgz" in text for text in texts)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (["imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b.nii.gz"], "1 file in 'imagesTs' without labels: b.nii"),
        (["train/a.png", "train/a_mask.png", "test/b.png", "test/c.png"], "2 files in 'test' without labels: b.png, c"),
        (["images/a.png", "labels/a.png", "preview.png"], "1 file in 'set' without labels: preview.png"),
    ],
)
def test_images_outside_of_the_pairs_are_named(tmp_path, files, left):
    put(tmp_path / "set", *files)
    (entry,) = entries(Source("set"), tmp_path)
    assert len(entry.remarks) == 1 and entry.remarks[0].startswith(left)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (["a.jpg", "b.jpg"], "is not a data set; expected the subfolders images/ and labels/"),
        (["images/a.jpg"], "is not a data set"),
        (
            ["imgs/a.jpg", "pictures_images/a.jpg", "masks/a.jpg"],
            "several folders .*: imgs, pictures_im",
        ),
        (["p/b_t1.nii.gz", "p/b_t2.nii.gz", "p/b_seg.nii.gz"], "2 files fit 'b_seg.nii.gz'"),
    ],
)
def test_folders_that_cannot_be_learnt_from_say_why(tmp_path, files, sentence):
    put(tmp_path / "set", *files)
    with pytest.raises(MedsegError, match=sentence):
        cases(tmp_path / "set")


def test_a_folder_of_dicom_slices_is_one_image(tmp_path):
    series = Path(samples.path("sunnybrook_sax_ED"))
    shutil.copytree(series, tmp_path / "set" / "images" / "p1")
    (tmp_path / "set" / "labels").mkdir()
    image = io.read(series)
    io.write(image.like(np.ones(image.data.shape, np.uint8)), tmp_path / "set" / "labels" / "p1_seg.nii.gz")
    (entry,) = entries(Source("set"), tmp_path)
    assert entry.case == "p1" and entry.labels.shape == image.data.shape
    assert len(files_of(Source("set"), tmp_path)) == len(image.data) + 1


def test_folders_that_link_to_themselves_end(tmp_path):
    put(tmp_path / "set", "images/a.png", "labels/a.png")
    (tmp_path / "set" / "images" / "again").symlink_to(tmp_path / "set" / "images")
    assert cases(tmp_path / "set") == ["a.png"]


def test_the_files_of_a_source_are_those_that_are_read(tmp_path):
    put(tmp_path / "set", "images/a.png", "labels/a.png", "images/b.png", "labels/b.png")
    (tmp_path / "set" / "notes.txt").touch()
    every = files_of(Source("set"), tmp_path)
    assert [path.relative_to(tmp_path / "set").as_posix() for path in every] == [
        "images/a.png", "images/b.png", "labels/a.png", "labels/b.png",
    ]  # fmt: skip
    assert files_of(Source("set", select={"case": ["b.png"]}), tmp_path) == [every[1], every[3]]
