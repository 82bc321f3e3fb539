"""The sample heart as DICOM series of several directions and orders, with labels that a model gives."""

import numpy as np
import pydicom
import pytest

from napari_medseg import cli, io, samples

HEART = samples.path("sunnybrook_sax_ED")


@pytest.fixture(scope="session")
def segmented(tmp_path_factory):
    """The labels of the sample heart as NIfTI and as a segmentation, both from the command line."""
    folder = tmp_path_factory.mktemp("heart")
    paths = folder / "a.nii.gz", folder / "a.seg.dcm"
    for path in paths:
        assert cli.main(["segment", str(HEART), "-o", str(path), "--model", "litenext-heart"]) == 0
    return paths


@pytest.fixture(scope="module", params=["oblique", "axial", "files reversed", "rows flipped", "columns flipped"])
def series(request, segmented, tmp_path_factory):
    """The folder of a series, and labels on it."""
    folder = tmp_path_factory.mktemp("series")
    files = sorted(HEART.iterdir())
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        turn(dataset, request.param, number)
        dataset.InstanceNumber = len(files) - number if request.param == "files reversed" else number + 1
        dataset.save_as(folder / f"{dataset.InstanceNumber:03}.dcm")
    image = io.read(folder)
    labels = io.read(segmented[0])
    return folder, image.like(labels.data, labels.classes)


def turn(dataset, kind, number):
    """Give an image other directions, and turn its pixels with them."""
    position = np.array(dataset.ImagePositionPatient, float)
    across, down = np.reshape(dataset.ImageOrientationPatient, (2, 3)).astype(float)
    dy, dx = map(float, dataset.PixelSpacing)
    pixels = dataset.pixel_array
    if kind == "axial":
        position = np.array([-150.0, -160, -7.5 * number])
        across, down, _ = np.eye(3)
    elif kind == "rows flipped":
        position += (dataset.Rows - 1) * dy * down
        down = -down
        pixels = pixels[::-1]
    elif kind == "columns flipped":
        position += (dataset.Columns - 1) * dx * across
        across = -across
        pixels = pixels[:, ::-1]
    dataset.ImagePositionPatient = [float(f"{n:.9g}") for n in position]
    dataset.ImageOrientationPatient = [*across.tolist(), *down.tolist()]
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
