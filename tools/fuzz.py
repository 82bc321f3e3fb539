"""Read damaged files: each must give a value or one of our sentences, in time and without taking memory.

    python tools/fuzz.py                      3,000 cases of every reader
    python tools/fuzz.py nifti tiff           of some readers
    python tools/fuzz.py nifti --case 123     one case, with its traceback; its files are kept in OUTPUT

A reader works in a child process, which is ended and started again after a case that takes too long. Whatever is
neither a value nor a sentence is a fault: it is counted, and the files of the first one of its kind are kept. The
faults of a case depend on the seed, the reader and the number of the case alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

CASES = 3000
SECONDS = 10.0
"""A case that takes longer is a hang."""

GROWTH = 64 * 2**20
"""A case may take so many bytes more than the process had; the sound files are below 10 kB."""

MEMORY = 2 * 2**30
"""A child that has more bytes of memory is ended: the machine has other work to do."""

_LOOK = 0.1  # seconds between two looks at the memory of a child
_LONGEST = 1000  # characters of a sentence


@dataclass
class Tally:
    """What came of the cases of a reader."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[int]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    largest: int = 0

    def add(self, answer: dict[str, Any]) -> None:
        kind = answer["outcome"]
        self.counts[kind] += 1
        self.slowest = max(self.slowest, answer.get("seconds", 0.0))
        self.largest = max(self.largest, answer.get("growth", 0))
        if kind not in ("value", "refused"):
            fault = f"{kind}: {answer['place']}"
            self.faults.setdefault(fault, []).append(answer["case"])
            self.said.setdefault(fault, answer.get("text", ""))


# the child


def files_of(reader: str, seeds: list[Any], case: int, seed: int) -> dict[str, bytes]:
    """The files of a case; the first one is to be read."""
    from fuzz_changes import OF_NAMES, change

    chance = np.random.default_rng([seed, zlib.crc32(reader.encode()), case])
    sound = seeds[chance.integers(len(seeds))]
    changed = dict(sound.files)
    names = list(sound.changed or changed)
    name = names[0] if chance.random() < 0.7 else names[chance.integers(len(names))]
    first = name == next(iter(changed))
    kind = sound.kind if first else OF_NAMES.get(Path(name).suffix, sound.kind)
    changed[name] = change(changed[name], kind, chance)
    if sound.settle is not None:
        sound.settle(changed)
    return changed


def attempt(reader: Any, path: Path) -> dict[str, Any]:
    """Read a file, and say what came of it."""
    from napari_medseg.errors import MedsegError

    _forget_peak()
    before, began = _memory("VmRSS"), time.monotonic()
    try:
        reader.read(path)
        answer = {"outcome": "value"}
    except MedsegError as error:
        answer = _judged(error)
    except AssertionError as error:
        answer = _fault("untrue", error)
    except BaseException as error:
        answer = _fault("traceback", error)
    growth = _memory("VmHWM") - before
    if growth > GROWTH and answer["outcome"] in ("value", "refused"):
        answer = {"outcome": "growth", "place": "of the process", "text": answer.get("text", "it was read")}
    return {**answer, "seconds": time.monotonic() - began, "growth": growth}


def _judged(error: Exception) -> dict[str, Any]:
    """Whether a sentence of ours is one that can be read, and stands for a fault of the file."""
    from napari_medseg.errors import escaped

    if escaped(str(error)) != str(error) or not 20 < len(str(error)) < _LONGEST:
        return _fault("sentence", error)
    return {"outcome": "refused", "text": str(error)}


def _fault(kind: str, error: BaseException) -> dict[str, Any]:
    """A fault, with the last lines of ours and of all code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "napari_medseg" in frame.filename or "fuzz" in frame.filename]
    places = dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (*ours[-1:], *frames[-1:]))
    return {"outcome": kind, "place": f"{type(error).__name__} at {' and '.join(places)}", "text": str(error)[:200]}


def _memory(name: str, process: int | str = "self") -> int:
    """Bytes of memory of a process, from the system's table; 0 once it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def serve(reader: str, first: int, cases: int, seed: int) -> None:
    """Read the cases from `first` on, with a line of JSON before each and one after."""
    from fuzz_readers import READERS

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print is not an answer

    def say(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL - 1)
    with tempfile.TemporaryDirectory() as name:
        seeds = _sound(READERS[reader], Path(name))
        for case in range(first, cases):
            say(case=case, outcome="begun")
            path = _laid_out(files_of(reader, seeds, case, seed), Path(name) / str(case))
            say(case=case, **attempt(READERS[reader], path))
            for file in path.parent.iterdir():
                file.unlink()
            path.parent.rmdir()


def _sound(reader: Any, folder: Path) -> list[Any]:
    """The seeds of a reader, each of which can be read; libraries are loaded then."""
    seeds = list(reader.seeds(folder))
    for number, sound in enumerate(seeds):
        reader.read(_laid_out(sound.files, folder / f"sound-{number}"))
    return seeds


def _laid_out(files: Any, folder: Path) -> Path:
    """Write files into a folder of their own; the path of the first."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


# the parent


class Child:
    """A process that reads cases, and the lines that it says."""

    def __init__(self, reader: str, first: int, cases: int, seed: int):
        command = [sys.executable, __file__, reader, "--serve", str(first), "--cases", str(cases), "--seed", str(seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in cast("IO[bytes]", self._process.stdout):
            self._lines.put(line)
        self._lines.put(b"")

    def next(self, seconds: float) -> dict[str, Any] | None:
        """What the child says next; None if it has ended.

        Raises
        ------
        TimeoutError
            If it says nothing for so long.
        MemoryError
            If it takes too much memory meanwhile.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=_LOOK)
                return json.loads(line) if line.endswith(b"\n") else None
            if self._process.poll() is None and _memory("VmRSS", self._process.pid) > MEMORY:
                raise MemoryError
        raise TimeoutError

    def end(self) -> int:
        """End the process; what it returned."""
        self._process.kill()
        return self._process.wait()

    def returned(self) -> int:
        return self._process.wait()


def run(reader: str, cases: int, seed: int) -> Tally:
    """All cases of a reader."""
    tally, begun = Tally(), -1
    while begun < cases - 1:
        child, last = Child(reader, begun + 1, cases, seed), begun
        while True:
            try:
                # before the first case the child makes the sound files
                answer = child.next(SECONDS if begun > last else 300)
            except TimeoutError:
                child.end()
                tally.add({"case": begun, "outcome": "hang", "place": f"longer than {SECONDS:g} s"})
                break
            except MemoryError:
                child.end()
                tally.add({"case": begun, "outcome": "growth", "place": f"more than {MEMORY >> 30} GiB"})
                break
            if answer is None:
                code = child.returned()
                if begun == last:
                    if begun < cases - 1:
                        raise RuntimeError(f"The child for '{reader}' ended with {code} before its first case.")
                elif code:
                    tally.add({"case": begun, "outcome": "crash", "place": f"the process ended with {code}"})
                break
            if answer["outcome"] == "begun":
                begun = answer["case"]
            else:
                tally.add(answer)
    return tally


def report(readers: dict[str, Tally], seed: int) -> str:
    """A table over the readers, and the faults."""
    kinds = ("value", "refused", "traceback", "untrue", "sentence", "hang", "crash", "growth")
    lines = [
        f"Seed {seed}, {time.strftime('%Y-%m-%d')}; a hang is longer than {SECONDS:g} s, growth more than "
        f"{GROWTH >> 20} MiB.",
        "",
        f"| reader | {' | '.join(kinds)} | slowest (s) | most memory (MiB) |",
        f"|---|{'---:|' * (len(kinds) + 2)}",
    ]
    for name, tally in readers.items():
        counts = " | ".join(str(tally.counts[kind]) for kind in kinds)
        lines.append(f"| {name} | {counts} | {tally.slowest:.2f} | {tally.largest / 2**20:.0f} |")
    for name, tally in readers.items():
        for fault, cases in sorted(tally.faults.items()):
            more = f" and {len(cases) - 5} more" if len(cases) > 5 else ""
            lines.append(
                f"\n- **{name}** {fault}: {tally.said[fault]!a}\n  cases {', '.join(map(str, cases[:5]))}{more}"
            )
    return "\n".join(lines) + "\n"


def keep(reader: str, case: int, seed: int, folder: Path) -> Path:
    """Write the files of a case into `folder`; the path of the one to be read."""
    from fuzz_readers import READERS

    with tempfile.TemporaryDirectory() as name:
        seeds = list(READERS[reader].seeds(Path(name)))
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files_of(reader, seeds, case, seed).items():
        (folder / file).write_bytes(content)
    return folder / next(iter(files_of(reader, seeds, case, seed)))


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help="all of them by default")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--case", type=int, help="read this case alone, here")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.readers[0], args.serve, args.cases, args.seed)
        return 0
    from fuzz_readers import READERS

    if args.case is not None:
        name = args.readers[0]
        path = keep(name, args.case, args.seed, args.output / f"{name}-{args.case}".replace(" ", "-"))
        print(path)  # noqa: T201
        READERS[name].read(path)
        return 0
    names = args.readers or list(READERS)
    tallies: dict[str, Tally] = {}

    def work(name: str) -> None:
        tallies[name] = run(name, args.cases, args.seed)
        print(name, dict(tallies[name].counts), flush=True)  # noqa: T201

    with ThreadPoolExecutor(args.processes) as pool:
        list(pool.map(work, names))
    text = report({name: tallies[name] for name in names}, args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "report.md").write_text(text, "utf-8")
    for name in names:
        for cases in tallies[name].faults.values():
            keep(name, cases[0], args.seed, args.output / f"{name}-{cases[0]}".replace(" ", "-"))
    print(text)  # noqa: T201
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
