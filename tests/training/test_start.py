"""What a run begins with: all that fits of a model, and the rest is reported."""

import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import ModelError, SettingsError
from napari_medseg.preprocess import Preprocess
from napari_medseg.training import start
from napari_medseg.volume import LabelClass

NAMES = ("disc", "ring", "square")


def rows(*names):
    return tuple(LabelClass(place, name, "#ffffff") for place, name in enumerate(names, 1))


def saved(folder, architecture, names, **options):
    torch.manual_seed(1)
    network = models.build(architecture, num_classes=len(names) + 1, **options)
    card = models.ModelCard("base", architecture, Preprocess(), rows(*names), options)
    models.save(folder / "base.safetensors", network, card)
    return network.state_dict(), folder / "base.safetensors"


def taken(settings, path):
    torch.manual_seed(2)
    network = models.build(settings.architecture, num_classes=len(settings.classes) + 1, **settings.options)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    notes = start.take_over(network, settings, path)
    return fresh, network.state_dict(), "\n".join(notes)


SMALL = {"channels": 4, "width": 8, "dilation": 2}
SWIN = {"levels": 1, "width": 64}


@pytest.mark.parametrize(
    ("architecture", "options", "loss", "first"),
    [("litenext", SMALL, "dice-bce", 0), ("conditional-swin-light", SWIN, "dice-ce", 1)],
)
def test_classes_are_taken_by_name_and_new_ones_begin_anew(tmp_path, settings, architecture, options, loss, first):
    old, path = saved(tmp_path, architecture, ("disc", "ring"), **options)
    new = settings(architecture=architecture, options=options, loss=loss, classes=rows("square", "ring", "disc"))
    fresh, mine, notes = taken(new, path)
    heads = [name for name in mine if mine[name].shape != old[name].shape]
    assert heads and all(name in notes for name in heads)
    for name in heads:
        assert torch.equal(mine[name][first], fresh[name][first])  # square
        assert torch.equal(mine[name][first + 1 :], old[name][first:].flip(0))
        assert first == 0 or torch.equal(mine[name][0], old[name][0])  # background
    assert all(torch.equal(mine[name], old[name]) for name in mine.keys() - set(heads))


def test_other_input_channels_share_what_both_have(tmp_path, settings):
    old, path = saved(tmp_path, "conditional-swin-light", ("disc",), **SWIN)
    new = settings(architecture="conditional-swin-light", options={**SWIN, "in_channels": 5}, loss="dice-ce")
    fresh, mine, notes = taken(new, path)
    torch.testing.assert_close(mine["embed.conv.weight"][:, :3], old["embed.conv.weight"], rtol=0, atol=0)
    torch.testing.assert_close(mine["embed.conv.weight"][:, 3:], fresh["embed.conv.weight"][:, 3:], rtol=0, atol=0)
    assert "embed.conv.weight" in notes


def test_published_checkpoints_are_begun_with(tmp_path, settings):
    torch.manual_seed(1)
    network = models.build("litenext", num_classes=3, dilation=4)  # the published dilation, which no tensor tells
    torch.save({"model": models.to_published("litenext", network)}, tmp_path / "theirs.pth")
    new = settings(options={"dilation": 4})
    _, mine, notes = taken(new, start.find("theirs.pth", tmp_path))
    assert torch.equal(mine["stem.conv.weight"], network.state_dict()["stem.conv.weight"])
    assert "theirs" in notes


def test_a_model_is_found_by_its_name_and_other_networks_are_refused(tmp_path, settings, monkeypatch):
    assert start.find("litenext-heart", tmp_path) == models.find("litenext-heart")
    with pytest.raises(ModelError, match="no-such-model"):
        start.find("no-such-model", tmp_path)
    monkeypatch.setattr(models, "available", lambda: {"mine.v2": tmp_path / "elsewhere"})
    monkeypatch.setattr(models, "find", models.available().get)
    assert start.find("mine.v2", tmp_path) == tmp_path / "elsewhere"
    monkeypatch.undo()
    _, path = saved(tmp_path, "conditional-swin-light", ("disc",), **SWIN)
    with pytest.raises(SettingsError, match="other layers"):
        taken(settings(), path)
