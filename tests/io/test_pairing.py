"""Which labels belong to which image, by the names that people and published data sets give to files."""

from pathlib import Path

import pytest

from napari_medseg.errors import FileError
from napari_medseg.io.pairing import listing, names, pair

TOP = Path("set")


def paired(images, labels):
    return pair([TOP / name for name in images], [TOP / name for name in labels], TOP, TOP)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a.jpg", "a.png"),
        ("Scan 1.JPG", "scan 1.PNG"),
        ("a.b.tif", "a.b_mask.tif"),
        ("ISIC_0000000.jpg", "ISIC_0000000_segmentation.png"),  # ISIC 2017
        ("ISIC_0000000.jpg", "ISIC_0000000_Segmentation.png"),  # ISIC 2016
        ("a.nii.gz", "a_seg.nii.gz"),
        ("a.NII.GZ", "a-mask.nii"),
        ("a.nii.gz", "a.seg.nii.gz"),
        ("a.nii.gz", "a-label.nii.gz"),  # Slicer
        ("a.tif", "a_labels.ome.tif"),
        ("patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"),  # ACDC
        ("sub-01_T1w.nii.gz", "sub-01_dseg.nii.gz"),  # BIDS
        ("BRATS_001.nii.gz", "BRATS_001.nii.gz"),  # Decathlon
        ("hippocampus_001_0000.nii.gz", "hippocampus_001.nii.gz"),  # nnU-Net
        ("BraTS20_Training_001_flair.nii", "BraTS20_Training_001_seg.nii"),
        ("BraTS-GLI-00000-000-t1n.nii.gz", "BraTS-GLI-00000-000-seg.nii.gz"),
        ("imaging.nii.gz", "segmentation.nii.gz"),  # KiTS, in the folder of a case
        ("volume-0.nii", "segmentation-0.nii"),  # LiTS
        ("img_0007.png", "mask_0007.png"),
        ("im7.png", "seg7.png"),
        ("IM.0007", "IM.0007"),  # DICOM without an ending
        ("a_image.png", "a_groundtruth.png"),
        ("21_training.tif", "21_manual1.tif"),  # DRIVE
        ("lesion_1.png", "lesion_1_mask.png"),
    ],
)
def test_usual_names_of_images_and_labels_belong_together(image, label):
    found = paired([image, "other.png"], [label, "third.png"])
    assert found.pairs == ((TOP / image, TOP / label),)
    assert (found.images, found.labels) == ((TOP / "other.png",), (TOP / "third.png",))


def test_a_name_that_is_equal_goes_before_one_that_is_like_it():
    found = paired(["a_0001.png", "a_0002.png", "a.png"], ["a.png", "a_0002.png"])
    assert [(image.name, label.name) for image, label in found.pairs] == [("a_0002.png",) * 2, ("a.png",) * 2]
    assert found.images == (TOP / "a_0001.png",)


def test_numbers_that_differ_do_not_belong_together():
    found = paired(["p1.png", "p1_2.png", "p10.png"], ["p1_mask.png", "p1_20_mask.png"])
    assert [image.name for image, _ in found.pairs] == ["p1.png"]
    assert names(found.images) == "p1_2.png, p10.png" and names(found.labels) == "p1_20_mask.png"


def test_only_the_first_channel_has_the_name_of_its_labels():
    found = paired(["a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz"], ["a.nii.gz", "b.nii.gz"])
    assert [image.name for image, _ in found.pairs] == ["a_0000.nii.gz"]
    assert names(found.images) == "a_0001.nii.gz, b_0001.nii.gz" and names(found.labels) == "b.nii.gz"


def test_files_of_equal_names_in_other_folders_do_not_belong_together():
    found = paired(["p1/scan.png", "p2/scan.png"], ["p2/scan.png"])
    assert found.pairs == ((TOP / "p2/scan.png", TOP / "p2/scan.png"),) and found.images == (TOP / "p1/scan.png",)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (["b_t1.nii", "b_t2.nii", "b_flair.nii"], ["b_seg.nii"], "3 files fit .* one contrast"),
        (["a.png", "A.jpg"], ["a.tif"], "2 files fit"),
        (["a.png"], ["a_mask.png", "a_seg.png"], "2 files fit 'a.png': a_mask.png, a_seg.png"),
        (["a.png"], ["a_mask.png", "a_mask_1.png"], "Keep one of them"),
    ],
)
def test_nobody_guesses_which_of_several_files_is_meant(images, labels, sentence):
    with pytest.raises(FileError, match=sentence):
        paired(images, labels)


def test_what_systems_leave_in_folders_is_passed_over(tmp_path):
    for name in ("b.png", "a.png", "._a.png", ".DS_Store", "Thumbs.db", "Desktop.ini"):
        (tmp_path / name).touch()
    (tmp_path / "__MACOSX").mkdir()
    assert [path.name for path in listing(tmp_path)] == ["a.png", "b.png"]
    with pytest.raises(FileError, match="cannot be opened"):
        listing(tmp_path / "absent")
    assert names(map(Path, "abcdef")) == "a, b, c, d and 2 more"


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (("a.png", "a_t1.png"), ("a.png", "a_mask.png")),
        (("image_1.png", "1_image.png"), ("1.png", "label_1.png")),
    ],
)
def test_what_fits_a_pair_that_was_found_before_is_refused(images, labels):
    with pytest.raises(FileError, match="files fit"):
        pair(*([Path(name) for name in names] for names in (images, labels)), Path(), Path())
