"""A cohort on a cluster of dask: real processes, and what happens when they end."""

import gzip
import json
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
from napari_medseg.cli import slurm
from napari_medseg.errors import JobError
from napari_medseg.record import UsedModel
from napari_medseg.runs import cluster, remote
from napari_medseg.runs.child import Children
from napari_medseg.runs.tasks import Task
from napari_medseg.volume import Volume

HOOKS = Path(__file__).parent / "hooks"
MODEL = "litenext-heart"
ADDRESS = "address.json"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty working folder; children do what `hooks` says and note what they begin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDSEG_TEST_STARTS", str(tmp_path / "starts"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOKS), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


class Cluster:
    """Processes of dask, each in its own session."""

    def __init__(self):
        pytest.importorskip("distributed")
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_until(Path(ADDRESS).exists)
        self.workers = []

    def add(self, count):
        for _ in range(count):
            more = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60")
            self.workers.append(self._start("worker", *more))

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        Path(ADDRESS).unlink(missing_ok=True)

    def _start(self, kind, *more):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", ADDRESS, *more]
        with open(f"{kind}.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)


@pytest.fixture
def dask():
    found = Cluster()
    yield found
    found.close()


def image(path, seed=0):
    data = np.random.default_rng(seed).integers(0, 900, (1, 32, 32)).astype(np.int16)
    Path(path).parent.mkdir(exist_ok=True)
    return io.write(Volume(data, "zyx", np.eye(4)), path)


def starts():
    """Process and name of each file that a child has begun."""
    with suppress(FileNotFoundError):
        return [line.split() for line in Path("starts").read_text().splitlines()]
    return []


def wait_until(what):
    """Wait for something that must come; two minutes are long on any machine."""
    for _ in range(1200):
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("It did not come.")


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def line(*more):
    return ["segment", "in", "-o", "out", "--model", MODEL, "--scheduler", ADDRESS, "--report", "r.json", *more]


def meanwhile(what):
    thread = threading.Thread(target=what)
    thread.start()
    return thread


@pytest.mark.slow
def test_workers_die_files_crash_and_the_others_are_finished(dask, capsys, monkeypatch):
    monkeypatch.setenv("MEDSEG_TEST_PAUSE", "0.3")
    dask.add(3)
    good = [f"{number:02}.nii.gz" for number in range(14)]
    for seed, name in enumerate([*good, "crash.nii.gz", "full.nii.gz"]):
        image(f"in/{name}", seed)
    Path("in/cut.nii.gz").write_bytes(Path("in/00.nii.gz").read_bytes()[:200])
    Path("in/empty.nii.gz").write_bytes(gzip.compress(b""))

    def kill():
        wait_until(lambda: len(starts()) > 5)
        worker = psutil.Process(int(starts()[-1][0])).parent()
        assert worker.pid in {process.pid for process in dask.workers}
        worker.kill()

    killer = meanwhile(kill)
    assert cli.main(line("--summary", "t.csv", "--html", "p.html")) == 1
    killer.join()
    assert sorted(path.name for path in Path("out").iterdir()) == good, "nothing half-written, no lock"
    report = json.loads(Path("r.json").read_text())
    assert [Path(row["output"]).name for row in report["files"]] == good and not report["interrupted"]
    told = {Path(row["file"]).name.split(".")[0]: row["error"] for row in report["failures"]}
    assert list(told) == ["crash", "cut", "empty", "full"]
    assert "ended with SIGSEGV while working on 'crash.nii.gz'" in told["crash"]
    assert "No space left on device" in told["full"] and "is damaged" in told["cut"]
    begun = [name for _, name in starts()]
    assert len(begun) - len(set(begun)) <= 2, "what the killed worker was at, and nothing else, was begun again"
    assert begun.count("crash") == 1
    page = Path("p.html").read_text()
    assert page.count("<img") == 14 and "SIGSEGV" in page

    for seed, name in enumerate(("cut", "empty")):
        image(f"in/{name}.nii.gz", 50 + seed)
    for name in ("crash", "full"):
        Path(f"in/{name}.nii.gz").rename(f"in/{name}ed.nii.gz")
    capsys.readouterr()
    assert cli.main(line("--resume")) == 0
    said = capsys.readouterr().out
    assert said.count("skipped") == 14 and len(list(Path("out").iterdir())) == 18
    assert wait_until(lambda: all(gone(int(pid)) for pid, _ in starts())), "no child is left"


@pytest.mark.slow
def test_a_lost_scheduler_ends_the_run_and_resume_goes_on(dask, capsys, monkeypatch):
    monkeypatch.setenv("MEDSEG_TEST_PAUSE", "0.5")
    dask.add(2)
    for number in range(10):
        image(f"in/{number}.nii.gz", number)

    def kill():
        wait_until(lambda: len(starts()) > 3)
        dask.scheduler.kill()

    killer = meanwhile(kill)
    assert cli.main(line()) == 1
    killer.join()
    report = json.loads(Path("r.json").read_text())
    said = capsys.readouterr().err
    assert f"The scheduler at {ADDRESS} was lost. {len(report['files'])} of 10 files are finished." in said
    assert "--resume" in said and report["interrupted"] and not report["failures"]
    assert len(report["files"]) + len(report["not_reached"]) == 10
    dask.close()
    again = Cluster()
    try:
        again.add(1)
        assert cli.main(line("--resume")) == 0
    finally:
        again.close()
    assert len(list(Path("out").glob("[0-9].nii.gz"))) == 10
    assert capsys.readouterr().out.count("skipped") >= len(report["files"])


@pytest.mark.slow
def test_without_workers_the_run_waits_and_says_so(dask, capsys, monkeypatch):
    monkeypatch.setenv("MEDSEG_TEST_PAUSE", "0.3")
    dask.add(1)
    for number in range(6):
        image(f"in/{number}.nii.gz", number)

    def change():
        wait_until(lambda: len(starts()) > 1)
        dask.workers[0].kill()
        time.sleep(2)
        dask.add(1)

    changer = meanwhile(change)
    assert cli.main(line()) == 0
    changer.join()
    assert "No worker is there; " in capsys.readouterr().err
    assert len(list(Path("out").iterdir())) == 6


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_no_child(dask):
    dask.add(1)
    image("in/a.nii.gz")
    image("in/slow.nii.gz")
    program = f"import sys; from napari_medseg import cli; sys.exit(cli.main({line()!r}))"
    run = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    pid = wait_until(lambda: next((int(pid) for pid, name in starts() if name == "slow"), 0))
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate()
    assert run.returncode == 143 and "Interrupted." in errors
    wait_until(lambda: gone(pid))
    assert json.loads(Path("r.json").read_text())["not_reached"] == ["in/slow.nii.gz"]


@pytest.mark.slow
def test_labels_and_threads_are_those_of_local_workers(dask):
    dask.add(2)
    for number in range(4):
        image(f"in/{number}.nii.gz", number)
    assert cli.main(line()) == 0
    local = [word for word in line() if word not in ("--scheduler", ADDRESS)]
    local[3] = "here"
    assert cli.main([*local, "--workers", "2"]) == 0
    for number in range(4):
        ours, theirs = io.read(f"out/{number}.nii.gz"), io.read(f"here/{number}.nii.gz")
        assert np.array_equal(ours.data, theirs.data)
        # the second worker may have come after the first child was started
        assert ours.record.place["threads"] >= theirs.record.place["threads"]
    study = ["study", "acceleration", "in/0.nii.gz", "--model", MODEL, "--method", "zero-filled"]
    study += ["--accelerations", "1,2"]
    assert cli.main([*study, "-o", "there.csv", "--scheduler", ADDRESS]) == 0
    assert cli.main([*study, "-o", "here.csv"]) == 0
    assert Path("there.csv").read_text() == Path("here.csv").read_text()


@pytest.mark.slow
def test_a_worker_of_another_release_is_refused(dask, capsys, monkeypatch):
    dask.add(1)
    image("in/a.nii.gz")
    ours = remote.software()
    monkeypatch.setattr(remote, "software", lambda: ours | {"distributed": "2020.1.0"})
    assert cli.main(line()) == 1
    said = capsys.readouterr().err
    assert f"runs distributed {ours['distributed']}, this computer 2020.1.0. Install the same release on both" in said
    assert not starts()


@pytest.mark.slow
def test_the_slurm_script_runs(capsys, monkeypatch):
    pytest.importorskip("distributed")
    image("in/a.nii.gz")
    words = ["segment", "in", "-o", "out dir", "--model", MODEL, "--workers", "1", "--print-slurm"]
    assert cli.main(words) == 0
    Path("job.sh").write_text(capsys.readouterr().out)
    Path("bin").mkdir()
    program = "import sys; from napari_medseg import cli; sys.exit(cli.main())"
    programs = {
        "srun": 'shift; exec "$@"',
        "dask": f'kind=$1; shift; exec {sys.executable} -m distributed.cli.dask_$kind "$@"',
        "hostname": "echo 127.0.0.1",
        "napari-medseg": f'exec {sys.executable} -c "{program}" "$@"',
    }
    for name, text in programs.items():
        Path("bin", name).write_text(f"#!/bin/bash\n{text}\n")
        Path("bin", name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path.cwd() / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with open("job.log", "wb") as log:
        assert subprocess.run(["bash", "job.sh"], stdout=log, stderr=log, timeout=200).returncode == 0
    assert [path.name for path in Path("out dir").iterdir()] == ["a.nii.gz"]
    assert not list(Path.cwd().glob(".napari-medseg-*"))


def test_the_slurm_script_holds_the_command():
    words = ["segment", "a b.nii", "-o", "out", "--workers=3", "--model", MODEL, "--print-slurm", "--scheduler", "x"]
    text = slurm.script(words, 3)
    assert f"napari-medseg segment 'a b.nii' -o out --model {MODEL} --resume --scheduler \"$address\" &" in text
    assert "slots=3" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0


def task(name="a"):
    card = models.load_card(models.find(MODEL))
    settings = {"inference": {"device": "cpu"}, "axes": None}
    used = (UsedModel(card.name, card.sha256, card.architecture),)
    return Task("segment", (f"in/{name}.nii.gz",), {"labels": f"out/{name}.nii.gz"}, used, settings)


def asked(folder, **more):
    first = task()
    values = {"inputs": first.inputs, "outputs": tuple(first.outputs.values()), "models": first.models, **more}
    return remote.Asked(str(folder), **values)


def test_a_worker_says_what_it_lacks(workplace):
    image("in/a.nii.gz")
    answer = remote.greet(asked(workplace))
    assert not answer.problem and answer.cores and not list(Path("out").iterdir())
    assert "does not see '/nowhere'. Inputs and outputs must lie" in remote.greet(asked("/nowhere")).problem
    other = UsedModel(MODEL, "12ab", "litenext")
    assert "another model of the name" in remote.greet(asked(workplace, models=(other,))).problem
    assert "has no model 'mine'" in remote.greet(asked(workplace, models=(UsedModel("mine"),))).problem
    Path("file").touch()
    assert "cannot write to" in remote.greet(asked(workplace, outputs=("file/x/a.nii",))).problem


def test_versions_are_compared():
    ours = remote.software()
    assert not remote.difference(ours, deciding=True) and not remote.difference(ours, deciding=False)
    assert "runs dask 1, this" in remote.difference(ours | {"dask": "1"}, deciding=True)
    assert not remote.difference(ours | {"torch": "1"}, deciding=True)
    assert "runs torch 1, this" in remote.difference(ours | {"torch": "1"}, deciding=False)


@pytest.mark.slow
def test_a_child_without_work_ends_and_another_takes_the_next_file(workplace):
    for name in ("a", "b"):
        image(f"in/{name}.nii.gz")
    elsewhere = workplace / "other"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    children = Children(1, folder=workplace, idle_s=0.3)
    assert children.work(task("a").to_json())["state"] == "done"
    (first,) = [int(pid) for pid, _ in read_starts(workplace)]
    wait_until(lambda: gone(first))
    assert children.work(task("b").to_json())["state"] == "done"
    assert len({pid for pid, _ in read_starts(workplace)}) == 2
    assert sorted(path.name for path in (workplace / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    children.stop()


def read_starts(folder):
    return [each.split() for each in (folder / "starts").read_text().splitlines()]


def test_a_file_that_takes_too_long_fails_alone():
    for name in ("slow", "a"):
        image(f"in/{name}.nii.gz")
    children = Children(1, minutes=0.02)
    answer = children.work(task("slow").to_json())
    assert "took longer than 0.02 minutes (the limit) while working on 'slow.nii.gz'" in answer["error"]
    children.stop()


def test_a_cluster_that_cannot_be_had_is_a_sentence(capsys, monkeypatch):
    image("in/a.nii.gz")
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    assert cli.main(line()) == 1
    assert f"No scheduler answers at '{ADDRESS}' (there is no such file)" in capsys.readouterr().err
    assert cli.main([*line()[:7], "tcp://127.0.0.1:1"]) == 1
    assert "No scheduler answers at 'tcp://127.0.0.1:1'" in capsys.readouterr().err
    assert cli.main([*line(), "--workers", "2"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(line()) == 2
    assert "pip install 'napari-medseg[cluster]'" in capsys.readouterr().err


def test_workers_that_die_with_a_file_are_counted():
    class KilledWorker(Exception):
        allowed_failures = 3

    class Client:
        status = "running"

        def get_executor(self, pure):
            return None

    crew = cluster._Cluster(Client(), "tcp://x:1", [task()], 0, 0, 0)
    error = crew.explained(KilledWorker(), task())
    assert isinstance(error, JobError) and str(error).startswith(
        "4 workers of the cluster died while working on 'a.nii"
    )
    assert crew.explained(other := ValueError("x"), task()) is other


def test_workers_on_the_same_cores_share_them():
    crew = cluster._Cluster.__new__(cluster._Cluster)
    crew._threads = 0
    hosts = {"w1": ("a", 8), "w2": ("a", 8), "w3": ("b", 4)}
    crew._known = {name: remote.Greeting(host, tuple(range(n)), {}) for name, (host, n) in hosts.items()}
    assert crew._shares({"w1": 1, "w2": 3, "w3": 8}) == {"w1": 2, "w2": 2, "w3": 1}
    crew._threads = 5
    assert set(crew._shares({}).values()) == {5}
