"""What our files say about themselves survives, and what others wrote there does no harm."""

import json

import numpy as np
import pytest

from napari_medseg.io.notes import KEY, Notes, restore_axes


def test_notes_come_back_from_their_text(labels):
    notes = Notes.from_text(Notes.of(labels).to_text())
    assert (notes.axes, notes.classes) == (labels.axes, labels.classes)
    np.testing.assert_array_equal(notes.affine, labels.affine)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", b"\xff\xfe", '{"other": 1}', "[" * 100000])
def test_texts_that_are_not_ours_are_passed_over(text):
    assert Notes.from_text(text) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"axes": 3, "affine": "x", "classes": 5, "has_spacing": "no"},
        {"affine": [[1, 2], [3]], "classes": [1, {}, {"id": "1", "name": "a", "colour": "#000000"}]},
        {"affine": [[1e400] * 4] * 4, "classes": [{"id": 1, "name": "a", "colour": "red"}]},
        {"affine": np.eye(3).tolist()},
    ],
)
def test_malformed_parts_are_left_out(content):
    notes = Notes.from_text(json.dumps({KEY: content}))
    assert (notes.axes, notes.affine, notes.classes, dict(notes.metadata)) == ("", None, (), {})


def test_axes_of_one_voxel_are_restored():
    data = np.zeros((1, 4, 5))
    assert restore_axes(data, "zyx", "tyx")[1] == "tyx"
    assert restore_axes(data, "zyx", "yx")[0].shape == (4, 5)
    assert restore_axes(data, "zyx", "tzyx")[0].shape == (1, 1, 4, 5)
    assert restore_axes(np.zeros((2, 4, 5)), "zyx", "yx")[1] == "zyx"
    assert restore_axes(data, "zyx", "")[1] == "zyx"


def nested(levels):
    value = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("levels", [25, 300])
def test_deep_notes_are_ignored(levels):
    notes = Notes.from_text(json.dumps({KEY: {"axes": "yx", "record": {"what": "x", "settings": nested(levels)}}}))
    assert notes is None or (notes.axes, notes.metadata) == ("", {})


@pytest.mark.parametrize("number", [-1, True, 2**32, 10**400, 1.5, None, "1"])
def test_numbers_that_no_label_array_holds_leave_the_class_table(number):
    rows = [{"id": number, "name": "a", "colour": "#ffffff"}, {"id": 2, "name": "b\x1b[2J", "colour": "#ffffff"}]
    notes = Notes.from_text(json.dumps({KEY: {"classes": rows}}))
    assert [(row.id, row.name) for row in notes.classes] == [(2, "b\\u001b[2J")]
