"""What the Tools part of the Review dock says, without a window."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_medseg.progress import run
from napari_medseg.review.tools.rules import paint_within
from napari_medseg.review.tools.running import Result, Scope, tool_job
from napari_medseg.review.tools.table import INTENSITY, MM, MM3, TOOLS, VOLUME
from napari_medseg.widgets.review.palette import class_text, free_number, numbers_in
from napari_medseg.widgets.review.sights import ADDED, CHANGED, REMOVED, difference
from napari_medseg.widgets.review.spacing import spacing_of
from napari_medseg.widgets.review.tools_state import (
    FORBIDDEN,
    ToolFacts,
    nothing_text,
    report_text,
    step_name,
    tool_state,
    units_of,
)

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


def test_a_tool_that_finds_nothing_says_what_helps():
    assert nothing_text(GROW, forbidden=False) == "Grow: nothing would change."
    assert FORBIDDEN in nothing_text(GROW, forbidden=True)
    assert "nothing would change. Paint more voxels" in nothing_text(TOOLS["extend-strokes"], forbidden=False)


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


@pytest.mark.parametrize(
    ("units", "scale", "unit", "sizes"),
    [
        (["um"] * 3, (2, 0.5, 0.5), "µm", (2, 0.5, 0.5)),
        (["nm"] * 3, (300, 100, 100), "µm", (0.3, 0.1, 0.1)),
        (["mm"] * 3, (8, 2, 1), "mm", (8, 2, 1)),
        (["m"] * 3, (0.008, 0.002, 0.001), "mm", (8, 2, 1)),
        (["pixel"] * 3, (1, 1, 1), "", (1, 1, 1)),
    ],
)
def test_what_a_microscope_sees_is_told_in_micrometres(units, scale, unit, sizes):
    found = spacing_of(Labels(np.zeros((3, 4, 5), np.uint8), scale=scale, units=units))
    assert found.unit == unit and found.sizes == pytest.approx(sizes)
    assert not unit or units_of(found.known, False, found.unit)[MM3] == f" {unit}³"


@pytest.mark.parametrize(
    ("numbers", "kind", "free"),
    [
        (range(1, 501), np.uint16, 501),
        ((1, 2, 255), np.uint8, 3),
        ((1, 2, 127), np.int8, 3),
        ((5, 2**40), np.uint64, 2**40 + 1),
        (range(256), np.uint8, None),
        ((), np.uint8, 4),
    ],
)
def test_a_new_class_gets_a_number_that_no_voxel_has(numbers, kind, free):
    assert free_number(np.array([[0, *numbers]], kind)[None], {3} if not numbers else {1}) == free


def test_a_report_says_what_rules_forbid_and_what_was_approved():
    labels = np.zeros((2, 1, 6), np.uint8)
    labels[0, 0, 2] = 1
    image = np.arange(12.0).reshape(labels.shape)
    limits = paint_within(lambda number: image[number], 3, 5)
    scope = Scope(VOLUME, 0, (5, 1, 1), classes=(1,))
    result = run(tool_job(GROW, labels, scope, {"mm": 1}, image, [limits]))
    assert result.voxels == {1: (0, 1)} and result.forbidden == 1
    text = report_text(result, {}, 1.0, "", approved=1)
    assert text.startswith("Changes 1 slice, 1 of them approved.") and "1 more voxels stay" in text
    none = run(tool_job(GROW, labels, scope, {"mm": 1}, image, [paint_within(lambda number: image[number], 8, 9)]))
    assert not none.edits and none.forbidden
    result.write(labels)
    assert labels[0, 0].tolist() == [0, 0, 1, 1, 0, 0]


def test_labels_drawn_by_hand_have_the_voxel_size_of_their_image():
    image = Image(np.zeros((3, 4, 5)), scale=(8, 2, 1), units=["mm"] * 3)
    assert spacing_of(Labels(np.zeros((3, 4, 5), np.uint8)), image).mm == (8, 2, 1)


def test_differences_and_classes():
    before = np.array([[0, 1, 1, 2]], np.uint8)
    after = np.array([[3, 0, 2, 2]], np.uint8)
    assert difference(before, after).tolist() == [[ADDED, REMOVED, CHANGED, 0]]
    assert numbers_in(np.stack([before, after])) == [1, 2, 3]
    assert class_text(2, {2: "myocardium"}) == "2 myocardium" and class_text(3, {}) == "class 3"


def test_classes_beyond_those_listed_are_counted():
    assert tool_state(GROW, ToolFacts(classes=100)).unlisted == ""
    found = tool_state(GROW, ToolFacts(classes=2340)).unlisted
    assert found.startswith("The first 100 of 2,340 classes are listed.") and "layer controls" in found
