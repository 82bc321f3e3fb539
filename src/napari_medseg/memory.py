"""How much memory may still be taken: what is free, and less where a container, a scheduler or a shell sets a limit."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import psutil

_ROOT = Path("/")
_MOST = 2**60  # bytes; larger limits mean none
_VERSIONS = (
    # where groups of processes lie, file with their limit, what they take, part of it that the system can drop
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes(root: Path = _ROOT) -> int:
    """Bytes that this process may still take.

    Parameters
    ----------
    root : pathlib.Path
        Of the file system that describes the groups of processes (cgroups) of Linux, both versions.
    """
    found = [psutil.virtual_memory().available, *_left_to_process()]
    for folder, limit, taken, droppable in _limits(root):
        used = _number(folder / taken) - _statistic(folder / "memory.stat", droppable)
        found.append(max(0, limit - max(0, used)))
    return min(found)


@cache
def _limits(root: Path) -> list[tuple[Path, int, str, str]]:
    """The groups of this process that have a limit, from its own upwards: folder, limit, names of its figures."""
    found = []
    for base, limit_name, taken, droppable in _VERSIONS:
        top = root / base
        place = top / _group(root, legacy=top.name == "memory")
        # inside a container its own group is at the top, whatever name it has outside
        for folder in dict.fromkeys((place, *place.parents, top)):
            limit = _number(folder / limit_name) if folder.is_relative_to(top) else 0
            if 0 < limit < _MOST:
                found.append((folder, limit, taken, droppable))
    return found


def _group(root: Path, *, legacy: bool) -> str:
    """The group of this process, as seen from the folder of all groups."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = (*line.split(":", 2), "", "")[:3]
        if "memory" in kinds.split(",") if legacy else not kinds:
            return path.lstrip("/")
    return ""


def _left_to_process() -> list[int]:
    """What the limit that a shell has set (``ulimit -v``) leaves; empty if there is none."""
    if sys.platform == "win32":
        return []
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return []
    return [max(0, limit - psutil.Process().memory_info().vms)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int:
    """The number in a file; 0 if it holds none, such as ``max``."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _statistic(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, number = line.partition(" ")
        if key == name and number.isdecimal():
            return int(number)
    return 0
