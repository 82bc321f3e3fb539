"""The sample images are there and are what they say."""

import numpy as np
import pytest

from napari_medseg import io, samples
from napari_medseg.errors import FileError


@pytest.mark.parametrize(
    ("sample", "shape", "rgb"),
    [
        (samples.heart, (12, 256, 256), False),
        (samples.heart_cine, (10, 12, 112, 112), False),
        (samples.hippocampus, (26, 37, 26), False),
        (samples.head, (147, 192, 137), False),
        (samples.nuclei, (360, 360, 3), True),
        (samples.stained_nuclei, None, True),
    ],
)
def test_samples_are_images(sample, shape, rgb):
    ((data, options, kind),) = sample()
    assert kind == "image" and options.get("rgb", False) == rgb and data.std() > 5
    assert shape is None or data.shape == shape


def test_labels_of_the_heart_have_its_grid_and_names():
    image = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    labels = io.read(samples.path("sunnybrook_SC-HF-I-01_ED_label.nii.gz"))
    assert labels.data.shape == image.data.shape and labels.data.dtype == np.uint8
    np.testing.assert_allclose(labels.affine, image.affine, rtol=0, atol=1e-6)
    assert [row.id for row in labels.classes] == np.unique(labels.data)[1:].tolist()
    assert "cavity" in labels.classes[0].name


@pytest.mark.parametrize(
    "name", ["fluorescence_05040e2e", "fluorescence_06c77933", "stained_0121d675", "stained_0bf33d3d"]
)
def test_every_nuclei_image_has_its_labels(name):
    image = io.read(samples.path(f"dsb2018_{name}.png"))
    labels = io.read(samples.path(f"dsb2018_{name}_label.tif"))
    assert labels.data.shape == image.data.shape[:2] and labels.data.max() > 5


def test_unknown_samples_are_told():
    with pytest.raises(FileError, match="Choose one of"):
        samples.path("../__init__.py")


def test_the_cine_is_the_heart_of_the_other_samples():
    still, cine = io.read(samples.path("sunnybrook_sax_ED")), io.read(samples.path("sunnybrook_SC-HF-I-01_cine.nii.gz"))
    corner = np.linalg.solve(still.affine, cine.affine[:, 3])[:3].round().astype(int)
    np.testing.assert_allclose(still.affine[:3, :3], cine.affine[:3, :3], atol=1e-5)
    z, y, x = cine.data.shape[1:]
    same = np.asarray(still.data)[corner[2] : corner[2] + z, corner[1] : corner[1] + y, corner[0] : corner[0] + x]
    assert np.corrcoef(same.ravel(), np.asarray(cine.data)[-1].ravel())[0, 1] > 0.999, (
        "its last phase is end of diastole"
    )


def test_organs_of_the_ct_lie_on_its_grid_and_a_model_made_them():
    image, labels = (layer[0] for layer in samples.trunk())
    assert image.shape == labels.shape and image.min() < -900
    volume = io.read(samples.path("totalseg_ct_label.nii.gz"))
    assert [row.name for row in volume.classes] == ["spleen", "right kidney", "left kidney", "liver", "aorta"]
    liver, spleen = (np.asarray(image)[np.asarray(labels) == number].mean() for number in (4, 1))
    assert 40 < liver < 70 and 25 < spleen < 60, "Hounsfield units without contrast medium"
    right, left = (np.argwhere(volume.data == number).mean(0)[::-1] for number in (2, 3))
    side = volume.affine[0, :3] @ (right - left)
    assert side > 0, "RAS: right is positive"
    assert volume.metadata["record"].models[0].name == "TotalSegmentator"


def test_all_samples_together_stay_small():
    sizes = [file.stat().st_size for file in samples.path("NOTICE.md").parent.rglob("*") if file.is_file()]
    assert sum(sizes) < 6e6
