"""Several seeds: a run each, the best on val is named, and only that one sees the test data."""

import json

import pytest

from napari_medseg import cli
from napari_medseg.errors import SettingsError
from napari_medseg.progress import Progress, run
from napari_medseg.training import seeds as seeds_module
from napari_medseg.training.data.sources import Source
from napari_medseg.training.seeds import seed_folder, train_seeds_job


def test_the_best_seed_is_named_and_measured(data, settings, tmp_path):
    chosen = settings(steps=1, test=(Source("test.npz"),))
    steps = []
    best = run(train_seeds_job(chosen, tmp_path / "discs", 2, root=data), lambda step: steps.append(step.done))
    cards = {}
    for seed in (1, 2):
        folder = seed_folder(tmp_path / "discs", seed)
        cards[folder] = json.loads((folder / "discs.json").read_text())
        assert json.loads((folder / "settings.json").read_text())["seed"] == seed
    assert steps == sorted(steps)
    assert best == max(cards, key=lambda folder: cards[folder]["metrics"]["val"]["dice"])
    assert [("test" in cards[folder]["metrics"]) for folder in cards] == [folder == best for folder in cards]
    with pytest.raises(SettingsError, match="expected 1 to"):
        run(train_seeds_job(chosen, tmp_path / "discs", 0, root=data))


def test_seeds_are_asked_for_on_the_command_line(settings, tmp_path, capsys, monkeypatch):
    asked = []

    def job(chosen, folder, seeds, *, root):
        asked.append((chosen.name, folder, seeds))
        yield Progress(1, 1)
        return seed_folder(folder, seeds)

    monkeypatch.setattr(seeds_module, "train_seeds_job", job)
    (tmp_path / "discs.json").write_text(settings().to_json())
    assert cli.main(["train", str(tmp_path / "discs.json"), "--run", str(tmp_path / "a"), "--seeds", "3"]) == 0
    assert asked == [("discs", tmp_path / "a", 3)]
    said = capsys.readouterr()
    assert f"The best of the 3 seeds on val is in {tmp_path / 'a-seed-3'}." in said.out + said.err
