"""Several seeds: a run each, the best on val is named, and only that one sees the test data."""

import json
from dataclasses import replace

import pytest

from napari_medseg import cli
from napari_medseg.errors import SettingsError
from napari_medseg.progress import run
from napari_medseg.training.data.sources import Source
from napari_medseg.training.seeds import seed_folder, train_seeds_job


def test_the_best_seed_is_named_and_measured(data, settings, tmp_path, capsys):
    chosen = settings(steps=2, test=(Source("test.npz"),))
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
    (tmp_path / "discs.json").write_text(replace(chosen, seed=9).to_json())
    command = ["train", str(tmp_path / "discs.json"), "--run", str(tmp_path / "discs"), "--root", str(data)]
    assert cli.main([*command, "--seeds", "2"]) == 0
    captured = capsys.readouterr()
    assert f"The best of the 2 seeds on val is in {best}." in captured.out + captured.err
    with pytest.raises(SettingsError, match="expected 1 to"):
        run(train_seeds_job(chosen, tmp_path / "discs", 0, root=data))
