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


def scored(name, dice, group="heart", classes=(CAVITY,)):
    figures = {} if dice is None else {"test": {"dice": dice}}
    return ModelCard(name, "litenext", Preprocess(), classes, group=group, metrics=figures)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (scored("b", 0.81), ""),
        (scored("b", 0.95), ""),
        (scored("b", 0.79), "b has a Dice of 0.79 on test data, a 0.85"),
        (scored("b", None), "b has no Dice on test data"),
        (scored("b", 0.85, group="brain"), "b was not made for the same task as a"),
        (scored("b", 0.85, classes=(CAVITY, WALL)), "b was not made for the same task as a"),
        (scored("a", 0.85), "a would be compared with itself"),
    ],
)
def test_a_second_opinion_is_of_the_same_task_and_as_good(second, why):
    assert groups.second_opinion(scored("a", 0.85), second) == why


def test_models_that_stand_alone_have_no_second_opinion():
    assert "same task" in groups.second_opinion(scored("a", 0.8, group=""), scored("b", 0.8, group=""))


@pytest.mark.parametrize("name", ["heart", "hippocampus", "nuclei"])
def test_bundled_models_form_groups(name):
    members = library.bundled_groups()[name]
    figures = [groups.figure(each) for each in members]
    assert figures == sorted(figures, reverse=True)
    assert models.find(name) == models.find(members[0].name)
    assert library.best_of(name) == members[0].name


def test_a_model_of_the_user_is_found_before_a_group(own_home):
    folder = own_home / "models"
    folder.mkdir()
    (folder / "heart.safetensors").touch()
    assert models.find("heart") == folder / "heart.safetensors"
    assert library.best_of("heart") == "heart"


def test_command_line_says_which_models_a_group_stands_for(tmp_path, capsys):
    best, second = library.with_second_opinion("heart")
    missing = [str(tmp_path / "missing.nii"), "-o", str(tmp_path / "out.nii")]
    cli.main(["segment", *missing, "--model", "heart"])
    assert f"heart: {best} is the best model by the Dice on val." in capsys.readouterr().out
    cli.main(["segment", *missing, "--model", "heart", "--disagreement", str(tmp_path / "doubt.nii")])
    assert f"heart: {second} is the second opinion" in capsys.readouterr().out
    doubt = ["--model", "nuclei", "--disagreement", str(tmp_path / "doubt.nii")]
    assert cli.main(["segment", *missing, *doubt]) == 2
    assert "has no second opinion in the group 'nuclei': it is the only model of its group" in capsys.readouterr().err
    cli.main(["models"])
    assert f"heart ({best})" in capsys.readouterr().out
