"""A recorded session, repeated: to the same voxels, or to one sentence that says where it differs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import cli, io, models
from napari_medseg.errors import FileError
from napari_medseg.io import items
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.recon.masked import sampled
from napari_medseg.recon.settings import HiddenSettings, ReconSettings, Sampling
from napari_medseg.recon.simulate import scan
from napari_medseg.recon.suggest import hint_job
from napari_medseg.record import Record, UsedModel, voxel_hash
from napari_medseg.replay import lines
from napari_medseg.replay.job import replay_job
from napari_medseg.replay.recording import Recording
from napari_medseg.review.opening import start_job
from napari_medseg.review.planes import checksum
from napari_medseg.review.sessions import Session
from napari_medseg.review.tools.running import Scope, tool_job
from napari_medseg.review.tools.table import TOOLS
from napari_medseg.runs.settings import StudySettings
from napari_medseg.runs.study import acceleration_job
from napari_medseg.segmentation import inference
from napari_medseg.segmentation.settings import InferenceSettings
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "wall", "#4dbbd5"))


def install(seed):
    """A model of the name ``tiny``, with other weights for each `seed`."""
    torch.manual_seed(seed)
    card = models.ModelCard("tiny", "litenext", Preprocess(size=(32, 32)), CLASSES)
    models.models_folder().mkdir(exist_ok=True)
    models.save(models.models_folder() / "tiny.safetensors", models.build("litenext", num_classes=3), card)


def picture(path, seed=0):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    io.write(Volume(rng.normal(size=(4, 40, 48)).astype(np.float32), "zyx", np.diag([1, 1, 3, 1.0])), path)
    return path


class Work:
    """What a person does with labels, as the window does it: strokes, tools, undo, each in journal and session."""

    def __init__(self, recording, layer, labels):
        self.recording = recording
        self.layer = layer
        self.labels = np.array(labels)
        session = Session("labels", self.labels.shape, self.labels.dtype.str)
        self.journal = run(start_job(self.labels, session, None))

    def settle(self, name="", tool=None):
        step = self.journal.settle(self.labels, name=name, tool=tool)
        deltas = self.journal.deltas(step)
        self.recording.edited(self.layer, step.name, deltas, self.labels.dtype, tool=tool)

    def paint(self, place, value):
        self.labels[place] = value
        self.settle()

    def tool(self, key, **numbers):
        scope = Scope("volume", 0, (3.0, 1.0, 1.0), classes=(1,))
        tool = TOOLS[key]
        found = run(tool_job(tool, self.labels, scope, {**tool.defaults, **numbers}))
        assert found.edits, "else the session says nothing of it"
        found.write(self.labels)
        self.settle(tool.title, {"tool": key, **numbers})

    def undo(self):
        change = self.journal.undo(self.labels)
        deltas = [delta.swapped() for delta in self.journal.deltas(change.step)]
        self.recording.edited(self.layer, change.step.name, deltas, self.labels.dtype, moved="undo")


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """Folder with an image, a session (opened, segmented, painted, filled, undone, two tools, saved) and its result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path_factory.mktemp("recorder")))
        install(0)
        return record(tmp_path_factory.mktemp("master"))


@pytest.fixture
def recorded(master, tmp_path):
    """A copy of it, and the model."""
    install(0)
    shutil.copytree(master, tmp_path, dirs_exist_ok=True)
    return tmp_path


def record(tmp_path):
    volume = io.read(picture(tmp_path / "in" / "scan.nii.gz"))
    model = models.load(models.find("tiny"))
    recording = Recording(tmp_path / "work.medseg.jsonl")
    recording.opened("L1", volume, "image")
    found = run(inference.segment_job(volume, model, InferenceSettings()))
    recording.ran("L2", "L1", found.labels.record, found.labels.data)
    work = Work(recording, "L2", found.labels.data)
    work.paint(np.s_[1:], 0)  # the first slice stays as the model made it
    work.paint(np.s_[1, 5:30, 5:30], 1)
    work.paint(np.s_[1, 10:22, 10:22], 0)
    work.paint(np.s_[2], 2)
    work.undo()
    work.tool("grow", mm=2.0)
    work.tool("fill-holes")
    saved = tmp_path / "saved.nii.gz"
    labels = found.labels.like(work.labels, CLASSES).made_by(found.labels.record)
    recording.saved("L2", labels, saved)
    io.write(labels, saved)
    recording.close()
    return tmp_path


def replay(folder, *words):
    return cli.main(["replay", str(folder / "work.medseg.jsonl"), "-o", str(folder / "out"), *words])


def complaints(capsys):
    """What was said of errors, without how far the work was."""
    return [text for text in capsys.readouterr().err.splitlines() if text.startswith("napari-medseg: ")]


def change(folder, number, **fields):
    """Alter an action of the session."""
    path = folder / "work.medseg.jsonl"
    texts = path.read_text().splitlines()
    texts[number] = json.dumps(json.loads(texts[number]) | fields)
    path.write_text("\n".join(texts) + "\n")


def test_a_session_gives_the_same_voxels_again(recorded, capsys):
    assert replay(recorded) == 0
    assert not complaints(capsys)
    again = io.read(recorded / "out" / "saved.nii.gz")
    before = io.read(recorded / "saved.nii.gz")
    assert before.data.any()
    assert again.data.shape == before.data.shape
    assert voxel_hash(again.data) == voxel_hash(before.data)
    assert again.classes == before.classes
    assert np.array_equal(again.affine, before.affine)


def test_a_session_names_nobody(recorded):
    text = (recorded / "work.medseg.jsonl").read_text()
    for private in (str(recorded), str(Path.home()), os.path.expanduser("~"), recorded.name):
        assert private not in text


@pytest.mark.parametrize(
    ("spoil", "code", "expected"),
    [
        (lambda folder: picture(folder / "in" / "scan.nii.gz", seed=1), 1, "Step 1 (open): the file 'scan.nii.gz' has"),
        (lambda folder: (folder / "in" / "scan.nii.gz").unlink(), 1, "Step 1 (open): the file 'scan.nii.gz' was not"),
        (lambda folder: install(1), 1, "Step 2 (segment): the model 'tiny' is not the one of the session"),
        (lambda folder: models.find("tiny").unlink(), 1, "Step 2 (segment): "),
        (lambda folder: change(folder, 10, name="../stolen.nii.gz"), 1, "Step 10 (save): '../stolen.nii.gz' is not"),
        (lambda folder: change(folder, 10, name="/stolen.nii.gz"), 1, "Step 10 (save): '/stolen.nii.gz' is not"),
        (lambda folder: change(folder, 1, item={"name": "../in/scan.nii.gz"}), 1, "Step 1 (open): '../in/scan"),
        (lambda folder: change(folder, 4, delta="AAAA"), 1, "Step 4 (edit): the change of labels in its line is"),
        (
            lambda folder: change(folder, 4, parts=[[1, 0, 10**12, 0, 48, 9, 9]]),
            1,
            "Step 4 (edit): the change of labels",
        ),
        (lambda folder: change(folder, 4, parts=[[1, 0, 1e308, 0, 48, 9, 9]]), 1, "Step 4 (edit): "),
        (lambda folder: change(folder, 4, parts=[[]]), 1, "Step 4 (edit): its line does not hold what this step needs"),
        (lambda folder: change(folder, 4, do="dance"), 1, "Step 4 (dance): this version of napari-medseg does not"),
        (lambda folder: change(folder, 4, n=7), 1, "Line 5 of 'work.medseg.jsonl' is damaged (expected step 4"),
        (lambda folder: change(folder, 0, schema=2), 1, "'work.medseg.jsonl' was recorded by a newer version"),
    ],
)
def test_what_is_not_as_it_was_is_one_sentence(recorded, capsys, spoil, code, expected):
    spoil(recorded)
    assert replay(recorded) == code
    (said,) = complaints(capsys)
    assert expected in said
    assert not (recorded / "stolen.nii.gz").exists()


def test_a_change_that_is_missing_is_found(recorded, capsys):
    path = recorded / "work.medseg.jsonl"
    texts = path.read_text().splitlines()
    del texts[9]  # the last tool
    texts[9] = texts[9].replace('"n":10', '"n":9')
    path.write_text("\n".join(texts) + "\n")
    assert replay(recorded) == 1
    assert "Step 9 (save): the labels are not those that were saved: they differ in slice" in capsys.readouterr().err


def test_an_altered_run_is_counted_and_tolerated(recorded, capsys):
    """As if another computer had labelled three voxels otherwise."""
    path = recorded / "work.medseg.jsonl"
    texts = path.read_text().splitlines()
    step = json.loads(texts[2])
    labels = lines.unpack(step["labels"], (4, 40, 48)).copy()
    labels[3, 30, :3] = (labels[3, 30, :3] + 1) % 3
    step["labels"] = lines.pack(labels)
    step["record"]["outputs"][0]["voxels"] = voxel_hash(labels)
    step["record"]["software"]["torch"] = "1.0"
    texts[2] = json.dumps(step)
    path.write_text("\n".join([*texts[:3], ""]))
    assert replay(recorded) == 1
    said = capsys.readouterr().err
    assert "Step 2 (segment): the labels differ in 3 of 7680 voxels (0.039 %)" in said
    assert "recorded with torch 1.0" in said
    assert "--tolerance 1e-3 goes on" in said
    assert replay(recorded, "--tolerance", "1e-3") == 0


def test_every_cut_replays_what_is_whole(recorded):
    whole = (recorded / "work.medseg.jsonl").read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    path = recorded / "cut.medseg.jsonl"
    for cut in (ends[0], ends[1] - 1, ends[3] + 40, ends[3], len(whole) - 1):
        path.write_bytes(whole[:cut])
        session = lines.read(path)
        assert len(session.lines) == sum(end <= cut for end in ends) - 1
        assert bool(session.note) == (cut not in ends)
    path.write_bytes(whole[:10])
    with pytest.raises(FileError, match="no whole line"):
        lines.read(path)


def test_nothing_is_replaced(recorded, capsys):
    (recorded / "out").mkdir()
    (recorded / "out" / "mine.txt").touch()
    assert replay(recorded) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_ends_the_recording_alone(tmp_path):
    recording = Recording(tmp_path / "a.medseg.jsonl")
    with pytest.raises(FileError, match="exists already"):
        Recording(tmp_path / "a.medseg.jsonl")
    (tmp_path / "a.medseg.jsonl").unlink()
    recording.add("open")
    recording.add("open")
    assert "not recorded any more" in recording.problem


def test_inputs_are_found_below_a_folder(recorded):
    elsewhere = recorded / "deep" / "er"
    elsewhere.mkdir(parents=True)
    picture(recorded / "deep" / "scan.nii.gz", seed=5)  # another one of this name
    (recorded / "in" / "scan.nii.gz").rename(elsewhere / "scan.nii.gz")
    found = run(replay_job(recorded / "work.medseg.jsonl", recorded / "out", [recorded / "deep"]))
    assert found.equal
    assert found.steps == found.of == 10


def test_an_accepted_model_is_taken_by_its_hash(tmp_path, capsys):
    install(0)
    card = models.load_card(models.find("tiny"))
    recording = Recording(tmp_path / "work.medseg.jsonl")
    recording.tuned(UsedModel(card.name, card.sha256, card.architecture), "base")
    recording.close()
    assert replay(tmp_path) == 0
    capsys.readouterr()
    install(1)
    assert replay(tmp_path) == 1
    (said,) = complaints(capsys)
    assert "Step 1 (fine-tune): the model 'tiny' is not the one of the session" in said


def test_approvals_are_given_again_to_the_labels_that_had_them(tmp_path, capsys):
    volume = io.read(picture(tmp_path / "in" / "scan.nii.gz"))
    labels = np.zeros((4, 40, 48), np.uint8)
    labels[1:3, 5:20, 5:20] = 1
    path = tmp_path / "drawn.nii.gz"
    drawn = volume.like(labels, CLASSES)
    io.write(drawn, path)
    recording = Recording(tmp_path / "work.medseg.jsonl")
    recording.opened("L1", io.read(path), "labels")
    sums = {number: checksum(labels[number]) for number in range(4)}
    recording.approved("L1", {1: sums[1], 2: sums[2], 3: sums[3]})
    recording.approved("L1", {3: None})
    saved = drawn.made_by(Record("draw").with_reviewed([1, 2]))
    recording.saved("L1", saved, tmp_path / "saved.nii.gz")
    recording.close()
    assert replay(tmp_path) == 0
    assert io.read(tmp_path / "out" / "saved.nii.gz").record.reviewed == (1, 2)
    shutil.rmtree(tmp_path / "out")
    whole = (tmp_path / "work.medseg.jsonl").read_text()
    for number, fields, expected in (
        (2, {"slices": [[1, sums[1]], [2, 7]]}, "Step 2 (approve): other labels were approved in slice 2"),
        (2, {"slices": [[9, 7]]}, "Step 2 (approve): it approves a slice that the labels do not have"),
        (4, {"reviewed": [1]}, "Step 4 (save): approved, but not reviewed in the file that was saved: slice 2."),
    ):
        (tmp_path / "work.medseg.jsonl").write_text(whole)
        change(tmp_path, number, **fields)
        capsys.readouterr()
        assert replay(tmp_path) == 1
        assert expected in complaints(capsys)[0]
        shutil.rmtree(tmp_path / "out")


def test_labels_that_were_saved_in_a_store_are_saved_again_as_stores(tmp_path, capsys):
    volume = io.read(picture(tmp_path / "scan.ome.zarr"))
    drawn = volume.like(np.ones((4, 40, 48), np.uint8), CLASSES)
    io.write(drawn, tmp_path / "drawn.nii.gz")
    recording = Recording(tmp_path / "work.medseg.jsonl")
    recording.opened("L1", io.read(tmp_path / "drawn.nii.gz"), "labels")
    for store in ("scan.ome.zarr", "other.ome.zarr"):
        recording.saved("L1", drawn, tmp_path / store / "labels" / "heart")
    recording.saved("L1", drawn, tmp_path / "scan.ome.zarr" / "labels" / "liver.zarr")
    recording.close()
    assert replay(tmp_path) == 0, complaints(capsys)
    names = ["heart-2.ome.zarr", "heart.ome.zarr", "liver.zarr"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.zarr")) == names
    assert all(np.array_equal(io.read(tmp_path / "out" / name).data, drawn.data) for name in names)


def test_a_study_gives_its_figures_again(recorded, capsys):
    recording = Recording(recorded / "study.medseg.jsonl")
    noise = io.read(recorded / "in" / "scan.nii.gz")
    io.write(noise.like(np.abs(noise.data)), recorded / "magnitude.nii.gz")
    volume = io.read(recorded / "magnitude.nii.gz")
    recording.opened("L1", volume, "image")
    model = models.load(models.find("tiny"))
    study = run(acceleration_job(volume, model, StudySettings(accelerations=(1.0, 3.0)), ReconSettings("zero-filled")))
    recording.studied("L1", study.record)
    recording.close()
    (recorded / "study.medseg.jsonl").replace(recorded / "work.medseg.jsonl")
    assert replay(recorded) == 0
    shutil.rmtree(recorded / "out")
    record = study.record.to_json()
    record["figures"]["rows"][1]["psnr"] += 0.01
    change(recorded, 2, record=record)
    capsys.readouterr()
    assert replay(recorded) == 1
    assert "Step 2 (study): the figures differ by more than 1e-06: row 2.psnr." in complaints(capsys)[0]
    shutil.rmtree(recorded / "out")
    assert replay(recorded, "--tolerance", "1e-3") == 0
    assert "row 2.psnr" in complaints(capsys)[0]


def test_a_suggested_method_is_suggested_again(recorded, capsys):
    (recorded / "work.medseg.jsonl").unlink()
    recording = Recording(recorded / "work.medseg.jsonl")
    noise = io.read(recorded / "in" / "scan.nii.gz")
    io.write(noise.like(np.abs(noise.data)), recorded / "magnitude.nii.gz")
    volume = io.read(recorded / "magnitude.nii.gz")
    recording.opened("L1", volume, "image")
    kspace = sampled(scan(volume), Sampling("random", 3, 0.12, seed=1), None)
    candidates = [(ReconSettings(name, iterations=3), None) for name in ("tv", "wavelet")]
    hint = run(hint_job(kspace, candidates, HiddenSettings(repeats=1), indices=[2]))
    reading = {"axes": "", "conjugate": False, "first": None}
    more = {"reading": reading, "item": items.of_result(volume), "mask": lines.pack(kspace.mask)}
    recording.studied("L1", hint.record, **more)
    recording.close()
    assert replay(recorded) == 0
    record = hint.record.to_json()
    best = record["figures"]["methods"][0]
    for error, expected in (
        (best["error"] + 1e-4, f"the errors of the methods differ by more than 1e-06: {best['settings']['method']}."),
        (0.1, "another method is suggested: "),
    ):
        shutil.rmtree(recorded / "out")
        best["error"] = error
        change(recorded, 2, record=record)
        capsys.readouterr()
        assert replay(recorded) == 1
        assert f"Step 2 (compare): {expected}" in complaints(capsys)[0]
    shutil.rmtree(recorded / "out")
    assert replay(recorded, "--tolerance", "1e-3") == 0
    shutil.rmtree(recorded / "out")
    del record["settings"]["candidates"]
    change(recorded, 2, record=record)
    capsys.readouterr()
    assert replay(recorded) == 1
    assert "Step 2 (compare): its line does not hold what this step needs" in complaints(capsys)[0]
