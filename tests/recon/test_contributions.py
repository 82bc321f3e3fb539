"""Raw data in napari's own Open."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_medseg import samples
from napari_medseg.errors import VolumeError
from napari_medseg.io.contributions import get_reader as get_image_reader
from napari_medseg.recon import contributions
from napari_medseg.recon.contributions import FILE, get_reader, head

MRI = Path(__file__).parents[1] / "reference" / "mri"


def test_raw_data_open_as_the_image_that_the_file_holds_too():
    path = MRI / "fastmri_like" / "file17_mc.h5"
    ((data, options, kind),) = get_reader(str(path))(str(path))
    with h5py.File(path) as file:
        np.testing.assert_allclose(data, file["reconstruction_rss"], rtol=1e-4)
    assert kind == "image" and options["scale"] == pytest.approx([4, 1.8, 1.8])
    assert options["metadata"]["medseg"][FILE] == str(path)


def test_readers_share_npz_files_by_what_they_hold(tmp_path):
    np.savez(tmp_path / "image.npz", image=np.ones((3, 8, 8), np.float32))
    raw, image = str(samples.path("brain8_poisson8x.npz")), str(tmp_path / "image.npz")
    assert get_reader(raw) and not get_image_reader(raw)
    assert get_image_reader(image) and not get_reader(image)


def test_ambiguous_axes_are_told_and_where_to_name_them(tmp_path):
    np.savez(tmp_path / "raw.npz", kspace=np.ones((3, 8, 8), np.complex64))
    path = str(tmp_path / "raw.npz")
    with pytest.raises(VolumeError, match="Reconstruct dock"):
        get_reader(path)(path)


def test_slices_of_large_files_are_computed_when_they_are_looked_at(monkeypatch):
    monkeypatch.setattr(contributions, "_AT_ONCE", 1000)
    path = str(MRI / "fastmri_like" / "file17_sc.h5")
    asked, whole = [], contributions.magnitude
    monkeypatch.setattr(contributions, "magnitude", lambda kspace, i: asked.append(i) or whole(kspace, i))
    ((data, options, _),) = get_reader(path)(path)
    assert data.shape == (3, 80, 80) and asked == [1]
    assert options["contrast_limits"][1] > 0
    assert np.asarray(data[2]).any() and asked == [1, 2]


def test_head_is_a_real_image_that_knows_its_file():
    ((data, options, _),) = head()
    assert data.shape == (1, 230, 180) and data.dtype == np.float32 and data.std() > 0
    assert Path(options["metadata"]["medseg"][FILE]).is_file()
