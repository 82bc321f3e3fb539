"""What ``--resume`` leaves alone, makes again, and keeps."""

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import cli, files, io, models
from napari_medseg.errors import FileError
from napari_medseg.files import locking
from napari_medseg.io.notes import side_file
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import Record
from napari_medseg.runs import work
from napari_medseg.volume import LabelClass, Volume

LINE = ["segment", "in", "-o", "out", "--model", "tiny", "--resume", "--report", "r.json"]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Two images, labelled by a model that learned nothing."""
    monkeypatch.chdir(tmp_path)
    install(0)
    for seed, name in enumerate(("a.nii.gz", "b.nii.gz")):
        image(tmp_path / "in" / name, seed)
    assert cli.main(LINE) == 0
    return tmp_path


def install(seed):
    """A model of the name ``tiny``, with other weights for each `seed`."""
    torch.manual_seed(seed)
    card = models.ModelCard("tiny", "litenext", Preprocess(size=(64, 64)), (LabelClass(1, "cavity", "#e64b35"),))
    models.models_folder().mkdir(exist_ok=True)
    models.save(models.models_folder() / "tiny.safetensors", models.build("litenext"), card)


def image(path, seed):
    data = np.random.default_rng(seed).integers(0, 900, (2, 24, 40)).astype(np.int16)
    path.parent.mkdir(exist_ok=True)
    io.write(Volume(data, "zyx", np.diag([1.0, 1, 4, 1])), path)


def resumed(capsys, *more):
    """What is said of each image by the same command, and its rows in the report."""
    capsys.readouterr()
    assert cli.main([*LINE, *more]) == 0
    said = capsys.readouterr().out
    rows = {Path(row["input"]).name[0]: row for row in json.loads(Path("r.json").read_text())["files"]}
    assert set(rows) == {"a", "b"}, "none is missing"
    return said, rows


def test_what_is_finished_stays_and_keeps_its_figures(capsys):
    first = json.loads(Path("r.json").read_text())["files"]
    Path("r.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    said, rows = resumed(capsys, "--batch", "1", "--device", "cpu")
    assert said.count("skipped") == 2
    assert list(rows.values()) == first
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before


def test_what_is_missing_or_cut_is_made(capsys):
    Path("out/a.nii.gz").unlink()
    whole = Path("out/b.nii.gz").read_bytes()
    before = io.read("out/b.nii.gz").data
    Path("out/b.nii.gz").write_bytes(whole[:-20])
    said, _ = resumed(capsys)
    assert "a.nii.gz: 2 slices" in said
    assert "b.nii.gz: made again: the earlier output cannot be used ('b.nii.gz' is damaged" in said
    assert np.array_equal(io.read("out/b.nii.gz").data, before)


def test_another_image_is_seen(capsys):
    image(Path("in/a.nii.gz"), seed=7)
    said, rows = resumed(capsys)
    assert "a.nii.gz: made again; changed: inputs\n" in said
    assert rows["a"]["note"] == "made again; changed: inputs"
    assert "b.nii.gz: skipped" in said


def test_another_model_of_the_same_name_is_seen(capsys):
    install(1)
    said, _ = resumed(capsys)
    assert said.count("made again; changed: models 'tiny ") == 2


def test_another_setting_is_seen(capsys):
    said, _ = resumed(capsys, "--context", "none")
    assert said.count("made again; changed: settings.context 'auto' -> 'none'") == 2
    said, _ = resumed(capsys, "--context", "none", "--axes", "tyx")
    assert said.count("settings.axes None -> 'tyx'") == 2


def test_other_class_names_are_seen(capsys):
    Path("n.csv").write_text("id,name\n1,ventricle\n")
    said, rows = resumed(capsys, "--names", "n.csv")
    assert said.count("made again; changed: settings.names") == 2 and "ventricle" in said
    assert [row.name for row in io.read("out/a.nii.gz").classes] == ["ventricle"]
    assert rows["a"]["classes"][0]["name"] == "ventricle"
    assert "--names n.csv" in json.loads(Path("r.json").read_text())["command"]
    Path("n.csv").write_text("id,name\n5,ventricle\n")
    assert cli.main([*LINE, "--names", "n.csv"]) == 1
    assert "names 5, and the classes are 1" in capsys.readouterr().err
    Path("n.csv").write_text("id,name\n1,ventricle\n1,atrium\n")
    assert cli.main([*LINE, "--names", "n.csv"]) == 1
    assert "calls number 1 both 'ventricle' and 'atrium'" in capsys.readouterr().err
    Path("n.csv").write_text("id,name\n1,\n")
    assert cli.main([*LINE, "--names", "n.csv", "--summary", "n.csv"]) == 2, "the table would be replaced"
    said, _ = resumed(capsys, "--names", "n.csv")
    assert "cavity" in said, "a class without a name keeps the one that it has"


def edit_and_review():
    """A person changes one output and reviews the other."""
    labels = io.read("out/a.nii.gz")
    data = labels.data.copy()
    data[0, :5] = 1 - data[0, :5]
    io.write(replace(labels, data=data), "out/a.nii.gz")
    labels = io.read("out/b.nii.gz")
    io.write(labels.made_by(labels.record.with_reviewed([0])), "out/b.nii.gz")


def test_work_of_a_person_is_kept(capsys):
    edit_and_review()
    install(1)
    before = [path.read_bytes() for path in sorted(Path("out").iterdir())]
    said, rows = resumed(capsys)
    assert "a.nii.gz: kept, 'a.nii.gz' was changed after it was made" in said
    assert "b.nii.gz: kept, 'b.nii.gz' was reviewed by a person; since then changed: models" in said
    assert rows["a"]["kept"] and rows["b"]["kept"]
    assert [path.read_bytes() for path in sorted(Path("out").iterdir())] == before
    said, rows = resumed(capsys, "--replace-edited")
    assert "a.nii.gz: made again: the earlier output was changed after it was made" in said
    assert "b.nii.gz: made again: the earlier output was reviewed by a person; since then changed: models" in said
    assert not any("kept" in row or io.read(row["output"]).record.reviewed for row in rows.values())


def test_work_of_a_person_is_never_replaced_without_a_word(capsys):
    made = io.read("out/a.nii.gz").data
    edit_and_review()
    before = [path.read_bytes() for path in sorted(Path("out").iterdir())]
    plain = [word for word in LINE if word != "--resume"]
    assert cli.main(plain) == 1, "what was asked for was not done"
    said = capsys.readouterr().err
    ways = "Keep it with Resume (--resume), or have it made again with --replace-edited."
    assert f"'a.nii.gz' was changed after it was made. {ways}" in said
    assert f"'b.nii.gz' was reviewed by a person. {ways}" in said
    assert [path.read_bytes() for path in sorted(Path("out").iterdir())] == before
    assert cli.main([*plain, "--replace-edited"]) == 0
    assert np.array_equal(io.read("out/a.nii.gz").data, made)
    assert cli.main(plain) == 0, "what nobody touched is made again"


def test_work_that_a_person_saves_while_labels_are_made_again_is_kept(capsys, monkeypatch):
    before = Path("out/b.nii.gz").read_bytes()
    find, edited = work.inference.segment_job, []

    def slow_job(volume, *more):
        result = yield from find(volume, *more)
        if not edited:
            edit_and_review()
            edited.extend(path.read_bytes() for path in sorted(Path("out").glob("?.nii.gz")))
        return result

    monkeypatch.setattr(work.inference, "segment_job", slow_job)
    install(1)
    assert cli.main(LINE) == 1
    assert "'a.nii.gz' was changed while it was being made again; what was changed stays" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(Path("out").glob("?.nii.gz"))] == edited and edited[1] != before


def test_edited_labels_stay_although_a_map_that_is_asked_for_is_missing(capsys):
    edit_and_review()
    said, _ = resumed(capsys, "--uncertainty", "maps")
    assert "a.nii.gz: kept, 'a.nii.gz' was changed after it was made." in said
    assert "b.nii.gz: kept" in said and "'b_uncertainty.nii.gz' is missing" in said


def test_labels_of_unknown_origin_do_not_pass_for_finished(capsys):
    labels = io.read("out/a.nii.gz")
    io.write(Volume(labels.data, "zyx", labels.affine, labels.classes), "out/a.nii.gz")
    said, _ = resumed(capsys)
    assert "a.nii.gz: kept, 'a.nii.gz' does not say how it was made. --replace-edited has it made again." in said


def test_labels_without_the_side_file_that_they_need_are_made_again(capsys):
    line = ["segment", "in/a.nii.gz", "-o", "one.npy", "--model", "tiny", "--resume"]
    assert cli.main(line) == 0
    capsys.readouterr()
    assert cli.main(line) == 0
    assert "skipped" in capsys.readouterr().out
    side_file(Path("one.npy")).unlink()
    assert cli.main(line) == 0
    assert "made again: its side file is missing" in capsys.readouterr().out


def test_a_record_of_a_later_version_is_understood(capsys):
    labels = io.read("out/a.nii.gz")
    later = Record.from_json({**labels.record.to_json(), "schema": 99, "colour of the sky": "blue"})
    io.write(labels.made_by(later), "out/a.nii.gz")
    said, _ = resumed(capsys)
    assert said.count("skipped") == 2


@pytest.mark.parametrize("name", ["l.nii.gz", "l.tif", "l.npz", "l.npy"])
@pytest.mark.parametrize("more", [[], ["--split-objects"]])
def test_every_format_is_recognised_again(capsys, name, more):
    line = ["segment", "in/a.nii.gz", "-o", name, "--model", "tiny", "--resume", *more]
    assert cli.main(line) == 0
    capsys.readouterr()
    assert cli.main(line) == 0
    assert "skipped" in capsys.readouterr().out


def test_what_was_left_half_written_a_day_ago_is_removed():
    names = (".medseg-0123456789abcdef-a.nii.gz", ".medseg-0123456789abcdee-a.nii.gz", ".medseg-notes", ".other")
    for name in names:
        Path("out", name).write_text("half")
    for name in (names[0], *names[2:]):
        os.utime(Path("out", name), (time.time() - 90000,) * 2)
    assert cli.main(LINE) == 0
    assert sorted(path.name for path in Path("out").glob(".*")) == sorted(names[1:])


@pytest.mark.parametrize("whole_folder", [False, True])
def test_results_that_vanish_while_the_run_goes_on_have_failed(capsys, monkeypatch, whole_folder):
    find, made = work.inference.segment_job, []

    def job(volume, *more):
        result = yield from find(volume, *more)
        if made:
            shutil.rmtree("out") if whole_folder else Path("out/a.nii.gz").unlink()
        made.append(result)
        return result

    monkeypatch.setattr(work.inference, "segment_job", job)
    install(1)
    capsys.readouterr()
    assert cli.main([*LINE, "--summary", "s.csv"]) == 1
    said = capsys.readouterr()
    assert "[1/2] a.nii.gz: failed" in said.out and "'out/a.nii.gz' was moved or removed before the run" in said.err
    rows = [line.split(",")[0] for line in Path("s.csv").read_text().splitlines() if ",failed," in line]
    assert rows == ["a"] and Path("out/b.nii.gz").exists()
    report = json.loads(Path("r.json").read_text())
    assert [Path(row["input"]).name for row in report["files"]] == ["b.nii.gz"] and len(report["failures"]) == 1


def test_a_full_disk_names_the_folder_of_the_run(capsys, monkeypatch):
    def full(*_):
        raise FileError("'hidden' could not be saved.") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locking, "note", full)
    assert cli.main(LINE) == 1
    assert "The folder 'out' cannot be written to (No space left on device)" in capsys.readouterr().err


def test_a_second_run_on_the_same_folder_is_refused(capsys):
    before = Path("r.json").read_text()
    with files.lock(Path("out")):
        assert cli.main(LINE) == 1
    said = capsys.readouterr().err
    assert f"process {os.getpid()}, since" in said and "writes to 'out'" in said
    assert Path("r.json").read_text() == before, "it is the report of the other run"
    assert cli.main(LINE) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
