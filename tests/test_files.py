"""Files are replaced wholly or left alone, folders are locked, and JSON becomes typed objects or a sentence."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_medseg import files
from napari_medseg.errors import FileError, JobError, SettingsError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def refuse(path):
    raise FileError("the copy differs")


# replacing


def test_replace_checks_before_it_renames(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def check(temporary):
        assert temporary.read_text() == "new" and path.read_text() == "old"

    files.replace(path, lambda temporary: temporary.write_text("new"), check)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_a_link_planted_at_a_foreseeable_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("a.json.part", ".a.json.part", "a.json.tmp", ".a.json"):
        (folder / name).symlink_to(victim)
    files.dump(folder / "a.json", {"b": 1})
    assert victim.read_text() == "precious"
    assert json.loads((folder / "a.json").read_text()) == {"b": 1}


def test_temporary_names_differ_and_keep_the_ending(tmp_path):
    seen = []
    for _ in range(2):
        files.replace(tmp_path / "a.nii.gz", lambda temporary: seen.append(temporary) or temporary.touch())
    assert seen[0] != seen[1]
    assert all(path.name.startswith(".") and path.name.endswith("a.nii.gz") for path in seen)


def test_rights_and_links_are_kept(tmp_path):
    real = tmp_path / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(real)
    files.replace_bytes(tmp_path / "link.txt", b"new")
    assert (tmp_path / "link.txt").is_symlink() and real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("fault", ["write", "fsync", "check", "rename"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_fault_leaves_what_was_there_and_says_so(tmp_path, monkeypatch, fault, existing):
    path = tmp_path / "a.txt"
    if existing:
        path.write_text("old")
    write = full_disk if fault == "write" else lambda temporary: temporary.write_text("new")
    check = refuse if fault == "check" else None
    if fault in ("fsync", "rename"):
        monkeypatch.setattr(os, {"fsync": "fsync", "rename": "replace"}[fault], full_disk)
    said = "The earlier file is unchanged" if existing else "Nothing was written"
    with pytest.raises(FileError, match=rf"'a\.txt' could not be saved \(.*\)\. {said}"):
        files.replace(path, write, check)
    assert names(tmp_path) == (["a.txt"] if existing else [])
    assert not existing or path.read_text() == "old"


def test_a_folder_that_cannot_be_synchronised_does_not_fail_a_save(tmp_path, monkeypatch):
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: full_disk() if stat.S_ISDIR(os.fstat(handle).st_mode) else sync(handle)
    )
    files.replace_bytes(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_write_protected_file_is_kept(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(FileError, match="write-protected"):
        files.replace_bytes(path, b"new")
    assert path.read_text() == "old"


def test_two_files_are_both_checked_before_the_first_is_renamed(tmp_path):
    first = files.Change(tmp_path / "a", lambda temporary: temporary.write_text("a"))
    second = files.Change(tmp_path / "b", lambda temporary: temporary.write_text("b"), refuse)
    with pytest.raises(FileError, match="'b' could not be saved"):
        files.replace_all(first, second)
    assert not names(tmp_path)


def test_the_second_of_two_renames_that_fails_says_which_file_is_new(tmp_path, monkeypatch):
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: full_disk() if Path(b).name == "b" else rename(a, b))
    changes = [files.Change(tmp_path / name, lambda temporary: temporary.write_text("new")) for name in "ab"]
    with pytest.raises(FileError, match=r"'b' could not be saved .*'a' was saved without it"):
        files.replace_all(*changes)
    assert names(tmp_path) == ["a"]


def test_sweep_takes_only_old_left_overs_of_ours(tmp_path):
    left = []
    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "a.txt", lambda temporary: left.append(temporary.name) or _interrupt())
    names_here = [left[0], left[0].replace("-a", "-b"), ".medseg-notes", "a.txt"]
    for name in names_here:
        (tmp_path / name).write_text("")
    long_ago = time.time() - 2 * 24 * 60 * 60
    for name in (names_here[0], *names_here[2:]):
        os.utime(tmp_path / name, (long_ago, long_ago))
    assert [path.name for path in files.sweep(tmp_path)] == [left[0]]
    assert names(tmp_path) == sorted(names_here[1:])


def _interrupt():
    raise KeyboardInterrupt


# locks


def test_a_folder_is_locked_for_other_processes_until_they_end(tmp_path):
    program = (
        "import sys; from pathlib import Path; from napari_medseg import files\n"
        "with files.lock(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    folder = tmp_path / "new" / "run"
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert files.holder(folder).pid == other.pid and files.is_locked(folder)
        with pytest.raises(JobError, match=rf"Another run \(host .+, process {other.pid}, since \d\d:\d\d\) writes to"):
            files.lock(folder).__enter__()
        other.kill()
    assert not files.is_locked(folder) and not (folder / files.LOCK).exists()
    with files.lock(folder):
        assert files.holder(folder).pid == os.getpid()
        with pytest.raises(JobError), files.lock(folder):
            pass
    assert files.holder(folder) is None


def test_a_lock_that_one_thread_took_is_released_by_another(tmp_path):
    held = files.lock(tmp_path)
    thread = threading.Thread(target=held.__enter__)
    thread.start()
    thread.join()
    assert files.is_locked(tmp_path)
    held.__exit__(None, None, None)
    assert not files.is_locked(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(FileError, match="cannot be written to"), files.lock(tmp_path / "a" / "b"):
        pass


# JSON


@dataclass(frozen=True)
class Part:
    size: int
    until: float = 1.0

    def __post_init__(self):
        if self.size < 1:
            raise SettingsError(f"The size is {self.size}; expected 1 or more.")


@dataclass(frozen=True)
class Whole:
    name: str
    parts: tuple[Part, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    gap: float | None = None
    flag: bool = False
    texts: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    part: Part | None = None


def test_what_is_dumped_is_loaded_with_its_types(tmp_path):
    whole = Whole("ä", (Part(3, 0.5), Part(2)), (1, 2.5), 0.1, True, {"a": [1, None]}, {"b": (1.0, 2.0)}, Part(1))
    files.dump(tmp_path / "a.json", whole)
    back = files.load(tmp_path / "a.json", Whole)
    assert back == whole
    assert isinstance(back.parts, tuple) and isinstance(back.ranges["b"], tuple) and type(back.pair[0]) is float
    assert "ä" in (tmp_path / "a.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parts": [{"size": 1}, {"size": 1, "until": "abc"}]}, "parts[1].until is 'abc'; expected a number."),
        ({"parts": [{"size": 1.5}]}, "parts[0].size is 1.5; expected a whole number."),
        ({"parts": [{"size": True}]}, "parts[0].size is true; expected a whole number."),
        ({"parts": [{"size": 0}]}, "parts[0]: The size is 0; expected 1 or more."),
        ({"parts": [{}]}, "parts[0].size is missing; expected a whole number."),
        ({"parts": [{"size": 1, "colour": 2}]}, "parts[0].colour is unknown; expected size, until."),
        ({"part": {"sizes": 1}}, "part.sizes is unknown; expected size, until."),
        ({"part": 1}, "part is 1; expected an object or null."),
        ({"parts": [3]}, "parts[0] is 3; expected an object."),
        ({"parts": "all"}, "parts is 'all'; expected a list of objects."),
        ({"nam": "b"}, "nam is unknown; expected name, parts, pair, gap, flag, texts, ranges, part."),
        ({"name": None}, "name is null; expected a text."),
        ({"gap": "wide"}, "gap is 'wide'; expected a number or null."),
        ({"gap": math.inf}, "gap is Infinity; expected a number or null."),
        ({"flag": 1}, "flag is 1; expected true or false."),
        ({"pair": [1, 2, 3]}, "pair is [1, 2, 3]; expected a list of 2 numbers."),
        ({"pair": [1]}, "pair[1] is missing; expected a number."),
        ({"ranges": {"b": [1, "c"]}}, "ranges.b[1] is 'c'; expected a number."),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path, change, sentence):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "a", **change}))
    with pytest.raises(SettingsError) as raised:
        files.load(path, Whole)
    assert str(raised.value) == f"'a.json': {sentence}"


def test_other_json_than_an_object_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(SettingsError, match=r"'a\.json': the content is \[\]; expected an object\."):
        files.load(tmp_path / "a.json", Whole)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FileError, match="cannot be read as JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_json_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"a\.json' does not exist\. Check the path"):
        files.read_json(tmp_path / "a.json")


def test_what_json_does_not_know_is_written_as_null_or_text(tmp_path):
    files.dump(tmp_path / "a.json", {"a": math.nan, "b": Path("c"), "d": np.arange(2)})
    assert files.read_json(tmp_path / "a.json") == {"a": None, "b": "c", "d": [0, 1]}


@pytest.mark.skipif(os.name == "nt", reason="all names are text there")
def test_names_of_files_that_are_no_text_are_kept_in_json(tmp_path):
    name = os.fsdecode(b"a\xff.nii")
    files.dump(tmp_path / "a.json", {"file": name})
    assert files.read_json(tmp_path / "a.json") == {"file": name}
    files.replace_bytes(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
