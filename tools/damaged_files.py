"""What the makers of damaged files share: a row is the name of a fault, and the files that have it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_seeds import Seed

Files = dict[str, bytes]
Row = tuple[str, Files]
NAN, INF = math.nan, math.inf


def over(content: bytes, at: int, layout: str, *numbers: Any) -> bytes:
    """The content with numbers written over it."""
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, *numbers)
    return bytes(changed)


def first(seeds: Iterator[Seed], number: int = 0) -> Files:
    return dict([*seeds][number].files)


def of_length(seeds: Callable[[Path], Iterator[Seed]], folder: Path) -> Iterator[Row]:
    """What is true of every format: files that are empty, cut short, or full of zeros."""
    files = min((dict(seed.files) for seed in seeds(folder)), key=lambda files: sum(map(len, files.values())))
    name, content = next(iter(files.items()))
    for fault, changed in {
        "nothing in it": b"",
        "cut in its first bytes": content[:20],
        "cut in the middle": content[: min(len(content) // 2, 2000)],
        "zeros": b"\0" * 64,
    }.items():
        yield fault, {**files, name: changed}
