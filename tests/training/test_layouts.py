"""Published data sets: small files, laid out and named exactly as the authors' are."""

import shutil
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_medseg import samples as bundled
from napari_medseg.errors import FileError, MedsegError, SettingsError
from napari_medseg.preprocess import Preprocess
from napari_medseg.recon import fft2c
from napari_medseg.training.data.dataset import IGNORE, load, read_images
from napari_medseg.training.data.layouts import LAYOUTS
from napari_medseg.training.data.reading import entries
from napari_medseg.training.data.sources import Source

RNG = np.random.default_rng(0)


def read(folder, layout, **options):
    return list(entries(Source(folder.name, layout=layout, **options), folder.parent))


def save(path, array):
    """A picture; an array of bool becomes one of one bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(shape=(12, 10)):
    return RNG.integers(0, 255, (*shape, 3), np.uint8)


def blob(shape=(12, 10)):
    mask = np.zeros(shape, bool)
    mask[2:7, 3:6] = True
    return mask


@pytest.fixture
def acdc(tmp_path):
    """data/ACDC with lists in textual order; each slice's grey value is its number."""
    folder = tmp_path / "ACDC"
    for split in ("train", "valid", "test"):
        (folder / split).mkdir(parents=True)
    names = [
        f"case_{case}_slice{phase}_{z}.npz" for case in ("001", "002") for phase in ("ED", "ES") for z in range(11)
    ]
    for name in names:
        z = int(name.split("_")[-1].removesuffix(".npz"))
        image = np.full((8, 6), z, np.float32) + np.linspace(0, 0.5, 48, dtype=np.float32).reshape(8, 6)
        np.savez(folder / "train" / name, img=image, label=np.full((8, 6), z % 4, np.int64))
    shutil.copy(folder / "train" / names[0], folder / "valid" / "case_019_sliceED_0.npz")
    labels = np.zeros((5, 8, 6), np.uint8)
    labels[:, 2:4, 2:4] = np.arange(5)[:, None, None] % 4
    for phase in ("ED", "ES"):
        np.savez(folder / "test" / f"case_002_volume_{phase}.npz", img=RNG.random((5, 8, 6)), label=labels)
    lists = folder / "lists_ACDC"
    lists.mkdir()
    for split in ("train", "valid", "test"):
        (lists / f"{split}.txt").write_text("".join(f"{p.name}\n" for p in sorted((folder / split).iterdir())))
    return folder


def test_acdc_slices_have_the_neighbours_of_their_numbers_not_of_the_list(acdc):
    found = read(acdc, "acdc", split="train")
    assert [(e.case, e.group, e.frame) for e in found[:3]] == [("001", "ED", 0), ("001", "ED", 1), ("001", "ED", 10)]
    assert len(found) == 44 and len(read(acdc, "acdc", split="valid")) == len(read(acdc, "acdc", split="val")) == 1
    # a scaling that keeps the grey values: what is seen tells the number of the slice
    source = Source("ACDC", layout="acdc", split="train", select={"case": ["001"], "group": ["ES"]})
    shown = load([source], _Keep(), acdc.parent, 3, context=True)
    numbers = [tuple(int(part[0, 0, 0]) for part in sample.image.split(3)) for sample in shown]
    assert numbers == [(0, 0, 2), *((z - 1, z, z + 1) for z in range(1, 10)), (8, 10, 10)]
    assert [int(sample.labels[0, 0]) for sample in shown] == [z % 4 for z in range(11)]


class _Keep(Preprocess):
    def normalise(self, image):
        return np.repeat(np.asarray(image, np.float32)[None], 3, axis=0)


def test_acdc_volumes_and_the_scoring_without_end_slices(acdc):
    source = Source("ACDC", layout="acdc", split="test")
    whole = load([source], Preprocess(), acdc.parent, 3, context=True)
    assert [s.case for s in whole] == ["002"] * 10 and [s.group for s in whole] == ["ED"] * 5 + ["ES"] * 5
    assert len({s.volume for s in whole}) == 2
    inner = load([Source("ACDC", layout="acdc", split="test", inner=True)], Preprocess(), acdc.parent, 3, context=True)
    assert len(inner) == 6
    for ours, same in zip(inner[:3], whole[1:4], strict=True):
        np.testing.assert_array_equal(ours.image, same.image)  # the end slices are still their neighbours
        np.testing.assert_array_equal(ours.labels, same.labels)


def test_acdc_lists_must_name_files_of_acdc(acdc):
    (acdc / "lists_ACDC" / "train.txt").write_text("../test/case_002_volume_ED.npz\n")
    with pytest.raises(FileError, match="is not a file name of ACDC"):
        read(acdc, "acdc", split="train")
    (acdc / "lists_ACDC" / "train.txt").write_text("case_009_sliceED_0.npz\n")
    with pytest.raises(FileError, match="is missing"):
        read(acdc, "acdc", split="train")
    with pytest.raises(SettingsError, match="needs a split"):
        read(acdc, "acdc")


@pytest.mark.parametrize("mask", ["a_segmentation.png", "a_Mask.png", "a.png"])
def test_pictures_and_masks_are_paired_by_name(tmp_path, mask):
    image = picture()
    save(tmp_path / "set" / "images" / "a.png", image)
    save(tmp_path / "set" / "masks" / mask, 255 * blob().astype(np.uint8))
    (entry,) = read(tmp_path / "set", "image-mask")
    np.testing.assert_array_equal(entry.image, image)
    np.testing.assert_array_equal(entry.labels, 255 * blob())
    assert (entry.case, entry.spacing) == ("a", None)


def test_isic_finds_the_folders_of_a_split(tmp_path):
    folder = tmp_path / "ISIC2018"
    for split, numbers in (("Training", (0, 1)), ("Validation", (12,))):
        for number in numbers:
            name = f"ISIC_{number:07d}"
            save(folder / f"ISIC2018_Task1-2_{split}_Input" / f"{name}.jpg", picture())
            save(folder / f"ISIC2018_Task1_{split}_GroundTruth" / f"{name}_segmentation.png", 255 * blob().astype("u1"))
        (folder / f"ISIC2018_Task1_{split}_GroundTruth" / "ATTRIBUTION.txt").touch()
        (folder / f"ISIC2018_Task2_{split}_GroundTruth_v3").mkdir()
    assert [e.case for e in read(folder, "isic", split="train")] == ["ISIC_0000000", "ISIC_0000001"]
    assert [e.case for e in read(folder, "isic")][-1] == "ISIC_0000012"
    (sample,) = load([Source("ISIC2018", layout="isic", split="val")], Preprocess(), tmp_path)
    np.testing.assert_array_equal(sample.labels, blob())
    with pytest.raises(FileError, match="does not hold ISIC's folders"):
        read(folder, "isic", split="test")


def test_isic_2017_as_it_is_unpacked(tmp_path):
    folder = tmp_path / "ISIC2017"
    for split, part in (("Training", "Training"), ("Test_v2", "Test_v2")):
        save(folder / f"ISIC-2017_{split}_Data" / "ISIC_0000000.jpg", picture())
        save(folder / f"ISIC-2017_{split}_Data" / "ISIC_0000000_superpixels.png", picture())
        save(folder / f"ISIC-2017_{part}_Part1_GroundTruth" / "ISIC_0000000_segmentation.png", blob())
        (folder / f"ISIC-2017_{part}_Part2_GroundTruth").mkdir()
        (folder / f"ISIC-2017_{split}_Data" / "Thumbs.db").touch()
    (folder / "ISIC-2017_Training_Part3_GroundTruth.csv").touch()
    (folder / "__MACOSX" / "ISIC-2017_Training_Data").mkdir(parents=True)
    for split in ("train", "test"):
        (entry,) = read(folder, "isic", split=split)
        assert entry.case == "ISIC_0000000"
        np.testing.assert_array_equal(entry.labels > 0, blob())
    save(folder / "ISIC2018_Task1-2_Training_Input" / "a.jpg", picture())
    with pytest.raises(FileError, match="The years share images"):
        read(folder, "isic", split="train")


def test_isic_2016_in_the_folders_of_its_archives(tmp_path):
    data, truth = "ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"
    save(tmp_path / "set" / data / data / "ISIC_0000000.jpg", picture())
    save(tmp_path / "set" / truth / truth / "ISIC_0000000_Segmentation.png", blob())
    (tmp_path / "set" / "ISBI2016_ISIC_Part3B_Training_Data").mkdir()
    assert [entry.case for entry in read(tmp_path / "set", "isic", split="train")] == ["ISIC_0000000"]


def test_glas_reads_glands_and_patients(tmp_path):
    folder = tmp_path / "Warwick_QU_Dataset"
    glands = np.zeros((12, 10), np.uint8)
    glands[1:4, 1:4], glands[6:10, 5:9] = 1, 2
    for name in ("train_1", "train_10", "testA_1", "testB_3"):
        save(folder / f"{name}.bmp", picture())
        save(folder / f"{name}_anno.bmp", glands)
    table = ["name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"]
    table += ["testA_1,4, benign, adenomatous", "train_1,7, malignant, moderately differentiated"]
    (folder / "Grade.csv").write_text("\n".join(table))
    train, test = (read(folder, "glas", split=split) for split in ("train", "test"))
    assert [(e.case, e.group) for e in train] == [("patient 7", "train"), ("train_10", "train")]
    assert [(e.case, e.group) for e in test] == [("patient 4", "testA"), ("testB_3", "testB")]
    np.testing.assert_array_equal(train[0].objects, glands)
    assert train[0].image.shape == (12, 10, 3)


def test_ph2_pairs_the_nested_folders(tmp_path):
    folder = tmp_path / "PH2 Dataset images"
    image = picture()
    save(folder / "IMD003" / "IMD003_Dermoscopic_Image" / "IMD003.bmp", image)
    save(folder / "IMD003" / "IMD003_lesion" / "IMD003_lesion.bmp", blob())
    (folder / "IMD003" / "IMD003_roi").mkdir()
    (entry,) = read(folder, "ph2")
    np.testing.assert_array_equal(entry.image, image)
    np.testing.assert_array_equal(entry.labels > 0, blob())
    assert entry.case == "IMD003"


def test_dsb2018_numbers_the_nuclei(tmp_path):
    case = tmp_path / "stage1_train" / "0a7d30b2"
    save(case / "images" / "0a7d30b2.png", np.dstack([picture(), np.full((12, 10), 255, np.uint8)]))
    first, second = np.zeros((2, 12, 10), np.uint8)
    first[1:4, 1:4], second[3:9, 3:8] = 255, 255
    for name, mask in zip("ab", (first, second), strict=True):
        save(case / "masks" / f"{name}.png", mask)
    for folder in (tmp_path, tmp_path / "stage1_train"):
        (entry,) = read(folder, "dsb2018")
        assert entry.image.shape == (12, 10, 3) and entry.case == "0a7d30b2"
        np.testing.assert_array_equal(entry.labels > 0, (first + second) > 0)
        assert [int(entry.objects[p]) for p in ((1, 1), (3, 3), (8, 7), (0, 0))] == [1, 2, 2, 0]
    (tmp_path / "stage1_train" / "__MACOSX").mkdir()
    assert len(read(tmp_path, "dsb2018")) == 1
    shutil.rmtree(case / "masks")
    with pytest.raises(FileError, match="as in stage 1"):
        read(tmp_path, "dsb2018")


DISC = {"i": 20.0, "o": 30.0}
CENTRE = (110.25, 130.5)  # y, x


def contour(path, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    points = np.column_stack([CENTRE[1] + DISC[kind] * np.cos(angle), CENTRE[0] + DISC[kind] * np.sin(angle)])
    np.savetxt(path, points, fmt="%.2f")


def disc(kind):
    y, x = np.mgrid[:256, :256]
    return np.hypot(y - CENTRE[0], x - CENTRE[1]) < DISC[kind]


@pytest.fixture(params=["challenge", "atlas"])
def sunnybrook(tmp_path, request):
    """Real images of one study, in both layouts it is spread in; invented contours on 79, 99 and 119."""
    stack = sorted((Path(bundled.__file__).parent / "data" / "sunnybrook_sax_ED").glob("IM-0001-*.dcm"))
    folder = tmp_path / "sunnybrook"
    images = folder / "challenge_training" / "SC-HF-I-1"
    drawn = folder / "Sunnybrook Cardiac MR Database ContoursPart3" / "TrainingDataContours" / "SC-HF-I-01"
    if request.param == "atlas":
        images, drawn = (
            folder / "SCD_IMAGES_01" / "SCD0000101" / "CINESAX_300",
            folder / "SCD_ManualContours/SC-HF-I-01",
        )
        (folder / "SCD_IMAGES_01" / "SCD0000101" / "CINELAX_301").mkdir(parents=True)
        shutil.copy(stack[0], folder / "SCD_IMAGES_01" / "SCD0000101" / "CINELAX_301" / "IM-0004-0079.dcm")
        (folder / "scd_patientdata.csv").write_text("\ufeffPatientID,OriginalID,Gender\nSCD0000101,SC-HF-I-1,M\n")
    images.mkdir(parents=True)
    for path in stack[1:8]:  # 39 to 159
        shutil.copy(path, images / path.name.replace("IM-0001", "IM-0004"))
        (images / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    for number, kind in ((79, "i"), (79, "o"), (99, "i"), (119, "i"), (119, "o")):
        contour(drawn / "contours-manual" / "IRCCI-expert" / f"IM-0001-{number:04d}-{kind}contour-manual.txt", kind)
    return folder


def test_sunnybrook_fills_contours_and_sees_the_slices_around(sunnybrook):
    found = read(sunnybrook, "sunnybrook", label="endocardium")
    assert [e.frame for e in found] == [59, 79, 99, 119, 139] and {e.stack for e in found} == {("SC-HF-I-01", 19)}
    assert {(e.case, e.group) for e in found} == {("SC-HF-I-01", "HF-I")}
    assert found[1].spacing == pytest.approx((1.367188, 1.367188))
    assert "IM-0004-0079" in found[1].name and "CINELAX" not in found[1].name
    assert (found[1].labels != disc("i")).sum() <= 8  # pixels that the border cuts
    source = Source("sunnybrook", layout="sunnybrook", label="endocardium")
    samples = load([source], Preprocess(), sunnybrook.parent, context=True)
    assert len(samples) == 3
    np.testing.assert_array_equal(samples[0].image[:3], Preprocess().normalise(found[0].image))


def test_sunnybrook_without_outer_contour_knows_nothing_outside(sunnybrook):
    both, unknown, _ = load([Source("sunnybrook", layout="sunnybrook")], Preprocess(), sunnybrook.parent, 2)
    counts = [int((both.labels == c).sum()) for c in (0, 1, 2)]
    assert counts[1:] == pytest.approx([np.pi * 20**2, np.pi * (30**2 - 20**2)], rel=0.01) and sum(counts) == 256**2
    assert set(unknown.labels.unique().tolist()) == {1, IGNORE}
    outer = load([Source("sunnybrook", layout="sunnybrook", label="epicardium")], Preprocess(), sunnybrook.parent)
    assert len(outer) == 2


@pytest.mark.parametrize("sunnybrook", ["challenge"], indirect=True)
def test_sunnybrook_knows_the_parts_of_the_challenge(sunnybrook):
    assert len(read(sunnybrook, "sunnybrook", split="train")) == 5
    with pytest.raises(FileError, match="no contours of the split 'test'"):
        read(sunnybrook, "sunnybrook", split="test")
    shutil.copy(next(sunnybrook.rglob("*0079.dcm")), next(sunnybrook.rglob("*.dcm")).with_name("IM-0007-0079.dcm"))
    with pytest.raises(FileError, match="several images with the number 79"):
        read(sunnybrook, "sunnybrook")


def test_lits_pairs_numbers_in_order(tmp_path):
    for number, batch in ((0, "Training Batch 1"), (10, "Training Batch 1"), (2, "Training Batch 2")):
        (tmp_path / "LiTS" / batch).mkdir(parents=True, exist_ok=True)
        image = np.arange(4 * 3 * 2, dtype=np.int16).reshape(4, 3, 2) - 1000 + number
        for name, data in (("volume", image), ("segmentation", (image % 3).astype(np.uint8))):
            saved = nib.Nifti1Image(data, np.diag([0.7, 0.7, 2.5, 1]))
            nib.save(saved, tmp_path / "LiTS" / batch / f"{name}-{number}.nii")
    (tmp_path / "LiTS" / "Training Batch 1" / "._volume-0.nii").touch()
    last = tmp_path / "LiTS" / "Training Batch 2" / "volume-2.nii"
    last.rename(last.with_name("Volume-2.NII"))
    found = read(tmp_path / "LiTS", "lits")
    assert [e.case for e in found] == ["volume-0", "volume-2", "volume-10"]
    assert found[0].image.shape == (2, 3, 4) and found[0].image[0, 0, 0] == -1000
    assert found[0].spacing == pytest.approx((2.5, 0.7, 0.7)) and set(np.unique(found[0].labels)) == {0, 1, 2}
    label = tmp_path / "LiTS" / "Training Batch 2" / "segmentation-2.nii"
    label.write_bytes(b"")  # cases that are not selected are not opened
    assert [e.case for e in read(tmp_path / "LiTS", "lits", select={"case": ["volume-0"]})] == ["volume-0"]
    label.unlink()
    with pytest.raises(FileError, match=r"no labels 'segmentation-2\.nii'"):
        read(tmp_path / "LiTS", "lits")
    shutil.copy(last.with_name("Volume-2.NII"), tmp_path / "LiTS" / "volume-2.nii")
    with pytest.raises(FileError, match="have the same number"):
        read(tmp_path / "LiTS", "lits")


def test_fastmri_gives_stored_images_or_those_of_kspace(tmp_path):
    folder = tmp_path / "singlecoil_train"
    folder.mkdir()
    images = RNG.random((3, 16, 12)).astype(np.float32)
    with h5py.File(folder / "file1000000.h5", "w") as file:
        file["kspace"] = fft2c(images).astype(np.complex64)
        file["reconstruction_esc"] = images[:, 4:12, 2:10] * 2
    source = Source("singlecoil_train", layout="fastmri")
    stored = list(read_images(source, tmp_path))
    assert [case for case, _ in stored] == ["file1000000"] * 3
    np.testing.assert_array_equal(np.stack([image for _, image in stored]), images[:, 4:12, 2:10] * 2)
    computed = read(folder, "fastmri", image="kspace")
    np.testing.assert_allclose(computed[0].image, images[:, 4:12, 2:10], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_other_folders_are_refused(tmp_path, layout):
    (tmp_path / "set" / "something").mkdir(parents=True)
    with pytest.raises(MedsegError):
        read(tmp_path / "set", layout, split="train" if layout == "acdc" else "")
    with pytest.raises(FileError, match="expected a folder"):
        read(tmp_path / "absent", layout)


def test_unknown_layouts_and_columns_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="choose one of acdc"):
        read(tmp_path, "brats")
    with pytest.raises(SettingsError, match="by case and group, not by kind"):
        read(tmp_path, "lits", select={"kind": ["a"]})
