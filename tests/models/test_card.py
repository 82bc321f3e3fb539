"""Cards in which something else stands than a card says."""

import json
from dataclasses import replace

import pytest

from napari_medseg.cli import terminal
from napari_medseg.errors import ModelError
from napari_medseg.models import figures
from napari_medseg.models.card import Locator, Member, ModelCard, from_fields, load_card, save_card
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass

CARD = ModelCard("a", "litenext", Preprocess(), (LabelClass(1, "x", "#e64b35"),))


def nested(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


WRONG = {
    "null": ({"task": None}, "task is null"),
    "a number": ({"task": 5}, "task is 5"),
    "true": ({"certainty": True}, "certainty is true"),
    "too large": ({"certainty": 10**400}, "certainty"),
    "above 1": ({"certainty": 2}, "certainty from 0 to 1"),
    "an escape": ({"task": "\x1b[2J"}, "task is .* without control"),
    "turned writing": ({"name": "\u202ea"}, "name is .* without control"),
    "half a letter": ({"limits": "\ud800"}, "limits is .* without control"),
    "overlong": ({"data": "x" * 200_000}, "data is a text of 200000 characters"),
    "deep": ({"metrics": nested(60)}, "more than 40 deep"),
    "very deep": ({"options": nested(500)}, "more than 40 deep|JSON"),
    "other shape": ({"spacing_mm": [1, 2, 3]}, "spacing_mm"),
    "falling": ({"spacing_mm": [2, 1]}, "rising pixel sizes"),
    "design": ({"design": "x"}, "no design, or one of"),
    "a path": ({"name": "../a"}, "a name that a file can have"),
    "a device": ({"name": "nul"}, "a name that a file can have"),
    "numbers": ({"classes": [{"id": 0, "name": "x", "colour": "#e64b35"}]}, "numbers from 1"),
    "twice": ({"classes": [{"id": 1, "name": "x", "colour": "#e64b35"}] * 2}, "different numbers"),
    "colour": ({"classes": [{"id": 1, "name": "x", "colour": "red"}]}, "colours like"),
    "side": ({"preprocess": {"multiple": 10**9}}, "at most 32768"),
    "padding": ({"preprocess": {"padding": "wrap"}}, "padding is 'wrap'"),
    "keep": ({"keep": "smallest"}, "keep as one of largest"),
    "temperature": ({"temperature": 0}, "a temperature above 0"),
    "both": ({"keep": "largest", "objects": True}, "objects without keep"),
    "no crop": ({"locator": {"model": "b"}}, "locator.crop_mm is missing"),
    "flat crop": ({"locator": {"model": "b", "crop_mm": [0, 9]}}, "crop above 0"),
    "odd locator": ({"locator": {"model": "../b", "crop_mm": [9, 9]}}, "the name of a model"),
    "per": ({"locator": {"model": "b", "crop_mm": [9, 9], "per": "voxel"}}, "per as one of stack, slice"),
    "fallback": ({"locator": {"model": "b", "crop_mm": [9, 9], "fallback": "x"}}, "fallback as one of whole, none"),
    "own locator": ({"locator": {"model": "a", "crop_mm": [9, 9]}}, "other than the model itself"),
    "resized": (
        {"locator": {"model": "b", "crop_mm": [9, 9]}, "preprocess": {"size": [64, 64]}},
        "only where slices keep their proportions",
    ),
    "own member": ({"members": [{"model": "a"}]}, "other than the model itself"),
    "same members": ({"members": [{"model": "b"}, {"model": "b"}]}, "members with different names"),
    "unknown": ({"licences": "x"}, "licences is unknown"),
    "unknown escape": ({"\x1b[2J": "x"}, "control characters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_card_with_something_else_in_it_is_told_by_file_and_place(tmp_path, name):
    path = tmp_path / "a.safetensors"
    save_card(path, CARD)
    content = json.loads(path.with_suffix(".json").read_text())
    change, text = WRONG[name]
    path.with_suffix(".json").write_text(json.dumps(content | change))
    with pytest.raises(ModelError, match=text) as found:
        load_card(path)
    assert "a.json" in str(found.value) and str(found.value).isprintable()


def test_every_field_of_a_card_is_read_as_it_was_written(tmp_path):
    locator = Locator("b", (110.0, 96.5), "f00", per="slice", gate=True, fallback="none")
    card = replace(CARD, locator=locator, keep="largest", temperature=1.5, members=(Member("c", "f01"),))
    card = replace(card, preprocess=Preprocess(padding="zero", smallest=(64, 48), neighbours="z"))
    save_card(tmp_path / "a.safetensors", card)
    assert load_card(tmp_path / "a.safetensors") == card
    assert from_fields(**json.loads((tmp_path / "a.json").read_text())) == card


@pytest.mark.parametrize("content", ["[]", "null", "3", '"card"', "[" * 5000, "{", '{"a":' * 5000, "\0", "1" * 5000])
def test_what_is_no_card_at_all_is_told(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ModelError, match=r"a\.json"):
        load_card(tmp_path / "a.safetensors")


@pytest.mark.parametrize("odd", [None, 3, "x", [1], {"dice": "x"}, {"dice": 10**400}, {"dice": None}, {"classes": 5}])
@pytest.mark.parametrize("place", ["test", "val_by_mask_and_subject", "spots", "objects", "case_dice"])
def test_odd_figures_leave_the_tables_of_a_card(tmp_path, place, odd):
    metrics = {"test": {"dice": 0.5, place: odd}, place: odd, "spots": {"random": odd}}
    if place == "val_by_mask_and_subject":
        metrics[place] = {"random": odd, "equispaced": {"knee": odd, "head": {"model": odd}}}
    card = ModelCard("a", "litenext", Preprocess(), (), metrics=metrics)
    assert figures.tables(card) is not None
    assert terminal.card_text(card) and terminal.models([card])


def test_a_card_says_what_happens_besides_the_network():
    locator = Locator("b", (90.0, 80.0), per="slice", gate=True)
    members = (Member("c"),)
    card = replace(CARD, locator=locator, keep="largest", temperature=1.5, orientation="SAR", members=members)
    shown = " ".join(terminal.card_text(card).split())
    for text in (
        "90 x 80 mm about what b finds, one place per slice",
        "no slice where",
        "largest",
        "1.5",
        "SAR",
        "of c",
    ):
        assert text in card.steps and text in shown
    others = {
        "temperature": (
            replace(CARD, temperature=0.5),
            "more certain probabilities than the network (temperature 0.5)",
        ),
        "certainty": (replace(CARD, certainty=0.8), "without any pixel of at least 80% probability"),
        "neighbours": (replace(CARD, preprocess=Preprocess(neighbours="z")), "with the one before and the one after"),
        "fallback": (replace(CARD, locator=Locator("b", (9.0, 9.0), fallback="none")), "finds nothing gets no labels"),
    }
    for other, text in others.values():
        assert text in " ".join(terminal.card_text(other).split())
    assert CARD.steps == "" and "each slice as it is" in terminal.card_text(CARD)


def test_the_list_of_models_names_those_that_run_with_others():
    alone = terminal.models([CARD])
    assert "together with" not in alone
    pair = replace(CARD, locator=Locator("finder", (9.0, 9.0)), members=(Member("twin"),))
    heading, *rows = terminal.models([CARD, pair]).splitlines()
    assert heading.endswith("together with")
    assert [row.split("  ")[-1].strip() for row in rows[:2]] == ["-", "finder, twin"]
