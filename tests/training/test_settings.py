"""Recipes: what is written is what is read, and every mistake gets a sentence."""

import json
import re
from dataclasses import asdict, replace
from importlib import resources

import pytest

from napari_medseg.errors import FileError, MedsegError, SettingsError
from napari_medseg.training.continuing import differences, refuse_other_settings
from napari_medseg.training.data.sources import Source
from napari_medseg.training.settings import Phase, read_settings

RECIPES = [entry for entry in resources.files("napari_medseg.training").joinpath("recipes").iterdir()]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda entry: entry.name)
def test_recipes_of_the_package_are_complete(recipe, tmp_path):
    settings = read_settings(recipe)
    assert recipe.name == f"{settings.name}.json"
    # of the open MR slices, of LiTS and of fastMRI there is no third part with labels
    assert settings.test or settings.kind == "reconstruction" or recipe.name.endswith("-lits.json")
    assert settings.card["licence"] and settings.card["split"] and settings.card["limits"]
    copy = tmp_path / "copy.json"
    copy.write_text(settings.to_json())
    assert read_settings(copy).to_json() == settings.to_json()


def test_phase_of_a_step(settings):
    early, late = phases = Phase(0.5, 16, 1), Phase(1.0, 32, 1)
    chosen = [settings(phases=phases, steps=5).phase(step) for step in range(5)]
    assert chosen == [early] * 3 + [late] * 2


def test_texts_and_test_data_may_change_within_a_run(settings):
    assert not differences(settings(), settings(card={"task": "other words"}, test=settings().val))
    assert differences(settings(), settings(seed=1))


def write(path, settings, changes):
    path.write_text(json.dumps({**asdict(settings()), **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 3}, r"'bad\.json': epochs is unknown; expected kind, name, "),
        ({"steps": 0}, "steps"),
        ({"steps": "many"}, "'bad.json': steps is 'many'; expected a whole number"),
        ({"steps": 1.5}, "whole number"),
        ({"name": "../elsewhere"}, "a name of letters"),
        ({"name": "settings"}, "other than settings"),
        ({"seed": -3}, "seed"),
        ({"loss": None}, "loss is null; expected a text"),
        ({"kind": []}, "of the kind"),
        ({"schedule": {"kind": "poly", "power": -1}}, "power"),
        ({"seconds": float("inf")}, "seconds is Infinity; expected a number"),
        ({"loss_weights": [1, 2, 3]}, "a list of 2 numbers"),
        ({"preprocess": {"spacing": "wide"}}, "a number or null"),
        ({"preprocess": {"multiple": 0}}, "'bad.json': preprocess: .*multiple"),
        ({"train": [{"path": 5}]}, r"train\[0\].path is 5; expected a text"),
        ({"train": [{"path": "a", "select": {"kind": "b"}}]}, "select"),
        ({"classes": [{"id": n, "name": f"c{n}", "colour": "#000000"} for n in range(1, 256)]}, "up to 254"),
        ({"validate_every": 0}, "validate_every"),
        ({"phases": []}, "phases"),
        ({"phases": [{"until": 0.5, "size": 32, "batch": 1}]}, "phases"),
        ({"phases": [{"until": 1, "size": 30, "batch": 1}]}, r"phases\[0\]: .*multiple of 16"),
        ({"phases": [{"until": 1, "size": 32}]}, r"phases\[0\]\.batch is missing"),
        ({"classes": []}, "classes"),
        ({"classes": [{"id": 2, "name": "b", "colour": "#000000"}]}, "classes"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"ema": 1}, "ema"),
        ({"serp": -1}, "serp"),
        ({"serp": 0.1, "architecture": "unet"}, "serp"),
        ({"card": {"colour": "red"}}, "card"),
        ({"train": "train.npz"}, "list of objects"),
        ({"train": ["train.npz"]}, r"train\[0\] is 'train.npz'; expected an object"),
        ({"preprocess": {"percentiles": [90, 10]}}, "rising"),
        ({"augment": {"zoom": [0, 1]}}, "zoom"),
        ({"augment": {"blur": 50}}, "blur"),
        ({"augment": {"elastic": 1}}, "augment.elastic is unknown; expected rotate"),
    ],
)
def test_mistakes_get_a_sentence(settings, tmp_path, changes, sentence):
    with pytest.raises(MedsegError, match=sentence):
        read_settings(write(tmp_path / "bad.json", settings, changes))


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "as JSON"), ("[" * 100_000, "as JSON"), ("[]", "JSON object"), ("{}", "missing")]
)
def test_files_that_hold_no_settings_are_refused(tmp_path, text, sentence):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(MedsegError, match=sentence):
        read_settings(path)
    with pytest.raises(FileError, match="does not exist"):
        read_settings(tmp_path / "absent.json")


def test_lists_are_tuples_and_whole_numbers_are_numbers_once_read(settings, tmp_path):
    found = read_settings(write(tmp_path / "a.json", settings, {"loss_weights": [1, 2], "learning_rate": 1}))
    assert found.loss_weights == (1.0, 2.0) and isinstance(found.loss_weights, tuple)
    assert isinstance(found.phases, tuple) and isinstance(found.preprocess.percentiles, tuple)
    assert type(found.learning_rate) is float
    assert not differences(settings(loss_weights=(1, 2), learning_rate=1), found)


def test_a_recipe_is_like_another_but_for_what_it_gives(settings, tmp_path):
    write(tmp_path / "base.json", settings, {"comment": "the base", "steps": 8, "seed": 3})
    (tmp_path / "middle.json").write_text('{"like": "base", "steps": 9, "card": {"task": "discs"}}')
    (tmp_path / "last.json").write_text('{"comment": "for people", "like": "middle", "name": "last"}')
    found = read_settings(tmp_path / "last.json")
    assert found == settings(name="last", steps=9, seed=3, card={"task": "discs"})


def test_a_recipe_may_be_like_one_of_the_package(tmp_path):
    (tmp_path / "mine.json").write_text('{"like": "litenext-nuclei", "name": "mine", "steps": 10}')
    (package,) = [entry for entry in RECIPES if entry.name == "litenext-nuclei.json"]
    assert read_settings(tmp_path / "mine.json") == replace(read_settings(package), name="mine", steps=10)


@pytest.mark.parametrize(
    ("like", "sentence"),
    [
        ("a", "The recipes a are like each other"),
        ("b", "The recipes a, b are like each other"),
        ("absent", r"there is no 'absent\.json' next to it and no such recipe in the package"),
        ("../a", "expected the name of a recipe"),
        (3, "like is 3; expected the name of a recipe"),
    ],
)
def test_a_recipe_that_is_like_itself_or_nothing_is_refused(tmp_path, like, sentence):
    (tmp_path / "a.json").write_text(json.dumps({"like": like}))
    (tmp_path / "b.json").write_text('{"like": "a"}')
    with pytest.raises(SettingsError, match=sentence):
        read_settings(tmp_path / "a.json")


LOCATOR = {"model": "finder", "crop_mm": (90.0, 90.0)}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("orientation", "SAR", "card.orientation was nothing and is SAR now"),
        ("turns", True, "card.turns was False and is True now"),
        ("certainty", 0.8, "card.certainty was 0.5 and is 0.8 now"),
        ("keep", "largest", "card.keep was nothing and is largest now"),
        ("temperature", 2, "card.temperature was 1.0 and is 2.0 now"),
        ("members", [{"model": "b"}], "card.members was nothing and is [{'model': 'b', 'sha256': ''}] now"),
        ("locator", LOCATOR | {"gate": True}, "card.locator.gate was False and is True now"),
    ],
)
def test_a_run_does_not_go_on_when_the_card_labels_otherwise(settings, tmp_path, field, value, sentence):
    first = {"locator": LOCATOR} if field == "locator" else {}
    before = settings(card=first, about_objects=bool(first))
    now = settings(card={field: value, "limits": "other words"}, about_objects=bool(first))
    assert differences(before, now)
    with pytest.raises(SettingsError, match=re.escape(f": {sentence}. Change them back to continue it")):
        refuse_other_settings(tmp_path, before, now)


def test_what_differs_is_named(settings, tmp_path):
    source = Source("val.npz")
    now = settings(teachers=("a", "b"), teacher_share=0.5, seed=1, val=(source, source), train=(source,))
    with pytest.raises(SettingsError, match=r"train was .*… and is .* and 1 more. Change them back"):
        refuse_other_settings(tmp_path, settings(), now)
    assert "teachers was nothing and is ['a', 'b'] now" in differences(settings(), now)
