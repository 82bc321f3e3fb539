"""How fast are the networks and methods? Every form in a process of its own, pairs in turn.

    python benchmarks/bench.py [--rounds 5] [--only litenext]

Writes ``bench.json`` with the machine, the versions and all figures, puts its table into ``RESULTS.md``, and says what
has changed since the ``bench.json`` that was there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STORE = HERE / "bench.json"
RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"

# title, form to compare with, form
PAIRS = (
    ("LiteNeXt, 256 x 256, against the published form", "litenext-256-published", "litenext-256"),
    ("LiteNeXt, 512 x 512, against the published form", "litenext-512-published", "litenext-512"),
    ("LSTM-SA, published size, 4 slices, against the published order", "lstm-sa-64-published", "lstm-sa-64"),
    ("LSTM-SA, width 16, 4 slices, against the published order", "lstm-sa-16-published", "lstm-sa-16"),
    ("Conditional Swin, light routers, against the plain Swin U-Net", "swin-unet", "conditional-swin-light"),
    ("sense-tv, 8 coils, lines, against BART", "bart-tv-lines", "sense-tv-lines"),
    ("sense-tv, 8 coils, points, against BART", "bart-tv-points", "sense-tv-points"),
    ("nuclei, 512 x 512, split, against not split", "nuclei", "nuclei-split"),
    ("segment, 32 slices of 512 x 512", "", "volume-32"),
)

Figures = dict[str, float]


def once(form: str) -> Figures:
    """Figures of a form, from a process of its own with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "forms.py"), form]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def compare(other: str, form: str, rounds: int) -> dict[str, Any]:
    """Figures of both, A B A B, and how many times less CPU time the second takes, round by round."""
    measured: dict[str, list[Figures]] = {name: [] for name in (other, form) if name}
    for _ in range(rounds):
        for name, found in measured.items():
            found.append(once(name))
    middle = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in measured.items()
    }
    ratios = [a["cpu_s"] / b["cpu_s"] for a, b in zip(measured.get(other, []), measured[form], strict=False)]
    return {"forms": middle, "ratios": sorted(ratios)}


def machine() -> dict[str, Any]:
    packages = ("torch", "numpy", "scipy", "scikit-image")
    return {
        "time": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def rows(content: dict[str, Any]) -> Iterator[str]:
    """The table in Markdown."""
    yield "| | CPU time (ms) | compared with (ms) | times faster (range) | page faults | peak memory (MiB) |"
    yield "|---|---:|---:|---:|---:|---:|"
    for title, other, form in PAIRS:
        if title not in content["pairs"]:
            continue
        found = content["pairs"][title]
        ours = found["forms"][form]
        theirs = found["forms"].get(other)
        ratios = found["ratios"]
        span = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else ""
        beside = f"{1000 * theirs['cpu_s']:.0f}" if theirs else ""
        yield (
            f"| {title} | {1000 * ours['cpu_s']:.0f} | {beside} | {span} | {ours['faults']:.0f} | "
            f"{ours['peak_mib']:.0f} |"
        )


def changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What is faster or slower by more than a tenth."""
    for title, found in now["pairs"].items():
        for form, figures in found["forms"].items():
            earlier = before.get("pairs", {}).get(title, {}).get("forms", {}).get(form)
            if earlier and not 0.9 < figures["cpu_s"] / earlier["cpu_s"] < 1.1:
                yield f"{form}: {1000 * earlier['cpu_s']:.0f} ms before, {1000 * figures['cpu_s']:.0f} ms now"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="WORD", help="pairs with this in their title")
    given = parser.parse_args()
    before = json.loads(STORE.read_text()) if STORE.exists() else {}
    pairs = dict(before.get("pairs", {}))
    for title, other, form in PAIRS:
        if given.only not in title or ("bart" in other and not shutil.which("bart")):
            continue
        pairs[title] = compare(other, form, given.rounds)
        print(title, pairs[title]["forms"], pairs[title]["ratios"], flush=True)
    now = {"machine": machine(), "pairs": pairs}
    STORE.write_text(json.dumps(now, indent=1) + "\n")
    table = "\n".join([BEGIN, *rows(now), END])
    text = RESULTS.read_text()
    RESULTS.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.S))
    print("\n".join(changes(before, now)) or "no form has changed by more than a tenth")


if __name__ == "__main__":
    main()
