"""Two processes that share a batch learn what one process learns from all of it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_medseg.errors import SettingsError
from napari_medseg.progress import run
from napari_medseg.training.augment import AugmentSettings
from napari_medseg.training.loop import train_job
from napari_medseg.training.settings import Phase
from napari_medseg.volume import LabelClass


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def on_two_processes(recipe, folder, data):
    """``torchrun`` on this computer, without looking for names and addresses of others."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "napari_medseg.cli", "train", recipe, "--into", folder, "--root", data]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"serp": 0.1},
        # batch norms, and a Dice over the whole batch
        {"architecture": "mt-unet", "options": {"width": 8, "levels": 1}, "loss": "dice-ce-authors"},
    ],
)
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch knows no other processes")
@pytest.mark.slow
def test_two_processes_learn_as_one_with_the_doubled_batch(data, settings, tmp_path, changes):
    common = {"steps": 4, "ema": 0.0, "augment": AugmentSettings(), "classes": (LabelClass(1, "disc", "#ffffff"),)}
    common |= {"name": "discs", "validate_every": 1, "clip": 1.0, **changes}
    one, two = (settings(**common, phases=(Phase(1.0, 32, batch),)) for batch in (4, 2))
    run(train_job(one, tmp_path / "one", root=data))
    (tmp_path / "two.json").write_text(two.to_json())
    on_two_processes(tmp_path / "two.json", tmp_path / "two", data)
    for key in ("loss", "val"):
        np.testing.assert_allclose(
            *([row[key] for row in lines(tmp_path / name)] for name in ("one", "two")), atol=2e-4
        )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch knows no other processes")
def test_announced_processes_that_are_not_there_get_a_sentence(data, settings, tmp_path, monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="unset WORLD_SIZE"):
        run(train_job(settings(), tmp_path / "run", root=data))
