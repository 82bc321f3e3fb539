"""Time the tools of Review, on one slice and on a class of a volume, and what 1000 strokes cost the journal.

    python benchmarks/review_tools.py [--depth 160] [--size 512] [--naive]

The volume holds 12 ellipsoids as classes; the tools work on the largest one. Times are CPU time of one thread. Naive
is the same tool without boxes: the class, and all that is computed for it, in the whole volume (propagate: in the
whole slice).
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy import ndimage

from napari_medseg.progress import run
from napari_medseg.record import now
from napari_medseg.review.opening import start_job
from napari_medseg.review.sessions import Session
from napari_medseg.review.tools import common, outlines, slices, strokes
from napari_medseg.review.tools.running import Scope, tool_job
from napari_medseg.review.tools.table import SLICE, TOOLS, VOLUME

SPACING = (2.0, 0.8, 0.8)
SLICE_AIM = 0.3  # s
VOLUME_AIM = 5.0
STROKE_AIM = 5.0  # ms
MEMORY_AIM = 20.0  # MB
NUMBERS = {"keep-range": {"low": -0.5, "high": 0.5}, "relabel": {"into": 40.0}}


def volume(depth: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (z, y, x), uint8, and an image of the same shape."""
    labels = np.zeros((depth, size, size), np.uint8)
    for number in range(12, 0, -1):  # the largest last
        centre = np.array([0.5, 0.3 + 0.04 * number, 0.7 - 0.04 * number]) * labels.shape
        radii = np.array([0.3, 0.3, 0.27]) * labels.shape * (1 if number == 1 else 0.35)
        _ellipsoid(labels, centre, radii, number)
    inside = labels == 1
    rough = np.random.default_rng(0).random(labels.shape, np.float32)
    labels[inside & (rough > 0.999)] = 0
    return labels, rough - 0.5


def _ellipsoid(labels: np.ndarray, centre: np.ndarray, radii: np.ndarray, number: int) -> None:
    places = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(labels.shape, centre, radii, strict=True)]
    z, y, x = places
    labels[z[:, None, None] + y[:, None] + x <= 1] = number


@contextmanager
def without_boxes() -> Iterator[None]:
    """Let every class have the box of the whole volume, and every mask that of its array."""

    def whole_class(region: np.ndarray, classes: tuple[int, ...]) -> Iterator[tuple[int, common.Box]]:
        return ((number, whole_mask(region)) for number in classes)

    def whole_mask(mask: np.ndarray) -> common.Box:
        z, y, x = (slice(0, length) for length in mask.shape)
        return z, y, x

    with ExitStack() as patches:
        for module in (common, outlines):
            patches.enter_context(patch.object(module, "boxes_of", whole_class))
        for module in (slices, strokes):
            patches.enter_context(patch.object(module, "box_of", whole_mask))
        yield


def cpu(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def time_tools(labels: np.ndarray, image: np.ndarray, naive: bool) -> bool:
    """Print a line per tool; whether all keep to the aims."""
    middle = len(labels) // 2
    kept = True
    print(f"{'tool':20} {'slice, s':>9} {'class, s':>9} {'naive, s':>9}")
    for key, tool in TOOLS.items():
        numbers = NUMBERS.get(key, tool.defaults)
        seen = labels
        if key == "interpolate":  # every fourth slice is drawn
            seen = labels.copy()
            seen[np.arange(len(labels)) % 4 > 0] = 0
        texts = []
        before = None
        if tool.of_strokes:  # lines all over the slice
            before = labels[middle].copy()
            before[20:-20:60] = 2
        for kind, aim in ((SLICE, SLICE_AIM), (VOLUME, VOLUME_AIM)):
            if kind not in tool.scopes:
                texts.append("")
                continue
            scope = Scope(kind, middle, SPACING, classes=(1,), before=before)
            seconds = cpu(lambda: run(tool_job(tool, seen, scope, numbers, image)))  # noqa: B023
            kept &= seconds <= aim
            texts.append(f"{seconds:.3f}{'' if seconds <= aim else ' !'}")
        texts.append("")
        if naive:
            with without_boxes():
                texts[-1] = f"{cpu(lambda: run(tool_job(tool, seen, scope, numbers, image))):.3f}"  # noqa: B023
        print(f"{key:20} {texts[0]:>9} {texts[1]:>9} {texts[2]:>9}", flush=True)
    return kept


def time_strokes(labels: np.ndarray, count: int) -> bool:
    """Print what strokes cost the journal; whether they keep to the aims."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session("labels", labels.shape, labels.dtype.str, created=now())
        journal = run(start_job(labels, session, Path(folder)))
        rng = np.random.default_rng(1)
        disc = np.hypot(*np.indices((21, 21)) - 10.0) <= 10
        times = []
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            plane = int(rng.integers(len(labels)))
            top, left = (int(place) for place in rng.integers(labels.shape[-1] - 21, size=2))
            labels[plane, top : top + 21, left : left + 21][disc] = 1 + number % 12
            times.append(1000 * cpu(lambda: journal.settle(labels, [plane])))  # noqa: B023
        grown = (tracemalloc.get_traced_memory()[0] - before) / 1e6
        tracemalloc.stop()
        size = journal.size
        journal.close()
    print(
        f"{count} strokes: median {np.median(times):.2f} ms, 99 % {np.percentile(times, 99):.2f} ms, "
        f"{grown:.1f} MB more memory, {size / 1000:.0f} kB on disk"
    )
    return np.median(times) <= STROKE_AIM and grown <= MEMORY_AIM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=160)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--strokes", type=int, default=1000)
    parser.add_argument("--naive", action="store_true", help="also time the tools without boxes")
    options = parser.parse_args()
    labels, image = volume(options.depth, options.size)
    (box,) = ndimage.find_objects(labels, 1)
    print(f"{labels.shape}, class box {tuple(side.stop - side.start for side in box)}, {np.sum(labels == 1):,} voxels")
    kept = time_tools(labels, image, options.naive)
    kept &= time_strokes(labels, options.strokes)
    print("within the aims" if kept else "not within the aims")


if __name__ == "__main__":
    main()
