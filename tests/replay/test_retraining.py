"""A model that was fine-tuned in a session is trained again from its layers, or one sentence says why not."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import cli, io, models
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.record import UsedModel, plain, voxel_hash
from napari_medseg.replay import lines
from napari_medseg.replay.lessons import Pair, describe
from napari_medseg.replay.recording import PLANNED, Recording
from napari_medseg.segmentation import inference
from napari_medseg.segmentation.settings import InferenceSettings
from napari_medseg.training.course import Phase
from napari_medseg.training.fine_tune import Annotation, FineTuneSettings, prepare
from napari_medseg.training.gain import before_and_after
from napari_medseg.training.loop import train_job
from napari_medseg.volume import LabelClass, Volume

DISC = LabelClass(1, "disc", "#e64b35")
SETTINGS = FineTuneSettings(base="tiny", name="mine", classes=(DISC,), device="cpu", threads=1)
REVIEWED = (0, 1, 3)
STEPS = 2  # of 4 that were planned: the person has stopped it
PAINTED = 7  # the number that the labels layer has for the disc
TRAIN, TUNED, SEGMENT = 3, 4, 5  # steps of the session, after the image and the labels


def used(name):
    card = models.load_card(models.find(name))
    return UsedModel(card.name, card.sha256, card.architecture)


def scan(folder):
    """A file with an image of discs, and its labels."""
    y, x = np.mgrid[:32, :40]
    away = np.stack([np.hypot(y - 12 - 2 * z, x - 20) for z in range(5)])
    labels = (away < 7).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 5, labels.shape)
    volume = Volume((40 + 150 * labels + noise).astype(np.float32), "zyx", np.diag([1, 1, 3, 1.0]))
    (folder / "in").mkdir()
    path = folder / "in" / "scan.nii.gz"
    io.write(volume, path)
    return io.read(path), labels


def tune(folder, image, labels):
    """Train as the child process of the dock does, and accept the model; what is recorded of it."""
    recipe = prepare([Annotation("scan", image, image.like(labels, (DISC,)), REVIEWED)], SETTINGS, folder)
    options = {"steps": 4, "phases": (Phase(1.0, 32, 2),), "warmup_steps": 1, "validate_every": 2}
    recipe = replace(recipe, **options, seconds=0.0)
    for step in train_job(recipe, folder, root=folder):
        if step.done == STEPS:
            (folder / "stop").touch()
    found = before_and_after(folder)
    models.install(models.load(folder / "mine.safetensors"))
    return {"plan": {name: getattr(recipe, name) for name in PLANNED}, "done": STEPS, "figures": plain(found)}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """Folder with a session: opened, taught, accepted, segmented with the new model, saved; and the models."""
    folder = tmp_path_factory.mktemp("master")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_MEDSEG_HOME", str(folder / "home"))
        torch.manual_seed(0)
        models.models_folder().mkdir(parents=True)
        network = models.build("litenext", num_classes=2)
        base = models.ModelCard("tiny", "litenext", Preprocess(), (DISC,))
        models.save(models.models_folder() / "tiny.safetensors", network, base)
        record(folder)
    return folder


def record(folder):
    image, labels = scan(folder)
    recording = Recording(folder / "work.medseg.jsonl")
    recording.opened("L1", image, "image")
    recording.holds("L2", image.like(labels * np.uint8(PAINTED)), "labels")
    taught = np.zeros_like(labels)
    taught[list(REVIEWED)] = labels[list(REVIEWED)]
    pair = describe(Pair(image, taught, REVIEWED), {PAINTED: 1})
    recording.taught(SETTINGS, used("tiny"), [{"of": ["L1", "L2"], **pair}])
    more = tune(folder / "run", image, labels)
    recording.tuned(used("mine"), "tiny", **more)
    found = run(inference.segment_job(image, models.load(models.find("mine")), InferenceSettings()))
    recording.ran("L3", "L1", found.labels.record, found.labels.data)
    recording.saved("L3", found.labels, folder / "saved.nii.gz")
    recording.close()
    shutil.rmtree(folder / "run")


@pytest.fixture
def recorded(master, own_home, tmp_path):
    """A copy of it for someone who has the base model alone."""
    shutil.copytree(master / "home" / "models", own_home / "models")
    for name in ("mine.safetensors", "mine.json"):
        (own_home / "models" / name).unlink()
    shutil.copytree(master / "in", tmp_path / "in")
    for path in master.glob("work*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def replay(folder, *words):
    return cli.main(["replay", str(folder / "work.medseg.jsonl"), "-o", str(folder / "out"), *words])


def complaints(capsys):
    return [text for text in capsys.readouterr().err.splitlines() if text.startswith("napari-medseg: ")]


def step(folder, number):
    return json.loads((folder / "work.medseg.jsonl").read_text().splitlines()[number])


def change(folder, number, **fields):
    """Alter an action of the session; what is None is left out."""
    path = folder / "work.medseg.jsonl"
    texts = path.read_text().splitlines()
    content = json.loads(texts[number]) | fields
    texts[number] = json.dumps({name: value for name, value in content.items() if value is not None})
    path.write_text("\n".join(texts) + "\n")


def test_a_model_is_trained_again_and_used(recorded, capsys):
    assert replay(recorded) == 1
    assert "Step 4 (fine-tune): The model 'mine' does not exist" in complaints(capsys)[0]
    shutil.rmtree(recorded / "out")
    threads = torch.get_num_threads()
    assert replay(recorded, "--retrain") == 0
    (said,) = complaints(capsys)
    assert "Step 4 (fine-tune): 'mine' was trained again for 2 steps. Dice on the held-out slices: disc" in said
    assert said.endswith("Its weights are the same.")
    assert (recorded / "out" / "saved.nii.gz").exists()
    assert sorted(path.name for path in (recorded / "out").iterdir()) == ["saved.nii.gz"], "no data are left"
    assert "mine" not in models.available()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def pair(**fields):
    """Alter what is said of the pair to learn from."""
    return lambda folder: change(folder, TRAIN, pairs=[step(folder, TRAIN)["pairs"][0] | fields])


def other_dice(folder):
    figures = step(folder, TUNED)["figures"]
    change(folder, TUNED, figures=figures | {"after": {"disc": figures["after"]["disc"] + 0.02}})


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (pair(labels="0"), "Step 3 (train): the labels to learn from are not what they were in the session"),
        (pair(image="0"), "Step 3 (train): the voxels to learn from are not what they were in the session"),
        (pair(table=[[PAINTED, 300]]), "Step 3 (train): the numbers of its classes are damaged"),
        (pair(reviewed=[0, 5]), "Step 3 (train): it learns from slices that image or labels do not have"),
        (pair(of=["L1", "L9"]), "Step 3 (train): it works on a layer 'L9' that no step before has made"),
        (lambda folder: change(folder, TRAIN, pairs=[]), "(fine-tune): it learnt from the folder of a data set"),
        (
            lambda folder: change(folder, TRAIN, name="x"),
            "(fine-tune): what it learnt from is not in the session",
        ),
        (lambda folder: change(folder, TUNED, plan=None), "(fine-tune): what it learnt from is not in the session"),
        (lambda folder: change(folder, TUNED, done=5), "Step 4 (fine-tune): it was trained for 5 of 4 steps"),
        (lambda folder: change(folder, TUNED, plan={}), "Step 4 (fine-tune): 'plan': steps is missing"),
        (
            lambda folder: change(folder, TRAIN, base={"name": "tiny", "sha256": "0"}),
            "Step 4 (fine-tune): the model 'tiny' is not the one of the session",
        ),
        (other_dice, "Dice on the held-out slices: disc 0.2035 (session: 0.2235). They may differ by 0.01."),
    ],
)
def test_what_cannot_be_trained_again_is_one_sentence(recorded, capsys, spoil, expected):
    spoil(recorded)
    assert replay(recorded, "--retrain") == 1
    (said,) = complaints(capsys)
    assert expected in said


def test_labels_of_a_model_that_was_trained_again_may_differ(recorded, capsys):
    """As if the new model labelled three voxels otherwise."""
    segment = step(recorded, SEGMENT)
    labels = lines.unpack(segment["labels"], (5, 32, 40)).copy()
    labels[0, 0, :3] = 1 - labels[0, 0, :3]
    segment["record"]["outputs"][0]["voxels"] = voxel_hash(labels)
    change(recorded, SEGMENT, labels=lines.pack(labels), record=segment["record"])
    texts = (recorded / "work.medseg.jsonl").read_text().splitlines()
    (recorded / "work.medseg.jsonl").write_text("\n".join([*texts[: SEGMENT + 1], ""]))
    assert replay(recorded, "--retrain", "--tolerance", "1e-3") == 0
    said = complaints(capsys)[-1]
    assert "Step 5 (segment): the labels differ in 3 of 6400 voxels" in said
    assert said.endswith("Its model was trained again.")


def test_a_session_without_a_model_of_its_own_says_so(recorded, capsys):
    texts = (recorded / "work.medseg.jsonl").read_text().splitlines()
    (recorded / "work.medseg.jsonl").write_text("\n".join([*texts[:TRAIN], ""]))
    assert replay(recorded, "--retrain") == 0
    assert "No model was fine-tuned in this session" in complaints(capsys)[0]
