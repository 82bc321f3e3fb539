"""Phase, coils, coil maps and the spread of a point, next to a reconstruction."""

import numpy as np
import pytest

from napari_medseg import KSpace, reconstruct
from napari_medseg.errors import SettingsError
from napari_medseg.recon import fft2c, ifft2c
from napari_medseg.recon.point_spread import FLOOR, highest_side_lobe, in_words, point_spread
from napari_medseg.recon.settings import VIEWS as NAMES
from napari_medseg.recon.views import VIEWS


def test_every_view_that_can_be_asked_for_can_be_made():
    assert tuple(VIEWS) == NAMES


def test_phase_of_one_coil_is_that_of_the_object(head):
    image = head((32, 28))
    kspace = KSpace(fft2c(image)[None, None], crop=(24, 20), spacing=(3, 2, 1))
    found = reconstruct(kspace, "zero-filled", also=["phase"])
    phase = found.views["phase"]
    assert phase.axes == "zyx" and np.array_equal(phase.affine, found.image.affine)
    np.testing.assert_allclose(phase.data[0], np.angle(image)[4:28, 4:24], atol=1e-3)
    assert phase.record == found.record and {item.role for item in found.record.outputs} == {"image", "phase"}


def test_coils_and_their_maps_have_an_axis_and_agree_with_the_image(kspace_of):
    data = kspace_of(2, coils=4)
    found = reconstruct(KSpace(data, spacing=(3, 2, 1)), "sense", also=["coils", "maps", "map-phases", "phase"])
    coils, maps = found.views["coils"], found.views["maps"]
    assert coils.axes == "czyx" and coils.data.shape == (4, 2, 64, 64) and coils.spacing == found.image.spacing
    np.testing.assert_allclose(maps.data * found.image.data, coils.data, atol=1e-4)
    bright = found.image.data > 0.3 * found.image.data.max()
    truth = np.abs(ifft2c(data)).swapaxes(0, 1)
    np.testing.assert_allclose(coils.data[:, bright], truth[:, bright], rtol=0.1, atol=0.04)
    np.testing.assert_allclose((maps.data**2).sum(0), 1, atol=0.02)
    whole = maps.data * np.exp(1j * found.views["map-phases"].data)
    again = whole * found.image.data * np.exp(1j * found.views["phase"].data)
    np.testing.assert_allclose(again[:, bright], ifft2c(data).swapaxes(0, 1)[:, bright], rtol=0.1, atol=0.04)


def test_frames_keep_their_axis(kspace_of):
    data = kspace_of(6, coils=2)
    found = reconstruct(KSpace(data, frames=3), "zero-filled", also=["coils"])
    coils = found.views["coils"]
    assert coils.axes == "tczyx" and coils.data.shape == (3, 2, 2, 64, 64)
    np.testing.assert_allclose(coils.data[2, 1, 0], np.abs(ifft2c(data[4, 1])), atol=1e-5)


@pytest.mark.parametrize(
    ("coils", "method", "view", "words"),
    [
        (4, "tv", "phase", "no phase. Choose a SENSE method"),
        (4, "zero-filled", "maps", "'zero-filled' combines the 4 coils without coil maps"),
        (1, "tv", "maps", "one coil"),
        (1, "tv", "wings", "There is no view 'wings'"),
    ],
)
def test_what_there_is_not_is_said_before_the_run(kspace_of, coils, method, view, words):
    with pytest.raises(SettingsError, match=words):
        reconstruct(KSpace(kspace_of(1, coils)), method, also=[view])


def test_point_spread_of_equal_steps_has_full_ghosts_at_equal_distances():
    mask = np.zeros(48, bool)
    mask[::4] = True
    spread = point_spread(mask, (32, 48))
    assert spread[16, 24] == 0 and spread.max() == 0
    lobe = highest_side_lobe(spread)
    assert lobe.level == pytest.approx(0, abs=1e-4) and (lobe.rows, lobe.columns) in ((0, 12), (0, 24))
    assert "0.0 dB" in in_words(lobe) and "columns from the centre" in in_words(lobe)


def test_the_slope_of_a_wide_centre_is_no_side_lobe():
    smooth = np.exp(-(((np.arange(64) - 32) / 12) ** 2))
    spread = 20 * np.log10(np.maximum(np.outer(smooth, smooth), 1e-4)).astype(np.float32)
    assert highest_side_lobe(spread) is None
    mask = np.zeros(64, bool)
    mask[28:37] = True  # a sinc, whose first side lobe is known
    lobe = highest_side_lobe(point_spread(mask, (8, 64)))
    assert lobe.level == pytest.approx(-13, abs=0.7) and lobe.rows == 0 and lobe.columns == 10


def test_full_sampling_has_no_side_lobe():
    spread = point_spread(np.ones(31, bool), (20, 31))
    assert highest_side_lobe(spread) is None and np.count_nonzero(spread > FLOOR) == 1
    assert "nothing is aliased" in in_words(None)


def test_the_record_names_the_side_lobe(kspace_of):
    kspace = KSpace(kspace_of(2))
    mask = np.arange(64) % 2 == 0
    found = reconstruct(kspace, "zero-filled", mask=mask, also=["point-spread"])
    assert found.record.figures["side_lobe"]["columns"] == 32
    assert found.views["point-spread"].data.shape == (2, 64, 64)
