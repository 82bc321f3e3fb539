"""The table and the page of a cohort: every case, every reason, nothing from outside."""

import base64
import csv
import io as streams
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_medseg import cli, io, models
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.record import Record
from napari_medseg.runs import looks, page, suspicion
from napari_medseg.runs.cases import cases
from napari_medseg.runs.summary import results_job, rows, write_csv
from napari_medseg.runs.tasks import Failure, Outcome, Task
from napari_medseg.segmentation.settings import BEYOND, OUTSIDE
from napari_medseg.volume import LabelClass, Volume

ORGAN = (LabelClass(1, "organ", "#e64b35"),)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ball(radius=9.0, shift=0, shape=(12, 40, 48)):
    """A ball in a volume with slices of 2 mm."""
    z, y, x = np.indices(shape)
    inside = (2 * (z - 6)) ** 2 + (y - 20) ** 2 + (x - 24 - shift) ** 2 < radius**2
    return Volume(inside.astype(np.uint8), "zyx", np.diag([1.0, 1, 2, 1]), ORGAN)


def outcome(name, labels, uncertainty=None, warnings=(), error=""):
    task = Task("segment", (f"in/{name}.nii.gz",), {"labels": f"out/{name}.nii.gz"})
    if error:
        return Outcome(task, "failed", error=error)
    record = Record("segment", seconds=2.0, warnings=tuple(warnings))
    return Outcome(task, "done", record, seconds=2.0, look=looks.of_labels(labels, None, uncertainty))


def healthy(count=12):
    return [outcome(f"case{number}", ball(8.5 + 0.1 * number)) for number in range(count)]


def order(outcomes):
    """Names of the cases that have reasons, the first one to look at first, with these."""
    found = cases(outcomes)
    why = suspicion.reasons(found)
    flagged = [(case.name, reasons) for case, reasons in zip(found, why, strict=True) if reasons]
    flagged.sort(key=lambda pair: -suspicion.weight(pair[1]))
    return [(name, " / ".join(reason.text for reason in reasons)) for name, reasons in flagged]


def test_figures_of_a_ball():
    (row,) = looks.of_labels(ball()).classes
    assert row.voxels == np.count_nonzero(ball().data) and row.volume_ml == pytest.approx(row.voxels * 2e-3)
    assert (row.parts, row.touches_border, row.uncertainty) == (1, False, None)
    assert 0 < row.area_jump < 0.5
    cut = ball().data.copy()
    cut[6] = 0
    (row,) = looks.of_labels(replace(ball(), data=cut)).classes
    assert row.area_jump > 0.9 and row.parts == 2
    (row,) = looks.of_labels(ball(shift=18)).classes
    assert row.touches_border
    (row,) = looks.of_labels(replace(ball(), data=0 * cut)).classes
    assert (row.voxels, row.parts, row.area_jump) == (0, 0, None)


def test_uncertainty_counts_at_the_border_only():
    labels = ball()
    inner = np.zeros(labels.data.shape, np.uint8)
    inner[6, 20, 24] = 255
    (row,) = looks.of_labels(labels, None, labels.like(inner)).classes
    assert row.uncertainty == 0
    (row,) = looks.of_labels(labels, None, labels.like(np.full_like(inner, 51))).classes
    assert row.uncertainty == pytest.approx(0.2)


def test_a_picture_shows_image_and_contours():
    labels = ball()
    image = labels.like(np.random.default_rng(0).integers(0, 900, labels.data.shape).astype(np.int16))
    content = base64.b64decode(looks.of_labels(labels, image).picture)
    pixels = np.asarray(Image.open(streams.BytesIO(content)).convert("RGB")).astype(int)
    assert len(content) < 40_000 and pixels.shape[1] > 6 * pixels.shape[0]
    red = (pixels[..., 0] - pixels[..., 1] > 60).mean()
    assert 0.005 < red < 0.2, "contours, not areas"
    filled = np.asarray(Image.open(streams.BytesIO(base64.b64decode(looks.of_labels(labels).picture)))).astype(int)
    assert (filled[..., 0] - filled[..., 1] > 60).mean() > red, "without an image the labels are filled"


@pytest.mark.parametrize(
    "volume",
    [
        Volume(np.ones((9, 8, 3), np.uint8), "yxc"),
        Volume(np.ones((2, 3, 4, 9, 8), np.float32), "tczyx"),
        Volume(np.full((9, 8), np.nan, np.float32), "yx"),
        Volume(np.ones((9, 8), bool), "yx"),
    ],
)
def test_every_kind_of_image_has_a_picture(volume):
    assert looks.of_image(volume).picture
    labels = volume.like(np.zeros([n for n, axis in zip(volume.data.shape, volume.axes, strict=True) if axis != "c"]))
    assert looks.of_labels(replace(labels, data=labels.data.astype(np.uint8)), volume).picture


@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_case_comes_first_with_its_reason(seed):
    good = healthy()
    (big,) = [outcome("big", ball(17))]
    cut = ball().data.copy()
    cut[6] = 0
    jump = outcome("jump", replace(ball(), data=cut))
    empty = outcome("empty", replace(ball(), data=0 * cut))
    doubted = outcome("doubted", ball(), warnings=[f"{OUTSIDE}the pixel size is 9 mm."])
    expected = {
        "big": (big, "organ: volume 1"),
        "jump": (jump, "jump of the area"),
        "empty": (empty, "organ is missing; 12 of 13 cases have it"),
        "doubted": (doubted, "Outside what the model was trained on"),
    }
    assert not order(good)
    for name, (spoilt, reason) in expected.items():
        mixed = [*good, spoilt]
        np.random.default_rng(seed).shuffle(mixed)
        (first, text), *_ = order(mixed)
        assert first == name and reason in text


def test_uncertain_cases_and_warnings_of_few_are_reasons():
    labels = ball()
    doubt = [np.full(labels.data.shape, 20 + number, np.uint8) for number in range(9)]
    good = [outcome(f"c{number}", ball(), labels.like(array)) for number, array in enumerate(doubt)]
    assert not order(good)
    unsure = outcome("unsure", ball(), labels.like(np.full(labels.data.shape, 200, np.uint8)))
    assert [name for name, _ in order([*good, unsure])] == ["unsure"]
    common = [replace(each, record=replace(each.record, warnings=("All are small.",))) for each in good]
    assert not order(common), "what holds for most is not a reason"
    assert [name for name, _ in order([*good[1:], common[0]])] == ["c0"]


def test_warnings_are_compared_without_their_numbers():
    texts = [f"{BEYOND}slice {n} of 12." if n % 2 else f"{BEYOND}slices 1 to {n}, 9 of 12." for n in range(9)]
    good = [outcome(f"c{n}", ball(), warnings=[text, f"{OUTSIDE}{n} mm."]) for n, text in enumerate(texts)]
    found = order(good)
    assert len(found) == 9 and not any(BEYOND in text for _, text in found), "outside is said even where all are"
    shown = page.html(cases([*good, *healthy(3)]), "x", Path())
    assert "(9 cases)" in shown and "slices 1 to 8, 9 of 12" in shown, "it is said once for all"
    (first, text), *_ = order([*healthy(8), good[3]])
    assert first == "c3" and "slice 3 of 12" in text


def test_a_cine_has_the_mean_volume_of_its_time_points():
    one = ball()
    cine = replace(one, data=np.stack([one.data, one.data, 0 * one.data]), axes="tzyx")
    (still,), (moving,) = looks.of_labels(one).classes, looks.of_labels(cine).classes
    assert moving.voxels == 2 * still.voxels and moving.volume_ml == pytest.approx(2 / 3 * still.volume_ml)


def test_few_cases_are_not_compared():
    assert not order([*healthy(5), outcome("big", ball(17))])


def test_the_table_has_a_row_for_each_class_and_each_failure():
    found = cases([*healthy(2), outcome("bad", None, error="=1+1 is damaged")], [Failure("nowhere", "does not exist")])
    write_csv(Path("t/table.csv"), found)
    with open("t/table.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["case"], row["class"], row["state"]) for row in table] == [
        ("case0", "organ", "done"),
        ("case1", "organ", "done"),
        ("bad", "", "failed"),
        ("nowhere", "", "failed"),
    ]
    assert float(table[0]["volume_ml"]) == pytest.approx(rows(found)[0]["volume_ml"], rel=1e-5)
    assert float(table[0]["seconds"]) == 2 and table[0]["parts"] == "1" and table[0]["warnings"] == ""
    assert table[2]["error"] == "'=1+1 is damaged" and table[3]["error"] == "does not exist"


def test_the_page_needs_nothing_and_believes_no_file_name():
    evil = outcome("<script>alert(1)", ball())
    failed = outcome("broken", None, error="'<b>' is damaged")
    found = cases([*healthy(), evil, failed, Outcome(Task("segment", ("in/late.nii",)), "not reached")])
    text = page.html(found, "<i>", Path.cwd(), interrupted=True)
    assert "<script" not in text and "&lt;script&gt;" in text and "<i>" not in text and "<b>" not in text
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", text)
    assert "The run ended early" in text and "in/late.nii" in text and "not reached" in text
    assert text.count('<div class="case') == 13 and text.count("<svg") >= 2
    assert len(text) < 35_000 * 14


def test_of_a_large_cohort_the_first_cases_have_pictures(monkeypatch):
    monkeypatch.setattr(page, "MOST_PICTURES", 3)
    text = page.html(cases([*healthy(), outcome("big", ball(17))]), "t", Path.cwd())
    assert text.count("<img") == 3
    assert text.index("big</h3>") < text.index("case0</h3>") and "<img" in text[text.index("big</h3>") :][:400]


def test_commands_write_table_and_page_and_summary_does_so_without_computing(workplace, capsys):
    torch.manual_seed(0)
    card = models.ModelCard("tiny", "litenext", Preprocess(size=(64, 64)), ORGAN)
    models.models_folder().mkdir(exist_ok=True)
    models.save(models.models_folder() / "tiny.safetensors", models.build("litenext"), card)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        data = rng.integers(0, 900, (3, 24, 40)).astype(np.int16)
        (workplace / "in").mkdir(exist_ok=True)
        io.write(Volume(data, "zyx", np.diag([1.0, 1, 4, 1])), f"in/{name}.nii.gz")
    Path("in/c.nii.gz").write_bytes(b"no gzip")
    line = ["segment", "in", "-o", "out", "--model", "tiny", "--summary", "s.csv", "--html", "web/s.html"]
    assert cli.main([*line, "--uncertainty", "out"]) == 1
    first = Path("s.csv").read_text()
    text = Path("web/s.html").read_text()
    assert 'href="../out/a.nii.gz"' in text and "napari --plugin napari-medseg ../in/a.nii.gz ../out/a.nii.gz" in text
    assert text.count("<img") == 2 and "c.nii.gz" in text
    assert cli.main([*line, "--uncertainty", "out", "--resume"]) == 1
    again = Path("s.csv").read_text()
    kept = [line.replace(",done,", ",skipped,") for line in first.splitlines() if ",failed," not in line]
    assert kept == again.splitlines()[:3], "finished cases keep their figures"
    capsys.readouterr()
    assert cli.main(["summary", "out", "--images", "in/[ab]*", "--summary", "t.csv", "--html", "t.html"]) == 0
    assert capsys.readouterr().out == "t.csv\nt.html\n"
    with open("t.csv", newline="") as file, open("s.csv", newline="") as other:
        ours, theirs = (list(csv.DictReader(each)) for each in (file, other))
    assert [row["uncertainty"] for row in ours] == [row["uncertainty"] for row in theirs if row["class"]]
    assert Path("t.html").read_text().count("<img") == 2
    Path("other").mkdir()
    io.write(ball(), "other/a.nii.gz")
    twins = ["--images", "in/[ab]*", "--images", "other"]
    assert cli.main(["summary", "out", *twins, "--summary", "t.csv"]) == 0
    with open("t.csv", newline="") as file:
        inputs = [row["input"] for row in csv.DictReader(file)]
    assert inputs == ["in/a.nii.gz", "in/b.nii.gz"], "of several images of one name the right one"
    assert cli.main(["summary", "out", *twins[2:], "--summary", "t.csv"]) == 0
    assert "'a.nii.gz' is not the image that it was made of" in Path("t.csv").read_text()
    assert cli.main(["evaluate", "out/a.nii.gz", "out/b.nii.gz", "--summary", "e.csv", "--html", "e.html"]) == 0
    with open("e.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["dice"]) <= 1


def test_what_cannot_be_written_is_said_before_the_run(capsys):
    io.write(ball(), "a.nii.gz")
    line = ["segment", "a.nii.gz", "-o", "b.nii.gz", "--model", "litenext-heart"]
    assert cli.main([*line, "--summary", "s.txt"]) == 2 and "does not end in .csv" in capsys.readouterr().err
    assert cli.main(["summary", "."]) == 2 and "Add --summary" in capsys.readouterr().err
    assert cli.main(["summary", "nowhere", "--html", "p.html"]) == 1 and "is not a folder" in capsys.readouterr().err
    assert not Path("b.nii.gz").exists()


def test_folders_that_vanish_while_results_are_listed_are_left_out(tmp_path, monkeypatch):
    """Another program works in the same place."""
    labels = ball().made_by(Record("segment").sealed())
    for name in ("a", "gone", ".hidden"):
        (tmp_path / name).mkdir()
        io.write(labels, tmp_path / name / "x.nii.gz")
    scandir = os.scandir

    def racing(path):
        if Path(path).name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", racing)
    (found,) = run(results_job(tmp_path, []))
    assert found.task.target == tmp_path / "a" / "x.nii.gz"
