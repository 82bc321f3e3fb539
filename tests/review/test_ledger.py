"""States of slices follow from their labels: approvals are lost on a change and come back on undo."""

import math

import numpy as np
import pytest

from napari_medseg.review.ledger import Ledger
from napari_medseg.review.planes import checksum
from napari_medseg.slice_states import at, collapse, expand, reviewed


def test_states_follow_the_content():
    ledger = Ledger(4)
    ledger.begin(range(3), "auto", "tiny", "12ab")
    assert ledger.check(lambda number: 100 + number, range(4)) == []
    assert ledger.states() == ["auto", "auto", "auto", "unseen"]
    ledger.changed({1: 7, 3: 9})
    assert ledger.states() == ["auto", "edited", "auto", "edited"]
    ledger.approve(1, 7)
    ledger.changed({1: 8})
    assert ledger.state(1) == "edited"
    ledger.changed({1: 7})
    assert ledger.state(1) == "approved", "undo brings the approval back"
    ledger.changed({1: 101, 3: 103})
    assert ledger.states() == ["auto", "auto", "auto", "unseen"], "as at the start"
    ledger.changed({1: 7})
    ledger.withdraw(1)
    assert ledger.state(1) == "edited" and ledger.counts() == {"unseen": 1, "auto": 2, "edited": 1, "approved": 0}


def test_labels_that_changed_unseen_are_edited_until_they_are_looked_at():
    ledger = Ledger(2)
    ledger.approve(0, 5)
    ledger.changed({0: None, 1: None})
    assert ledger.states() == ["edited", "edited"] and ledger.unchecked() == [0, 1]
    ledger.check({0: 5, 1: 6}.__getitem__, ledger.unchecked())
    assert ledger.states() == ["approved", "edited"] and ledger.unchecked() == []


def test_rows_give_the_same_states_again_and_say_what_has_changed_since():
    ledger = Ledger(6)
    ledger.begin(range(1, 6), "auto", "tiny", "12ab")
    ledger.check(lambda number: number, range(6))
    ledger.approve(2, 2, "somebody")
    ledger.approve(3, 3, "somebody")
    ledger.changed({4: 44})
    rows = ledger.to_json()
    assert "somebody" not in str(rows)
    again = Ledger.from_json(rows, 6)
    assert again.states() == ledger.states() == ["unseen", "auto", "approved", "approved", "edited", "auto"]
    assert again.to_json() == rows and again.reviewed() == (2, 3, 4)
    assert again.check({0: 0, 1: 1, 2: 99, 3: 3, 4: 44, 5: 5}.__getitem__, range(6)) == [2]
    assert again.state(2) == "edited"
    again.withdraw(3)
    assert again.state(3) == "auto" and again.entry(3).model == "tiny"


def test_next_open_slice_goes_round():
    ledger = Ledger(4)
    ledger.approve(2, 2)
    assert ledger.next_open(1) == 3 and ledger.next_open(3) == 0 and ledger.next_open(3, backwards=True) == 1
    for number in (0, 1, 3):
        ledger.approve(number, number)
    assert ledger.next_open(1) is None


@pytest.mark.parametrize(
    "rows",
    [None, 3, [{"first": 1}], [{"first": 5, "last": 2, "state": "auto"}], [{"first": 0, "last": 0, "state": "odd"}]],
)
def test_malformed_rows_are_left_out(rows):
    assert expand(rows) == {} and Ledger.from_json(rows, 3).states() == ["unseen"] * 3


def test_rows_are_short_and_follow_a_selection():
    known = {number: {"state": "approved" if number < 40 else "auto", "crc": number} for number in range(100)}
    rows = collapse(known)
    assert len(rows) == 2 and expand(rows) == known
    assert expand(at(rows, [39, 40])) == {0: known[39], 1: known[40]}
    assert reviewed(rows) == tuple(range(40))
    known[1]["seconds"] = 3.5
    rows = collapse(known)
    assert len(rows) == 2 and expand(rows) == known and "seconds" not in rows[1]


def test_seconds_that_make_no_sense_are_left_out():
    rows = [{"first": 0, "last": 2, "state": "auto", "seconds": [-1, "x", math.inf]}]
    rows += [{"first": 3, "last": 4, "state": "auto", "seconds": [1]}, {"first": 5, "last": 5, "state": "auto"}]
    assert all("seconds" not in facts for facts in expand(rows).values())


def test_checksums_do_not_depend_on_the_type():
    plane = np.random.default_rng(0).integers(0, 200, (7, 9))
    sums = {checksum(plane.astype(kind)) for kind in (np.uint8, np.int16, np.uint16, ">i4", np.uint32, np.int64)}
    assert len(sums) == 1
    assert checksum(plane + 100) == checksum((plane + 100).astype(np.uint16))
    assert checksum(-plane) == checksum(-plane.astype(np.int16))


def test_labels_of_a_model_that_another_program_has_changed_are_unseen():
    ledger = Ledger(3)
    ledger.begin(range(3), "auto", "tiny", "12ab")
    ledger.check({0: 5, 1: 6, 2: 7}.__getitem__, range(3))
    opened = Ledger.from_json(ledger.to_json(), 3)
    assert opened.check({0: 5, 1: 66, 2: 7}.__getitem__, range(3)) == [1]
    assert opened.states() == ["auto", "unseen", "auto"] and not opened.reviewed()
    opened.changed({1: 8})
    assert opened.state(1) == "edited"


def test_what_a_tool_proposes_is_looked_at_by_nobody_until_it_is_changed_or_approved():
    ledger = Ledger(2)
    ledger.changed({0: 5, 1: 5})
    ledger.propose(0, 7)
    assert ledger.states() == ["auto", "edited"] and Ledger.from_json(ledger.to_json(), 2).states() == ledger.states()
    ledger.changed({0: 8})
    assert ledger.state(0) == "edited"
    ledger.changed({0: 7})
    ledger.approve(0, 7)
    assert ledger.state(0) == "approved"


def test_every_proposal_is_known_again_on_undo_and_by_whom():
    ledger = Ledger(1)
    ledger.begin([0], "auto", "tiny", "12ab")
    ledger.check(lambda number: 5, [0])
    ledger.propose(0, 6, "tiny + 2 slices")
    ledger.propose(0, 7, "tiny + 3 slices")
    for crc, maker in ((6, "tiny + 2 slices"), (5, "tiny"), (7, "tiny + 3 slices")):
        ledger.changed({0: crc})
        assert ledger.state(0) == "auto" and ledger.entry(0).maker == maker
    (row,) = ledger.to_json()
    assert (row["model"], row["sha256"]) == ("tiny + 3 slices", "12ab")
    ledger.changed({0: 8})
    assert ledger.state(0) == "edited" and not ledger.entry(0).maker
    ledger.propose(0, 9)
    assert ledger.state(0) == "auto" and not ledger.entry(0).maker, "of a tool"
