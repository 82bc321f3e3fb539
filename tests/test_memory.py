"""The memory that may still be taken: less where a container or a shell sets a limit."""

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from napari_medseg import memory


def system(root, own, files):
    """A file system that describes groups of processes."""
    for name, text in {"proc/self/cgroup": own, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


NEW = "sys/fs/cgroup"
OLD = "sys/fs/cgroup/memory"
SYSTEMS = {
    "none": ("", {}, None),
    "unlimited": ("0::/a\n", {f"{NEW}/a/memory.max": "max\n"}, None),
    "a container": ("0::/\n", {f"{NEW}/memory.max": "1000\n", f"{NEW}/memory.current": "300\n"}, 700),
    "files kept": (
        "0::/a\n",
        {
            f"{NEW}/a/memory.max": "1000",
            f"{NEW}/a/memory.current": "900",
            f"{NEW}/a/memory.stat": "inactive_file 500\n",
        },
        600,
    ),
    "a group above": (
        "0::/job/step\n",
        {f"{NEW}/job/step/memory.max": "max", f"{NEW}/job/memory.max": "800", f"{NEW}/job/memory.current": "100"},
        700,
    ),
    "seen from outside": ("0::/docker/x\n", {f"{NEW}/memory.max": "500", f"{NEW}/memory.current": "100"}, 400),
    "version 1": (
        "3:cpu:/\n9:memory:/slurm/job\n",
        {f"{OLD}/slurm/job/memory.limit_in_bytes": "900", f"{OLD}/slurm/job/memory.usage_in_bytes": "100"},
        800,
    ),
    "version 1 without": ("9:memory:/\n", {f"{OLD}/memory.limit_in_bytes": "9223372036854771712"}, None),
    "all taken": ("0::/\n", {f"{NEW}/memory.max": "100", f"{NEW}/memory.current": "300"}, 0),
    "damaged": ("\0:::\n", {f"{NEW}/memory.max": "much", f"{NEW}/memory.stat": "x"}, None),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_limits_of_containers_are_kept(tmp_path, monkeypatch, name):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(memory, "_left_to_process", list)
    own, files, left = SYSTEMS[name]
    assert memory.free_bytes(system(tmp_path, own, files)) == (10**6 if left is None else left)


@pytest.mark.skipif(os.name == "nt", reason="the system has no such limits")
def test_limits_of_a_shell_are_kept():
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
        "from napari_medseg.memory import free_bytes; print(free_bytes())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < int(found.stdout) < 2**32
