"""How many strokes does it take until the labels of a heart are right, and what do order, tools and learning save?

    python benchmarks/correct_hearts.py DATA [--split test] [--kept FOLDER] [--plot plot.png]

DATA is the folder with ``sunnybrook`` and ``sunnybrook_myo``. A scripted person, see `person.py`, corrects what
`litenext-heart` made of every patient (end-diastole and end-systole), slice by slice: the cavity, and the myocardium
where it is known. Counts what was done when the Dice of the whole cavity first reaches 0.95. The person then goes on to
the last slice, for the plot. Each way and patient is kept as a JSON file in `--kept`, and not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from live_learning import PHASES, SETTINGS, drawn, patients, stack
from person import Effort, brush, work_left

from napari_medseg import metrics, models
from napari_medseg.models import TrainedModel
from napari_medseg.progress import run
from napari_medseg.review.order import ranking, score_slices
from napari_medseg.review.tools.common import Where
from napari_medseg.review.tools.slices import propagate
from napari_medseg.segmentation.inference import segment_job
from napari_medseg.segmentation.locating import Places
from napari_medseg.training.adapt import Corrected, adapt_job

T = TypeVar("T")

MODEL = "litenext-heart"
OTHER = "lstm-sa-heart"
CAVITY = 1
CLASSES = (1, 2)
AIMS = (0.95, 0.97)
ENOUGH = 2  # corrected slices, to learn from
FAILED = 0.7  # Dice of the cavity in a slice below which a person tries more than the brush
MISPLACED = 0.3  # Dice below which a class is cleared before it is drawn anew


@dataclass(frozen=True)
class Way:
    """A way to work.

    Parameters
    ----------
    title : str
    aim : str
        The order of review, see `order.score_slices`; empty for front to back.
    tools : bool
        Whether a failed slice is propagated from a corrected neighbour, or cleared first.
    learns : bool
        Whether the rest is updated from the corrections after every slice, until the last of `AIMS` is reached.
    """

    title: str
    aim: str = ""
    tools: bool = False
    learns: bool = False


WAYS = {
    "brush": Way("brush, front to back"),
    "failed": Way("failed first", "failed"),
    "voxels": Way("most voxels first", "voxels"),
    "tools": Way("failed first, propagate, clear", "failed", tools=True),
    "all": Way("failed first, propagate, clear, learning", "failed", tools=True, learns=True),
}
LINES = {"brush": "k-", "failed": "C0-", "voxels": "C1-", "tools": "C2--", "all": "C3-"}


@dataclass(frozen=True)
class State:
    """What was done so far, and what came of it."""

    strokes: int
    keys: int
    looked: int
    changed: int
    seconds: float
    computing: float
    dice: float


class Heart:
    """The labels of a patient under correction.

    Parameters
    ----------
    image, truth : numpy.ndarray, shape (slice, y, x)
        `IGNORE` where nothing is known of the myocardium.
    phases : numpy.ndarray, shape (slice,)
        A slice has neighbours within its phase.
    model : TrainedModel
    other : TrainedModel
        That the order compares with.
    """

    def __init__(
        self, image: np.ndarray, truth: np.ndarray, phases: np.ndarray, model: TrainedModel, other: TrainedModel
    ):
        self.image = image
        self.truth = truth
        self.phases = phases
        self.model = model
        self.labels = run(segment_job(stack(image), model, SETTINGS)).labels.data.copy()
        began = time.process_time()
        self.theirs = run(segment_job(stack(image), other, SETTINGS)).labels.data
        self.second = time.process_time() - began
        self.done: list[int] = []
        self.effort = Effort()
        self._places: Places | None = None

    def dice(self) -> float:
        return metrics.dice(self.labels == CAVITY, self.truth == CAVITY)

    def wanted(self, number: int) -> np.ndarray:
        return drawn(self.truth[number], self.labels[number])

    def state(self) -> State:
        done = self.effort
        sizes = len(done.looked), len(done.changed)
        return State(done.strokes, done.keys, *sizes, done.seconds, done.computing, self.dice())

    # ---- what the person does ----

    def review(self, way: Way) -> Iterator[State]:
        """Correct all slices; yields after every stroke, key and update."""
        order = list(range(len(self.image)))
        if way.aim:
            order = ranking(score_slices(self.labels, self.theirs, aim=way.aim))  # type: ignore[arg-type]
            self.effort.computing += self.second
        yield self.state()
        for number in order:
            self.effort.look(number)
            if way.tools:
                self._use_tools(number)
                yield self.state()
            for length in brush(self.labels[number], self.wanted(number)):
                self.effort.stroke(number, length)
                yield self.state()
            self.done.append(number)
            learns = way.learns and self.dice() < AIMS[-1]
            if learns and ENOUGH <= len(self.done) < len(self.image):
                self._timed(self._learn)
                yield self.state()

    def _use_tools(self, number: int) -> None:
        """Where much is wrong, take the labels of a corrected neighbour if they fit better; clear what is misplaced."""
        mine = self.labels[number] == CAVITY
        if metrics.dice(mine, self.truth[number] == CAVITY) >= FAILED:
            return
        for step in (1, -1):
            if self._is_corrected_neighbour(number - step, number):
                self._propagate(number, step)
                break
        for value in CLASSES:
            mine = self.labels[number] == value
            if mine.any() and metrics.dice(mine, self.wanted(number) == value) < MISPLACED:
                self.labels[number][mine] = 0
                self.effort.key(number)

    def _is_corrected_neighbour(self, number: int, of: int) -> bool:
        return number in self.done and self.phases[number] == self.phases[of]

    def _propagate(self, number: int, step: int) -> None:
        """Go to the neighbour, propagate, and undo what has not helped."""
        where = Where(CLASSES, range(number - step, number - step + 1), (1.0, 1.0, 1.0), image=self.image)
        change = self._timed(lambda: propagate(self.labels, where, step))
        before = self.labels[number].copy()
        work = self._work(number)
        self.labels[change.box] = change.values
        self.effort.look(number)
        self.effort.key(number)
        if self._work(number) >= work:
            self.labels[number] = before
            self.effort.key(number)

    def _work(self, number: int) -> float:
        return work_left(self.labels[number], self.wanted(number))

    def _learn(self) -> None:
        others = tuple(number for number in range(len(self.image)) if number not in self.done)
        corrected = Corrected(self.labels.copy(), tuple(sorted(self.done)), others)
        found = run(adapt_job(stack(self.image), self.model, corrected, SETTINGS, places=self._places))
        self._places = found.places
        for number, plane in found.labels.items():
            self.labels[number] = plane

    def _timed(self, call: Callable[[], T]) -> T:
        began = time.process_time()
        found = call()
        self.effort.computing += time.process_time() - began
        return found


def phases_of(folder: Path, split: str) -> dict[str, np.ndarray]:
    """The phase of every slice of every patient, in the order of `live_learning.patients`."""
    found = {}
    with np.load(folder / "sunnybrook" / f"{split}.npz", allow_pickle=False) as file:
        for patient in np.unique(file["patient"]).tolist():
            found[patient] = np.sort(file["frame"][file["patient"] == patient] % PHASES)
    return found


def walk(args: argparse.Namespace) -> dict[str, list[list[State]]]:
    """The states of every patient, by the way of working; what is kept is not run again."""
    model = models.load(models.find(MODEL))
    other = models.load(models.find(OTHER))
    phases = phases_of(args.data, args.split)
    cases = patients(args.data, args.split)
    found: dict[str, list[list[State]]] = {}
    for key in args.ways:
        found[key] = []
        for patient, (image, truth) in cases.items():
            path = args.kept / f"{args.split}-{key}-{patient}.json" if args.kept else None
            if path is not None and path.exists():
                states = [State(**facts) for facts in json.loads(path.read_text())]
            else:
                states = list(Heart(image, truth, phases[patient], model, other).review(WAYS[key]))
                if path is not None:
                    path.write_text(json.dumps([asdict(state) for state in states]))
            found[key].append(states)
    return found


def reached(states: list[State], aim: float) -> State:
    """What was done when the Dice first reached an aim, or in the end."""
    return next((state for state in states if state.dice >= aim), states[-1])


def show(found: dict[str, list[list[State]]]) -> None:
    """Print a Markdown table, sums over the patients."""
    print("| way | Dice | strokes | keys | slices changed | looked at | minutes of the person | s of computing |")
    print("|---|---|---|---|---|---|---|---|")
    for aim in (*AIMS, 2.0):
        for key, runs in found.items():
            ends = [reached(states, aim) for states in runs]
            sums = [sum(getattr(end, name) for end in ends) for name in ("strokes", "keys", "changed", "looked")]
            minutes = sum(end.seconds for end in ends) / 60
            computing = sum(end.computing for end in ends)
            dice = np.mean([end.dice for end in ends])
            missed = sum(end.dice < aim for end in ends)
            head = f"{aim:.2f}" if aim < 1 else "all slices"
            head += f" (missed by {missed})" if missed and aim < 1 else ""
            counts = " | ".join(str(count) for count in sums)
            print(f"| {WAYS[key].title} | {head}: {dice:.3f} | {counts} | {minutes:.1f} | {computing:.0f} |")


def mean_curve(runs: list[list[State]]) -> np.ndarray:
    """Mean Dice of the patients after 0, 1, 2, ... strokes and keys."""
    longest = max(states[-1].strokes + states[-1].keys for states in runs)
    curves = []
    for states in runs:
        actions = [state.strokes + state.keys for state in states]
        last = np.searchsorted(actions, np.arange(longest + 1), side="right") - 1
        curves.append([states[place].dice for place in last])
    return np.mean(curves, axis=0)


def draw(found: dict[str, list[list[State]]], path: Path) -> None:
    """Mean Dice over strokes and keys."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for key, runs in found.items():
        axes.plot(mean_curve(runs), LINES[key], label=WAYS[key].title, linewidth=2.4)
    axes.axhline(AIMS[0], color="black", linestyle=":", linewidth=1.5, label=f"Dice {AIMS[0]}")
    axes.set(xlabel="strokes and keys per heart", ylabel="Dice of the cavity, mean of the hearts", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--kept", type=Path, help="folder for what each run has found")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    if args.kept:
        args.kept.mkdir(parents=True, exist_ok=True)
    found = walk(args)
    show(found)
    if args.plot:
        from matplotlib import rc_context

        with rc_context({"font.size": 15}):
            draw(found, args.plot)


if __name__ == "__main__":
    main()
