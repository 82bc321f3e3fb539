"""How often would slices of one image call a fine-tuned model better that is not?

    python benchmarks/one_image.py [--times N]

Simulated stacks: the errors of an old model and of the weights at eight validations differ from slice to slice, those
of neighbours less; each validation drifts on from the one before. On the slices that were not learnt all of them have
the same Dice. Every fifth reviewed slice is held back. On these the best weights are chosen, as a training does, and
compared with the old model: a jackknife over the slices, with the quantiles of Student.
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
        said += gain > error * stats.t.ppf(0.5 + np.array(CONFIDENCES) / 2, len(held) - 1)
    return list(said / times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2000)
    args = parser.parse_args()
    head = " | ".join(f"{confidence:.0%} interval" for confidence in CONFIDENCES)
    print(f"| reviewed | held back | alike over | drift | {head} |\n|" + "---:|" * (4 + len(CONFIDENCES)))
    for case in CASES:
        cells = " | ".join(f"{share:.1%}" for share in said_better(case, args.times))
        held = len(range(case.reviewed)[2::5])
        print(f"| {case.reviewed} | {held} | {case.alike:g} slices | {case.drift:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
