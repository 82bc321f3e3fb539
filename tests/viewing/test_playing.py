"""How fast a cine was, by the notes of its file, and what is said of it."""

import math

import pytest

from napari_medseg.viewing.playing import frame_seconds, is_cine, play_text, true_fps

MM, SECONDS, MILLISECONDS, MICROSECONDS = 2, 8, 16, 24


def notes(step, unit):
    return {"nifti": {"fields": {"xyzt_units": MM | unit}, "time": [step, 0.0]}}


@pytest.mark.parametrize(
    ("metadata", "seconds", "fps"),
    [
        (notes(40.0, MILLISECONDS), 0.04, 25),
        (notes(2.0, SECONDS), 2, 1),
        (notes(33333.0, MICROSECONDS), 0.033333, 30),
        (notes(1.0, 0), math.nan, 0),
        (notes(0.0, SECONDS), math.nan, 0),
        (notes(1e-5, SECONDS), math.nan, 0),
        ({}, math.nan, 0),
    ],
)
def test_speed_is_what_the_file_says_with_its_unit(metadata, seconds, fps):
    found = frame_seconds(metadata)
    assert found == pytest.approx(seconds, nan_ok=True) and true_fps(found) == fps


def test_echoes_and_b_values_are_not_played():
    assert is_cine("tzyx", {}) and is_cine("tyx", {"t_axis": "temporal position"})
    assert not is_cine("zyx", {}) and not is_cine("tzyx", {"t_axis": "echo time"})


def test_line_names_the_slider_and_the_speed_and_says_what_is_not_known():
    known = play_text("a", 10, "t", 0.04, 10)
    assert "slider t plays its 10 time points" in known and "It was 25 a second; napari plays 10." in known
    assert "the file does not say" in play_text("a", 10, "t", math.nan, 10)
    assert "As stored" in play_text("a", 10, "", 0.04, 10)
