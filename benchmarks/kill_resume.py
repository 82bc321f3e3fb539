"""Does a training run survive being killed?

    python benchmarks/kill_resume.py [--tries 20]

A small network learns bright discs on the CPU. In every try a child process trains it, is killed with SIGKILL at a
random moment between its first step and its end, and the same command goes on from what it left. Counted are the tries
in which every file that was left could be read, and those whose weights at the end are those of a run that was never
disturbed, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_medseg import models
from napari_medseg.errors import MedsegError
from napari_medseg.training.data.sources import Source
from napari_medseg.training.run_folder import LAST
from napari_medseg.training.settings import Phase, TrainSettings
from napari_medseg.volume import LabelClass


def make(folder: Path) -> Path:
    """Data and settings; the settings file."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    centres, radii = rng.uniform(16, 48, (12, 2)), rng.uniform(6, 14, 12)
    label = np.hypot(y - centres[:, :1, None], x - centres[:, 1:, None]) < radii[:, None, None]
    image = (40 + 150 * label + rng.normal(0, 5, label.shape)).astype(np.uint8)
    np.savez(folder / "discs.npz", image=image, label=label.astype(np.uint8))
    settings = TrainSettings(
        name="discs",
        architecture="litenext",
        train=(Source("discs.npz"),),
        val=(Source("discs.npz"),),
        classes=(LabelClass(1, "disc", "#ffffff"),),
        phases=(Phase(1.0, 64, 2),),
        options={"channels": 8},
        serp=0.1,
        steps=120,
        validate_every=3,
        threads=1,
        device="cpu",
    )
    (folder / "settings.json").write_text(settings.to_json())
    return folder / "settings.json"


def start(settings: Path, run: Path) -> subprocess.Popen:
    """A child that trains in the folder `run`."""
    command = [sys.executable, "-m", "napari_medseg.cli", "train", settings, "--run", run, "--root", settings.parent]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def weights(run: Path) -> tuple[dict[str, torch.Tensor], bytes]:
    """Network of the last checkpoint, and the file of the best weights."""
    return models.read_checkpoint(run / LAST)["network"], (run / "discs.safetensors").read_bytes()


def readable(run: Path) -> bool:
    """Whether what a killed run left can be read."""
    try:
        if (run / LAST).exists():
            models.read_checkpoint(run / LAST)
        if (run / "discs.json").exists():
            models.load(run / "discs.safetensors")
    except MedsegError as error:
        print(error)
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20)
    tries = parser.parse_args().tries
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = make(folder)
        start(settings, folder / "whole").wait()
        network, best = weights(folder / "whole")
        times = [json.loads(line)["time"] for line in (folder / "whole" / "log.jsonl").read_text().splitlines()]
        whole, equal, steps = 0, 0, []
        for number in range(tries):
            run = folder / f"run{number}"
            child = start(settings, run)
            while not (run / LAST).exists():
                time.sleep(0.01)
            time.sleep(rng.uniform(0, times[-1] - times[0]))
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            steps.append(models.read_checkpoint(run / LAST)["step"])
            whole += readable(run)
            start(settings, run).wait()
            mine, theirs = weights(run)
            equal += theirs == best and all(torch.equal(mine[key], value) for key, value in network.items())
        print(f"killed after the checkpoints of steps {sorted(steps)} of 120")
        print(f"readable: {whole} of {tries}; same weights at the end: {equal} of {tries}")


if __name__ == "__main__":
    main()
