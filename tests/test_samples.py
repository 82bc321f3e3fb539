"""The sample images are there and are what they say."""

import numpy as np
import pytest

from napari_medseg import io, samples
from napari_medseg.errors import FileError


@pytest.mark.parametrize(
    ("sample", "shape", "rgb"),
    [
        (samples.heart, (12, 256, 256), False),
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
