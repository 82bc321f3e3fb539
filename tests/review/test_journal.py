"""Steps of random sessions: undo, redo, crash and recovery give the states that were there."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import FileError, VolumeError
from napari_medseg.progress import run
from napari_medseg.review import journal, log, sessions
from napari_medseg.review.opening import resume, start_job
from napari_medseg.review.recovery import recover, replay, unfinished
from napari_medseg.review.sessions import Session

SHAPE = (5, 24, 20)


def begun(array, place, layer="labels", **more):
    """A journal of `array`."""
    return run(start_job(array, Session(layer, tuple(array.shape), np.dtype(array.dtype).str, **more), place))


def as_numpy(tmp_path, data):
    return data.copy()


def as_zarr(tmp_path, data):
    import zarr

    return zarr.array(data, chunks=(1, 8, 20), store=tmp_path / "labels.zarr")


class Stored:
    """As an array on the disk: what is read is a copy."""

    def __init__(self, data):
        self._data = data
        self.shape, self.dtype = data.shape, data.dtype

    def __getitem__(self, where):
        return self._data[where].copy()

    def __setitem__(self, where, values):
        self._data[where] = values


def as_stored(tmp_path, data):
    return Stored(data.copy())


def scribble(random, array):
    """A stroke, an eraser or a change of several slices; which slices."""
    z, y, x = (int(random.integers(length)) for length in SHAPE)
    deep = int(random.integers(1, 3)) if random.random() < 0.3 else 1
    value = int(random.integers(0, 4))
    array[z : z + deep, y : y + 6, x : x + 5] = value
    return set(range(z, min(z + deep, SHAPE[0])))


def a_session(array, book, seed, count):
    """Random strokes, undo and redo; the state after each of them."""
    random = np.random.default_rng(seed)
    states = [np.array(array[:])]
    for _ in range(count):
        kind = random.random()
        if kind < 0.6:
            book.settle(array, scribble(random, array))
        elif kind < 0.8:
            book.undo(array)
        else:
            book.redo(array)
        states.append(np.array(array[:]))
    return states


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("backend", [as_numpy, as_stored, as_zarr])
def test_undo_and_redo_pass_the_same_states_and_the_file_gives_the_last(tmp_path, backend, seed):
    start = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    array = backend(tmp_path, start)
    book = begun(array, tmp_path / "review")
    last = a_session(array, book, seed, 40)[-1]
    np.testing.assert_array_equal(recover(book.folder).labels, last)
    back = []
    while book.undo(array) is not None:
        back.append(np.array(array[:]))
    np.testing.assert_array_equal(array[:], start)
    for expected in reversed(back[:-1]):
        book.redo(array)
        np.testing.assert_array_equal(array[:], expected)
    while book.redo(array) is not None:
        pass
    np.testing.assert_array_equal(recover(book.folder).labels, array[:])
    book.close()


def test_a_new_step_after_an_undo_drops_what_could_be_redone(tmp_path):
    array = np.zeros(SHAPE, np.int32)
    book = begun(array, tmp_path)
    for value in (1, 2, 3):
        array[value, :3] = value
        book.settle(array)
    book.undo(array)
    book.undo(array)
    array[0, 0, 0] = 9
    step = book.settle(array, {0}, "grow 1.5 mm", {"mm": 1.5})
    assert book.redo(array) is None
    assert [each.name for each in book.steps] == ["paint 1, slice 1", "grow 1.5 mm, slice 0"]
    assert step.number == 4 and book.size == (book.folder / "log.bin").stat().st_size
    np.testing.assert_array_equal(recover(book.folder).labels, array)
    assert replay(book.folder, 1).max() == 1


def test_names_say_what_was_done_and_where(tmp_path):
    array = np.zeros((2, 3, 8, 8), np.uint8)
    book = begun(array, None)
    array[1, 2, :2] = 3
    assert book.settle(array).name == "paint 3, time 1, slice 2"
    array[1, :2, :2] = 3
    assert book.settle(array).name == "paint 3, time 1, slices 0-1"
    array[0, 1], array[1, 1] = 5, 5
    assert book.settle(array).name == "paint 5, 2 slices at 2 time points"
    array[:] = 0
    assert book.settle(array, [4, 5]).name == "erase, time 1, slices 1-2"
    flat = np.zeros((8, 8), np.uint8)
    book = begun(flat, None)
    flat[0] = [0, 1, 2, 3, 4, 5, 6, 7]
    assert book.settle(flat).name == "change, slice 0"


def test_an_array_of_another_shape_or_type_is_refused(tmp_path):
    book = begun(np.zeros(SHAPE, np.uint8), None)
    for other in (np.zeros((5, 24, 21), np.uint8), np.zeros(SHAPE, np.int16)):
        with pytest.raises(VolumeError, match="Begin another journal"):
            book.settle(other)


def test_a_rule_gives_voxels_back_before_the_step_is_written(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    array[2, 5:9] = 2
    book = begun(array, tmp_path)

    def protect(number, before, now):
        return np.where(before == 2, before, now)

    array[2] = 1
    book.settle(array, {2}, rules=[protect])
    assert set(np.unique(array[2, 5:9])) == {2} and (array[2, :5] == 1).all()
    array[2, 5:9] = 0
    assert book.settle(array, {2}, rules=[protect]) is None
    np.testing.assert_array_equal(recover(book.folder).labels, array)


# ---- what a crash leaves ----


def test_every_cut_and_every_damaged_bit_of_the_end_gives_an_earlier_state(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    a_session(array, book, 4, 12)
    path = book.folder / "log.bin"
    whole = path.read_bytes()
    ends = [0] + [record.offset + record.length for record in log.records(whole)]
    states = [replay(book.folder, number) for number in range(len(ends))]
    for cut in range(ends[-3], len(whole)):
        path.write_bytes(whole[:cut])
        found = recover(book.folder)
        good = max(number for number, end in enumerate(ends) if end <= cut)
        np.testing.assert_array_equal(found.labels, states[good])
        assert found.lost_bytes == cut - ends[good]
    random = np.random.default_rng(5)
    for _ in range(60):
        bit = int(random.integers(8 * ends[-4], 8 * len(whole)))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        good = max(number for number, end in enumerate(ends) if end <= bit // 8)
        np.testing.assert_array_equal(recover(book.folder).labels, states[good])


def test_a_session_goes_on_after_its_damaged_end(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    for value in (1, 2, 3):
        array[value] = value
        book.settle(array)
    folder = book.folder
    book.close()
    with (folder / "log.bin").open("ab") as file:
        file.write(b"mjr1 half of a record")
    again, found = resume(folder)
    assert (folder / "log.torn").read_bytes() == b"mjr1 half of a record"
    assert again.history.position == 3
    labels = found.labels
    again.undo(labels)
    labels[0] = 7
    again.settle(labels)
    np.testing.assert_array_equal(recover(folder).labels, labels)
    assert recover(folder).lost_bytes == 0
    again.close()
    assert (folder / "log.torn").exists(), "a person may want to look at it"


CHILD = """
import sys
from pathlib import Path
import numpy as np
from napari_medseg.progress import run
from napari_medseg.review.opening import start_job
from napari_medseg.review.sessions import Session
place = Path(sys.argv[1])
array = np.zeros((3, 16, 16), np.uint8)
book = run(start_job(array, Session("labels", array.shape, array.dtype.str), place))
random = np.random.default_rng(0)
number = 0
while True:
    number += 1
    array[number % 3].flat[number % 256] = 1 + number % 250
    array[number % 3, 0, 0] = number % 256
    if book.settle(array, {number % 3}):
        print(book.history.last, int(array.astype(int).sum()), flush=True)
"""


def test_a_killed_process_loses_at_most_the_step_at_hand(tmp_path):
    for number in range(2):
        place = tmp_path / str(number)
        with subprocess.Popen([sys.executable, "-c", CHILD, str(place)], stdout=subprocess.PIPE, text=True) as child:
            for _ in range(5 + 20 * number):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            said = [line.split() for line in child.stdout.read().splitlines()]
        (left,) = unfinished(place)
        found = recover(left.folder)
        noted = [tuple(map(int, words)) for words in said if len(words) == 2]
        if noted:
            assert found.history.last - noted[-1][0] in (0, 1)
            assert found.history.last != noted[-1][0] or found.labels.astype(int).sum() == noted[-1][1]
        assert left.steps == found.history.position > 0


# ---- folders ----


def test_only_what_was_not_saved_is_offered_and_the_rest_goes(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    books = [begun(array, tmp_path, name) for name in ("nothing", "saved", "open", "left")]
    nothing, saved, still_open, left = books
    array[1] = 1
    for book in (saved, still_open, left):
        book.settle(array.copy())
    saved.mark(saved.history.top, "labels.nii.gz", "ab")
    folders = [book.folder for book in books]
    for book in (nothing, saved, left):
        book.close()
    assert not folders[0].exists() and not folders[0].parent.exists()
    (offered,) = unfinished(tmp_path)
    assert offered.folder == folders[3] and offered.steps == 1 and offered.session.layer == "left"
    assert folders[1].exists(), "for a week"
    os.utime(folders[1], (0, 0))
    assert len(unfinished(tmp_path)) == 1 and not folders[1].exists()
    sessions.discard(offered.folder)
    assert unfinished(tmp_path) == []
    with pytest.raises(FileError):
        recover(folders[3])


@pytest.mark.parametrize("damage", ["flip", "empty", "missing"])
def test_a_session_whose_log_is_damaged_from_the_start_stays_and_is_offered(tmp_path, damage):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    for value in (1, 2):
        array[value] = value
        book.settle(array)
    path = book.folder / "log.bin"
    book.close()
    raw = bytearray(path.read_bytes())
    raw[20] ^= 1
    path.unlink()
    if damage != "missing":
        path.write_bytes(bytes(raw) if damage == "flip" else b"")
    offered = unfinished(tmp_path)
    if damage == "empty":  # as a session in which nothing was done
        assert not offered
    else:
        assert [each.damaged for each in offered] == [True] and path.parent.exists()


def test_what_is_left_when_the_saved_state_is_gone_is_offered(tmp_path, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    array[1] = 1
    book.settle(array)
    book.mark(book.history.top, "labels.nii.gz")
    book.undo(array)
    array[2] = 2
    book.settle(array)
    book.undo(array)
    assert book.history.pending, "the file holds a step of a branch that was left"
    monkeypatch.setattr(journal, "BOUND", 900)
    folded = begun(array, tmp_path, "folded")
    random = np.random.default_rng(0)
    for number in range(8):
        array[number % 4] = random.integers(0, 4, SHAPE[1:])
        folded.settle(array, {number % 4})
    while folded.undo(array):
        pass
    assert array.any() and folded.history.pending, "the steps of the base are in no file"


def test_a_folder_that_is_deleted_meanwhile_is_said_and_undo_still_works(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    array[1] = 1
    book.settle(array)
    shutil.rmtree(book.folder)
    array[2] = 2
    book.settle(array)
    assert book.problem
    assert book.undo(array) and book.undo(array) and not array.any()


def test_two_windows_on_one_file_have_a_session_each(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    one, two = begun(array, tmp_path), begun(array.copy(), tmp_path)
    assert one.folder != two.folder and one.folder.parent == two.folder.parent
    other = array.copy()
    array[1], other[2] = 1, 2
    one.settle(array)
    two.settle(other)
    assert sessions.held_since(one.folder)
    np.testing.assert_array_equal(recover(one.folder).labels, array)
    np.testing.assert_array_equal(recover(two.folder).labels, other)
    one.close()
    two.close()
    assert len(unfinished(tmp_path)) == 2


def test_a_folder_that_cannot_be_written_leaves_the_journal_in_memory(tmp_path):
    (tmp_path / "review").write_text("a file, not a folder")
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path / "review")
    assert "Not protected against a crash" in book.problem and book.folder is None
    array[1] = 1
    book.settle(array)
    book.undo(array)
    assert not array.any()
    book.redo(array)
    assert array[1].all()
    book.close()


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_is_said_once_and_undo_still_works(tmp_path, monkeypatch, written):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    array[1] = 1
    book.settle(array)
    before = array.copy()

    def full(handle, raw):
        if written:
            return real(handle, raw[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = os.write
    monkeypatch.setattr(os, "write", full)
    array[2] = 2
    book.settle(array)
    monkeypatch.setattr(os, "write", real)
    assert "Not protected against a crash since step 2 (No space left on device)" in book.problem
    np.testing.assert_array_equal(recover(book.folder).labels, before)
    array[3] = 3
    book.settle(array)
    for _ in range(3):
        book.undo(array)
    assert not array.any()
    np.testing.assert_array_equal(recover(book.folder).labels, before)


def test_the_older_half_of_many_steps_becomes_the_base(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "BOUND", 3000)
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    first = book.folder
    random = np.random.default_rng(6)
    book.approve([(4, 123, "2026-11-28T00:00:00Z", "me")])
    for number in range(60):
        array[number % 4] = random.integers(0, 4, SHAPE[1:])
        book.settle(array, {number % 4})
        if number == 30:
            book.mark(book.history.top, "labels.nii.gz")
        assert book.size < 3300
    assert book.folder != first and not first.exists() and len(list(tmp_path.glob("*/*"))) == 1
    found = recover(book.folder)
    np.testing.assert_array_equal(found.labels, array)
    assert found.history == book.history and found.history.last == 60 and found.history.approvals[4][1] == 123
    assert found.history.folded == {0, 1, 2, 3}
    while book.undo(array):
        pass
    np.testing.assert_array_equal(recover(book.folder).labels, array)
    while book.redo(array):
        pass
    np.testing.assert_array_equal(array, found.labels)


def test_approvals_are_counted_once_when_steps_become_the_base(tmp_path, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    for number in (1, 2):
        array[0] = number
        book.settle(array)
    every = range(len(array))
    after = [(number, book.checksum(number), "2026-11-28T10:00:00Z", "me") for number in every]
    book.approve_step("approve all", [(number, None, "", "") for number in every], after)
    top, notes = book.history.now
    book.mark(top, "labels.nii.gz", notes=notes)
    monkeypatch.setattr(journal, "BOUND", book.size)
    array[0] = 3
    book.settle(array)
    assert book.history.base and book.history.steps[0].name == "approve all"
    assert book.history.notes == 0 and book.history.unsaved == 1, "the saved file has the approvals"
    assert recover(book.folder).history.notes == 0


def test_undo_and_redo_of_approvals_leave_what_was_said_since(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    every = range(len(array))
    after = [(number, 7, "10:00", "me") for number in every]
    book.approve_step("approve all", [(number, None, "", "") for number in every], after)
    withdrawn = (1, None, "11:00", "me")
    anew = (2, 9, "11:00", "me")
    book.approve([withdrawn, anew])
    assert [number for number, *_ in book.undo(array).approvals] == [0, 3, 4]
    assert [number for number, *_ in book.redo(array).approvals] == [0, 3, 4]
    expected = dict(enumerate(after)) | {1: withdrawn, 2: anew}
    assert book.history.approvals == expected == recover(book.folder).history.approvals


def test_proposals_stay_proposals_when_steps_become_the_base(tmp_path, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    random = np.random.default_rng(2)

    def step(plane, tool=None):
        array[plane] = random.integers(0, 4, SHAPE[1:])
        book.settle(array, {plane}, "step", tool)

    for plane, model in ((0, "tiny + 2 slices"), (1, ""), (2, "tiny + 2 slices")):
        step(plane, {"proposed by": model})
    step(2)
    monkeypatch.setattr(journal, "BOUND", book.size)
    for _ in range(5):
        step(4)
    assert book.history.base >= 4 and book.history.offered == {0: "tiny + 2 slices", 1: ""}
    step(1)
    expected = {0: "tiny + 2 slices"}
    assert book.history.proposed == expected and recover(book.folder).history.proposed == expected
    for _ in range(20):
        step(4)
    assert book.history.offered == expected


def test_strokes_are_those_since_a_tool_or_an_approval(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)

    def step(row, value, tool=None):
        array[1, row] = value
        array[2, row] = value
        book.settle(array, None, "", tool)
        return array[1].copy()

    step(1, 1)
    assert not book.before_strokes(1).any()
    by_tool = step(2, 2, {"tool": "grow"})
    np.testing.assert_array_equal(book.before_strokes(1), by_tool)
    approved = step(3, 3)
    np.testing.assert_array_equal(book.before_strokes(1), by_tool)
    book.approve([(1, book.checksum(1), "2026-11-28T00:00:00Z", "me")])
    step(4, 1)
    step(5, 1)
    np.testing.assert_array_equal(book.before_strokes(1), approved)
    np.testing.assert_array_equal(book.before_strokes(2), by_tool)
    for _ in range(4):
        book.undo(array)
    np.testing.assert_array_equal(book.before_strokes(1), np.zeros(SHAPE[1:]))


def test_a_step_that_was_damaged_on_the_disk_is_named_and_nothing_changes(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    array[1] = 1
    book.settle(array)
    Path(book.folder / "log.bin").write_bytes(b"x" * book.size)
    with pytest.raises(FileError, match="cannot be read from the journal"):
        book.undo(array)
    assert array[1].all()


def test_a_damaged_base_is_named(tmp_path):
    book = begun(np.zeros(SHAPE, np.uint8), tmp_path)
    folder = book.folder
    raw = bytearray((folder / "base.bin").read_bytes())
    raw[-3] ^= 1
    (folder / "base.bin").write_bytes(bytes(raw))
    with pytest.raises(FileError, match=r"base\.bin' cannot be read"):
        recover(folder)


def test_an_approval_that_comes_while_the_labels_are_saved_is_not_saved(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    book.approve([(1, 5, "", "me")])
    number, notes = book.history.now
    book.approve([(2, 6, "", "me")])
    book.mark(number, "labels.nii.gz", notes=notes)
    assert book.history.notes == 1 and recover(book.folder).history == book.history
    book.close()
    (left,) = unfinished(tmp_path)
    assert (left.steps, left.approvals) == (0, 1)


def test_saved_approvals_stay_so_when_steps_become_the_base(tmp_path, monkeypatch):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path)
    for number in range(4):
        array[number] = 1
        book.settle(array, {number})
        book.approve([(0, number, "", "me")])
    book.mark(book.history.top, "labels.nii.gz")
    book.approve([(1, 8, "", "me")])
    monkeypatch.setattr(journal, "BOUND", 1)
    array[4] = 1
    book.settle(array, {4})
    assert book.history.folded and book.history.notes == 1
    assert recover(book.folder).history == book.history


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other"])
def test_labels_whose_description_is_damaged_come_back(tmp_path, damage):
    array = np.zeros(SHAPE, np.int16)
    book = begun(array, tmp_path)
    array[2, 3:5] = 300
    book.settle(array)
    path = book.folder / sessions.SESSION
    text = path.read_text()
    book.close()
    path.write_text({"cut": text[:50], "empty": "", "missing": "", "other": "[1, 2]"}[damage])
    if damage == "missing":
        path.unlink()
    (left,) = unfinished(tmp_path)
    assert left.steps == 1
    _, found = resume(left.folder)
    np.testing.assert_array_equal(found.labels, array)


def test_what_cannot_be_read_at_all_is_offered_to_be_discarded_and_newer_ones_are_left_alone(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    books = [begun(array, tmp_path, name) for name in ("broken", "newer", "begun")]
    broken, newer, begun_only = (book.folder for book in books)
    for book in books:
        book.settle(np.ones_like(array))
        book.close()
    for name in (sessions.SESSION, sessions.BASE):
        (broken / name).write_bytes(b"x")
    (newer / sessions.SESSION).write_text('{"version": 99, "unheard": 1}')
    for name in (sessions.SESSION, sessions.LOG):
        (begun_only / name).unlink()
    (left,) = unfinished(tmp_path)
    assert left.folder == broken and left.damaged and newer.exists() and not begun_only.exists()
    with pytest.raises(FileError, match="cannot be restored"):
        resume(left.folder)
    with pytest.raises(FileError, match="newer version"):
        recover(newer)


def test_a_session_knows_what_its_labels_are_called_now(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    book = begun(array, tmp_path, "before", notes={"axes": "zyx", "slices": [1]})
    book.describe("after", {"scale": [2, 1, 1]}, [{"id": 3, "name": "cyst", "colour": "#ffffff"}])
    session = recover(book.folder).session
    assert session == book.session and session.layer == "after" and session.place["scale"] == [2, 1, 1]
    assert session.notes["classes"][0]["name"] == "cyst" and session.notes["slices"] == [1]


def test_proposals_are_known_after_a_crash(tmp_path):
    array = np.zeros(SHAPE, np.uint8)
    found = begun(array, tmp_path)
    for value, tool in ((1, {"proposed by": "tiny + 2 slices"}), (2, {"proposed by": ""}), (3, None)):
        array[value, 2, 2] = value
        array[4, 2, 2] = value
        found.settle(array, None, "step", tool)
    assert found.history.proposed == {1: "tiny + 2 slices", 2: ""}
    found.undo(array)
    folder = found.folder
    found.close()
    assert recover(folder).history.proposed == {1: "tiny + 2 slices", 2: "", 4: ""}
