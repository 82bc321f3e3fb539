import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import torch

from napari_medseg import cli, io, models, samples
from napari_medseg.cli import commands
from napari_medseg.cli.report import write_json
from napari_medseg.io import kspace_out
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import Progress
from napari_medseg.record import Record
from napari_medseg.runs import child
from napari_medseg.segmentation import inference
from napari_medseg.segmentation.consensus import segment
from napari_medseg.volume import LabelClass, Volume

OBLIQUE = np.array([[1.2, 0.1, 2.0, -7], [-0.1, 1.3, 1.0, 5], [0.2, -0.2, 8.0, 30], [0, 0, 0, 1]])
HEAVY = {"dask", "napari", "nibabel", "numpy", "pydicom", "scipy", "skimage", "tifffile", "torch", "tqdm"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network that finds something, saved once for all tests."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    card = models.ModelCard(
        "tiny",
        "litenext",
        Preprocess(),
        (LabelClass(1, "cavity", "#e64b35"),),
        modality="cine MR",
        spacing_mm=(0.5, 1.0),
        metrics={"test": {"dice": 0.8765, "unet": {"dice": 0.5}}},
    )
    models.save(path, models.build("litenext"), card)
    return path


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch, own_home, weights):
    """An empty working folder, and a home with one model."""
    monkeypatch.chdir(tmp_path)
    (own_home / "models").mkdir()
    for suffix in (".safetensors", ".json"):
        shutil.copy(weights.with_suffix(suffix), own_home / "models")
    return tmp_path


def untrained(name, architecture="litenext", classes=("cavity",), seed=1, **options):
    """Install a model that learned nothing, but finds something."""
    torch.manual_seed(seed)
    rows = tuple(LabelClass(i, text, "#e64b35") for i, text in enumerate(classes, start=1))
    network = models.build(architecture, num_classes=len(rows) + 1, **options)
    for parameter in network.parameters():
        parameter.data *= 2
    card = models.ModelCard(name, architecture, Preprocess(size=(64, 64)), rows, options=options)
    models.save(models.models_folder() / f"{name}.safetensors", network.eval(), card)


def image(path, seed=0, shape=(3, 24, 40)):
    data = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    path.parent.mkdir(exist_ok=True)
    return io.write(Volume(data, "zyx", OBLIQUE), path)


def labels(path, data, affine=OBLIQUE):
    path.parent.mkdir(exist_ok=True)
    classes = (LabelClass(1, "cavity", "#ff0000"),)
    return io.write(Volume(np.asarray(data, np.uint8), "zyx", affine, classes), path)


def run(line):
    return cli.main(shlex.split(line))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_help_is_light():
    program = (
        "import sys; from napari_medseg import cli\n"
        "try: cli.main(['segment', '--help'])\n"
        "except SystemExit as end: print(end.code, *sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = result.stdout.splitlines()[-1].split()
    assert code == "0"
    assert "--uncertainty FILE" in result.stdout
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("command", ["segment", "evaluate", "train", "models", "models import", "info", "convert"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        run(command + " --help")
    assert end.value.code == 0
    assert f"usage: napari-medseg {command}" in capsys.readouterr().out


def test_segment_equals_the_python_api(workplace, capsys):
    path = image(workplace / "scan.nii.gz")
    line = "segment scan.nii.gz -o labels.nii.gz --model tiny --batch 2 --uncertainty u.tif --report new/r.json"
    assert run(line) == 0
    expected = segment(io.read(path), "tiny", uncertainty=True)
    found = io.read("labels.nii.gz")
    assert np.array_equal(found.data, expected.labels.data)
    assert 0 < found.data.mean() <= 1
    assert np.array_equal(io.read("u.tif").data, expected.uncertainty.data)
    assert np.allclose(found.affine, OBLIQUE, rtol=0, atol=1e-6)
    assert found.classes == expected.labels.classes
    told = capsys.readouterr()
    volume = expected.report["classes"][0]["volume_mm3"] / 1000
    assert "scan.nii.gz: 3 slices in" in told.out
    assert f"cavity {volume:.2f} ml -> labels.nii.gz" in told.out
    assert told.err.count("was trained for 0.5 to 1 mm") == 1


def test_the_report_repeats_the_run(workplace):
    image(workplace / "scan.nii.gz")
    assert run("segment scan.nii.gz -o a.nii.gz --model tiny --channel 0 --report r.json") == 1
    assert run("segment scan.nii.gz -o a.nii.gz --model tiny --batch 1 --axes tyx --report r.json") == 0
    report = json.loads((workplace / "r.json").read_text())
    card = models.load_card(models.find("tiny"))
    assert report["version"]
    assert report["model"] == {"name": "tiny", "sha256": card.sha256}
    assert (report["settings"]["batch"], report["settings"]["axes"]) == (1, "tyx")
    assert (report["failures"], report["interrupted"]) == ([], False)
    assert report["files"][0]["classes"][0]["voxels"] == np.count_nonzero(io.read("a.nii.gz").data)
    (workplace / "a.nii.gz").rename(workplace / "first.nii.gz")
    assert run(report["command"].removeprefix("napari-medseg ")) == 0
    assert np.array_equal(io.read("a.nii.gz").data, io.read("first.nii.gz").data)


def test_several_models_vote_over_a_cohort(workplace, capsys):
    untrained("other")
    untrained("third", seed=2)
    for name in ("a.nii.gz", "b.nii.gz"):
        image(workplace / "in" / name)
    chosen = "--model tiny --model other --model third"
    line = f"segment in -o out {chosen} --disagreement differ --report r.json"
    assert run(line) == 0
    expected = segment(io.read("in/a.nii.gz"), ["tiny", "other", "third"])
    assert np.array_equal(io.read("out/a.nii.gz").data, expected.labels.data)
    assert np.array_equal(io.read("differ/a_disagreement.nii.gz").data, expected.disagreement.data)
    assert expected.disagreement.data.any()
    said = capsys.readouterr().out
    assert "agreement (Dice) cavity 0." in said
    assert "between the labels that tiny, other and third each give alone, mean over all pairs" in said
    report = json.loads((workplace / "r.json").read_text())
    assert [row["name"] for row in report["models"]] == ["tiny", "other", "third"]
    assert report["files"][0]["agreement"] == expected.report["agreement"]
    assert report["files"][1]["disagreement"] == "differ/b_disagreement.nii.gz"

    (workplace / "differ" / "b_disagreement.nii.gz").unlink()
    again = report["command"].removeprefix("napari-medseg ") + " --resume --report r.json"
    assert run(again) == 0
    told = capsys.readouterr().out
    assert "a.nii.gz: skipped" in told
    assert "b.nii.gz: 3 slices" in told
    assert json.loads((workplace / "r.json").read_text())["files"][0] == report["files"][0]
    assert run(line.replace(" --model third", "") + " --resume") == 0
    told = capsys.readouterr().out
    assert "a.nii.gz: made again; changed: models 'tiny " in told
    assert "a.nii.gz: 3 slices" in told
    assert run(line.replace("--disagreement differ", "") + " --resume") == 0
    assert "--disagreement" not in json.loads((workplace / "r.json").read_text())["command"]


def test_neighbours_are_found_where_the_context_says(workplace, capsys):
    untrained("context", "lstm-sa", width=8, levels=1)
    scan, found = io.read(image(workplace / "scan.nii.gz")), {}
    for context in ("auto", "z", "none"):
        words = f"--context {context} --uncertainty {context}.nii.gz"
        assert run(f"segment scan.nii.gz -o labels --model context {words}") == 0
        found[context] = io.read(f"{context}.nii.gz").data
    assert np.array_equal(found["auto"], found["z"])
    alone = segment(scan, "context", context="none", uncertainty=True)
    assert np.array_equal(found["none"], alone.uncertainty.data)
    assert np.any(found["none"] != found["z"])
    assert run("segment scan.nii.gz -o t.nii.gz --model context --context t") == 1
    assert "along 't'" in capsys.readouterr().err


def test_numbered_objects_are_read_back_as_labels(workplace, capsys):
    image(workplace / "scan.nii.gz")
    assert run("segment scan.nii.gz -o objects.tif --model tiny --split-objects") == 0
    assert re.search(
        r"cavity \d+\.\d\d ml, \d+ objects?, mean area .* mm2, counted slice by slice -> objects.tif",
        capsys.readouterr().out,
    )
    assert run("info objects.tif") == 0
    assert "label image" in capsys.readouterr().out


def test_one_bad_file_fails_alone(workplace, capsys):
    image(workplace / "in" / "a.nii.gz")
    image(workplace / "in" / "c.npy", 1)
    (workplace / "in" / "b.nii.gz").write_bytes((workplace / "in" / "a.nii.gz").read_bytes()[:900])
    (workplace / "in" / "notes.txt").write_text("no image")
    assert run("segment in nowhere -o out --model tiny --report r.json") == 1
    assert names(workplace / "out") == ["a.nii.gz", "c.npz"]
    assert not [name for name in names(workplace / "out") if name.startswith(("b", ".", "notes"))]
    report = json.loads((workplace / "r.json").read_text())
    assert [row["output"] for row in report["files"]] == ["out/a.nii.gz", "out/c.npz"]
    assert [failure["file"] for failure in report["failures"]] == ["nowhere", "in/b.nii.gz"]
    told = capsys.readouterr().err
    assert "2 of 4 failed" in told
    assert "b.nii.gz' is damaged" in told
    assert "Traceback" not in told


def test_resume_does_what_is_missing(workplace, capsys):
    for name in ("a.nii.gz", "b.nii.gz"):
        image(workplace / "in" / name)
    line = "segment in -o out --model tiny --report r.json"
    assert run(line) == 0
    first = json.loads((workplace / "r.json").read_text())
    kept = (workplace / "out" / "a.nii.gz").stat().st_mtime_ns
    (workplace / "out" / "b.nii.gz").unlink()
    capsys.readouterr()
    assert run(line + " --resume --batch 1") == 0
    assert "a.nii.gz: skipped" in capsys.readouterr().out
    assert (workplace / "out" / "a.nii.gz").stat().st_mtime_ns == kept
    second = json.loads((workplace / "r.json").read_text())
    assert second["files"][0] == first["files"][0], "what an earlier run found stays in the report"
    assert second["files"][1]["classes"] == first["files"][1]["classes"]
    assert run(line + " --resume --split-objects") == 0
    assert "a.nii.gz: made again; changed: settings.split_objects False -> True" in capsys.readouterr().out
    (workplace / "r.json").unlink()
    assert run(line + " --resume --split-objects") == 0
    third = json.loads((workplace / "r.json").read_text())
    assert third["files"][0]["classes"] == first["files"][0]["classes"], "the labels say it, not the earlier report"


def test_an_input_is_never_overwritten(workplace, capsys):
    path = image(workplace / "in" / "a.nii.gz")
    before = path.read_bytes()
    for words in ("-o in", "-o out --uncertainty in/a.nii.gz", "-o out --report in/a.nii.gz", "-o in/../in/a.nii.gz"):
        assert run(f"segment in/a.nii.gz --model tiny {words}") == 2
        assert "would replace" in capsys.readouterr().err
    assert run("convert in/a.nii.gz in/a.nii.gz") == 2
    assert path.read_bytes() == before
    assert names(workplace / "in") == ["a.nii.gz"]


def test_an_interrupt_leaves_nothing_half_done(workplace, monkeypatch, capsys):
    def stopped(*args):
        yield Progress(1, 3)
        raise KeyboardInterrupt

    for name in ("a.nii.gz", "b.nii.gz"):
        image(workplace / "in" / name)
    line = "segment in -o out --model tiny --report r.json"
    assert run(line) == 0
    (workplace / "out" / "b.nii.gz").unlink()
    before = names(workplace / "out")
    monkeypatch.setattr(inference, "segment_job", stopped)
    capsys.readouterr()
    assert run(line + " --resume") == 130
    assert names(workplace / "out") == before
    assert capsys.readouterr().err.splitlines()[-1].startswith("napari-medseg: Interrupted.")
    report = json.loads((workplace / "r.json").read_text())
    assert report["interrupted"]
    assert [row["output"] for row in report["files"]] == ["out/a.nii.gz"]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_end_with_a_report(workplace, monkeypatch, capsys, name, code):
    def stopped(*args):
        yield Progress(1, 3)
        os.kill(os.getpid(), getattr(signal, name))
        yield Progress(2, 3)

    image(workplace / "in" / "a.nii.gz")
    before = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(inference, "segment_job", stopped)
    assert run("segment in nowhere -o out --model tiny --report r.json") == code
    assert signal.getsignal(getattr(signal, name)) == before
    report = json.loads((workplace / "r.json").read_text())
    assert report["interrupted"] and [failure["file"] for failure in report["failures"]] == ["nowhere"]
    told = capsys.readouterr().err
    assert told.index("nowhere") < told.index("Interrupted.")
    assert not names(workplace / "out")


def test_failures_of_any_kind_are_named_even_without_a_report(workplace, monkeypatch, capsys):
    def broken(volume, *args):
        yield Progress(1, 3)
        raise KeyError("not foreseen")

    for name in ("a.nii.gz", "b.nii.gz"):
        image(workplace / "in" / name)
    monkeypatch.setattr(inference, "segment_job", broken)
    assert run("segment in -o out --model tiny --report r.json") == 1
    failures = json.loads((workplace / "r.json").read_text())["failures"]
    assert [failure["error"] for failure in failures] == ["KeyError: 'not foreseen'"] * 2
    assert "in broken" in failures[0]["detail"], "the traceback"
    capsys.readouterr()
    (workplace / "folder.json").mkdir()
    assert run("segment in -o out --model tiny --report folder.json") == 1
    told = capsys.readouterr().err
    assert told.index("2 of 2 failed") < told.index("folder.json' cannot be written")
    assert "Traceback" not in told


def test_reports_are_plain_json_and_join_a_class_table(workplace):
    path = workplace / "new" / "report.json"
    write_json(path, {"a": float("nan"), "b": [float("inf"), np.float32(1.5), {"c": path}], "d": (1, None)})
    assert json.loads(path.read_text()) == {"a": None, "b": [None, 1.5, {"c": str(path)}], "d": [1, None]}
    assert names(path.parent) == ["report.json"]
    image(workplace / "scan.nii.gz")
    assert run("segment scan.nii.gz -o labels.npy --model tiny --report labels.json") == 0
    assert "files" in json.loads((workplace / "labels.json").read_text())
    assert io.read("labels.npy").classes[0].name == "cavity"
    assert run("segment scan.nii.gz -o labels.npy --model tiny --report labels.npy.json") == 2
    assert io.read("labels.npy").classes[0].name == "cavity"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("segment a.nii -o b.nii --model nothing", "'nothing' does not exist; choose one of"),
        ("segment a.nii c.nii -o b.nii --model tiny", "Give a folder"),
        ("segment a.nii -o b.xyz --model tiny", "ending that cannot be written"),
        ("segment a.nii -o b.nii --model tiny --disagreement d.nii", "needs two or more --model"),
        ("segment a.nii -o b.nii --model tiny --model x --uncertainty u.nii", "use --disagreement"),
        ("segment a.nii -o b.nii --model tiny --model litenext-heart", "Expected the same classes"),
        ("train nothing", "nor a bundled recipe"),
        ("models import a.pth --name ../a", "not a model name"),
        ("models import a.pth --architecture litenext --name tiny", "already"),
        ("models import a.pth --name new", "--architecture"),
    ],
)
def test_wrong_usage_is_a_sentence_and_2(words, text, capsys):
    assert run(words) == 2
    told = capsys.readouterr().err
    assert text in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["", "segment", "segment a -o b --model m --batch -1", "segment a -o b --model m --device x"]
)
def test_argparse_refuses_with_2(words):
    with pytest.raises(SystemExit) as end:
        run(words)
    assert end.value.code == 2


@pytest.mark.parametrize(
    "words", ["info nothing.nii", "segment nothing.nii -o b.nii --model tiny", "convert nothing.nii b.nii"]
)
def test_missing_file_is_one_sentence_and_1(words, capsys):
    assert run(words) == 1
    told = capsys.readouterr().err
    assert "nothing.nii" in told
    assert told.count("\n") == 1


def test_progress_is_a_bar_on_a_terminal_and_plain_lines_elsewhere(workplace, monkeypatch, capsys):
    image(workplace / "scan.nii.gz")
    line = "segment scan.nii.gz -o l.nii.gz --model tiny --batch 1"
    monkeypatch.setattr(cli.terminal, "_SECONDS_BETWEEN_LINES", 0)
    assert run(line) == 0
    assert "scan.nii.gz: slice 2 of 3\n" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(line) == 0
    told = capsys.readouterr()
    assert "/3 slices" in told.err
    assert told.out.count("\n") == 1


def test_evaluate(workplace, capsys):
    reference = np.zeros((4, 20, 20))
    reference[1:3, 5:15, 5:15] = 1
    reference[0, 0, 0] = 2
    prediction = np.where(reference == 1, 1, 0)
    prediction[2, :, 14] = 0
    labels(workplace / "p.nii.gz", prediction, affine=np.diag([1, 2, 10, 1]))
    labels(workplace / "r.nii.gz", reference, affine=np.diag([1, 2, 10, 1]))
    assert run("evaluate p.nii.gz r.nii.gz --report e.json") == 0
    heading, cavity, other = capsys.readouterr().out.splitlines()[:3]
    assert heading.split("  ")[0] == "class"
    assert "HD95 (mm)" in heading
    assert cavity.split() == ["cavity", "0.9744", "0.9500", "0.00", "0.03", "3.80", "4.00"]
    assert other.split() == ["class", "2", "0.0000", "0.0000", "inf", "inf", "0.00", "0.02"]
    report = json.loads((workplace / "e.json").read_text())
    assert "NaN" not in (workplace / "e.json").read_text()
    assert report["scores"][0]["dice"] == pytest.approx(380 / 390)
    assert report["scores"][1]["hd95_mm"] is None


def test_evaluate_refuses_other_grids(workplace, capsys):
    labels(workplace / "p.nii.gz", np.ones((2, 4, 4)))
    labels(workplace / "small.nii.gz", np.ones((2, 4, 3)))
    moved = OBLIQUE.copy()
    moved[0, 3] += 0.1
    labels(workplace / "moved.nii.gz", np.ones((2, 4, 4)), affine=moved)
    assert run("evaluate p.nii.gz small.nii.gz") == 1
    assert "(2, 4, 4)" in capsys.readouterr().err
    assert run("evaluate p.nii.gz moved.nii.gz") == 1
    assert "0.1 mm apart" in capsys.readouterr().err


def test_evaluate_folders(workplace, capsys):
    for name, size in (("a.nii.gz", 1), ("b.nii.gz", 3), ("lonely.tif", 1)):
        data = np.zeros((2, 6, 6))
        data[:, :size, :size] = 1
        labels(workplace / "p" / name, data)
        if "lonely" not in name:
            labels(workplace / "r" / name.replace("nii.gz", "tif"), np.where(data[:, ::-1], 0, data))
    assert run("evaluate p r --report e.json") == 1
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == [
        "file",
        "a.nii.gz",
        "b.nii.gz",
        "mean",
        "sd",
        "number",
    ]
    assert "lonely.tif' has no file of the same name" in told.err
    summary = json.loads((workplace / "e.json").read_text())["summary"]
    assert {row["of"]: row["dice"] for row in summary} == {"mean": 1, "sd": 0, "number": 2}


def test_evaluate_of_nothing_says_so(workplace, capsys):
    labels(workplace / "p" / "a.nii.gz", np.zeros((2, 6, 6)))
    labels(workplace / "p" / "b.nii.gz", np.ones((2, 6, 6)))
    shutil.copytree("p", "r")
    assert run("evaluate p r --report e.json") == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()[1:3]] == ["a.nii.gz", "b.nii.gz"]
    assert "a.nii.gz: Neither side holds a label" in told.err
    report = json.loads((workplace / "e.json").read_text())
    assert [row["dice"] for row in report["scores"]] == [None, 1] and len(report["warnings"]) == 1
    assert [row["dice"] for row in report["summary"] if row["of"] == "number"] == [1]


def test_evaluate_matches_objects(workplace, capsys):
    data = np.zeros((1, 20, 20), np.uint8)
    for number in range(5):
        data[0, 4 * number : 4 * number + 3] = number + 1
    io.write(Volume(data, "zyx", OBLIQUE), workplace / "r.nii.gz")
    io.write(Volume(np.array([0, 2, 3, 4, 5, 1], np.uint8)[data], "zyx", OBLIQUE), workplace / "p.nii.gz")
    assert run("evaluate p.nii.gz r.nii.gz") == 1
    assert "--objects" in capsys.readouterr().err
    assert run("evaluate p.nii.gz r.nii.gz --objects") == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["class", "F1", "precision", "recall"]
    assert line.split() == ["objects", "1.0000", "1.0000", "1.0000", "1.0000", "5", "5", "5"]


def test_train_resumes_and_its_model_can_be_imported(workplace, capsys):
    rng = np.random.default_rng(0)
    mask = np.zeros((2, 32, 32), np.uint8)
    mask[:, 8:20, 8:20] = 1
    np.savez("d.npz", image=(rng.integers(0, 60, mask.shape) + 150 * mask).astype(np.uint8), label=mask)
    settings = {
        "name": "toy",
        "architecture": "litenext",
        "train": [{"path": "d.npz"}],
        "val": [{"path": "d.npz"}],
        "classes": [{"id": 1, "name": "box", "colour": "#ff0000"}],
        "phases": [{"until": 1, "size": 32, "batch": 1}],
        "steps": 2,
        "validate_every": 1,
        "device": "cpu",
    }
    (workplace / "data").mkdir()
    (workplace / "d.npz").rename(workplace / "data" / "d.npz")
    (workplace / "toy.json").write_text(json.dumps(settings))
    assert run("train toy.json --root data --run run") == 0
    written = {"last.pt", "log.jsonl", "record.json", "settings.json", "toy.json", "toy.safetensors"}
    assert written == set(names(workplace / "run"))
    told = capsys.readouterr().out
    assert "step 2: loss" in told
    assert run(told.splitlines()[-1].replace("NAME", "mine").partition("napari-medseg ")[2]) == 0
    assert models.load(models.find("mine")).card.classes[0].name == "box"


def test_models(workplace, capsys):
    assert run("models") == 0
    assert ["tiny", "cavity", "0.877", "cine", "MR", "-"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]
    assert run("models --json") == 0
    assert "tiny" in [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert run("models tiny") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["test,", "tiny", "0.877"] in lines and ["test,", "tiny,", "unet", "0.500"] in lines
    assert run("models tiny --json") == 0
    assert json.loads(capsys.readouterr().out)["spacing_mm"] == [0.5, 1.0]


def test_models_verify_finds_a_changed_file(own_home, capsys):
    path = own_home / "models" / "tiny.safetensors"
    assert run("models verify") == 0
    assert "tiny: hash" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    assert run("models verify") == 1
    assert "SHA-256 differs" in capsys.readouterr().err


def test_models_verify_runs_every_kind(capsys):
    for name, options in (("lstm-sa", {"width": 8, "levels": 1}), ("conditional-swin-light", {}), ("litenext", {})):
        untrained(f"my-{name}", name, ("a", "b"), **options)
    assert run("models verify") == 0
    assert capsys.readouterr().out.count("forward pass are as expected") >= 4


def test_models_import_of_a_published_checkpoint(workplace, capsys):
    network = models.build("swin-unet", num_classes=3).eval()
    torch.save({"state_dict": models.to_published("swin-unet", network)}, "theirs.pth")
    line = "models import theirs.pth --name theirs --class liver --class tumour --spacing 0.6 1 --mode corrected"
    assert run(f"{line} --architecture conditional-swin-light") == 1
    told = capsys.readouterr().err
    assert "looks like swin-unet" in told
    assert told.count("\n") == 1
    assert run(f"{line} --architecture swin-unet") == 0
    told = capsys.readouterr().out
    path = models.find("theirs")
    for text in (
        "theirs (liver, tumour) is installed",
        "mode corrected",
        f"{path.with_suffix('.json')}; still to be filled in",
    ):
        assert text in told
    card = models.load_card(path)
    assert (card.spacing_mm, [row.name for row in card.classes]) == ((0.6, 1), ["liver", "tumour"])
    assert run("segment nothing -o l.nii --model theirs") == 1


def test_info(workplace, capsys):
    labels(workplace / "l.nii.gz", np.arange(2 * 4 * 5).reshape(2, 4, 5) % 2)
    assert run("info l.nii.gz") == 0
    told = capsys.readouterr().out
    for text in (
        "label image: 2 slices, 4 rows, 5 columns",
        "z 2 x y 4 x x 5",
        "uint8, 0 to 1",
        "z to head",
        "1 cavity",
    ):
        assert text in told
    image(workplace / "scan.nii.gz")
    assert run("segment scan.nii.gz -o made.nii.gz --model tiny") == 0
    capsys.readouterr()
    assert run("info made.nii.gz") == 0
    assert re.search(r"made by +segment, tiny, 20\d\d-", capsys.readouterr().out)
    assert run("info made.nii.gz --json") == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["record"]["models"][0]["name"] == "tiny"
    np.save("a.npy", np.array([[0.5, np.nan], [np.inf, 2]], np.float32))
    assert run("info a.npy --json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["minimum"], facts["maximum"], facts["not_finite"]) == (0.5, 2, 2)
    assert (facts["axes"], facts["spacing_mm"]) == ("yx", None)
    assert run("info a.npy --axes zz") == 1


def test_info_lists_the_series_of_a_folder_with_several(workplace, capsys):
    discs = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892003"
    assert run(f"info {shlex.quote(str(discs))}") == 0
    told = capsys.readouterr().out
    assert "17 series" in told and "FAST LOCALIZER; MR; 1 slice of 16 x 16; 1.37 x 1.37 mm" in told
    assert run(f"info {shlex.quote(str(discs))} --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["series"]) == 17 and found["series"][0]["rows"] == 16


def test_convert_to_a_dicom_segmentation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    series = samples.path("sunnybrook_sax_ED")
    image = io.read(series)
    data = np.zeros(image.data.shape, np.int16)
    data[3:6, 100:120, 90:130] = 2
    nibabel.save(nibabel.Nifti1Image(data.T, image.affine), "foreign.nii.gz")
    assert run("convert foreign.nii.gz a.seg.dcm") == 1
    assert "needs the images it was drawn on" in capsys.readouterr().err
    for more in ("", "--label-map"):
        assert run(f"convert foreign.nii.gz a.seg.dcm --reference {series} {more}") == 0
        back = io.read("a.seg.dcm")
        assert np.array_equal(back.data, data)
    assert "12 frames of reference" in capsys.readouterr().err
    nibabel.save(
        nibabel.Nifti1Image(np.arange(data.size, dtype=np.int32).reshape(data.T.shape), image.affine), "i.nii.gz"
    )
    assert run(f"convert i.nii.gz b.seg.dcm --reference {series}") == 1
    assert "this is an image" in capsys.readouterr().err


def test_segmentations_without_their_images_are_refused_before_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"), "scan.nii.gz")

    def never(*_, **__):
        raise AssertionError("the network has run")

    monkeypatch.setattr("napari_medseg.segmentation.inference.segment_job", never)
    assert run("segment scan.nii.gz -o a.seg.dcm --model litenext-heart") == 1
    assert "needs the images it was drawn on" in capsys.readouterr().err


def test_convert(workplace):
    path = labels(workplace / "l.nii.gz", np.eye(4)[None])
    assert run("convert l.nii.gz l.tif") == 0
    before, after = io.read(path), io.read("l.tif")
    assert np.array_equal(before.data, after.data)
    assert np.allclose(before.affine, after.affine, atol=1e-6)
    assert before.classes == after.classes


def test_a_tied_process_whose_input_is_closed_says_why_it_ends(monkeypatch, capsys):
    def closed(*_):
        raise OSError("bad file descriptor")

    codes = []
    monkeypatch.setattr(os, "read", closed)
    monkeypatch.setattr(os, "_exit", codes.append)
    child.follow_input(lambda _: None, commands._say_why)
    assert codes == [1] and "--tied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("P12345.7", bytes(600), "ge_to_ismrmrd"),
        ("meas.dat", (0).to_bytes(4, "little") + (2).to_bytes(4, "little") + bytes(600), "siemens_to_ismrmrd"),
        ("meas.dat", b"", "meas.dat"),
    ],
)
def test_info_names_the_converter_of_raw_data_that_are_not_read(tmp_path, capsys, name, head, words):
    (tmp_path / name).write_bytes(head)
    assert cli.main(["info", str(tmp_path / name)]) == 1
    assert words in capsys.readouterr().err


def test_info_of_raw_data_and_of_a_reconstruction(workplace, capsys):
    kspace = np.ones((2, 3, 8, 6), np.complex64)
    kspace[..., ::2] = 0
    np.save("raw.npy", kspace)
    assert run("info raw.npy") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "raw MR data: 2 slices, 3 coils, 8 rows (readout), 6 columns" in words
    assert "2.00x (3 of 6 columns), as its zeros show" in words and "not known" in words
    assert run("info raw.npy --json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["shape"] == [2, 3, 8, 6] and content["measured_share"] == 0.5
    made = Record("reconstruct", time="2026-11-28T00:00:00Z", settings={"method": "sense"})
    kspace_out.write_reconstruction("made.h5", np.ones((2, 4, 5), np.float32), {}, made)
    assert run("info made.h5") == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "2 slices, 4 rows, 5 columns" in words and "reconstruct, sense, 2026-11-28" in words


# what segmenting a small file needs besides PyTorch is loaded in an instant; these are not, and the file needs none
SLOW = {"PIL", "h5py", "matplotlib", "nibabel", "pydicom", "pywt", "scipy", "skimage", "zarr"}
# of those nibabel loads some itself
SLOW_FOR_NIFTI = {"h5py", "matplotlib", "pywt", "scipy.fft", "scipy.ndimage", "scipy.spatial", "skimage", "zarr"}


def test_a_short_run_loads_only_what_its_file_needs(workplace):
    tifffile.imwrite("scan.tif", np.zeros((2, 16, 16), np.uint8), metadata={"axes": "ZYX"})
    image(workplace / "scan.nii.gz")
    program = (
        "import sys; from napari_medseg import cli\n"
        "for file in ('scan.tif', 'scan.nii.gz'):\n"
        "    assert cli.main(['segment', file, '-o', f'out_{file}', '--model', 'tiny']) == 0\n"
        "    print('loaded', *sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith("loaded")]
    of_tiff, of_nifti = map(set, lines)
    assert {"torch", "tifffile"} <= of_tiff and "nibabel" in of_nifti
    assert not SLOW & of_tiff
    assert not SLOW_FOR_NIFTI & of_nifti
