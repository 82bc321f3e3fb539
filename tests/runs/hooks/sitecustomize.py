"""Loaded first by child processes of these tests: what the files of telling names do to the process that is at them."""

import errno
import os
import signal
import sys
import time

if "napari_medseg.runs.child" in sys.orig_argv:
    from napari_medseg.files import replacing
    from napari_medseg.runs import work

    _segment = work.JOBS["segment"]

    def _no_space(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _hooked(task):
        name = task.source.name.split(".")[0]
        # pid and file, for the test that waits for it
        with open(os.environ["MEDSEG_TEST_STARTS"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {name}\n")
        if name == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "leave":
            (task.target.parent / f".medseg-0123456789abcdef-{task.target.name}").write_bytes(b"half")
            os._exit(3)
        if name == "greedy":
            held = bytearray(700 * 2**20)
            held[:: 2**12] = b"1" * len(held[:: 2**12])
        if name in ("slow", "greedy"):
            time.sleep(600)
        if name == "full":
            replacing.to_disk = _no_space
        time.sleep(float(os.environ.get("MEDSEG_TEST_PAUSE", "0")))
        return (yield from _segment(task))

    work.JOBS["segment"] = _hooked
