"""Grey windows: which images are taken for CT, and what becomes black and white."""

import numpy as np
import pytest

from napari_medseg import samples
from napari_medseg.grey_values import CT_WINDOWS, opening_window, percentile_window, sample, why_not_ct
from napari_medseg.io import read


def test_every_window_holds_what_it_is_for():
    tissues = {"soft tissue": 50, "lung": -750, "bone": 700, "brain": 35, "liver": 60}
    assert set(tissues) == set(CT_WINDOWS)
    for name, value in tissues.items():
        low, high = CT_WINDOWS[name].limits
        assert low < value < high
    assert CT_WINDOWS["brain"].limits == (0, 80) and CT_WINDOWS["lung"].limits == (-1350, 150)


def body(low=-1024, count=20_000):
    """Values of a CT: air with noise, fat and muscle, some bone, none below `low`."""
    draw = np.random.default_rng(0)
    parts = [(-1000, 20, 0.4), (-100, 20, 0.15), (50, 20, 0.4), (600, 150, 0.05)]
    found = [draw.normal(mean, spread, int(share * count)) for mean, spread, share in parts]
    return np.concatenate(found).round().clip(low).astype(np.int16)


def even(low, high):
    return np.linspace(low, high, 20_000).astype(np.int16)


SOFT = (-150, 250)


@pytest.mark.parametrize(
    ("modality", "values", "reason"),
    [
        ("CT", np.zeros(9), ""),
        ("", body(), ""),
        ("OT", body() + 0.25, ""),
        ("", np.append(body(), np.full(9000, -3024)), ""),
        ("MR", body(), "is MR, which has no Hounsfield"),
        ("", even(0, 255), "its values start at 0; a CT in Hounsfield units has air near -1000"),
        ("", even(-1000, 1000), "from -1000 to 1000, are not spread like those of one"),
        ("", even(-4096, 4095), "are not spread like"),
        ("", np.append(even(-4096, 4095), np.zeros(40_000)), "are not spread like"),
        ("", np.array([]), "no values"),
    ],
)
def test_images_that_are_taken_for_ct(modality, values, reason):
    found = why_not_ct(modality, values)
    assert reason in found and bool(found) == bool(reason)
    assert (opening_window(modality, values) == SOFT) == (not reason and modality != "CT")


def test_a_ct_opens_in_the_window_of_soft_tissue_where_that_shows_something():
    assert opening_window("CT", body()) == SOFT
    assert opening_window("CT", body()[body() > -200]) != SOFT, "without anything around tissue it may be a map"
    low, high = opening_window("CT", even(-1024, -500))
    assert -1024 <= low < high <= -500, "nothing of it lies in the window"
    assert opening_window("", sample(read(samples.path("totalseg_ct.nii.gz")).data)) == SOFT
    assert opening_window("", sample(read(samples.path("studyforrest_head.nii.gz")).data)) != SOFT
    assert opening_window("", np.ones(5)) is None and opening_window("", np.array([])) is None


def test_percentiles_ignore_a_few_bright_voxels_and_what_is_no_number():
    values = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    values[0, :5] = (np.nan, np.inf, -np.inf, 1e9, 1e9)
    low, high = percentile_window(sample(values))
    assert low == pytest.approx(100, abs=5) and high == pytest.approx(9900, abs=5)
    assert percentile_window(sample(np.ones((4, 4)))) is None
    assert percentile_window(sample(np.full((4, 4), np.nan))) is None
    assert sample(np.zeros((200, 200, 200), np.uint8)).size <= 500_001
