"""What Fine-tune can learn, and what it says of that before a training; without a window."""

from types import SimpleNamespace

import pytest

from napari_medseg.errors import SettingsError
from napari_medseg.training.data.survey import Survey
from napari_medseg.volume import LabelClass
from napari_medseg.widgets.fine_tune.class_rows import (
    ClassRow,
    Painted,
    class_rows,
    count_objects,
    dataset_rows,
    final_classes,
    folder_classes,
    labels_text,
    numbered_text,
    object_name,
    plan_text,
)
from napari_medseg.widgets.fine_tune.slices import parse_slices, slices_text

CARD = SimpleNamespace(classes=(LabelClass(1, "everything", "#e64b35"),))
CAVITY = Painted(1, "everything", "#111111")
SECOND = Painted(2, "class 2", "#222222")


def test_slices_are_read_and_written_short():
    assert parse_slices(" 3-6, 9,5 ", 10) == (3, 4, 5, 6, 9) and parse_slices("", 3) == ()
    assert slices_text((9, 3, 4, 5, 6)) == "3-6, 9" and slices_text(()) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [("3-", "such as 3-6, 9"), ("six", "such as 3-6, 9"), ("4-2", "4-2"), ("10", "numbered 0 to 9"), ("-1", "such as")],
)
def test_slices_that_cannot_be_meant_say_why(text, words):
    with pytest.raises(SettingsError, match=words):
        parse_slices(text, 10)


def test_classes_of_the_model_come_first_in_its_colours():
    known, new = class_rows([SECOND, CAVITY], CARD, {}, ())
    assert known == ClassRow("everything", "everything", "#e64b35", (1,), known=True)
    assert new == ClassRow("class 2", "class 2", "#222222", (2,), known=False)


def test_class_that_was_renamed_leaves_that_of_the_model_absent():
    rows = class_rows([CAVITY], CARD, {"everything": "muscle"}, ())
    assert [(row.name, row.labels, row.known) for row in rows] == [("everything", (), True), ("muscle", (1,), False)]
    assert "⚠ everything: on no reviewed slice" in plan_text(rows, {"edited": 3}, (), ())
    assert len(class_rows([CAVITY, SECOND], CARD, {"everything": "muscle"}, ())) == 3


def test_painted_class_that_takes_the_name_of_a_known_one_is_that_one():
    (row,) = class_rows([SECOND], CARD, {"class 2": "everything"}, ())
    assert row.known and row.colour == "#e64b35" and row.first == "class 2"


def test_labels_of_one_name_in_several_layers_are_one_class():
    (row,) = class_rows([Painted(3, "everything", "#1"), CAVITY, CAVITY], CARD, {}, ())
    assert row.labels == (1, 3)


def test_rows_that_are_not_ticked_are_not_learnt():
    rows = class_rows([SECOND], CARD, {}, {("class 2", True), ("everything", False)})
    assert [row.learn for row in rows] == [False, False]
    assert [row.learn for row in class_rows([SECOND], CARD, {}, {("class 2", False)})] == [True, True]
    assert "⚠" not in plan_text(rows, {"edited": 3}, (), ()), "what is not to be learnt may be absent"


def test_without_a_model_all_classes_are_new():
    assert [row.known for row in class_rows([CAVITY], None, {}, ())] == [False]


def test_data_set_brings_its_classes():
    rows = dataset_rows((LabelClass(1, "everything", "#e64b35"), LabelClass(2, "more", "#4dbbd5")), CARD)
    assert [(row.name, row.labels, row.known) for row in rows] == [("everything", (1,), True), ("more", (2,), False)]
    assert not dataset_rows(rows[:0], None)


def test_classes_are_numbered_without_background_and_under_one_name_once():
    rows = class_rows([CAVITY, SECOND, Painted(3, "class 3", "#333333")], CARD, {"class 2": "background"}, ())
    assert [(row.id, row.name) for row in final_classes(rows)] == [(1, "everything"), (2, "class 3")]
    same = class_rows([SECOND, Painted(3, "class 3", "#333333")], None, {"class 3": "class 2"}, ())
    assert final_classes(same) == (LabelClass(1, "class 2", "#222222"),)


@pytest.mark.parametrize("names", [{"everything": "background"}, {"everything": ""}])
def test_something_has_to_be_learnt(names):
    with pytest.raises(SettingsError, match="no class to learn"):
        final_classes(class_rows([CAVITY], None, names, ()))


def test_plan_says_what_is_held_back_and_left_out():
    assert plan_text([], {"edited": 0}, [4], [7]) == ""
    assert "none can be held back" in plan_text([], {"edited": 1}, [], [])
    assert plan_text([], {"edited": 2}, [], []) == "2 reviewed slices (2 edited); 1 of them is held back to measure."
    text = plan_text([], {"edited": 13}, [4], [7, 8])
    assert "3 of them are held back" in text and "No label on 4" in text and "Labels on 7-8 are not" in text


def test_classes_of_a_folder_without_names_are_those_of_the_model():
    one, two = (LabelClass(n, f"class {n}", "#4dbbd5") for n in (1, 2))
    nuclei = SimpleNamespace(classes=(LabelClass(1, "nucleus", "#e64b35"),), objects=True)
    heart = SimpleNamespace(classes=nuclei.classes, objects=False)
    assert folder_classes(Survey((one,), named=False), heart) == heart.classes
    assert folder_classes(Survey((one, two), named=False), heart) == (one, two)
    assert folder_classes(Survey((one, two), named=False), nuclei) == nuclei.classes, "numbers of objects"
    assert folder_classes(Survey((one,)), heart) == (one,), "a name is kept"
    assert folder_classes(Survey((one,), named=False), None) == (one,) and folder_classes(None, heart) == ()


NUCLEI = SimpleNamespace(classes=(LabelClass(1, "nucleus", "#e64b35"),), objects=True)
HEART = SimpleNamespace(classes=(LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "wall", "#00a087")), objects=False)


@pytest.mark.parametrize(
    ("numbers", "regions", "card", "expected"),
    [
        (5, 5, NUCLEI, True),
        (5, 6, NUCLEI, True),  # painted upon
        (2, 2, NUCLEI, False),  # the class of the model and a new one
        (3, 40, NUCLEI, False),
        (5, 5, HEART, False),
        (300, 310, HEART, True),
        (300, 310, None, True),
        (14, 90, None, False),
    ],
)
def test_numbers_of_objects_are_told_from_classes(numbers, regions, card, expected):
    assert count_objects(numbers, numbers, regions, card) == expected


def test_numbered_objects_are_one_row_with_a_short_text():
    (row,) = class_rows([Painted(1, object_name(NUCLEI), "#1", tuple(range(2, 3001)))], NUCLEI, {}, ())
    assert row.name == "nucleus" and row.known and len(row.labels) == 3000
    assert labels_text(row.labels) == "1-3000" and labels_text(range(1, 99, 2)) == "49 numbers"
    assert object_name(HEART) == object_name(None) == "object"
    note = numbered_text("drawn", 3000, "nucleus")
    assert (
        "3000 labels of 'drawn' number objects" in plan_text([row], {"edited": 2}, (), (), [note]) and "Untick" in note
    )


def test_more_classes_than_a_model_can_learn_are_refused():
    many = [Painted(number, f"class {number}", "#111111") for number in range(1, 256)]
    with pytest.raises(SettingsError, match="at most 254 classes"):
        final_classes(class_rows(many, None, {}, ()))
    assert len(final_classes(class_rows(many[1:], None, {}, ()))) == 254
