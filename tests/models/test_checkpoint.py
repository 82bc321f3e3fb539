"""Model files: what is saved is what loads, and nothing else does."""

import json
import os

import pytest
import torch

from napari_medseg import cli, models
from napari_medseg.errors import ModelError
from napari_medseg.models import ModelCard, library
from napari_medseg.models.card import PENDING
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(1, "left", "#ff0000"), LabelClass(2, "right", "#00ff00"))


def card(architecture="litenext", **texts):
    preprocess = Preprocess(percentiles=(2, 98), spacing=1.5)
    return ModelCard("pair", architecture, preprocess, CLASSES, spacing_mm=(0.7, 2.2), **texts)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pair.safetensors"
    models.save(path, models.build("litenext", num_classes=3), card())
    return path


def test_what_is_saved_is_what_loads(tmp_path):
    network = models.build("litenext", num_classes=3, dilation=2).eval()
    path = tmp_path / "pair.safetensors"
    written = models.save(path, network, card(metrics={"val": {"dice": 0.5}}))
    assert written.options == {"dilation": 2}  # the tensors do not tell it
    loaded = models.load(path)
    assert loaded.card == written == models.load_card(path)
    assert not loaded.network.training
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pair.json", "pair.safetensors"]
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network(image), network(image))


def test_files_carry_the_authors_names(path, litenext_layout):
    assert set(models.read_checkpoint(path)) == set(litenext_layout(7))


def test_altered_or_truncated_weights_are_refused(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        models.load(path)
    path.write_bytes(content[:1000])
    with pytest.raises(ModelError, match="SHA-256 differs"):
        models.load(path)
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        models.load(path)


def rewrite(path, **changes):
    file = path.with_suffix(".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "alexnet"}, "choose one of"),
        ({"classes": [{"id": 1, "name": "left", "colour": "#ff0000"}]}, "do not fit their card"),
        ({"options": {"depth": 3}}, "depth"),
        ({"preprocess": {"mean": 3}}, "cannot be read"),
        ({"secret": 3}, "cannot be read"),
    ],
)
def test_cards_that_do_not_fit_are_refused(path, changes, sentence):
    rewrite(path, **changes)
    with pytest.raises(ModelError, match=sentence):
        models.load(path)


@pytest.mark.parametrize("text", ["", "[]", '"card"', "null", "{", '{"name": "pair"}'])
def test_damaged_or_missing_card_is_refused(path, text):
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match="card"):
        models.load(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="no readable card"):
        models.load(path)


def test_weights_that_are_no_safetensors_are_refused_even_with_the_right_hash(path):
    import hashlib

    path.write_bytes(b"no weights at all")
    rewrite(path, sha256=hashlib.sha256(b"no weights at all").hexdigest())
    with pytest.raises(ModelError, match="not a safetensors"):
        models.load(path)


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_save_that_was_killed_leaves_a_model_that_loads(path, monkeypatch, renamed):
    before, done = models.load(path).card, []

    def killed_after_some(source, target):
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(target)
        path.parent.joinpath(source).rename(target)

    monkeypatch.setattr("os.replace", killed_after_some)
    with pytest.raises(KeyboardInterrupt):
        models.save(path, models.build("litenext", num_classes=3), card(task="newer"))
    monkeypatch.undo()
    found = models.load(path).card
    assert found.task == ("newer" if renamed == 2 else "") and (found == before) == (renamed < 2)


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_first_save_that_was_killed_leaves_a_model_that_loads_or_none(own_home, monkeypatch, capsys, renamed):
    folder = models.models_folder()
    folder.mkdir(parents=True)
    path, network = folder / "pair.safetensors", models.build("litenext", num_classes=3)
    rename, done = os.replace, []

    def killed_after_some(source, target):
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed_after_some)
        with pytest.raises(KeyboardInterrupt):
            models.save(path, network, card())
    assert cli.main(["models"]) == 0 and "Traceback" not in capsys.readouterr().err
    if renamed < 2:
        assert "pair" not in models.available()
        library.check_new_name("pair")
    else:
        loaded = models.load(models.find("pair"))
        assert loaded.card == models.load_card(path) and loaded.card.name == "pair"
        library.remove("pair")
        models.load(folder / "removed" / "pair.safetensors")
    written = models.save(path, network, card())
    assert models.load(path).card == written


def test_a_link_where_a_card_waits_is_not_followed(path, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.with_suffix(PENDING).symlink_to(victim)
    written = models.save(path, models.build("litenext", num_classes=3), card())
    assert victim.read_text() == "precious" and models.load(path).card == written
    assert not path.with_suffix(PENDING).exists() and not path.with_suffix(".json").is_symlink()
