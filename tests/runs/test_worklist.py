"""The cases of a cohort as a list of work: states, order, which one is next, what is approved, texts."""

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.record import Item, Record, UsedModel
from napari_medseg.review.ledger import Ledger
from napari_medseg.review.planes import checksum
from napari_medseg.runs.batch import Finished
from napari_medseg.runs.reviewed import Reviewed, fresh, in_file
from napari_medseg.runs.tasks import Failure, Look, LookOfClass, Outcome, Task
from napari_medseg.runs.worklist import LOOK, WorkList, source_of
from napari_medseg.volume import LabelClass, Volume


def task(number):
    return Task("segment", (f"in/case{number}.nii.gz",), {"labels": f"out/case{number}.nii.gz"})


def finished(number, volume=100.0, state="done", error="", warnings=(), reviewed=None):
    if error:
        return Finished(Outcome(task(number), "failed", error=error))
    look = Look((LookOfClass(1, "organ", "#e64b35", 1000, volume_ml=volume, parts=1),))
    record = Record("segment", models=(UsedModel("small"),), seconds=2.0, warnings=tuple(warnings))
    return Finished(Outcome(task(number), state, record, seconds=2.0, look=look), reviewed or Reviewed(20))


def listed(count, workers=1, failures=()):
    return WorkList([task(number) for number in range(count)], failures, workers)


def states(work):
    return [work.state(number) for number in range(len(work))]


def test_states_follow_the_run():
    work = listed(5, workers=2, failures=[Failure("nowhere", "It does not exist.")])
    assert states(work) == ["running", "running", "waiting", "waiting", "waiting", "failed"]
    work.take(finished(1, error="It is damaged."))
    work.take(finished(0))
    assert states(work) == ["done", "failed", "running", "running", "waiting", "failed"]
    assert work.order() == list(range(6)), "rows do not move as long as some wait"
    work.end()
    assert states(work) == ["done", "failed", *["not reached"] * 3, "failed"]
    assert work.order() == [1, 5, 0, 2, 3, 4]
    assert work.summary() == "6 cases: 1 done, 2 failed, 3 not reached; 0 approved."
    assert [case.outcome.state for case in listed(2).cases()] == ["not reached"] * 2, "a page can be written any time"


def test_what_differs_most_comes_first_and_says_why():
    work = listed(12)
    for number in range(12):
        work.take(finished(number, 100.0 + number if number != 7 else 900.0))
    assert work.order()[0] == 7 and work.order(suspicious_first=False)[0] == 0
    cells = work.cells(7)
    assert cells["State"] == "done" and cells["Size"] == "900.0 ml" and cells["Approved"] == "0 of 20"
    assert cells[LOOK] == "⚠ volume high" and "Dice" not in work.head
    text = work.text(7)
    assert "Look here first: organ: volume 900.0 ml; half of the cases lie in" in text and "Model: small" in text
    assert text.count("ml") >= 2 and "voxels" not in text, "of several sizes one is enough"
    assert work.cells(3)["State"] == "done" and not work.cells(3)[LOOK]


def test_the_size_is_that_of_all_classes_together():
    work = listed(2)
    classes = [LookOfClass(n, f"part {n}", "#e64b35", 10, volume_ml=n + 0.5) for n in (1, 2)]
    outcome = finished(0).outcome
    work.take(Finished(replace(outcome, look=Look(tuple(classes)), scores=({"id": 3, "name": "c", "dice": 0.0},))))
    assert work.cells(0)["Size"] == "4.0 ml" and "part 2: volume 2.5 ml" in work.text(0)
    assert "All classes together: 4.0 ml" in work.text(0)
    work.take(finished(1))
    assert work.cells(1)["Size"] == "100.0 ml" and "together" not in work.text(1), "there is one class alone"
    image = Outcome(Task("reconstruct", ("raw.h5",)), "done", Record("reconstruct", figures={"residual": 0.1}))
    assert not WorkList.of([Finished(image)]).cells(0)["Size"], "an image has no size"


def test_scores_against_a_reference_have_columns_of_their_own():
    work = WorkList([replace(task(0), score=True), task(1)])
    assert work.head[:5] == ("Case", "State", LOOK, "Dice", "HD95")
    scores = ({"id": 1, "name": "organ", "dice": 0.9, "hd95_mm": 2.0}, {"id": 2, "name": "wall", "dice": 0.8})
    work.take(Finished(replace(finished(0).outcome, task=replace(task(0), score=True), scores=scores)))
    assert (work.cells(0)["Dice"], work.cells(0)["HD95"]) == ("0.850", "2.0 mm")
    assert work.cells(1)["Dice"] == "" and set(work.head) <= set(work.cells(1))
    numbered = replace(task(0), score=True, settings={"inference": {"split_objects": True}})
    work = WorkList([numbered])
    assert work.head[3:5] == ("F1", "Approved")
    scores = ({"id": 1, "name": "objects", "f1": 0.75, "precision": 0.7, "recall": 0.8},)
    work.take(Finished(replace(finished(0).outcome, task=numbered, scores=scores)))
    assert work.cells(0)["F1"] == "0.750" and "F1 0.75" in work.text(0)


def test_a_failed_case_shows_its_sentence():
    work = listed(1)
    work.take(finished(0, error="'a' is damaged."))
    assert work.cells(0)[LOOK] == "is damaged." and "failed. 'a' is damaged." in work.text(0)
    assert not work.can_open(0)


def test_what_was_approved_of_results_that_vanished_counts_no_more():
    work = listed(1)
    work.take(replace(finished(0), reviewed=Reviewed(20, 20, complete=True)))
    assert work.summary().endswith("1 approved.")
    work.take(finished(0, error="'out/case0.nii.gz' was moved or removed."))
    assert work.summary().endswith("0 approved.") and not work.cells(0)["Approved"]


def test_next_steps_over_what_cannot_be_opened():
    work = listed(5)
    for number in (0, 2, 3):
        work.take(finished(number))
    work.take(finished(1, error="no"))
    order = work.order()
    assert work.next(order, None) == 0 and work.next(order, 0) == 2 and work.next(order, 3) is None
    assert work.next(order, 2, -1) == 0 and work.next(order, 0, -1) is None and work.next(order, None, -1) == 3
    work.review(2, Reviewed(20, 12, complete=True))
    assert work.next_open(order, 0) == 3 and work.next_open(order, 3) == 0
    work.review(0, Reviewed(20, 20, complete=True))
    assert work.next_open(order, 3) is None, "the open one is the last"
    assert work.cells(2)["Approved"] == "✓ 12 of 20" and "12 of 20 slices approved." in work.text(2)
    assert work.summary().endswith("2 approved.")


def test_without_an_open_case_it_goes_on_at_the_chosen_row():
    work = listed(5)
    for number in (0, 2, 3, 4):
        work.take(finished(number))
    work.take(finished(1, error="no"))
    order = [0, 1, 2, 3, 4]
    assert [work.next(order, None, chosen=row) for row in order] == [0, 2, 2, 3, 4]
    assert [work.next(order, None, -1, chosen=row) for row in order] == [None, 0, 0, 2, 3]
    assert work.next(order, 4, chosen=0) == 0, "its layers were removed, and another row was chosen"
    work.review(3, Reviewed(20, 20, complete=True))
    assert [work.next_open(order, None, chosen=row) for row in order] == [0, 2, 2, 4, 4]
    for row in (0, 2):
        work.review(row, Reviewed(20, 20, complete=True))
    assert work.next_open(order, 4, chosen=0) == 4


def test_other_work_can_be_empty():
    work = WorkList()
    assert (len(work), work.order(), work.summary()) == (0, [], "")
    assert work.next([], None) is None and work.next_open([], None) is None


def test_approvals_are_counted_in_the_file(tmp_path):
    data = np.zeros((5, 8, 9), np.uint8)
    data[1:4, 2:5, 2:5] = 1
    labels = Volume(data, "zyx", np.eye(4), (LabelClass(1, "organ", "#e64b35"),))
    path = io.write(labels, tmp_path / "a.nii.gz")
    assert in_file(path) == Reviewed(5)
    ledger = Ledger(5)
    for numbers, expected in (((1, 2), Reviewed(5, 2)), ((3,), Reviewed(5, 3, complete=True))):
        for number in numbers:
            ledger.approve(number, checksum(data[number]))
        io.write(labels.with_slices(ledger.to_json()), path)
        assert in_file(path) == expected
    record = Record("segment", outputs=(Item("labels", shape=(5, 8, 9)),))
    assert fresh(record) == Reviewed(5) and fresh(Record("segment")) is None


@pytest.mark.parametrize("moved", [False, True])
def test_an_image_is_found_by_its_name(tmp_path, moved):
    image = tmp_path / ("elsewhere" if moved else "in") / "case0.nii.gz"
    image.parent.mkdir()
    image.touch()
    known = Task("segment", (str(tmp_path / "in" / "case0.nii.gz"),), {})
    assert source_of(known, [tmp_path / "other.nii.gz", image]) == image
    assert moved == (source_of(known, []) is None)


def test_five_hundred_cases_are_no_matter():
    """What is asked for every row costs no look at all others."""
    work = listed(500, workers=4)
    for number in range(500):
        work.take(finished(number, 100.0 + number % 7))
    calls = 0

    def counted(cases, real=work._first_waiting):
        nonlocal calls
        calls += 1
        return real()

    work._first_waiting = counted
    assert len([work.cells(number) for number in work.order()]) == 500 and not calls
