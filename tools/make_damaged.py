"""Write the damaged files that the tests read again, and what came of each.

    python tools/make_damaged.py

Writes ``tests/damaged/files.zip`` and ``tests/damaged/index.json``: for every file its fault, and whether a value or a
sentence came, with words of that. Look at the difference before it is committed: a file that was refused and is read
now may be a silent fault. A file that is neither is reported and left out.
"""

from __future__ import annotations

import io as memory
import json
import multiprocessing
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from damaged_files import FAULTS, of_length
from fuzz import SECONDS, attempt
from fuzz_readers import READERS

TARGET = Path(__file__).parents[1] / "tests" / "damaged"
_WORDS = re.compile(r"[A-Za-z][A-Za-z ,-]{12,50}")
_FORK = multiprocessing.get_context("fork")


def rows(folder: Path) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Reader, fault and files of every case."""
    for number, (reader, faults) in enumerate(FAULTS.items()):
        place = folder / str(number)
        place.mkdir()
        found: dict[str, dict[str, bytes]] = {}
        for fault, files in chain(faults(place), of_length(READERS[reader].seeds, place)):
            found.setdefault(fault, files)
        for fault, files in found.items():
            yield reader, fault, files


def outcome(reader: str, files: dict[str, bytes]) -> dict[str, object]:
    """What comes of reading the files, in a process of its own."""
    here, there = _FORK.Pipe()

    def work() -> None:
        warnings.simplefilter("ignore")
        with tempfile.TemporaryDirectory() as name:
            for file, content in files.items():
                (Path(name) / file).write_bytes(content)
            there.send(attempt(READERS[reader], Path(name) / next(iter(files))))

    process = _FORK.Process(target=work)
    process.start()
    try:
        return here.recv() if here.poll(SECONDS) else {"outcome": "hang"}
    finally:
        process.kill()
        process.join()


def words(sentence: str) -> str:
    """A part of a sentence that does not depend on names and numbers."""
    found = _WORDS.findall(re.sub(r"'[^']*'|\([^()]*\)", "|", sentence))
    return found[0].strip(" ,-") if found else ""


def main() -> int:
    index, stream, wrong = [], memory.BytesIO(), 0
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for reader, fault, files in rows(Path(name)):
            found = outcome(reader, files)
            if found["outcome"] not in ("value", "refused"):
                wrong += 1
                sys.stdout.write(f"{reader}: {fault}: {found}\n")
                continue
            folder = f"{reader}/{fault}".replace(" ", "_")
            for file, content in files.items():
                archive.writestr(zipfile.ZipInfo(f"{folder}/{file}"), content, zipfile.ZIP_DEFLATED)
            row = {"reader": reader, "fault": fault, "files": list(files), "outcome": found["outcome"]}
            index.append(row | ({"says": words(str(found["text"]))} if found["outcome"] == "refused" else {}))
    TARGET.mkdir(exist_ok=True)
    (TARGET / "files.zip").write_bytes(stream.getvalue())
    lines = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in index)
    (TARGET / "index.json").write_text(f"[{lines}]\n", "utf-8")
    sys.stdout.write(f"{len(index)} cases, {len(stream.getvalue()) / 1000:.0f} kB; {wrong} are left out\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
