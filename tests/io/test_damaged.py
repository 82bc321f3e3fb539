"""Files cut short or with flipped bytes: one sentence or a valid volume, never another error."""

import logging
import random
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from napari_medseg import io
from napari_medseg.errors import MedsegError
from napari_medseg.volume import Volume

WRITTEN = ["a.nii", "a.nii.gz", "a.tif", "a.ome.tif", "a.npy", "a.npz", "a.nrrd", "a.seg.nrrd", "a.mha"]
FOREIGN = ["imagej.tif", "pages.tif", "a.png", "a.jpg"]
DICOM = ["MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_small_odd_jpeg.dcm", "examples_palette.dcm"]


@pytest.fixture(params=WRITTEN + FOREIGN + DICOM)
def sound(request, tmp_path, labels):
    """A file that can be read."""
    path = tmp_path / "sound" / request.param
    path.parent.mkdir()
    if request.param in WRITTEN:
        return io.write(replace(labels, data=np.tile(labels.data, (1, 4, 4))), path)
    if request.param in DICOM:
        return shutil.copy(get_testdata_file(request.param, download=False), path)
    noise = np.random.default_rng(0).integers(0, 255, (3, 40, 30), np.uint8)
    if request.param == "imagej.tif":
        tifffile.imwrite(path, noise, imagej=True, metadata={"axes": "ZYX", "unit": "um", "spacing": 2})
    elif request.param == "pages.tif":
        with tifffile.TiffWriter(path) as writer:
            for page in noise:
                writer.write(page, metadata=None, contiguous=False)
    else:
        Image.fromarray(noise.transpose(1, 2, 0)).save(path)
    return path


def attempt(path, content):
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            volume = io.read(path)
        except MedsegError as error:
            assert 20 < len(str(error)) < 400 and "\n" not in str(error)
            return None
    assert isinstance(volume, Volume) and np.asarray(volume.data).shape == volume.data.shape
    return volume


def test_cut_short(sound, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    whole, raw = io.read(sound), sound.read_bytes()
    for length in {1, 4, 100, 348, 400, 600, *(len(raw) * k // 12 for k in range(1, 12)), len(raw) - 9, len(raw) - 1}:
        volume = attempt(tmp_path / sound.name, raw[:length])
        if volume is not None:  # only what is not needed was cut off
            np.testing.assert_array_equal(volume.data, whole.data)
            np.testing.assert_array_equal(volume.affine, whole.affine)


def test_flipped_bytes(sound, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    raw, chance = sound.read_bytes(), random.Random(0)
    for _ in range(40):
        changed = bytearray(raw)
        for _ in range(chance.choice([1, 2, 8])):
            where = chance.randrange(min(len(raw), chance.choice([120, 500, 2000, len(raw)])))
            changed[where] = chance.choice([0, 127, 128, 255, changed[where] ^ 1 << chance.randrange(8)])
        attempt(tmp_path / sound.name, bytes(changed))
