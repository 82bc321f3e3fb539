"""A record: what it is in JSON, and what others wrote there."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.record import Item, Record, UsedModel, now, plain, software

RECORD = Record(
    "segment",
    time=now(),
    software=software(),
    inputs=(Item("image", "scan.nii.gz", "NIfTI", 12, "ab", "cd", "zyx", (3, 4, 5), ((1.0, 0.0), (0.0, 1.0))),),
    models=(UsedModel("lstm-sa-heart", "12", "lstm-sa"),),
    settings={"context": "auto", "size": [64, 64]},
    outputs=(Item("labels", classes=({"id": 1, "name": "cavity", "voxels": 12},)),),
    seconds=1.5,
    warnings=("look",),
    figures={"slices": 3},
    reviewed=(2, 5),
    parents=("9a",),
)


def test_a_record_comes_back_from_json():
    assert Record.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


def test_fields_of_later_versions_are_kept():
    content = RECORD.to_json()
    content |= {"schema": 7, "colour": "blue"}
    content["models"][0]["size"] = 3
    again = Record.from_json(content)
    assert again.schema == 7 and again.models[0].more == {"size": 3}
    assert again.to_json() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reviewed", [1.5]),
        ("reviewed", "1"),
        ("models", {"name": "a"}),
        ("models", [3]),
        ("seconds", "long"),
        ("settings", []),
        ("what", None),
        ("inputs", None),
    ],
)
def test_malformed_parts_are_left_out(name, value):
    content = {**RECORD.to_json(), name: value}
    again = Record.from_json(content)
    assert getattr(again, name) == getattr(Record(), name)
    assert again == replace(RECORD, **{name: getattr(Record(), name)})


@pytest.mark.parametrize("content", [None, [], 3, "segment"])
def test_what_is_not_an_object_is_not_a_record(content):
    assert Record.from_json(content) is None


def test_values_become_plain():
    value = {1: (np.float32(0.5), np.arange(2)), "b": float("nan"), "c": UsedModel("a")}
    assert plain(value) == {"1": [0.5, [0, 1]], "b": None, "c": {"name": "a"}}


def test_reviewed_slices_rise_and_count_once():
    assert Record().with_reviewed([np.int64(4), 1, 4]).reviewed == (1, 4)
