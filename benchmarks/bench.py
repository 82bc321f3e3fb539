"""How fast are the networks and methods? Every form in a process of its own, forms of a row in turn.

    python benchmarks/bench.py [--rounds 5] [--only LiteNeXt] [--before COMMIT]

Writes ``bench.json`` with the machine, the versions and all figures, puts its tables into ``RESULTS.md``, and says what
has changed since the ``bench.json`` that was there. Rows that this machine cannot measure are named.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STORE = HERE / "bench.json"
RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"
BEFORE = "4f4ac3c232f0ce8f422a328122686155a9298980"  # before blocks, kept memory, workers and the quick split
EARLIER = "before:"  # in front of a form: with the package as it was at that commit


@dataclass(frozen=True)
class Row:
    """One line of the tables: a form, what it is compared with, and what is aimed at.

    `share` is the part of the rounds that a slow form gets, `threads` is 0 for all cores, and of rows with `wall` the
    wall time counts.
    """

    title: str
    form: str
    other: str = ""
    aim: str = ""
    share: float = 1.0
    threads: int = 1
    wall: bool = False


# rows next to each other with the same `other` are measured in turn with one another
ROWS = (
    Row("LiteNeXt, 256 x 256, in a job, against the published form", "litenext-256-job", "litenext-256-published", "6"),
    Row("LiteNeXt, 256 x 256, alone, against the published form", "litenext-256", "litenext-256-published"),
    Row("LiteNeXt, 512 x 512, in a job, against the published form", "litenext-512-job", "litenext-512-published", "8"),
    Row("LiteNeXt, 512 x 512, alone, against the published form", "litenext-512", "litenext-512-published"),
    Row("LSTM-SA, published size, against the published order", "lstm-sa-64", "lstm-sa-64-published", "3", 0.6),
    Row("the same in bfloat16 (LSTM-SA)", "lstm-sa-64-bfloat16", "lstm-sa-64-published", "5", 0.6),
    Row("LSTM-SA, width 16, against the published order", "lstm-sa-16", "lstm-sa-16-published"),
    Row("LSTM-SA, width 16, in bfloat16", "lstm-sa-16-bfloat16", "lstm-sa-16-published"),
    Row("Conditional Swin, light routers, against the plain Swin U-Net", "conditional-swin-light", "swin-unet"),
    Row("the same in bfloat16 (Conditional Swin)", "conditional-swin-light-bfloat16", "swin-unet", "1.5"),
    Row("sense-tv, 8 coils, lines, against BART", "sense-tv-lines", "bart-tv-lines", "1"),
    Row("sense-tv, 8 coils, points, against BART", "sense-tv-points", "bart-tv-points", "1"),
    Row("nuclei, 512 x 512, split, against before", "nuclei-split", EARLIER + "nuclei-split", "1.4"),
    Row("nuclei, 512 x 512, not split", "nuclei"),
    Row(
        "segment, 160 x 512 x 512, against before",
        "volume-160",
        EARLIER + "volume-160",
        "2, extra memory under 120 MB",
        0.4,
    ),
    Row(
        "segment, 16 slices of 512 x 512, next to a busy process, against alone",
        "volume-16-busy",
        "volume-16",
        "at most 1.5",
        threads=0,
        wall=True,
    ),
)

Figures = dict[str, float]


def once(form: str, threads: int, source: str) -> Figures:
    """Figures of a form, from a process of its own; `source` is where the package was at an earlier commit."""
    number = threads or len(os.sched_getaffinity(0))
    environment = os.environ | {"OMP_NUM_THREADS": str(number)}
    if form.startswith(EARLIER):
        environment["PYTHONPATH"] = source
    command = [sys.executable, str(HERE / "forms.py"), form.removeprefix(EARLIER), "--threads", str(number)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{form} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measured(rows: list[Row], rounds: int, source: str) -> dict[str, list[Figures]]:
    """Figures of every form of `rows`, which share what they are compared with: A B C A B C."""
    forms = dict.fromkeys(name for row in rows for name in (row.other, row.form) if name)
    found: dict[str, list[Figures]] = {name: [] for name in forms}
    for _ in range(max(1, round(rounds * rows[0].share))):
        for name, figures in found.items():
            figures.append(once(name, rows[0].threads, source))
    return found


def judged(row: Row, found: dict[str, list[Figures]]) -> dict[str, Any]:
    """Medians of both forms, and how many times less time the first takes, or more wall time, round by round."""
    ours = found[row.form]
    theirs = found.get(row.other, [])
    if row.wall:
        ratios = [a["wall_s"] / b["wall_s"] for a, b in zip(ours, theirs, strict=True)]
    else:
        ratios = [b["cpu_s"] / a["cpu_s"] for a, b in zip(ours, theirs, strict=False)]
    forms = {name: medians(found[name]) for name in (row.other, row.form) if name}
    return {
        "forms": forms,
        "ratios": sorted(ratios),
        "rounds": len(ours),
        "time": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": round(os.getloadavg()[0], 2),
    }


def medians(figures: list[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in figures) for key in figures[0]}


def machine() -> dict[str, Any]:
    """What figures hang on; figures of another machine are not kept."""
    packages = ("torch", "numpy", "scipy", "scikit-image")
    return {
        "cpu": cpu_facts().get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "bfloat16": knows_bfloat16(),
        "avx512": "avx512f" in cpu_facts().get("flags", ""),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def cpu_facts() -> dict[str, str]:
    """The last core's entry of ``/proc/cpuinfo``."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    parts = [line.partition(":") for line in lines]
    return {key.strip(): value.strip() for key, _, value in parts}


def knows_bfloat16() -> bool:
    flags = cpu_facts().get("flags", "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def hindrance(row: Row, source: str) -> str:
    """Why this machine cannot measure the row; empty if it can."""
    if "bfloat16" in row.form and not knows_bfloat16():
        return "the CPU computes no bfloat16 (avx512_bf16 or amx_bf16)"
    if row.other.startswith("bart") and not shutil.which("bart"):
        return "BART is missing (apt-get install bart)"
    if row.other.startswith(EARLIER) and not source:
        return "the earlier commit is not in this folder's history"
    return ""


def unpack(commit: str, folder: str) -> str:
    """Where the package lies as it was at `commit`; empty if git does not know that commit here."""
    done = subprocess.run(["git", "archive", commit, "src"], cwd=HERE.parent, capture_output=True, check=False)
    if done.returncode:
        return ""
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return str(Path(folder) / "src")


def groups(rows: list[Row]) -> list[list[Row]]:
    """Rows that are measured in turn: those compared with the same form."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.other or row.form, []).append(row)
    return list(found.values())


def tables(content: dict[str, Any]) -> Iterator[str]:
    """CPU times, then wall times, in Markdown."""
    pairs = content["pairs"]
    facts = content["machine"]
    wide = "with" if facts["avx512"] else "without"
    rounds = [found["rounds"] for found in pairs.values()]
    load = max(found["load"] for found in pairs.values())
    yield (
        f"{facts['cores']} cores of {facts['cpu']} {wide} AVX-512, PyTorch {facts['versions']['torch']}; "
        f"rounds of a row: {min(rounds)} to {max(rounds)}; highest load average after a row: {load:.1f}."
    )
    yield ""
    yield (
        "| | CPU time (ms) | compared with (ms) | times faster (range) | aim | page faults | peak memory (MiB) "
        "| extra memory (MiB) |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in ROWS:
        if row.title in pairs and not row.wall:
            yield line(row, pairs[row.title], "cpu_s")
    yield ""
    yield (
        "| | wall time (ms) | compared with (ms) | times longer (range) | aim | page faults | peak memory (MiB) "
        "| extra memory (MiB) |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in ROWS:
        if row.title in pairs and row.wall:
            yield line(row, pairs[row.title], "wall_s")


def line(row: Row, found: dict[str, Any], key: str) -> str:
    ours = found["forms"][row.form]
    theirs = found["forms"].get(row.other)
    ratios = found["ratios"]
    cells = [
        row.title,
        f"{1000 * ours[key]:.0f}",
        f"{1000 * theirs[key]:.0f}" if theirs else "",
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else "",
        row.aim,
        *(f"{ours[name]:.0f}" for name in ("faults", "peak_mib", "extra_mib")),
    ]
    return f"| {' | '.join(cells)} |"


def changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What is faster or slower by more than a tenth."""
    for title, found in now["pairs"].items():
        for form, figures in found["forms"].items():
            earlier = before.get("pairs", {}).get(title, {}).get("forms", {}).get(form)
            if earlier and not 0.9 < figures["cpu_s"] / earlier["cpu_s"] < 1.1:
                yield f"{form}: {1000 * earlier['cpu_s']:.0f} ms before, {1000 * figures['cpu_s']:.0f} ms now"


def save(content: dict[str, Any]) -> None:
    STORE.write_text(json.dumps(content, indent=1) + "\n")
    table = "\n".join([BEGIN, *tables(content), END])
    RESULTS.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, RESULTS.read_text(), flags=re.S))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="WORD", help="rows with this in their title")
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help="what 'before' stands for")
    given = parser.parse_args()
    before = json.loads(STORE.read_text()) if STORE.exists() else {}
    here = machine()
    known = {row.title for row in ROWS}
    kept = before.get("pairs", {}) if before.get("machine") == here else {}
    pairs = {title: found for title, found in kept.items() if title in known}
    chosen = [row for row in ROWS if given.only in row.title]
    with tempfile.TemporaryDirectory() as folder:
        earlier = any(row.other.startswith(EARLIER) for row in chosen)
        source = unpack(given.before, folder) if earlier else ""
        for row in chosen:
            if hindrance(row, source):
                print(f"{row.title}: not measured, {hindrance(row, source)}", flush=True)
        for rows in groups([row for row in chosen if not hindrance(row, source)]):
            found = measured(rows, given.rounds, source)
            for row in rows:
                pairs[row.title] = judged(row, found)
                print(line(row, pairs[row.title], "wall_s" if row.wall else "cpu_s"), flush=True)
            save({"machine": here, "pairs": pairs})
    print("\n".join(changes(before, {"pairs": pairs})) or "no form has changed by more than a tenth")


if __name__ == "__main__":
    main()
