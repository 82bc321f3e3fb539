"""Figures against reference labels while a cohort is segmented."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import cli, io, metrics, models
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass, Volume

LINE = ["segment", "in", "-o", "out", "--model", "tiny", "--report", "r.json", "--summary", "s.csv", "--html", "p.html"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Three images and a model that learned nothing."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    card = models.ModelCard("tiny", "litenext", Preprocess(size=(64, 64)), (LabelClass(1, "organ", "#e64b35"),))
    models.models_folder().mkdir(exist_ok=True)
    models.save(models.models_folder() / "tiny.safetensors", models.build("litenext"), card)
    for seed, name in enumerate("abc"):
        data = np.random.default_rng(seed).integers(0, 900, (3, 24, 40)).astype(np.int16)
        Path("in").mkdir(exist_ok=True)
        io.write(Volume(data, "zyx", np.diag([1.0, 1, 4, 1])), f"in/{name}.nii.gz")
    Path("refs").mkdir()
    drawn = np.zeros((3, 24, 40), np.uint8)
    drawn[:, 4:14, 5:30] = 1
    organ = Volume(drawn, "zyx", np.diag([1.0, 1, 4, 1]), card.classes, {"labels": True})
    io.write(organ, "refs/a_seg.nii.gz")
    io.write(replace(organ, data=drawn[:2]), "refs/c.nii.gz")
    return tmp_path


def test_figures_are_in_report_table_and_page_and_what_is_missing_is_a_sentence(capsys):
    assert cli.main([*LINE, "--reference", "refs"]) == 0
    said = capsys.readouterr().out
    ours = io.read("out/a.nii.gz")
    (expected,) = metrics.compare(ours, io.read("refs/a_seg.nii.gz"))
    assert 0 < expected["dice"] < 1
    rows = {Path(row["input"]).name[0]: row for row in json.loads(Path("r.json").read_text())["files"]}
    (score,) = rows["a"]["scores"]
    assert score == {"id": 1, "name": "organ", "dice": expected["dice"], "hd95_mm": expected["hd95_mm"]}
    assert Path(rows["a"]["reference"]) == Path("refs/a_seg.nii.gz")
    assert f"against the reference organ: Dice {expected['dice']:.3f}, HD95 {expected['hd95_mm']:.2f} mm" in said
    with open("s.csv", newline="") as file:
        table = {row["case"]: row for row in csv.DictReader(file)}
    assert float(table["a"]["dice"]) == pytest.approx(expected["dice"], rel=1e-5)
    assert float(table["a"]["hd95_mm"]) == pytest.approx(expected["hd95_mm"], rel=1e-5)
    assert table["b"]["dice"] == "" and table["b"]["note"] == "no reference has the name of this image"
    assert table["b"]["state"] == table["c"]["state"] == "done"
    assert table["c"]["note"].startswith("not compared with the reference: ") and "(2, 24, 40)" in table["c"]["note"]
    text = Path("p.html").read_text()
    assert "Dice</th>" in text and "no reference has the name of this image" in text
    assert 'href="refs/a_seg.nii.gz"' in text

    # finished labels and those that a person has changed are compared too
    data = io.read("refs/a_seg.nii.gz").data
    io.write(replace(ours, data=data), "out/a.nii.gz")
    assert cli.main([*LINE, "--reference", "refs", "--resume"]) == 0
    rows = {Path(row["input"]).name[0]: row for row in json.loads(Path("r.json").read_text())["files"]}
    said = capsys.readouterr().out
    assert "kept, 'a.nii.gz' was changed after it was made. --replace-edited has it made again; against the" in said
    assert "b.nii.gz is finished; no reference has the name of this image\n" in said
    assert "c.nii.gz is finished; not compared with the reference: " in said and "..." not in said
    assert rows["a"]["kept"] and rows["a"]["scores"][0]["dice"] == 1 and rows["a"]["scores"][0]["hd95_mm"] == 0


def test_a_single_image_takes_a_file_of_any_name(capsys):
    line = ["segment", "in/b.nii.gz", "-o", "b.nii.gz", "--model", "tiny", "--reference", "refs/a_seg.nii.gz"]
    assert cli.main([*line, "--workers", "1"]) == 0
    assert "against the reference organ: Dice 0." in capsys.readouterr().out


def test_references_that_cannot_be_meant_are_refused_before_the_run(capsys):
    assert cli.main([*LINE, "--reference", "nowhere"]) == 2
    assert "'nowhere' does not exist" in capsys.readouterr().err
    Path("others").mkdir()
    Path("refs/a_seg.nii.gz").rename("others/z.nii.gz")
    assert cli.main([*LINE, "--reference", "others"]) == 2
    assert "has the name of an image; it holds z.nii.gz, and the images are a.nii.gz, b" in capsys.readouterr().err
    assert cli.main(["segment", "in", "-o", "refs", "--model", "tiny", "--reference", "refs"]) == 2
    assert "would replace" in capsys.readouterr().err
    assert not Path("out").exists()
