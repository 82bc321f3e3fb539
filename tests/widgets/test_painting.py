"""What a person, a plugin or the console does to protected labels becomes a step, and Ctrl+Z takes one back."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers._layer_actions import _convert_to_labels
from napari.layers._source import layer_source
from napari.layers.labels import _labels_key_bindings as napari_keys
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtWidgets import QApplication

from napari_medseg import io
from napari_medseg.record import Record, UsedModel
from napari_medseg.review.opening import resume
from napari_medseg.review.planes import Planes
from napari_medseg.review.recovery import recover, unfinished
from napari_medseg.review.sessions import root
from napari_medseg.widgets.kit import layer_volumes, painting, records
from napari_medseg.widgets.kit.painting import painting_of
from napari_medseg.widgets.kit.protecting import restored_layer
from napari_medseg.widgets.kit.slices import touched
from napari_medseg.widgets.review.learning_state import own_slices

SHAPE = (5, 24, 20)


class Person:
    """Protected labels in a window, and what a person does with them."""

    def __init__(self, viewer, data=None, **options):
        self.viewer = viewer
        data = np.zeros(SHAPE, np.uint8) if data is None else data
        self.layer = viewer.add_labels(data, name="labels", **options)
        self.listener = painting_of(viewer)
        self.why_not = self.listener.protect(self.layer)

    @property
    def follower(self):
        return self.listener.follower(self.layer)

    @property
    def journal(self):
        return self.follower.journal

    def turn(self):
        """Let the event loop go on."""
        for _ in range(3):
            QApplication.processEvents()

    def drag(self, *points, label=1, mode="paint", between=None, depth=2):
        """Press, move and release; call `between` before the release."""
        layer = self.layer
        layer.mode, layer.selected_label, layer.brush_size, layer.n_edit_dimensions = mode, label, 4, depth
        z = self.viewer.dims.current_step[0]
        kinds = ["mouse_press", *["mouse_move"] * (len(points) - 1), "mouse_release"]
        calls = {
            "mouse_press": mouse_press_callbacks,
            "mouse_move": mouse_move_callbacks,
            "mouse_release": mouse_release_callbacks,
        }
        for kind, point in zip(kinds, [*points, points[-1]], strict=True):
            if kind == "mouse_release" and between is not None:
                between()
            shown = [1, 2]
            event = SimpleNamespace(
                type=kind,
                is_dragging=kind == "mouse_move",
                position=(z, *point),
                view_direction=None,
                dims_displayed=shown,
                dims_point=(z, 0, 0),
                button=1,
                modifiers=(),
                handled=False,
                pos=np.zeros(2),
            )
            calls[kind](layer, event)

    def press(self, keys, selected=None):
        handler = KeymapHandler()
        handler.keymap_providers = [selected or self.layer, self.viewer]
        handler.press_key(keys)
        self.turn()

    def shadow(self):
        """What the journal takes for the labels."""
        planes = [self.journal._shadow.read(number) for number in range(Planes(self.layer.data).count)]
        return np.array(planes).reshape(self.layer.data.shape)

    def check(self):
        self.turn()
        np.testing.assert_array_equal(self.shadow(), self.layer.data)


@pytest.fixture
def person(viewer):
    return lambda data=None, **options: Person(viewer, data, **options)


def polygon(one, random):
    y, x = random.integers(2, 12, 2)
    one.layer.paint_polygon([(2, y, x), (2, y + 6, x), (2, y + 6, x + 5)], int(random.integers(1, 4)))


def anywhere(random):
    return int(random.integers(2, 22)), int(random.integers(2, 18))


def replace_whole(one, random):
    one.layer.data = random.integers(0, 3, SHAPE).astype(np.uint8)


def write_behind(one, random):
    z, y, x = (int(random.integers(length)) for length in SHAPE)
    one.layer.data[z, y : y + 4, x : x + 4] = int(random.integers(0, 4))
    one.listener.settle_all()  # nobody has announced it: only a sweep finds it


def items(one, random):
    index = tuple(random.integers(0, length, 4) for length in SHAPE)
    one.layer.data_setitem(index, int(random.integers(1, 4)))


def rename_and_lock(one, random):
    one.layer.name = "other"
    one.layer.editable = False
    one.layer.editable = True


def out_and_in(one, random):
    one.viewer.layers.remove(one.layer)
    one.viewer.add_layer(one.layer)


ACTIONS = {
    "brush": lambda one, random: one.drag(anywhere(random), anywhere(random), label=int(random.integers(1, 4))),
    "ball": lambda one, random: one.drag(anywhere(random), label=2, depth=3),
    "eraser": lambda one, random: one.drag(anywhere(random), anywhere(random), mode="erase"),
    "fill": lambda one, random: one.drag(anywhere(random), mode="fill", label=3),
    "function": lambda one, random: one.layer.paint((int(random.integers(5)), *anywhere(random)), 2),
    "polygon": polygon,
    "items": items,
    "behind": write_behind,
    "array": replace_whole,
    "slice": lambda one, random: one.viewer.dims.set_current_step(0, int(random.integers(5))),
    "undo": lambda one, random: one.press("Control-Z"),
    "redo": lambda one, random: one.press("Control-Shift-Z"),
    "undo in a stroke": lambda one, random: one.drag(
        anywhere(random), anywhere(random), between=lambda: one.press("Control-Z")
    ),
    "scroll in a stroke": lambda one, random: one.drag(
        anywhere(random), anywhere(random), between=lambda: one.viewer.dims.set_current_step(0, 1)
    ),
    "lock": rename_and_lock,
    "out": out_and_in,
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_journal_knows_the_labels_after_every_action(person, seed):
    random = np.random.default_rng(seed)
    one = person()
    names = list(ACTIONS)
    random.shuffle(names)
    for name in ["brush", *names[:9]]:
        ACTIONS[name](one, random)
        one.check()
    folder = one.journal.folder
    np.testing.assert_array_equal(recover(folder).labels, one.layer.data)
    states = [one.layer.data.copy()]
    while one.journal.history.position:
        one.layer.undo()
        states.append(one.layer.data.copy())
    assert not states[-1].any()
    for expected in states[-2::-1]:
        one.layer.redo()
        np.testing.assert_array_equal(one.layer.data, expected)
    one.check()


def test_one_key_undoes_one_step_wherever_it_is_pressed(person, viewer):
    image = viewer.add_image(np.zeros(SHAPE))
    one = person()
    painting_of(viewer)
    for number in range(103):
        one.layer.paint((number % 5, 2 + number % 18, 2 + number % 15), 1 + number % 3)
        one.follower.settle()
    assert one.journal.history.position == 103
    one.press("Control-Z")
    assert one.journal.history.position == 102
    one.press("Control-Shift-Z")
    assert one.journal.history.position == 103
    one.layer.data = np.full(SHAPE, 7, np.uint8)
    one.check()
    one.press("Control-Z")
    one.check()
    assert (one.layer.data != 7).any() and one.journal.history.position == 103
    before = one.layer.data.copy()
    one.drag((4, 4), (9, 9), between=lambda: one.press("Control-Z"))
    one.check()
    while one.journal.history.position > 103:
        one.layer.undo()
    np.testing.assert_array_equal(one.layer.data, before)
    viewer.dims.ndisplay = 3
    one.press("Control-Z")
    assert one.journal.history.position == 102
    viewer.dims.ndisplay = 2
    one.press("Control-Z", selected=image)
    assert one.journal.history.position == 102, "the dock binds it for images"


def test_naparis_own_key_still_calls_what_we_replace():
    called = []
    layer = SimpleNamespace(undo=lambda: called.append("undo"), redo=lambda: called.append("redo"))
    napari_keys.undo(layer)
    napari_keys.redo(layer)
    assert called == ["undo", "redo"]


def test_undo_goes_where_it_changes_something_and_says_what_it_was(person, viewer):
    one = person(scale=(8, 1, 1))
    one.layer.paint((3, 8, 8), 2)
    one.turn()
    viewer.dims.set_current_step(0, 0)
    one.press("Control-Z")
    assert viewer.dims.current_step[0] == 3 and viewer.status == "Undid: paint 2, slice 3"
    one.press("Control-Z")
    assert viewer.status == "There is nothing to undo."


@pytest.mark.parametrize("action", ["brush", "fill", "polygon", "items", "function", "array", "behind"])
def test_a_rule_is_never_broken(person, action):
    data = np.zeros(SHAPE, np.uint8)
    data[:, 6:16, 6:14] = 3
    one = person(data)
    one.follower.rules.append(lambda number, before, now: np.where((before == 3) | (now == 3), before, now))
    kept = one.layer.data == 3
    random = np.random.default_rng(1)
    for _ in range(3):
        ACTIONS[action](one, random)
        one.check()
    np.testing.assert_array_equal(one.layer.data == 3, kept)


def test_states_follow_strokes_undo_and_approval_into_the_file(person, viewer, tmp_path):
    one = person()
    one.layer.paint((2, 8, 8), 1)
    one.turn()
    records.approve(one.layer, [2, 3])
    ledger = records.ledger_of(one.layer)
    assert ledger.states() == ["unseen", "unseen", "approved", "approved", "unseen"]
    one.layer.paint((2, 15, 8), 1)
    one.turn()
    assert records.ledger_of(one.layer).state(2) == "edited"
    one.layer.undo()
    assert records.ledger_of(one.layer).state(2) == "approved"
    path = io.write(layer_volumes.labels_volume(one.layer, None, None), tmp_path / "labels.nii.gz")
    rows = io.read(path).metadata["slices"]
    assert [(row["first"], row["state"], row["was"]) for row in rows] == [
        (2, "approved", "edited"),
        (3, "approved", "unseen"),
    ]
    found = recover(one.journal.folder)
    assert set(found.history.approvals) == {2, 3}


def test_approve_all_is_one_step(person):
    data = np.zeros(SHAPE, np.uint8)
    data[1:3, 4] = 2
    one = person(data)
    one.follower.approve_as_step("approve all filled slices", [1, 2])
    assert records.ledger_of(one.layer).counts()["approved"] == 2
    one.layer.undo()
    assert records.ledger_of(one.layer).counts()["approved"] == 0
    one.layer.redo()
    assert records.ledger_of(one.layer).reviewed() == (1, 2)


def test_what_is_saved_is_not_offered_again(person, viewer, tmp_path):
    one = person()
    one.layer.paint((2, 8, 8), 1)
    one.turn()
    number = records.last_step(one.layer)
    one.layer.paint((3, 8, 8), 1)
    one.turn()
    records.note_saved(one.layer, number, tmp_path / "a.nii.gz")
    folder = one.journal.folder
    viewer.layers.remove(one.layer)
    (left,) = unfinished(root())
    assert (left.folder, left.steps) == (folder, 1)
    viewer.add_layer(one.layer)
    assert one.journal.folder == folder and one.journal.history.position == 2
    assert unfinished(root()) == []


def test_states_are_those_of_before_in_a_layer_that_comes_back(viewer):
    data = np.zeros(SHAPE, np.uint8)
    data[:, 5:9] = 1
    layer = viewer.add_labels(data, name="labels")
    records.put_record(layer, Record("segment", models=(UsedModel("tiny", "12"),)))
    listener = painting_of(viewer)
    listener.protect(layer)
    layer.data[2, 5:9] = 2
    layer.data[3, 5:9] = 2
    listener.follower(layer).touch(None)
    listener.follower(layer).settle("update", {"tool": "learn", "proposed by": "tiny + 2 slices"})
    records.approve(layer, [1])
    states = records.ledger_of(layer).states()
    assert states == ["auto", "approved", "auto", "auto", "auto"]
    viewer.layers.remove(layer)
    QApplication.processEvents()
    layer.data[3, 0] = 1  # by whoever has it
    viewer.layers.append(layer)
    follower = listener.follower(layer)
    assert records.ledger_of(layer).states() == ["auto", "approved", "auto", "edited", "auto"]
    for _ in range(2):
        follower.undo()
    assert records.ledger_of(layer).states() == states
    assert own_slices(records.ledger_of(layer), UsedModel("tiny", "12")).keys() == {0, 2, 3, 4}


def test_a_layer_taken_out_in_mid_stroke_loses_nothing(person, viewer):
    one = person()
    one.drag((4, 4), (12, 12), between=lambda: viewer.layers.remove(one.layer))
    (left,) = unfinished(root())
    np.testing.assert_array_equal(recover(left.folder).labels, one.layer.data)
    assert one.layer.data.any()


@pytest.mark.parametrize("shape", [(24, 20), (3, 4, 24, 20)])
def test_single_images_and_time_series_are_followed(person, shape):
    one = person(np.zeros(shape, np.uint16))
    where = (*(1,) * (len(shape) - 2), 8, 8)
    one.layer.paint(where, 300)
    one.turn()
    np.testing.assert_array_equal(one.shadow(), one.layer.data)
    assert one.journal.steps[0].planes == ((5,) if len(shape) == 4 else (0,))
    one.layer.undo()
    assert not one.layer.data.any()


def test_an_array_of_another_shape_begins_another_journal(person):
    one = person()
    one.layer.paint((2, 8, 8), 1)
    one.turn()
    folder = one.journal.folder
    one.layer.data = np.zeros((3, 30, 20), np.uint8)
    one.turn()
    assert one.journal.folder != folder and one.journal.steps == []
    one.layer.paint((1, 8, 8), 1)
    one.check()
    assert [left.folder for left in unfinished(root())] == [folder]


def test_labels_that_only_note_what_is_to_do_are_copied_and_the_person_hears_it(person, qtbot):
    array = pytest.importorskip("dask.array")
    one = person(array.zeros(SHAPE, dtype=np.uint8, chunks=(1, 24, 20)))
    qtbot.waitUntil(lambda: one.follower is not None, timeout=20000)
    assert isinstance(one.layer.data, np.ndarray) and "copied into memory" in one.follower.notes[0]
    one.layer.paint((2, 8, 8), 1)
    one.check()


def test_large_labels_are_followed_from_a_thread(person, qtbot, monkeypatch):
    monkeypatch.setattr(painting, "_AT_ONCE", 0)
    one = person()
    assert one.follower is None
    one.layer.paint((2, 8, 8), 1)
    qtbot.waitUntil(lambda: one.follower is not None, timeout=20000)
    one.check()
    assert one.layer.data.any()


def test_labels_at_several_resolutions_are_refused_in_a_sentence(person):
    levels = [np.zeros((24, 24), np.uint8), np.zeros((12, 12), np.uint8)]
    one = person(levels, multiscale=True)
    assert "several resolutions" in one.why_not and one.follower is None


def test_a_folder_that_cannot_be_written_is_said_and_undo_works(person, own_home):
    (own_home / "review").write_text("in the way")
    one = person()
    one.layer.paint((2, 8, 8), 1)
    one.turn()
    assert "Not protected against a crash" in one.journal.problem
    one.layer.undo()
    assert not one.layer.data.any()


def test_two_windows_on_the_same_labels_hear_of_each_other(person):
    one = person()
    two = person()
    assert one.journal.folder.parent != two.journal.folder.parent, "napari names layers differently"
    two.layer.name = "labels"
    one.layer.name = "first"
    two.viewer.layers.remove(two.layer)
    two.viewer.add_layer(two.layer)
    assert two.journal.folder != one.journal.folder


@pytest.mark.parametrize(
    ("index", "shape", "expected"),
    [
        ((slice(1, 3), slice(0, 4), slice(0, 4)), (5, 8, 8), {1, 2}),
        ((np.array([4, 6]), np.array([1, 1]), np.array([2, 2])), (8, 8, 8), {4, 6}),
        ((slice(1, 2), slice(2, 4), slice(0, 4), slice(0, 4)), (3, 5, 8, 8), {7, 8}),
        ((np.array([1, 2]), np.array([0, 3]), np.array([1, 1]), np.array([2, 2])), (3, 5, 8, 8), {5, 13}),
        ((slice(0, 4), slice(0, 4)), (8, 8), {0}),
    ],
)
def test_strokes_name_their_slices(index, shape, expected):
    assert touched([(index, None, 0)], shape) == expected


@pytest.mark.parametrize(
    ("kind", "early"),
    # late, nothing is left of whole numbers that says what they were
    [(np.uint8, True), (np.float32, True), (bool, True), (np.float32, False), (bool, False)],
)
def test_labels_that_napari_has_made_of_a_file_are_not_drawn_by_hand(viewer, kind, early):
    pixels = np.zeros(SHAPE, kind)
    pixels[2, 4:9] = 1
    if early:
        painting_of(viewer)
    for path in ("mask.tif", None):
        with layer_source(path=path):
            viewer.add_image(pixels.copy())
        _convert_to_labels(viewer.layers)
        layer = viewer.layers[-1]
        painting_of(viewer)
        assert records.is_judged(layer) == bool(path)
        if early and not path:
            painting_of(viewer).protect(layer)
            (note,) = painting_of(viewer).follower(layer).notes
            assert "count as drawn by hand: 1 filled slice is listed as edited" in note
        viewer.layers.clear()


def test_labels_that_do_not_fit_into_memory_are_refused_with_a_sentence(viewer):
    import dask.array

    lazy = viewer.add_labels(dask.array.zeros((4_000_000, 4096, 4096), dtype=np.uint8, chunks=(4000, 4096, 4096)))
    why = painting_of(viewer).protect(lazy)
    assert "that takes 67,108.9 GB" in why and "Crop the labels" in why
    assert painting_of(viewer).follower(lazy) is None


def test_labels_from_a_file_are_unseen_after_a_crash_too(viewer):
    data = np.zeros(SHAPE, np.uint8)
    data[1:3, 4:9] = 1
    with layer_source(path="mask.tif"):
        layer = viewer.add_labels(data)
    painting_of(viewer).protect(layer)
    layer.paint((4, 8, 8), 1)
    QApplication.processEvents()
    viewer.layers.clear()  # the session stays, as after a crash
    (left,) = unfinished(root())
    book, found = resume(left.folder)
    again = restored_layer(found.session, found.labels)
    painting_of(viewer).restore(again, book, found)
    assert records.ledger_of(again).states() == ["unseen"] * 4 + ["edited"]
    painting_of(viewer).follower(again).close()
