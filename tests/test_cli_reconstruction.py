"""``reconstruct``, ``study acceleration`` and ``study methods`` on the command line."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.cli import main
from napari_medseg.samples import path

REFERENCE = Path(__file__).parent / "reference" / "mri" / "fastmri_like"
HEART = str(path("sunnybrook_SC-HF-I-01_ED.nii.gz"))


def test_raw_data_become_images_with_figures(tmp_path, capsys):
    out, report = tmp_path / "image.h5", tmp_path / "report.json"
    words = ["reconstruct", str(REFERENCE / "file17_sc.h5"), "-o", str(out), "--method", "tv", "--iterations", "5"]
    words += ["--mask", "random", "--acceleration", "4", "--center-fraction", "0.08", "--report", str(report)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "0.0000 after" in told and "zero-filled" in told and "fastMRI's definitions" in told
    with h5py.File(out) as file:
        assert file["reconstruction"].shape == (3, 80, 80) and file["reconstruction"].dtype == np.float32
    content = json.loads(report.read_text())
    assert content["mask"]["origin"] == "generated" and content["settings"]["iterations"] == 5
    assert content["metrics"]["tv"]["nmse"] < content["metrics"]["zero-filled"]["nmse"]


def test_zero_filled_figures_are_those_of_fastmri(tmp_path):
    """End to end, with the mask that fastMRI draws from the name of the file."""
    report = tmp_path / "report.json"
    words = ["reconstruct", str(REFERENCE / "file17_sc.h5"), "-o", str(tmp_path / "image.h5"), "--report", str(report)]
    assert main([*words, "--method", "zero-filled", "--mask", "random"]) == 0
    theirs = json.loads((REFERENCE.parent / "zerofilled.json").read_text())["volume_metrics_zero_filled"]
    ours = json.loads(report.read_text())["metrics"]["zero-filled"]
    for name, value in theirs["sc_random_4x_noclamp"].items():
        assert ours[name] == pytest.approx(value, rel=1e-5)


def test_images_are_simulated_on_their_own_grid(tmp_path, capsys):
    out = tmp_path / "image.nii.gz"
    words = ["reconstruct", HEART, "-o", str(out), "--method", "zero-filled"]
    assert main(words) == 2 and "--simulate" in capsys.readouterr().err
    assert main([*words, "--simulate", "--mask", "equispaced", "--direction", "y"]) == 0
    captured = capsys.readouterr()
    assert "simulated k-space" in captured.out and "simulated" in captured.err
    volume, source = io.read(out), io.read(HEART)
    np.testing.assert_allclose(volume.affine, source.affine, atol=1e-6)
    assert volume.data.shape == source.data.shape


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--method", "magic"], "no method 'magic'"),
        (["--method", "tv", "--acceleration", "4"], "--mask random"),
        (["--method", "tv", "--mask", "random", "--mask-file", "mask.npy"], "Choose one"),
        (["--method", "tv", "--mask-file", "absent.npy"], "cannot be read"),
        (["--method", "tv", "--mask-file", "mask.npy"], "expected a mask of"),
        (["--method", "sense"], "one coil"),
        (["--method", "tv", "--mask", "equispaced_fraction", "--center-fraction", "0.5"], "fewer centre lines"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, monkeypatch, capsys, more, sentence):
    monkeypatch.chdir(tmp_path)
    np.save("mask.npy", np.ones(7, bool))
    words = ["reconstruct", str(REFERENCE / "file17_sc.h5"), "-o", "image.h5", *more]
    assert main(words) in (1, 2)
    complaint = capsys.readouterr().err
    assert sentence in complaint and complaint.count("\n") == 1
    assert not Path("image.h5").exists()


def test_study_writes_table_plot_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    io.write(io.read(HEART).select("z", 5), "slice.nii.gz")
    words = ["study", "acceleration", "slice.nii.gz", "-o", "study.csv", "--model", "litenext-heart"]
    words += ["--method", "zero-filled", "--accelerations", "1,6", "--plot", "study.png", "--report", "study.json"]
    assert main(words) == 0
    assert "left-ventricular cavity: Dice" in capsys.readouterr().out
    head, first, second = Path("study.csv").read_text().splitlines()
    assert head.startswith("acceleration,effective") and first.startswith("1,1,inf,1,1,")
    assert second.startswith("6,")
    assert Path("study.png").stat().st_size > 5000
    report = json.loads(Path("study.json").read_text())
    assert [row["acceleration"] for row in report["rows"]] == [1, 6]
    table = Path("study.csv").read_text()
    assert main([*words, "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert " inf " in said and "left-ventricular cavity: Dice" in said, "also after a way through JSON"
    assert Path("study.csv").read_text() == table
    assert json.loads(Path("study.json").read_text())["rows"] == report["rows"]


def test_methods_are_compared_where_there_is_no_reference(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["study", "methods", str(REFERENCE / "file17_test.h5"), "-o", "methods.csv", "--method", "tv"]
    assert main([*words, "--method", "zero-filled", "--slices", "1", "--report", "methods.json"]) == 0
    captured = capsys.readouterr()
    assert "1 slice" in captured.out and "simulated" not in captured.out and "tv predicts" in captured.out
    assert "not a proof" in captured.err
    head, best, last = Path("methods.csv").read_text().splitlines()
    assert (head, last) == ("method,error", "zero-filled,1.0000") and best.startswith("tv,0.")
    report = json.loads(Path("methods.json").read_text())
    assert report["slices"] == [1] and [row["settings"]["method"] for row in report["methods"]] == ["tv"]


def test_all_methods_that_fit_are_compared_by_default(tmp_path, capsys):
    words = ["study", "methods", str(REFERENCE / "file17_sc.h5"), "-o", str(tmp_path / "methods.csv")]
    assert main(words) == 2 and "fully sampled" in capsys.readouterr().err
    assert main([*words, "--mask", "random", "--slices", "0"]) == 0
    names = [line.split(",")[0] for line in (tmp_path / "methods.csv").read_text().splitlines()]
    assert {"tv", "wavelet", "conditional-swin-mri", "conditional-swin-mri-dc", "zero-filled"} == set(names[1:])


def test_many_files_become_many_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.h5", "b.h5"):
        shutil.copy(REFERENCE / "file17_sc.h5", Path("in", name))
    shutil.copy(HEART, "in")
    Path("in", "cut.h5").write_bytes(Path("in", "a.h5").read_bytes()[:3000])
    line = ["reconstruct", "in", "absent.h5", "-o", "out", "--method", "zero-filled", "--report", "r.json", "--resume"]
    line += ["--mask", "random"]
    assert main(line) == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.h5", "b.h5"], "an image among them is no k-space"
    report = json.loads(Path("r.json").read_text())
    assert [row["output"] for row in report["files"]] == [str(Path("out", name)) for name in ("a.h5", "b.h5")]
    assert [Path(row["file"]).name for row in report["failures"]] == ["absent.h5", "cut.h5"]
    assert report["files"][0]["metrics"]["zero-filled"]["ssim"] > 0
    captured = capsys.readouterr()
    assert "[1/3] a.h5: " in captured.out and "2 of 4 failed" in captured.err

    assert main(line) == 1
    assert capsys.readouterr().out.count("skipped") == 2
    assert json.loads(Path("r.json").read_text())["files"] == report["files"], "figures of finished files stay"
    assert main([*line, "--seed", "1"]) == 1
    assert capsys.readouterr().out.count("made again; changed: inputs") == 2, "another mask"
    assert main([*line, "--seed", "1", "--dc", "none", "--conjugate"]) == 1
    assert "changed: settings.conjugate False -> True, settings.dc 'hard' -> 'none'" in capsys.readouterr().out
    assert main([*line[:1], "in/a.h5", "in/b.h5", *line[3:4], "one.h5", *line[5:]]) == 2
    assert "Give a folder" in capsys.readouterr().err


def test_what_else_was_asked_for_lies_next_to_the_image_with_its_place(tmp_path, capsys):
    words = ["reconstruct", str(REFERENCE / "file17_mc.h5"), "--method", "sense", "--mask", "equispaced"]
    more = ["--also", "phase", "--also", "coils", "--also", "point-spread", "--interpolate", "--gibbs", "0.5"]
    assert main([*words, "-o", str(tmp_path / "image.h5"), *more]) == 0
    told = capsys.readouterr()
    assert "highest side lobe has" in told.out and "before filter and interpolation" in told.err
    assert main([*words, "-o", str(tmp_path / "image.nii.gz"), "--interpolate"]) == 0
    image = io.read(tmp_path / "image.nii.gz")
    phase, coils = (io.read(tmp_path / f"image_{name}.nii.gz") for name in ("phase", "coils"))
    assert image.data.shape == (2, 160, 160) and phase.data.shape == (2, 80, 80) and coils.data.shape == (4, 2, 80, 80)
    np.testing.assert_allclose(np.array(phase.spacing) / image.spacing, (1, 2, 2), rtol=1e-5)
    np.testing.assert_allclose(coils.affine, phase.affine, atol=1e-6)
    assert np.abs(phase.data).max() <= np.float32(np.pi)
    assert main([*words, "-o", str(tmp_path / "image_phase.nii.gz"), "--also", "phase", "--resume"]) == 0


def test_what_cannot_be_shown_is_refused(tmp_path, capsys):
    words = ["reconstruct", str(REFERENCE / "file17_sc.h5"), "-o", str(tmp_path / "image.nii.gz"), "--method", "tv"]
    assert main([*words, "--also", "maps"]) == 2 and "one coil" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
