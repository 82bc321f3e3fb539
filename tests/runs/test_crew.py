"""Files that are worked on by child processes, and what happens when these end."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_medseg import cli, io, models
from napari_medseg.errors import SettingsError
from napari_medseg.record import UsedModel
from napari_medseg.runs import crew
from napari_medseg.runs.cohort import cohort_job
from napari_medseg.runs.tasks import Task
from napari_medseg.volume import Volume

HOOKS = Path(__file__).parent / "hooks"
MODEL = "litenext-heart"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty working folder; children do what `hooks` says and note what they begin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDSEG_TEST_STARTS", str(tmp_path / "starts"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOKS), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def image(path, seed=0):
    data = np.random.default_rng(seed).integers(0, 900, (1, 32, 32)).astype(np.int16)
    path.parent.mkdir(exist_ok=True)
    return io.write(Volume(data, "zyx", np.eye(4)), path)


def starts():
    """Process and name of each file that a child has begun."""
    with suppress(FileNotFoundError):
        return [line.split() for line in Path("starts").read_text().splitlines()]
    return []


def wait_until(what):
    """Wait for something that must come; a minute is long on any machine."""
    for _ in range(600):
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("It did not come.")


def process_at(name):
    return wait_until(lambda: next((int(pid) for pid, file in starts() if file == name), 0))


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def task(name):
    card = models.load_card(models.find(MODEL))
    settings = {"inference": {"device": "cpu"}, "axes": None}
    used = (UsedModel(card.name, card.sha256, card.architecture),)
    return Task("segment", (f"{name}.nii.gz",), {"labels": f"out/{name}.nii.gz"}, used, settings)


def test_files_that_bring_their_process_down_fail_alone(workplace, capsys):
    good = [f"{number}.nii.gz" for number in range(8)]
    for seed, name in enumerate([*good, "crash.nii.gz", "killed.nii.gz", "leave.nii.gz"]):
        image(workplace / "in" / name, seed)
    (workplace / "in" / "killed.nii.gz").rename(workplace / "in" / "slow.nii.gz")
    (workplace / "in" / "cut.nii.gz").write_bytes((workplace / "in" / "0.nii.gz").read_bytes()[:200])
    (workplace / "in" / "empty.nii.gz").write_bytes(gzip.compress(b""))
    killer = threading.Thread(target=lambda: os.kill(process_at("slow"), signal.SIGKILL))
    killer.start()
    code = cli.main(["segment", "in", "-o", "out", "--model", MODEL, "--workers", "2", "--report", "r.json"])
    killer.join()
    assert code == 1
    assert sorted(path.name for path in (workplace / "out").iterdir()) == good, "nothing half-written, no lock"
    report = json.loads(Path("r.json").read_text())
    assert not report["interrupted"]
    assert [Path(row["output"]).name for row in report["files"]] == good, "in the order of the inputs"
    told = {Path(row["file"]).name.split(".")[0]: row["error"] for row in report["failures"]}
    assert list(told) == ["crash", "cut", "empty", "leave", "slow"]
    assert "ended with SIGSEGV while working on 'crash.nii.gz'" in told["crash"]
    assert "ended with SIGKILL while working on 'slow.nii.gz'. Perhaps memory ran out" in told["slow"]
    assert "ended with exit code 3" in told["leave"]
    assert "is damaged" in told["cut"] and "is damaged" in told["empty"]
    begun = [file for _, file in starts()]
    assert len(begun) == len(set(begun)) == 13, "each file was begun once"
    errors = capsys.readouterr().err
    assert "5 of 13 failed" in errors and "Traceback" not in errors


@pytest.mark.slow
def test_labels_are_the_same_whoever_makes_them(workplace):
    for seed, name in enumerate(("a.nii.gz", "b.nii.gz")):
        image(workplace / "in" / name, seed)
    rows = []
    for workers in ("0", "1", "2"):
        words = ["segment", "in", "-o", f"out{workers}", "--model", MODEL, "--workers", workers, "--report", "r.json"]
        assert cli.main(words) == 0
        rows.append(json.loads(Path("r.json").read_text())["files"])
        for name in ("a.nii.gz", "b.nii.gz"):
            ours = io.read(f"out{workers}/{name}")
            assert np.array_equal(ours.data, io.read(f"out0/{name}").data)
            expected = max(1, crew.cores() // int(workers)) if int(workers) else ours.record.place["threads"]
            assert ours.record.place["threads"] == expected
    kept = [[(row["input"], row["classes"], row["warnings"]) for row in each] for each in rows]
    assert kept[0] == kept[1] == kept[2]


def test_a_closed_job_ends_its_children(workplace):
    for name in ("slow", "other"):
        image(workplace / f"{name}.nii.gz")
    workers = crew.local(1)
    job = cohort_job([task("slow"), task("other")], workers)
    while not starts():
        next(job)
    pid = process_at("slow")
    job.close()
    assert gone(pid)
    assert [name for _, name in starts()] == ["slow"], "no other one is begun"
    assert not Path("out").exists()


def test_children_end_when_their_parent_is_killed(workplace):
    image(workplace / "slow.nii.gz")
    program = (
        f"from napari_medseg import cli; cli.main('segment slow.nii.gz -o out --model {MODEL} --workers 1'.split())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    pid = process_at("slow")
    parent.kill()
    parent.wait()
    wait_until(lambda: gone(pid))


def test_sigterm_ends_with_a_report(workplace):
    image(workplace / "in" / "a.nii.gz")
    image(workplace / "in" / "slow.nii.gz")
    words = ["segment", "in", "-o", "out", "--model", MODEL, "--workers", "1", "--report", "r.json"]
    program = f"import sys; from napari_medseg import cli; sys.exit(cli.main({words!r}))"
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    pid = process_at("slow")
    parent.terminate()
    _, errors = parent.communicate()
    assert parent.returncode == 143
    assert gone(pid)
    assert "Interrupted." in errors
    report = json.loads(Path("r.json").read_text())
    assert report["interrupted"]
    assert [row["input"] for row in report["files"]] == ["in/a.nii.gz"]
    assert [path.name for path in Path("out").iterdir()] == ["a.nii.gz"]


@pytest.mark.slow
def test_a_child_that_takes_too_much_memory_fails_its_file(workplace):
    for name in ("greedy", "b"):
        image(workplace / f"{name}.nii.gz")
    workers = crew.local(1, memory_gb=0.7)
    found = {}
    for step in cohort_job([task("greedy"), task("b")], workers):
        if step.partial:
            found[step.partial.task.source.stem] = step.partial
    workers.close()
    assert "needed more than 0.7 GB (the limit) while working on 'greedy.nii.gz'" in found["greedy.nii"].error
    assert found["b.nii"].state == "done"
    assert 50 < found["b.nii"].peak_mb < 700 < found["greedy.nii"].peak_mb


def test_impossible_crews_are_refused(capsys):
    for numbers in ((0, 0, 0), (1, -1, 0), (1, 0, -1), (1, 0, math.nan), (1, 0, 0, math.nan)):
        with pytest.raises(SettingsError, match="at least 1 worker"):
            crew.local(*numbers)
    assert cli.main(["segment", "a.nii", "-o", "b.nii", "--model", MODEL, "--memory-limit", "2"]) == 2
    assert "Add --workers 1" in capsys.readouterr().err


def test_a_parent_loads_no_network():
    program = "import sys; from napari_medseg.runs import child, cohort, crew, tasks; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
