"""How long does a slice take to reconstruct on one CPU thread?

    python benchmarks/recon_time.py [--model NAME_OR_FILE ...] [--rounds 5]

256 x 256, one coil, random 4x. Prints a Markdown table of CPU times, all methods in turn in every round, and their
ratios to zero filling. Left out, the models are those of the package that reconstruct.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from napari_medseg import models
from napari_medseg.progress import run
from napari_medseg.recon import data_consistency, fft2c, rss, sampling_mask
from napari_medseg.recon.classical import tv, zero_filled
from napari_medseg.recon.learned import cascade_job, restore_job

SIZE = 256


def scan() -> tuple[np.ndarray, np.ndarray]:
    """Measured samples (y, x) of discs with a smooth phase, and their mask."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = 1.0 * (np.hypot(x, y) < 0.8) - 0.5 * (np.hypot(x - 0.2, y) < 0.3)
    mask = sampling_mask("random", SIZE, 4, 0.08, seed=1)
    return np.where(mask, fft2c((image * np.exp(1j * x)).astype(np.complex64)), 0), mask


def methods(names: list[str]) -> dict[str, Callable[[np.ndarray, np.ndarray], object]]:
    """What to time, by name."""
    found: dict[str, Callable] = {
        "zero-filled": lambda y, mask: rss(zero_filled(y[None], mask), 0),
        "TV, 15 iterations": lambda y, mask: tv(y, mask, iterations=15),
        "TV, 40 iterations, and data consistency": lambda y, mask: data_consistency(tv(y, mask), y, mask),
    }
    for name in names:
        model = models.load(Path(name) if Path(name).is_file() else models.find(name))
        if model.card.design == "cascade":
            found[f"{model.card.name}, 4 steps"] = lambda y, mask, m=model: run(cascade_job(m, y, mask, 4))
        else:
            found[model.card.name] = lambda y, mask, m=model: run(restore_job(m, y, mask))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    bundled = [name for name, path in models.available().items() if models.load_card(path).design]
    parser.add_argument("--model", dest="models", action="append", metavar="NAME_OR_FILE")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured, mask = scan()
    table = methods(given.models or bundled)
    times: dict[str, list[float]] = {name: [] for name in table}
    for number in range(given.rounds + 1):
        for name, method in table.items():
            start = time.process_time()
            method(measured, mask)
            if number:  # the first round warms up
                times[name].append(time.process_time() - start)
    least = {name: float(np.median(values)) for name, values in times.items()}
    print(f"| {SIZE} x {SIZE}, one thread | CPU time (ms) | times zero filling |\n|---|---:|---:|")
    for name, values in times.items():
        low, high = (1000 * bound for bound in (min(values), max(values)))
        ratio = least[name] / least["zero-filled"]
        print(f"| {name} | {1000 * least[name]:.0f} ({low:.0f} to {high:.0f}) | {ratio:.1f} |")


if __name__ == "__main__":
    main()
