"""MONOCHROME1: stored values are kept; layers, models and `info` know that low values are bright."""

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.cli import main
from napari_medseg.errors import FileError
from napari_medseg.io.contributions import layer_tuple, volume_from_layer_data
from napari_medseg.segmentation.slices import Slices
from napari_medseg.training.data.sources import read_pair
from napari_medseg.volume import LOW_IS_BRIGHT, Volume


@pytest.fixture
def xray(slice_file):
    path = slice_file("a.dcm", value=100, PhotometricInterpretation="MONOCHROME1", Modality="DX")
    raw = path.read_bytes()
    path.write_bytes(raw[:-2] + np.array([900], "<u2").tobytes())  # the last pixel is the darkest
    return path


def test_values_are_kept_and_a_layer_shows_them_turned_over(xray):
    volume = io.read(xray)
    assert volume.low_is_bright and volume.data[0, 0] == 100 and volume.data[-1, -1] == 900
    data, options, _ = layer_tuple(volume, "a")
    assert options["colormap"] == "gray_r" and data[-1, -1] == 900
    assert volume_from_layer_data(data, options).low_is_bright


def test_models_see_bright_as_high(xray):
    volume = io.read(xray)
    (seen,) = Slices(volume, None).read([0])
    assert seen.dtype == volume.data.dtype and seen[0, 0] == 900 and seen[-1, -1] == 100
    learnt = read_pair(xray, None, "a")
    np.testing.assert_array_equal(learnt.image, seen)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.tif", "a.npz", "a.npy"])
def test_saved_files_still_say_so(xray, tmp_path, name):
    (tmp_path / "out").mkdir()
    io.write(io.read(xray), tmp_path / "out" / name)
    again = io.read(tmp_path / "out" / name)
    assert again.low_is_bright and again.data[-1, -1] == 900


def test_info_says_so(xray, capsys):
    assert main(["info", str(xray)]) == 0
    assert "100 to 900, low values are bright (MONOCHROME1)" in capsys.readouterr().out


def test_both_directions_in_one_series_are_refused(slice_file):
    for k in (1, 2):
        path = slice_file(f"{k}", (0, 0, 2.0 * k), PhotometricInterpretation=f"MONOCHROME{k}")
    with pytest.raises(FileError, match="photometric interpretation MONOCHROME1"):
        io.read(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_mirroring_keeps_type_and_range(dtype):
    low, high = (-1.5, np.nan) if dtype == np.float32 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    data = np.array([[low, 3, 7, high]]).astype(dtype)
    seen = Volume(data, "yx", metadata={"photometric": LOW_IS_BRIGHT}).as_seen()
    assert seen.dtype == dtype
    np.testing.assert_array_equal(seen[0, [0, -1]], [7, np.nan] if dtype == np.float32 else [high, low])
    assert Volume(data, "yx").as_seen() is data
