"""Every kind of run leaves a record: complete, the same after JSON, without a folder in it, and kept by files."""

import getpass
import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import io, samples
from napari_medseg.io import items
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.recon.masked import sampled
from napari_medseg.recon.probe import probe_job
from napari_medseg.recon.reconstruct import ReconSettings, reconstruct_job
from napari_medseg.recon.settings import Sampling
from napari_medseg.recon.simulate import scan
from napari_medseg.recon.suggest import hint_job
from napari_medseg.record import Record, file_hash, voxel_hash
from napari_medseg.runs.study import StudySettings, acceleration_job
from napari_medseg.segmentation.consensus import consensus_job
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
KINDS = ["segment", "consensus", "reconstruct", "study", "compare", "probe"]


class Threshold(torch.nn.Module):
    def forward(self, x):
        return 20 * (x.mean(1, keepdim=True) - 0.5)


def model(name="threshold", sha256="12ab"):
    card = ModelCard(name, "litenext", Preprocess(percentiles=(0, 100)), CLASSES, sha256=sha256)
    return TrainedModel(card, Threshold())


@pytest.fixture
def volume(tmp_path):
    """A scan that was read from a file in a folder with a person's name."""
    data = np.random.default_rng(0).random((2, 32, 32), np.float32)
    folder = tmp_path / "Jane Doe"
    folder.mkdir()
    return io.read(io.write(Volume(data, "zyx", np.diag([1.0, 1, 4, 1])), folder / "scan.nii.gz"))


def result(kind, volume):
    masked = sampled(scan(volume), Sampling("random", 3, 0.2))
    zero = ReconSettings("zero-filled", dc="none")
    jobs = {
        "segment": lambda: segment_job(volume, model(), InferenceSettings(uncertainty=True)),
        "consensus": lambda: consensus_job(volume, [model("a"), model("b", "34cd")], InferenceSettings()),
        "reconstruct": lambda: reconstruct_job(masked, zero),
        "study": lambda: acceleration_job(volume, model(), StudySettings(accelerations=(2,)), zero),
        "compare": lambda: hint_job(masked, [(zero, None)]),
        "probe": lambda: probe_job(masked, zero),
    }
    return run(jobs[kind]())


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_its_record(kind, volume):
    found = result(kind, volume)
    record = found.record
    assert record.what == kind and record.inputs and record.settings and record.id and record.software and record.time
    text = json.dumps(record.to_json(), allow_nan=False)
    assert Record.from_json(json.loads(text)).sealed() == record.normal()
    for private in ("Jane Doe", "/", platform.node() or "/", f'"{getpass.getuser()}"'):
        assert private not in text
    assert result(kind, volume).record.id == record.id
    assert json.loads(json.dumps(record.normal().report())) == record.normal().report()


def test_inputs_and_outputs_are_named_and_hashed(volume):
    found = result("segment", volume)
    (scan_file,), (labels,) = found.record.inputs, found.record.outputs
    assert (scan_file.name, scan_file.kind) == ("scan.nii.gz", "compressed NIfTI")
    assert scan_file.sha256 == file_hash(Path(volume.metadata["source"]))
    assert scan_file.voxels == voxel_hash(volume.data) and scan_file.shape == (2, 32, 32)
    assert labels.voxels == voxel_hash(found.labels.data) and labels.affine == tuple(map(tuple, volume.affine.tolist()))
    assert [row["name"] for row in labels.classes] == ["bright"]
    assert found.uncertainty.record == found.record


def test_the_report_is_made_from_the_record(volume):
    report = result("segment", volume).report
    assert set(report) == {
        *("version", "model", "settings", "device", "slices", "seconds", "warnings", "classes"),
    }
    assert report["model"] == {"name": "threshold", "sha256": "12ab"} and report["settings"]["uncertainty"]
    both = result("consensus", volume).report
    assert [each["name"] for each in both["models"]] == ["a", "b"] and "model" not in both and "agreement" in both


def test_a_run_on_a_result_names_its_parent_and_not_the_file_of_the_scan(volume):
    image = result("reconstruct", volume).image
    second = run(segment_job(image, model(), InferenceSettings())).record
    assert second.parents == (image.record.id,)
    first = run(segment_job(volume, model(), InferenceSettings()))
    third = run(segment_job(first.labels.like(first.labels.data).made_by(first.record), model(), InferenceSettings()))
    (item,) = third.record.inputs
    assert not item.sha256 and not item.name and item.voxels


def test_mask_and_simulated_samples_tell_runs_apart(volume):
    kspace = scan(volume)
    ids = set()
    for seed in (0, 1):
        masked = sampled(kspace, Sampling("random", 3, 0.2, seed=seed))
        record = run(reconstruct_job(masked, ReconSettings("zero-filled", dc="none"))).record
        assert [item.role for item in record.inputs] == ["kspace", "mask"]
        assert record.inputs[0].name == "scan.nii.gz" and not record.inputs[0].sha256 and record.inputs[0].voxels
        ids.add(record.id)
    assert len(ids) == 2


def test_a_series_is_hashed_whatever_its_files_are_called(tmp_path):
    series = samples.path("sunnybrook_sax_ED")
    item = items.of_volume(io.read(series))
    (tmp_path / "copy").mkdir()
    for number, file in enumerate(sorted(series.glob("*.dcm"), reverse=True)):
        shutil.copy(file, tmp_path / "copy" / f"{number}.dcm")
    copied = items.of_volume(io.read(tmp_path / "copy"))
    assert item.kind == "DICOM" and item.bytes and (copied.sha256, copied.voxels) == (item.sha256, item.voxels)


def test_files_that_are_gone_leave_the_voxels(volume):
    moved = Path(volume.metadata["source"])
    moved.unlink()
    item = items.of_volume(volume)
    assert item.name == "scan.nii.gz" and not item.sha256 and item.voxels == voxel_hash(volume.data)


@pytest.mark.parametrize("ending", [".nii.gz", ".npz", ".npy", ".tif"])
def test_files_keep_the_record_of_a_reconstruction(tmp_path, volume, ending):
    found = result("reconstruct", volume)
    back = io.read(io.write(found.image, tmp_path / f"a{ending}"))
    assert back.record == found.record.normal() and back.metadata["simulated"]
