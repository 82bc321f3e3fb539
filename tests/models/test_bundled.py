"""The models of the package answer today what they answered when they entered (`tools/store_answers.py`)."""

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import io, models
from napari_medseg.progress import run
from napari_medseg.samples import path as sample_path
from napari_medseg.segmentation.inference import InferenceSettings, segment_job

NAMES = sorted(
    entry.name.removesuffix(".safetensors")
    for entry in resources.files("napari_medseg.weights").iterdir()
    if entry.name.endswith(".safetensors")
)
ANSWERS = Path(__file__).parents[1] / "reference" / "bundled"


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_stored_ones(name):
    model = models.load(models.find(name))
    with np.load(ANSWERS / f"{name}.npz") as stored:
        assert str(stored["sha256"]) == model.card.sha256
        np.testing.assert_allclose(models.check(model).numpy(), stored["logits"], atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_a_person_must_know(name):
    card = models.load_card(models.find(name))
    assert card.task and card.modality and card.data and card.licence and card.split and card.limits
    assert card.recipe == f"{name}.json" and ("test" in card.metrics or "val" in card.metrics)


def test_a_heart_has_one_volume_however_it_is_stored():
    """Its middle slices as in a NIfTI file, as in its DICOM folder, cut along another axis, and as a small crop."""
    scan = io.read(sample_path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    frames = io.read(sample_path("sunnybrook_sax_ED"))
    start = scan.affine[:3, :3] @ [64, 64, 0]
    corner = scan.affine.copy()
    corner[:3, 3] += start
    small = replace(scan, data=scan.data[:, 64:192, 64:192], affine=corner)
    # (z, y, x) becomes (y, x, z): columns of the affine follow
    across = replace(scan, data=scan.data.transpose(1, 2, 0), affine=scan.affine[:, [2, 0, 1, 3]])
    model = models.load(models.find("litenext-heart"))
    found = {}
    for name, volume in {"nifti": scan, "dicom": frames, "small": small, "across": across}.items():
        middle = {axis: slice(None) for axis in "zyx"}
        middle["x" if name == "across" else "z"] = slice(5, 7)
        part = replace(volume, data=volume.data[tuple(middle[axis] for axis in "zyx")])
        result = run(segment_job(part, model, InferenceSettings()))
        assert result.labels.data.shape == part.data.shape
        found[name] = result.report["classes"][0]["volume_mm3"]
    assert found["nifti"] > 20_000
    for name, size in found.items():
        assert size == pytest.approx(found["nifti"], rel=0.03), name
