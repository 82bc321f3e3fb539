"""What is looked for before a folder of images is run."""

import shutil

import pytest

from napari_medseg import samples
from napari_medseg.progress import run
from napari_medseg.runs.batch import plan_job
from napari_medseg.runs.plan import Wanted


@pytest.fixture
def planned(tmp_path):
    def plan(name, model):
        source = samples.path(name)
        folder = tmp_path / "in"
        folder.mkdir()
        shutil.copy(source, folder / source.name)
        (folder / "z.nii.gz").write_bytes(b"no")
        return run(plan_job(Wanted((str(folder),), tmp_path / "out", (model,), {}))).notes

    return plan


def test_a_model_for_other_images_is_doubted_before_the_run(planned):
    (note,) = planned("studyforrest_hippocampus.nii.gz", "litenext-heart")
    assert note.startswith("⚠ studyforrest_hippocampus.nii.gz: ") and "Outside what the model was trained on: " in note


def test_a_model_for_such_images_is_not(planned):
    assert planned("sunnybrook_SC-HF-I-01_ED.nii.gz", "litenext-heart") == ()


def test_an_image_that_cannot_be_read_is_left_to_the_run(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no")
    found = run(plan_job(Wanted((str(tmp_path / "a.nii.gz"),), tmp_path / "out", ("litenext-heart",), {})))
    assert len(found.sources) == 1 and not found.notes
