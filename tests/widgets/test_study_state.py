"""What is possible in the Acceleration study dock, and why the rest is not."""

from dataclasses import replace

import pytest

from napari_medseg.errors import SettingsError
from napari_medseg.widgets.study.state import Facts, parse_accelerations, state, why_not

READY = Facts()
DONE = Facts(has_rows=True)


def test_first_study_can_be_started():
    found = state(READY)
    assert not found.run.why_not and "every acceleration" in found.run.tooltip
    assert not found.copy.why_not and "command line" in found.copy.tooltip
    assert not found.cancel.visible and not found.bar
    assert found.save_table.why_not == found.save_plot.why_not == "there are no results yet; press Run."
    assert found.hint == "Save: there are no results yet; press Run."


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"models_read": False, "has_image": False, "has_model": False}, "the models are being read."),
        ({"has_image": False, "has_model": False}, "open an image first."),
        ({"has_model": False, "problem": "Wrong numbers."}, "there is no model that segments."),
        ({"problem": "Wrong numbers.", "has_file": False}, "Wrong numbers."),
    ],
)
def test_what_is_missing_is_said_for_run_and_copy(facts, reason):
    facts = replace(DONE, **facts)
    found = state(facts)
    assert why_not(facts) == found.run.why_not == found.copy.why_not == reason
    assert found.hint == f"Run, Copy: {reason}" and not found.save_table.why_not


def test_image_without_a_file_can_be_studied_but_has_no_command():
    found = state(replace(DONE, has_file=False))
    assert not found.run.why_not and found.copy.why_not == "the image was not opened from a file."
    assert found.hint == "Copy: the image was not opened from a file."


def test_study_under_way_can_only_be_cancelled_or_copied():
    facts = replace(DONE, running=True)
    found = state(facts)
    assert found.run.why_not == found.save_table.why_not == found.save_plot.why_not == "a study is under way."
    assert found.cancel.visible and not found.cancel.why_not and "what is found stays" in found.cancel.tooltip
    assert found.bar and not found.copy.why_not and found.hint == "Run: a study is under way."
    assert not why_not(facts), "what is chosen could be studied"


def test_results_can_be_saved():
    found = state(DONE)
    assert not found.save_table.why_not and not found.save_plot.why_not and not found.hint
    assert "CSV" in found.save_table.tooltip and "PNG" in found.save_plot.tooltip


def test_accelerations_are_numbers_with_commas():
    assert parse_accelerations("1, 2,4.5,") == (1, 2, 4.5) and parse_accelerations(" ") == ()
    with pytest.raises(SettingsError, match="'two'; expected numbers such as 1, 2, 4"):
        parse_accelerations("two")
