"""What *Copy as Python* copies runs, and gives what a run gives."""

import csv

import numpy as np
import pytest
import torch

import napari_medseg
from napari_medseg import io, models, samples
from napari_medseg.io.kspace import read_kspace
from napari_medseg.preprocess import Preprocess
from napari_medseg.recon.sampling import save_mask
from napari_medseg.recon.settings import FinishSettings, ReconSettings, Sampling
from napari_medseg.recon.simulate import scan
from napari_medseg.record import voxel_hash
from napari_medseg.runs import script
from napari_medseg.runs.settings import StudySettings
from napari_medseg.segmentation.settings import InferenceSettings
from napari_medseg.volume import LabelClass, Volume


@pytest.fixture
def image(tmp_path):
    for seed, name in enumerate(("tiny", "other")):
        torch.manual_seed(seed)
        card = models.ModelCard(name, "litenext", Preprocess(size=(32, 32)), (LabelClass(1, "cavity", "#e64b35"),))
        models.models_folder().mkdir(exist_ok=True)
        models.save(models.models_folder() / f"{name}.safetensors", models.build("litenext"), card)
    pixels = np.random.default_rng(0).random((3, 32, 48)).astype(np.float32)
    return io.write(Volume(pixels, "zyx", np.diag([1, 1, 3, 1.0])), tmp_path / "a 'b'.nii.gz")


def run(text):
    exec(compile(text, "copied", "exec"), {"__name__": "copied"})


def test_segment(image, tmp_path):
    out = tmp_path / "labels.nii.gz"
    settings = InferenceSettings(uncertainty=True, split_objects=True)
    run(script.segment(settings, ["tiny"], image, out))
    found = napari_medseg.segment(io.read(image), "tiny", uncertainty=True, split_objects=True)
    assert voxel_hash(io.read(out).data) == voxel_hash(np.asarray(found.labels.data).astype(io.read(out).data.dtype))
    assert np.array_equal(io.read(tmp_path / "labels_uncertainty.nii.gz").data, found.uncertainty.data)


def test_several_models_vote(image, tmp_path):
    out = tmp_path / "labels.nii.gz"
    text = script.segment(InferenceSettings(vote="labels"), ["tiny", "other"], image, out, axes="zyx")
    run(text)
    found = napari_medseg.segment(io.read(image), ["tiny", "other"], vote="labels")
    assert np.array_equal(io.read(out).data, found.labels.data)
    assert np.array_equal(io.read(tmp_path / "labels_disagreement.nii.gz").data, found.disagreement.data)
    assert text.count("vote='labels'") == 1
    assert "device" not in text, "defaults are left out"


def test_reconstruct_raw_data(tmp_path):
    raw = tmp_path / "raw.npz"
    with np.load(samples.path("brain8_poisson8x.npz")) as sample:
        np.savez(raw, kspace=sample["kspace"][..., 60:124, 60:124], mask=sample["mask"][60:124, 60:124])
    out = tmp_path / "out.nii.gz"
    finish = FinishSettings(gibbs=0.5)
    run(script.reconstruct(ReconSettings("zero-filled"), raw, out, finish=finish, reading={"conjugate": True}))
    kspace = read_kspace(raw, conjugate=True)
    found = napari_medseg.reconstruct(kspace, "zero-filled", finished=finish)
    assert np.array_equal(io.read(out).data, found.image.data)


def test_reconstruct_simulated_data_under_a_mask(image, tmp_path):
    out = tmp_path / "out.nii.gz"
    sampling = Sampling("random", 2.0, seed=3)
    settings = ReconSettings("tv", strength=0.01, iterations=3)
    kspace = scan(io.read(image))
    expected = napari_medseg.reconstruct(kspace, "tv", sampling=sampling, strength=0.01, iterations=3)
    run(script.reconstruct(settings, image, out, sampling=sampling, simulated=True))
    assert np.array_equal(io.read(out).data, expected.image.data)
    save_mask(expected.mask, tmp_path / "mask.npy")
    again = tmp_path / "again.nii.gz"
    run(script.reconstruct(settings, image, again, mask_file=tmp_path / "mask.npy", simulated=True))
    assert np.array_equal(io.read(again).data, expected.image.data)


def test_study(image, tmp_path):
    out = tmp_path / "study.csv"
    run(script.study(StudySettings((1, 2)), ReconSettings("zero-filled"), ["tiny"], image, out))
    with out.open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) >= 3
