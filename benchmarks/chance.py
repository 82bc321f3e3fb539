"""How often would a fine-tuned model be called better that is not?

    python benchmarks/chance.py [--times N]

Slices of several images: eight validations drift on from one another, by a chance of each image of its own. The best
one is chosen on these images, as a training does, and held against the old model by the interval of Student.

Slices of one image, as simulated stacks: the errors of an old model and of the weights at eight validations differ from
slice to slice, those of neighbours less; each validation drifts on from the one before. On the slices that were not
learnt all of them have the same Dice. Every fifth reviewed slice is held back. On these the best weights are chosen
and compared with the old model: a jackknife over the slices, with the quantiles of Student.
"""

from __future__ import annotations

import argparse
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

VALIDATIONS = 8
CONFIDENCES = (0.95, 0.98, 0.99)


class Case(NamedTuple):
    """A stack: reviewed slices, over how many slices errors are alike, and how far each validation drifts."""

    reviewed: int
    alike: float
    drift: float


CASES = (
    Case(15, 0.3, 0.15),
    Case(15, 2, 0.3),
    Case(25, 0.3, 0.3),
    Case(25, 2, 0.3),
    Case(40, 0.3, 0.3),
    Case(40, 6, 0.3),
)


IMAGES = (2, 3, 5, 8, 12, 20)


def said_better_of_images(count: int, times: int) -> np.ndarray:
    """Share of trainings that `count` images call better at each of `CONFIDENCES`."""
    rng = np.random.default_rng(0)
    gains = rng.standard_normal((times, VALIDATIONS, count)).cumsum(1)  # over the old model, 0 on average
    best = gains[np.arange(times), gains.mean(2).argmax(1)]
    ratio = best.mean(1) * math.sqrt(count) / best.std(1, ddof=1)
    return (ratio[:, None] > quantiles(count)).mean(0)


def quantiles(count: int) -> np.ndarray:
    """Of Student, for `count` values: half of the width of the interval of each of `CONFIDENCES`."""
    return stats.t.ppf(0.5 + np.array(CONFIDENCES) / 2, count - 1)


def wrong_pixels(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area of slices, wrong pixels (model, slice) of the old model and the validations, and the slices held back."""
    z = np.arange(2 * case.reviewed)  # every other slice was reviewed
    held = z[::2][2::5]
    unseen = np.setdiff1d(z, np.setdiff1d(z[::2], held))
    area = 20 + 400 * np.sqrt(1 - ((z - case.reviewed + 0.5) / (case.reviewed + 1)) ** 2)
    alike = np.exp(-0.5 * ((z[:, None] - z) / case.alike) ** 2) + 1e-8 * np.eye(len(z))
    steps = rng.standard_normal((VALIDATIONS + 1, len(z))) @ np.linalg.cholesky(alike).T
    wrong = np.minimum(0.1 * area * np.exp(case.drift * np.cumsum(steps, 0)), 0.9 * area)
    totals = wrong[:, unseen].sum(1, keepdims=True)
    return area, wrong * totals[0] / totals, held


def gain_and_error(area: np.ndarray, old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Difference of the Dice of all slices, and its standard error by the jackknife."""
    better = old - new
    gain = better.sum() / area.sum()
    without = (better.sum() - better) / (area.sum() - area)
    return float(gain), float((len(area) - 1) / math.sqrt(len(area)) * without.std(ddof=1))


def said_better(case: Case, times: int) -> list[float]:
    """Share of trainings that are called better at each of `CONFIDENCES`."""
    rng = np.random.default_rng(0)
    said = np.zeros(len(CONFIDENCES))
    for _ in range(times):
        area, wrong, held = wrong_pixels(case, rng)
        best = 1 + wrong[1:, held].sum(1).argmin()
        gain, error = gain_and_error(area[held], wrong[0, held], wrong[best, held])
        said += gain > error * quantiles(len(held))
    return list(said / times)


def row(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2000)
    args = parser.parse_args()
    intervals = [f"{confidence:.0%} interval" for confidence in CONFIDENCES]
    row("images held back", *intervals)
    row(*["---:"] * (1 + len(intervals)))
    for count in IMAGES:
        row(count, *(f"{share:.1%}" for share in said_better_of_images(count, 10 * args.times)))
    print()
    row("reviewed", "held back", "alike over", "drift", *intervals)
    row(*["---:"] * (4 + len(intervals)))
    for case in CASES:
        held = len(range(case.reviewed)[2::5])
        shares = (f"{share:.1%}" for share in said_better(case, args.times))
        row(case.reviewed, held, f"{case.alike:g} slices", f"{case.drift:g}", *shares)


if __name__ == "__main__":
    main()
