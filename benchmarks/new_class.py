"""How long does it take to label an organ that no model knows: the guided path of Review against painting every slice?

    python benchmarks/new_class.py DATA

DATA is the folder with ``samples``: its CT (3 mm voxels, 30 axial slices) and the labels that play the truth. A
scripted person, see `person.py`, goes on until the Dice of the organ is 0.9. Prints a Markdown table.

A slice is drawn by its outlines; or roughly (twice as fast, three voxels too wide), then by an intensity range and
filled holes; or by strokes through its middle, which are extended; and then corrected. The other slices are drawn as
well, or follow by propagation or interpolation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from person import KEY, TOOL, Effort, brush, encircle
from scipy import ndimage

from napari_medseg import io, metrics
from napari_medseg.progress import run
from napari_medseg.review.tools.running import Scope, tool_job
from napari_medseg.review.tools.table import SLICE, TOOLS, VOLUME

ORGANS = {"liver": 5, "spleen": 1, "right kidney": 2, "left kidney": 3}
AIM = 0.9
ROUGH = 3  # voxels that a rough outline is off
HASTE = 2.0  # how much faster a hand is that need not be exact
STEP = 5  # slices from one drawn slice to the next, for interpolation
KEPT = (10, 90)  # percentiles of the intensities that the dock proposes
BAD = 0.9  # Dice of a slice below which a person corrects it before going on


@dataclass(frozen=True)
class Way:
    """A way to label an organ.

    Parameters
    ----------
    title : str
    draw : str
        How a slice is drawn: ``outline``, ``range`` or ``extend``.
    follow : str
        How the other slices get theirs: drawn as well, ``propagate`` or ``interpolate``.
    """

    title: str
    draw: str
    follow: str = ""


DRAWN = {"outline": "outlines", "range": "range and fill", "extend": "strokes, extended"}
WAYS = (
    *(Way(f"every slice, {said}", draw) for draw, said in DRAWN.items()),
    *(Way(f"{said}, then propagate", draw, "propagate") for draw, said in DRAWN.items()),
    *(Way(f"every {STEP}th slice, {said}, then interpolate", draw, "interpolate") for draw, said in DRAWN.items()),
)


class Organ:
    """An organ that is being labelled.

    Parameters
    ----------
    image : numpy.ndarray, shape (z, y, x)
    truth : numpy.ndarray, shape (z, y, x), uint8
        1 in the organ.
    spacing : (float, float, float)
    """

    def __init__(self, image: np.ndarray, truth: np.ndarray, spacing: tuple[float, float, float]):
        self.image = image
        self.truth = truth
        self.spacing = spacing
        self.labels = np.zeros_like(truth)
        self.effort = Effort()
        self.slices = np.flatnonzero(truth.any(axis=(1, 2))).tolist()

    def dice(self) -> float:
        return metrics.dice(self.labels > 0, self.truth > 0)

    def work(self, way: Way) -> Iterator[None]:
        """Label all slices; yields whenever a slice is done."""
        steps = {"": self._every_slice, "propagate": self._propagate, "interpolate": self._interpolate}
        return steps[way.follow](way)

    # ---- the other slices ----

    def _every_slice(self, way: Way) -> Iterator[None]:
        for number in self.slices:
            self._draw(number, way)
            yield

    def _propagate(self, way: Way) -> Iterator[None]:
        """From the largest slice to both ends, one key a slice; what has gone wrong is corrected before the next."""
        middle = int(np.argmax(np.count_nonzero(self.truth, axis=(1, 2))))
        self._draw(middle, way)
        yield
        for numbers, key in ((range(middle, self.slices[-1]), "next"), (range(middle, self.slices[0], -1), "previous")):
            for number in numbers:
                target = number + (1 if key == "next" else -1)
                self._tool(f"propagate-{key}", number, seconds=KEY)
                self.effort.look(target)
                if metrics.dice(self.labels[target], self.truth[target]) < BAD:
                    self._correct(target)
                yield

    def _interpolate(self, way: Way) -> Iterator[None]:
        """Some slices are drawn and the rest lies in between; then the worst slices are corrected."""
        for number in sorted({*self.slices[::STEP], self.slices[-1]}):
            self._draw(number, way)
            yield
        self._tool("interpolate", self.slices[0], seconds=KEY)
        yield
        scores = {number: metrics.dice(self.labels[number], self.truth[number]) for number in self.slices}
        for number in sorted(scores, key=scores.__getitem__):
            self.effort.look(number)
            self._correct(number)
            yield

    # ---- one slice ----

    def _draw(self, number: int, way: Way) -> None:
        self.effort.look(number)
        steps = {"outline": self._outline, "range": self._range, "extend": self._extend}
        steps[way.draw](number)
        self._correct(number)

    def _outline(self, number: int) -> None:
        for length in encircle(self.labels[number], self.truth[number] > 0, 1):
            self.effort.stroke(number, length)

    def _range(self, number: int) -> None:
        around = ndimage.binary_dilation(self.truth[number] > 0, iterations=ROUGH)
        for length in encircle(self.labels[number], around, 1):
            self.effort.stroke(number, length / HASTE)
        low, high = np.percentile(self.image[number][around], KEPT)
        self._tool("keep-range", number, {"low": float(low), "high": float(high)})
        self._tool("fill-holes", number)

    def _extend(self, number: int) -> None:
        """Strokes through the middle of every piece, as far from its edge as can be up to the rough distance."""
        before = self.labels[number].copy()
        depth = ndimage.distance_transform_edt(self.truth[number])
        pieces, count = ndimage.label(self.truth[number], np.ones((3, 3)))
        deepest = ndimage.maximum(depth, pieces, np.arange(count + 1))
        middle = (depth >= np.minimum(ROUGH, deepest)[pieces]) & (pieces > 0)
        for length in brush(self.labels[number], middle.astype(before.dtype)):
            self.effort.stroke(number, length / HASTE)
        if (before != self.labels[number]).any():
            self._tool("extend-strokes", number, TOOLS["extend-strokes"].defaults, seconds=KEY, before=before)

    def _correct(self, number: int) -> None:
        for length in brush(self.labels[number], self.truth[number]):
            self.effort.stroke(number, length)

    def _tool(
        self,
        key: str,
        number: int,
        numbers: Mapping[str, float] | None = None,
        seconds: float = TOOL,
        before: np.ndarray | None = None,
    ) -> None:
        tool = TOOLS[key]
        kind = SLICE if SLICE in tool.scopes else VOLUME
        began = time.process_time()
        scope = Scope(kind, number, self.spacing, classes=(1,), before=before)
        run(tool_job(tool, self.labels, scope, numbers or {}, self.image)).write(self.labels)
        self.effort.computing += time.process_time() - began
        self.effort.key(number + tool.shift, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    scan = io.read(args.data / "samples" / "totalseg_ct_3mm.nii.gz")
    labels = io.read(args.data / "samples" / "totalseg_ct_3mm_seg.nii.gz").data
    print("| organ | way | Dice | minutes | strokes | keys, tools | slices drawn or corrected | s of computing |")
    print("|---|---|---|---|---|---|---|---|")
    for organ, number in ORGANS.items():
        for way in WAYS:
            case = Organ(scan.data, (labels == number).astype(np.uint8), scan.spacing)
            for _ in case.work(way):
                if case.dice() >= AIM:
                    break
            print(f"| {organ} | {way.title} | {text(case)} |", flush=True)


def text(case: Organ) -> str:
    done = case.effort
    counts = f"{done.strokes} | {done.keys} | {len(done.changed)} of {len(case.slices)}"
    return f"{case.dice():.2f} | {done.seconds / 60:.1f} | {counts} | {done.computing:.1f}"


if __name__ == "__main__":
    main()
