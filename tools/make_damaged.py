"""Write the damaged files that the tests read again, and what came of each.

    python tools/make_damaged.py

Writes ``tests/damaged/files.tar.xz`` and ``tests/damaged/index.json``: for every case its fault, and whether a value or
a sentence came, with words of that. Look at the difference before it is committed: a file that was refused and is read
now may be a silent fault. A file that is neither is reported and left out.
"""

from __future__ import annotations

import io as memory
import json
import multiprocessing
import re
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import damaged_data
import damaged_images
from damaged_files import Row, of_length
from fuzz import SECONDS, attempt
from fuzz_readers import READERS

FAULTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "dicom plain": damaged_images.dicom,
    "dicom compressed": damaged_images.compressed_dicom,
    "dicom multi-frame": damaged_images.frames,
    "dicom series": damaged_images.series,
    "nifti": damaged_images.nifti,
    "nifti.gz": damaged_images.compressed_nifti,
    "tiff": damaged_images.tiff,
    "ome-tiff": damaged_images.ome_tiff,
    "imagej": damaged_images.imagej,
    "nrrd": damaged_images.nrrd,
    "metaimage": damaged_images.meta_image,
    "png": damaged_images.png,
    "jpeg": damaged_images.jpeg,
    "npy": damaged_data.npy,
    "npz": damaged_data.npz,
    "side file": damaged_data.side_file,
    "record": damaged_data.record,
    "fastmri": damaged_data.fastmri,
    "bart": damaged_data.bart,
    "k-space numpy": damaged_data.raw_numpy,
    "settings": damaged_data.settings,
    "fine-tune settings": damaged_data.fine_tune,
    "dataset.json": damaged_data.dataset,
    "model": damaged_data.model,
    "checkpoint": damaged_data.checkpoint,
    "replay": damaged_data.replay,
    "mask": damaged_data.mask,
}
"""What is special to the files of a reader; faults that all files can have are added, see `of_length`."""


TARGET = Path(__file__).parents[1] / "tests" / "damaged"
_WORDS = re.compile(r"[A-Za-z][A-Za-z ,-]{12,50}")
_FORK = multiprocessing.get_context("fork")


def rows(folder: Path) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """Reader, fault and files of every case."""
    for number, (reader, row) in enumerate(READERS.items()):
        place = folder / str(number)
        place.mkdir()
        found: dict[str, dict[str, bytes]] = {}
        own = FAULTS[reader](place) if reader in FAULTS else ()
        for fault, files in chain(own, of_length(row.seeds, place)):
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


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a file into an archive, without the time of day."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, memory.BytesIO(content))


def main() -> int:
    index: list[dict[str, object]] = []
    stream, wrong, size = memory.BytesIO(), 0, 0
    with tempfile.TemporaryDirectory() as name, tarfile.open(fileobj=stream, mode="w:xz", preset=9) as archive:
        for reader, fault, files in rows(Path(name)):
            found = outcome(reader, files)
            if found["outcome"] not in ("value", "refused"):
                wrong += 1
                sys.stdout.write(f"{reader}: {fault}: {found}\n")
                continue
            row = {"reader": reader, "fault": fault, "files": list(files), "outcome": found["outcome"]}
            for file, content in files.items():
                add(archive, f"{len(index)}/{file}", content)
                size += len(content)
            index.append(row | ({"says": words(str(found["text"]))} if found["outcome"] == "refused" else {}))
    TARGET.mkdir(exist_ok=True)
    (TARGET / "files.tar.xz").write_bytes(stream.getvalue())
    lines = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in index)
    (TARGET / "index.json").write_text(f"[{lines}]\n", "utf-8")
    packed = len(stream.getvalue())
    sys.stdout.write(f"{len(index)} cases of {size / 1000:.0f} kB, packed {packed / 1000:.0f} kB; {wrong} left out\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
