"""``napari-medseg measure``: the table on the screen and in a file, and a sentence for what cannot be measured."""

import csv

import numpy as np
import pytest

from napari_medseg import cli, io
from napari_medseg.volume import LabelClass, Volume

AFFINE = np.diag([1.5, 1.5, 8, 1])
CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "muscle", "#4dbbd5"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A scan with labels and a reference."""
    monkeypatch.chdir(tmp_path)
    data = np.zeros((3, 12, 12), np.uint8)
    data[1, 2:6, 2:6] = 1
    data[2, 8, 8] = 1
    data[1, 7:9, 2:8] = 2
    image = np.arange(data.size, dtype=np.float32).reshape(data.shape)
    io.write(Volume(data, "zyx", AFFINE, CLASSES, {"labels": True}), tmp_path / "labels.nii.gz")
    io.write(Volume(np.roll(data, 1, 1), "zyx", AFFINE, CLASSES, {"labels": True}), tmp_path / "reference.nii.gz")
    io.write(Volume(image, "zyx", AFFINE), tmp_path / "scan.nii.gz")
    io.write(Volume(image[:2], "zyx", AFFINE), tmp_path / "short.nii.gz")
    io.write(Volume(image / 7, "zyx", AFFINE), tmp_path / "floats.nii.gz")
    return tmp_path


def run(*words):
    return cli.main(["measure", *words])


def rows():
    with open("table.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_classes_with_image_and_reference(workplace, capsys):
    (workplace / "table.csv").write_text("an earlier one")
    given = ["--image", "scan.nii.gz", "--reference", "reference.nii.gz", "--output", "table.csv"]
    assert run("labels.nii.gz", *given) == 0
    cavity, muscle = rows()
    assert (cavity["class"], cavity["voxels"], muscle["id"]) == ("cavity", "17", "2")
    assert float(cavity["volume_mm3"]) == pytest.approx(17 * 18) and float(cavity["dice"]) == pytest.approx(24 / 34)
    assert float(cavity["diameter_mm"]) == pytest.approx(4.5 * 2**0.5)
    values = np.arange(432).reshape(3, 12, 12)[1, 7:9, 2:8]
    assert float(muscle["mean"]) == pytest.approx(values.mean())
    assert float(muscle["sd"]) == pytest.approx(values.std(ddof=1))
    shown = capsys.readouterr().out
    assert "cavity" in shown and "0.7059" in shown and "(ml)" in shown
    assert sorted(path.name for path in workplace.glob("*.csv")) == ["table.csv"]


def test_class_names_of_a_table(workplace, capsys):
    (workplace / "names.tsv").write_text("index\tname\n2\tmyocardium\n")
    assert run("labels.nii.gz", "--names", "names.tsv", "-o", "table.csv") == 0
    assert [row["class"] for row in rows()] == ["cavity", "myocardium"]


def test_a_table_of_other_classes_is_one_sentence(workplace, capsys):
    labels = io.read("labels.nii.gz")
    io.write(Volume(labels.data, "zyx", AFFINE, metadata={"labels": True}), "nameless.nii.gz")
    (workplace / "names.tsv").write_text("index\tname\n7\tliver\n")
    for file in ("labels.nii.gz", "nameless.nii.gz"):
        assert run(file, "--names", "names.tsv") == 1
        assert "table names 7, and the classes are 1, 2. Give a table with these" in capsys.readouterr().err
    (workplace / "names.tsv").write_text("index\tname\n2\tmuscle\n7\tliver\n")
    assert run("nameless.nii.gz", "--names", "names.tsv", "-o", "table.csv") == 0
    assert "muscle" in [row["class"] for row in rows()]
    io.write(Volume(np.zeros_like(labels.data), "zyx", AFFINE, metadata={"labels": True}), "empty.nii.gz")
    assert run("empty.nii.gz", "--names", "names.tsv") == 0


def test_objects_of_a_class_by_name_or_number(capsys):
    for wanted in ("cavity", "1"):
        assert run("labels.nii.gz", "--objects", wanted, "-o", "table.csv") == 0
        assert [(row["object"], row["voxels"], row["slice"]) for row in rows()] == [("1", "16", "1"), ("2", "1", "2")]
    assert "6 neighbours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["labels.nii.gz", "--image", "short.nii.gz"], 1, "image has the axes"),
        (["labels.nii.gz", "--reference", "short.nii.gz"], 1, "reference"),
        (["floats.nii.gz"], 1, "not a label image"),
        (["labels.nii.gz", "--objects", "liver"], 2, "no class 'liver'"),
        (["labels.nii.gz", "--objects", "1", "--reference", "reference.nii.gz"], 2, "without a reference"),
        (["labels.nii.gz", "-o", "scan.nii.gz"], 2, "end in .csv"),
        (["missing.nii.gz"], 1, "missing.nii.gz"),
        (["labels.nii.gz", "-o", "no/table.csv"], 1, "table.csv"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(workplace, capsys, words, code, sentence):
    before = {path.name: path.stat().st_mtime_ns for path in workplace.iterdir()}
    words = words if "-o" in words else [*words, "-o", "table.csv"]
    assert run(*words) == code
    lines = capsys.readouterr().err.splitlines()
    assert sentence in lines[-1] and "Traceback" not in "".join(lines)
    assert {path.name: path.stat().st_mtime_ns for path in workplace.iterdir()} == before
