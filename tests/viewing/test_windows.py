"""Grey windows: which images are taken for CT, and what becomes black and white."""

import numpy as np
import pytest

from napari_medseg.viewing.windows import CT_WINDOWS, percentile_window, sample, why_not_ct


def test_every_window_holds_what_it_is_for():
    tissues = {"soft tissue": 50, "lung": -750, "bone": 700, "brain": 35, "liver": 60}
    assert set(tissues) == set(CT_WINDOWS)
    for name, value in tissues.items():
        low, high = CT_WINDOWS[name].limits
        assert low < value < high
    assert CT_WINDOWS["brain"].limits == (0, 80) and CT_WINDOWS["lung"].limits == (-1350, 150)


@pytest.mark.parametrize(
    ("modality", "lowest", "reason"),
    [
        ("CT", 0, ""),
        ("", -1024, ""),
        ("OT", -1000, ""),
        ("MR", -1024, "is MR, which has no Hounsfield"),
        ("", 0, "its values start at 0; a CT in Hounsfield units has air near -1000"),
    ],
)
def test_images_that_are_taken_for_ct(modality, lowest, reason):
    found = why_not_ct(modality, lowest)
    assert reason in found and bool(found) == bool(reason)


def test_percentiles_ignore_a_few_bright_voxels_and_what_is_no_number():
    values = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    values[0, :5] = (np.nan, np.inf, -np.inf, 1e9, 1e9)
    low, high = percentile_window(sample(values))
    assert low == pytest.approx(100, abs=5) and high == pytest.approx(9900, abs=5)
    assert percentile_window(sample(np.ones((4, 4)))) is None
    assert percentile_window(sample(np.full((4, 4), np.nan))) is None
    assert sample(np.zeros((200, 200, 200), np.uint8)).size <= 500_001
