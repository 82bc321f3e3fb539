"""BIDS datasets in and out; the rules are those of the specification, and of its validator where it is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from napari_medseg import cli, io, models
from napari_medseg.errors import FileError, SettingsError
from napari_medseg.io import class_tables
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import UsedModel
from napari_medseg.runs import bids
from napari_medseg.volume import LabelClass

# also that of an environment that is not active
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
VALIDATOR = shutil.which("bids-validator-deno", path=PLACES)
CLASSES = (LabelClass(1, "cavity", "#e64b35"),)
ONE = UsedModel("lstm-sa-heart", "12ab")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dataset(*names, root="raw"):
    """A dataset whose images are empty files."""
    for name in names:
        subject, *rest = name.split("_")
        session = [rest[0]] if rest and rest[0].startswith("ses-") else []
        path = Path(root, subject, *session, "anat", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path(root, "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.10.0"}')
    return Path(root)


def test_images_are_found_by_their_suffix():
    root = dataset(
        "sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii", "sub-02_ses-2_run-1_T1w.nii.gz", "sub-02_ses-2_run-1_T1w.json"
    )
    dataset("sub-09_T1w.nii.gz", root="raw/derivatives/other")
    (root / "sub-01" / "anat" / "notes_T1w.nii.gz").touch()
    (root / "sub-01" / "func").mkdir()
    (root / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz").touch()
    names = ["sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii", "sub-02_ses-2_run-1_T1w.nii.gz"]
    assert [path.name for path in bids.find(root)] == names
    assert [path.name for path in bids.find(root, "T1w")] == names
    assert [path.name for path in bids.find(root, "bold")] == ["sub-01_task-rest_bold.nii.gz"]
    dataset("sub-03_T2w.nii.gz")
    with pytest.raises(SettingsError, match=r"T1w \(3\), T2w \(1\)\. Name one as suffix, such as T1w \(--bids T"):
        bids.find(root)
    with pytest.raises(FileError, match=r"holds no image '\*_FLAIR.nii.gz'; there are .*T1w \(3\)"):
        bids.find(root, "FLAIR")
    with pytest.raises(FileError, match="holds no dataset_description"):
        bids.find(root / "sub-01")


def test_labels_keep_the_entities_of_their_image():
    root = dataset("sub-01_T1w.nii.gz", "sub-02_ses-1_acq-mp2_run-1_T1w.nii")
    found = bids.places(bids.find(root), root, Path("out"), ["lstm-sa-heart"])
    assert [path.as_posix() for path in found] == [
        "out/sub-01/anat/sub-01_seg-lstmsaheart_dseg.nii.gz",
        "out/sub-02/ses-1/anat/sub-02_ses-1_acq-mp2_run-1_seg-lstmsaheart_dseg.nii.gz",
    ]
    assert bids.sidecar(found[0]).name == "sub-01_seg-lstmsaheart_dseg.json"
    twins = dataset("sub-01_T1w.nii.gz", "sub-01_T1w.nii", root="twins")
    with pytest.raises(SettingsError, match="would both be called"):
        bids.places(bids.find(twins), twins, Path("out"), ["m"])


def test_a_foreign_dataset_is_left_alone():
    root = dataset("sub-01_T1w.nii.gz")
    foreign = dataset("sub-01_T1w.nii.gz", root="foreign")
    before = sorted(foreign.rglob("*"))
    with pytest.raises(SettingsError, match="napari-medseg did not make"):
        bids.prepare(foreign, root, [ONE], CLASSES)
    assert sorted(foreign.rglob("*")) == before
    bids.prepare(Path("ours"), root, [ONE], CLASSES)
    bids.prepare(Path("ours"), root, [ONE], CLASSES)
    with pytest.raises(SettingsError, match="images of another dataset"):
        bids.prepare(Path("ours"), foreign, [ONE], CLASSES)


def segmented():
    """A dataset with a subject with sessions and one without, and a derivatives dataset of it."""
    torch.manual_seed(0)
    card = models.ModelCard("tiny-one", "litenext", Preprocess(size=(64, 64)), CLASSES)
    models.models_folder().mkdir(exist_ok=True)
    models.save(models.models_folder() / "tiny-one.safetensors", models.build("litenext"), card)
    root = dataset("sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii.gz", "sub-02_ses-1_T2w.nii.gz")
    for path in root.rglob("*_T1w.nii.gz"):
        data = np.random.default_rng(0).integers(0, 900, (2, 24, 40)).astype(np.int16)
        image = nibabel.Nifti1Image(data.T, np.diag([1.0, 1, 4, 1]))
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, path)
    line = ["segment", "raw", "--bids", "T1w", "-o", "raw/derivatives/medseg", "--model", "tiny-one"]
    assert cli.main([*line, "--report", "r.json", "--summary", "raw/derivatives/medseg/table.csv"]) == 0
    return line, Path("raw/derivatives/medseg")


def test_a_derivatives_dataset_is_complete_and_resumed(capsys):
    line, out = segmented()
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    stems = ("sub-01/anat/sub-01_seg-tinyone_dseg", "sub-02/ses-1/anat/sub-02_ses-1_seg-tinyone_dseg")
    pairs = [f"{stem}{ending}" for stem in stems for ending in (".json", ".nii.gz")]
    expected = {".bidsignore", "README", "dataset_description.json", "seg-tinyone_dseg.tsv", "table.csv", *pairs}
    assert set(names) == expected
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "napari-medseg"
    assert description["DatasetLinks"] == {"raw": "../.."}
    side = json.loads((out / pairs[2]).read_text())
    assert side["Sources"] == ["bids:raw:sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"] and side["Manual"] is False
    labels = io.read(out / pairs[3])
    assert side["record"]["id"] == labels.record.id and labels.data.dtype.kind == "u"
    assert class_tables.read(out / "seg-tinyone_dseg.tsv") == CLASSES
    assert json.loads(Path("r.json").read_text())["command"].endswith("--bids T1w")
    capsys.readouterr()
    assert cli.main([*line, "--resume"]) == 0
    assert capsys.readouterr().out.count("skipped") == 2
    assert cli.main(["segment", "raw", "raw", "--bids", "T1w", "-o", "out", "--model", "tiny-one"]) == 2


@pytest.mark.skipif(VALIDATOR is None, reason="the validator of BIDS is not installed")
def test_the_validator_finds_no_error():
    _, out = segmented()
    shutil.copytree(out, "alone")
    done = subprocess.run([VALIDATOR, "--json", "alone"], capture_output=True, text=True)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue.get("severity") == "error"]
