"""What the Tools part of the Review dock says, without a window."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_medseg.progress import run
from napari_medseg.review.tools.running import Result, Scope, tool_job
from napari_medseg.review.tools.table import INTENSITY, MM, MM3, TOOLS, VOLUME
from napari_medseg.widgets.review.palette import class_text, numbers_in
from napari_medseg.widgets.review.sights import ADDED, CHANGED, REMOVED, difference
from napari_medseg.widgets.review.spacing import spacing_of
from napari_medseg.widgets.review.tools_state import ToolFacts, report_text, step_name, tool_state, units_of

GROW = TOOLS["grow"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"problem": "the labels are being read."}, "being read"),
        ({"working": True}, "Wait, or cancel"),
        ({"shows_slice": False}, "Switch to 2D"),
        ({"scope": "range", "first": 3, "last": 2}, "ends before it begins"),
        ({"class_open": False}, "background or protected"),
    ],
)
def test_a_tool_that_cannot_work_says_why(facts, reason):
    found = tool_state(GROW, ToolFacts(**facts))
    assert reason in found.apply.why_not and found.preview.why_not == found.apply.why_not


def test_only_some_tools_need_an_image():
    assert not tool_state(GROW, ToolFacts(has_image=False)).apply.why_not
    found = tool_state(TOOLS["propagate-next"], ToolFacts(has_image=False))
    assert "no image lies on the labels" in found.apply.why_not and "no image" in found.report
    assert "no image" in found.within.why_not


def test_cancel_and_range_and_guide_are_there_when_they_mean_something():
    idle = tool_state(GROW, ToolFacts())
    assert not idle.cancel.visible and not idle.first and not idle.guide and not idle.limits
    busy = tool_state(GROW, ToolFacts(previewed=True, scope="range", guided=4, limited=True))
    assert busy.cancel.visible and busy.first and "New class 4" in busy.guide and busy.limits


def test_a_report_counts_voxels_and_millimetres_class_by_class():
    labels = np.zeros((3, 9, 9), np.uint8)
    labels[1, 3:6, 3:6] = 1
    labels[1, 4, 4] = 2
    result = run(tool_job(TOOLS["relabel"], labels, Scope(VOLUME, 0, (3, 1, 1), classes=(2,)), {"into": 1}))
    text = report_text(result, {1: "1 cavity"}, 3.0, "mm³")
    assert text == "Changes 1 slice.\n1 cavity: +1 -0 voxels (+3 mm³)\nclass 2: +0 -1 voxels (-3 mm³)"
    assert report_text(Result(), {}, 1.0, "") == "Nothing would change."
    many = Result((None, None), dict.fromkeys(range(1, 8), (1, 0)))
    assert "Changes 2 slices." in report_text(many, {}, 1.0, "") and "and 3 more classes" in report_text(
        many, {}, 1, ""
    )


def test_steps_are_named_with_numbers_and_units():
    assert step_name(GROW, {"mm": 2.0}, units_of(True, False), "2 myocardium") == "grow 2 mm 2 myocardium"
    assert step_name(TOOLS["keep-range"], {"low": 10.0, "high": 99.5}, units_of(True, False), "all classes") == (
        "keep an intensity range 10 to 99.5 all classes"
    )
    assert units_of(False, False)[MM] == " voxels" and units_of(True, True)[MM3] == " mm²"
    assert set(units_of(False, True)) >= {MM, MM3, INTENSITY}


@pytest.mark.parametrize(
    ("shape", "look", "expected"),
    [
        ((3, 4, 5), {"scale": (8, 2, 1), "units": ["mm"] * 3}, ((8, 2, 1), True, False)),
        ((3, 4, 5), {"scale": (8, 2, 1), "units": ["um"] * 3}, ((0.008, 0.002, 0.001), True, False)),
        ((4, 5), {"scale": (2, 1), "units": ["mm"] * 2}, ((1, 2, 1), True, True)),
        ((3, 4, 5), {}, ((1, 1, 1), False, False)),
        ((2, 3, 4, 5), {"scale": (1, 8, 2, 1), "units": ["s", "mm", "mm", "mm"]}, ((8, 2, 1), True, False)),
        ((3, 4, 5), {"scale": (9, 2, 1), "units": ["s", "mm", "mm"], "axis_labels": "tyx"}, ((1, 2, 1), True, True)),
    ],
)
def test_the_voxel_size_of_a_layer(shape, look, expected):
    found = spacing_of(Labels(np.zeros(shape, np.uint8), **look))
    assert (pytest.approx(expected[0]), *expected[1:]) == (found.mm, found.known, found.flat)


def test_labels_drawn_by_hand_have_the_voxel_size_of_their_image():
    image = Image(np.zeros((3, 4, 5)), scale=(8, 2, 1), units=["mm"] * 3)
    assert spacing_of(Labels(np.zeros((3, 4, 5), np.uint8)), image).mm == (8, 2, 1)


def test_differences_and_classes():
    before = np.array([[0, 1, 1, 2]], np.uint8)
    after = np.array([[3, 0, 2, 2]], np.uint8)
    assert difference(before, after).tolist() == [[ADDED, REMOVED, CHANGED, 0]]
    assert numbers_in(np.stack([before, after])) == [1, 2, 3]
    assert class_text(2, {2: "myocardium"}) == "2 myocardium" and class_text(3, {}) == "class 3"
