"""Models of one task: the best of them by itself."""

import pytest

from napari_medseg import cli, models
from napari_medseg.models import ModelCard, groups, library
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass

CAVITY = LabelClass(1, "cavity", "#ff0000")
WALL = LabelClass(2, "wall", "#00ff00")


def card(name, dice, group="heart", classes=(CAVITY,)):
    metrics = {} if dice is None else {"val": {"dice": dice}, "test": {"dice": 1 - dice}}
    return ModelCard(name, "litenext", Preprocess(), classes, group=group, metrics=metrics)


def test_dice_on_val_decides_which_model_is_the_best():
    cards = [card("a", 0.7), card("b", 0.9), card("c", None), card("d", 0.8), card("alone", 0.95, group="")]
    found = groups.groups(cards)
    assert {name: [each.name for each in members] for name, members in found.items()} == {"heart": ["b", "d", "a"]}
    assert [each.name for each in groups.best(found["heart"])] == ["b"]
    assert [each.name for each in groups.best(found["heart"], 2)] == ["b", "d"]


def test_models_that_vote_find_the_same_classes():
    members = [card("a", 0.9), card("b", 0.8, classes=(CAVITY, WALL)), card("c", 0.7)]
    assert [each.name for each in groups.best(members, 2)] == ["a", "c"]


@pytest.mark.parametrize("name", ["heart", "hippocampus", "nuclei"])
def test_bundled_models_form_groups(name):
    members = library.bundled_groups()[name]
    figures = [groups.figure(each) for each in members]
    assert figures == sorted(figures, reverse=True)
    assert models.find(name) == models.find(members[0].name)
    assert library.members_of(name, 1) == [members[0].name]


def test_a_model_of_the_user_is_found_before_a_group(own_home):
    folder = own_home / "models"
    folder.mkdir()
    (folder / "heart.safetensors").touch()
    assert models.find("heart") == folder / "heart.safetensors"
    assert library.members_of("heart", 2) == ["heart"]


def test_command_line_says_which_models_a_group_stands_for(tmp_path, capsys):
    best, second = (each.name for each in groups.best(library.bundled_groups()["heart"], 2))
    missing = [str(tmp_path / "missing.nii"), "-o", str(tmp_path / "out.nii")]
    cli.main(["segment", *missing, "--model", "heart"])
    assert f"heart: {best} is the best model by the Dice on val." in capsys.readouterr().out
    cli.main(["segment", *missing, "--model", "heart", "--disagreement", str(tmp_path / "doubt.nii")])
    assert f"heart: {best} and {second} are the best models" in capsys.readouterr().out
    cli.main(["models"])
    assert f"heart ({best})" in capsys.readouterr().out
