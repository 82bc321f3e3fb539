import json
from pathlib import Path

import pytest

from napari_medseg.runs.plan import Plan
from napari_medseg.widgets.batch.state import (
    Facts,
    ended_text,
    found_text,
    is_dataset,
    parse_inputs,
    state,
    suggested_output,
    unsaved_text,
)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"models_read": False}, "the models are being read."),
        ({"has_inputs": False}, "choose the images first: files or a folder."),
        ({"has_output": False}, "choose the folder for the results."),
        ({"has_model": False}, "choose a model."),
        ({"problem": "No."}, "No."),
        ({"planned": False}, "the images are being looked for."),
        ({"job": "run"}, "a run is under way."),
    ],
)
def test_run_says_why_it_is_off(facts, reason):
    found = state(Facts(**facts))
    assert found.run.why_not == reason and reason in found.hint


def test_a_run_can_be_cancelled_and_the_command_copied_meanwhile():
    found = state(Facts(job="run"))
    assert found.cancel.visible and found.bar and not found.copy.why_not and found.results.why_not
    assert not state(Facts()).cancel.visible and not state(Facts(job="write")).cancel.visible


def test_cases_are_stepped_through_during_a_run():
    found = state(Facts(job="run", cases=3, has_next=True, has_unapproved=True))
    assert not found.next.why_not and not found.unapproved.why_not and found.previous.why_not
    assert found.save.why_not == "no case with labels is open; double-click a row."
    for facts in ({"opening": "open"}, {"opening": "save"}, {"beginning": True}):
        assert state(Facts(cases=3, has_next=True, open="a", unsaved=True, **facts)).next.why_not


def test_save_is_for_what_the_file_does_not_have():
    assert state(Facts(cases=1, open="a")).save.why_not == "everything is in the file already."
    assert not state(Facts(cases=1, open="a", unsaved=True)).save.why_not


def test_inputs_are_taken_from_the_line(tmp_path):
    odd = tmp_path / "a; b"
    odd.mkdir()
    assert parse_inputs(f" {odd} ") == (str(odd),), "a path that exists is one path"
    (tmp_path / "c;d").touch()
    both = f"{tmp_path / 'c;d'}; {odd};c"
    assert parse_inputs(both) == (str(tmp_path / "c;d"), str(odd), "c"), "also one of several"
    assert parse_inputs("one.nii.gz; two.nii.gz;") == ("one.nii.gz", "two.nii.gz") and parse_inputs(" ") == ()
    assert not is_dataset((str(odd),))
    (odd / "dataset_description.json").write_text(json.dumps({}))
    assert is_dataset((str(odd),)) and not is_dataset((str(odd), str(odd)))
    assert suggested_output((str(odd),)).endswith("derivatives/napari-medseg")
    assert suggested_output(("/scans/a.nii.gz",)) == "/scans_labels" and suggested_output(()) == ""


def test_texts():
    paths = [Path(name) for name in "abcd"]
    assert found_text(Plan((paths[0],), {}), 0) == "1 image."
    found = Plan(tuple(paths), {}, notes=("x",), references={"a": paths[0]})
    assert found_text(found, 2) == "4 images, 2 with a result already.\nx\n1 of 4 with reference labels."
    assert ended_text(1, 1, 0) == "Done: 1 case."
    assert ended_text(3, 9, 1, cancelled=True).startswith("Cancelled: 3 of 9 cases are finished. 1 failed")
    assert "can be restored" in unsaved_text("a", kept=True) and "are lost" in unsaved_text("a", kept=False)
