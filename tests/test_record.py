"""A record: what it is in JSON, and what others wrote there."""

import getpass
import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.record import Item, Record, UsedModel, file_hash, now, plain, software, voxel_hash, without_folders

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


def test_the_fingerprint_tells_what_decides():
    first = RECORD.sealed()
    assert len(first.id) == 16 and first.id == RECORD.fingerprint()[:16]
    nothing = replace(RECORD, time="", seconds=9.0, software={}, place={"device": "cuda"}, reviewed=(), warnings=())
    assert nothing.fingerprint() == RECORD.fingerprint()
    elsewhere = {**RECORD.settings, "device": "cuda", "batch": 3}
    assert replace(RECORD, settings=elsewhere).fingerprint() == RECORD.fingerprint()
    others = (
        replace(RECORD, what="consensus"),
        replace(RECORD, settings={**RECORD.settings, "context": "t"}),
        replace(RECORD, models=(UsedModel("lstm-sa-heart", "13", "lstm-sa"),)),
        replace(RECORD, inputs=(replace(RECORD.inputs[0], sha256="ac"),)),
    )
    assert len({RECORD.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    assert Record.from_json(json.loads(json.dumps(first.to_json()))).sealed() == first


def test_settings_of_tuples_and_lists_are_the_same():
    ours, theirs = (Record("segment", settings={"size": size}) for size in ((64, 64), [64, 64]))
    assert ours.fingerprint() == theirs.fingerprint() and not ours.changes(theirs)


def test_changes_are_named():
    other = replace(
        RECORD,
        settings={"context": "t", "size": [64, 64], "new": 1, "device": "cuda"},
        models=(UsedModel("lstm-sa-heart", "345678901", "lstm-sa"),),
        inputs=(replace(RECORD.inputs[0], sha256="ac"),),
    )
    assert RECORD.changes(RECORD) == []
    assert RECORD.changes(other) == [
        "inputs",
        "models 'lstm-sa-heart 12' -> 'lstm-sa-heart 34567890'",
        "settings.context 'auto' -> 't'",
    ]


def test_files_are_told_by_their_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert file_hash(one) == hashlib.sha256(b"1").hexdigest()
    assert file_hash(one, two) == file_hash(two, one) != file_hash(one)
    two.rename(tmp_path / "three")
    assert (
        file_hash(one, tmp_path / "three")
        == hashlib.sha256(
            "".join(sorted(hashlib.sha256(content).hexdigest() for content in (b"1", b"2"))).encode()
        ).hexdigest()
    )


def test_voxels_are_told_by_type_shape_and_values():
    data = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    same = (data.astype(">u2"), np.asfortranarray(data), data[:, ::-1][:, ::-1])
    assert {voxel_hash(each) for each in same} == {voxel_hash(data)}
    other = (data.astype(np.int16), data.reshape(2, 4, 3), data + 1)
    assert len({voxel_hash(data), *(voxel_hash(each) for each in other)}) == 4


def test_torch_is_not_loaded_for_a_record():
    program = (
        "import sys; from napari_medseg.record import software; print('torch' in software(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_record_names_no_user_and_no_host():
    text = json.dumps(RECORD.to_json())
    assert getpass.getuser() not in software().values() and platform.node() not in text
    assert os.path.expanduser("~") not in text


def test_absolute_paths_are_cut_to_their_last_part():
    settings = {"train": [{"path": "/home/jane/data"}], "start": "runs/a.pt", "name": "a/b", "steps": 3}
    assert without_folders(settings) == {**settings, "train": [{"path": "data"}]}
