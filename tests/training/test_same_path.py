"""What a card says is done alike in a run, a preview, validation, the figures of a model, and fine-tuning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import io, models
from napari_medseg.errors import ModelError
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.models.card import Locator, Member
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import engine
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.training.augment import AugmentSettings
from napari_medseg.training.data.dataset import load
from napari_medseg.training.data.sources import Source
from napari_medseg.training.evaluate import evaluate, score_images
from napari_medseg.training.gain import _HeldBack
from napari_medseg.training.segmentation import Segmentation
from napari_medseg.training.settings import Phase, TrainSettings
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
SCAN = np.diag([-1.0, -1.0, 2.0, 1.0])
SPEC = Preprocess(percentiles=(0, 100), multiple=8)


class Rows(torch.nn.Module):
    """Compares the mean of a pixel, those above it and the first channel with a level: each option changes that."""

    def __init__(self, level=0.5):
        super().__init__()
        self.level = level

    def forward(self, x):
        above = torch.roll(x, 1, 2)
        return 8 * ((2 * x[:, 1:2] + above[:, 1:2] + x[:, :1]) / 4 - self.level)


def stand_in(name, level=0.5, spec=SPEC, **card):
    return TrainedModel(ModelCard(name, "litenext", spec, CLASSES, **card), Rows(level))


def with_members(*others, **card):
    model = stand_in("a", members=tuple(Member(other.card.name) for other in others), **card)
    return replace(model, members=others)


def with_locator(gate):
    finder = stand_in("finder", 0.72)
    return replace(stand_in("a", locator=Locator("finder", (6.0, 6.0), gate=gate)), locator=finder)


MODELS = {
    "nothing": lambda: stand_in("a"),
    "certainty": lambda: stand_in("a", certainty=0.85),
    "temperature": lambda: stand_in("a", certainty=0.85, temperature=2.0),
    "keep": lambda: stand_in("a", 0.6, keep="largest"),
    "turns": lambda: stand_in("a", turns=True),
    "orientation": lambda: stand_in("a", orientation="ASR"),
    "padding": lambda: stand_in("a", spec=replace(SPEC, padding="zero")),
    "neighbours": lambda: stand_in("a", spec=replace(SPEC, neighbours="z")),
    "locator": lambda: with_locator(gate=False),
    "gate": lambda: with_locator(gate=True),
    "members": lambda: with_members(stand_in("b", 0.62)),
    "located member": lambda: with_members(
        replace(with_locator(gate=True), card=replace(with_locator(True).card, name="b"))
    ),
    "member in another plane": lambda: with_members(stand_in("b", 0.62, orientation="ASR"), orientation="SPL"),
    "member with neighbours": lambda: with_members(stand_in("b", 0.62, replace(SPEC, neighbours="z"))),
}


@pytest.fixture(autouse=True)
def one_worker(monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)


def scan():
    """A volume with edges in all directions and something at each border."""
    data = np.random.default_rng(3).random((5, 9, 10), np.float32)
    data[3] *= 0.3
    data[3, 0, 0] = 0.45
    return Volume(data, "zyx", SCAN)


def labelled(model):
    return np.asarray(run(segment_job(scan(), model, InferenceSettings(device="cpu"))).labels.data)


def folder_with(labels, path):
    (path / "images").mkdir()
    (path / "labels").mkdir()
    io.write(scan(), path / "images" / "p.nii.gz")
    io.write(replace(scan(), data=labels, classes=CLASSES), path / "labels" / "p.nii.gz")
    return Source(".", label="labels")


def settings_of(model, source):
    card = model.card
    names = ("orientation", "turns", "certainty", "locator", "keep", "temperature", "members")
    return TrainSettings(
        name="a",
        architecture="litenext",
        train=(source,),
        val=(source,),
        steps=1,
        classes=CLASSES,
        phases=(Phase(1.0, 16, 1),),
        preprocess=card.preprocess,
        options={"channels": 4, "width": 8, "dilation": 2},
        augment=AugmentSettings(),
        about_objects=card.locator is not None,
        card={name: getattr(card, name) for name in names},
    )


@pytest.mark.parametrize("field", MODELS)
def test_every_way_of_scoring_labels_as_a_run_does(field, tmp_path, monkeypatch):
    model = MODELS[field]()
    labels = labelled(model)
    plain = replace(stand_in("a"), network=model.network)
    assert field == "nothing" or (labels != labelled(plain)).any()
    source = folder_with(labels, tmp_path)

    monkeypatch.setattr(models, "load", lambda path: model)
    assert evaluate(tmp_path / "a.safetensors", [source], tmp_path)["dice"] == 1

    monkeypatch.setattr(models, "load_locator", lambda card: model.locator)
    monkeypatch.setattr(models, "load_members", lambda card: model.members)
    task = Segmentation(settings_of(model, source), torch.device("cpu"))
    task.load(tmp_path)
    assert task.score(model.network) == 1

    samples = load([source], model.card.preprocess, tmp_path, orientation=model.card.orientation)
    (score,) = _HeldBack([source], tmp_path, samples, 1).scores(model)
    assert score.dice == 1


@pytest.mark.parametrize(
    "field", [name for name in MODELS if name not in ("keep", "locator", "gate", "located member")]
)
def test_a_preview_labels_a_slice_as_a_run_does(field):
    # the largest piece, and one place for a stack, are known once all slices are
    model = MODELS[field]()
    job = segment_job(scan(), model, InferenceSettings(device="cpu"), start=2, near=True)
    parts = (step.partial for step in job if step.partial is not None)
    shown = next(part.labels.copy() for part in parts if 2 in part.indices)
    np.testing.assert_array_equal(shown[2], labelled(model)[2])


def test_the_largest_piece_is_kept_of_stacks_that_lie_slice_by_slice_too(tmp_path):
    model = stand_in("a", 0.55, keep="largest")
    labels = labelled(model)
    image = scan().data
    # two stacks whose slices take turns, from the last to the first
    order = np.array([2 * z + phase for z in reversed(range(5)) for phase in (0, 1)])
    np.savez(tmp_path / "s.npz", image=image[order // 2], label=labels[order // 2], frame=order, case=["p"] * 10)
    source = Source("s.npz", case="case", frame="frame", stride=2, spacing=(1.0, 1.0))
    samples = load([source], model.card.preprocess, tmp_path)
    assert [score.overlaps[0][:2] for score in score_images(model, samples)] == [
        (score.overlaps[0][2],) * 2 for score in score_images(model, samples)
    ]
    # of slices that do not follow each other nobody knows which pieces belong together
    apart = [sample for sample in samples if sample.number in (0, 4)]
    found = sum(score.overlaps[0][1] for score in score_images(model, apart))
    assert found == 2 * sum(np.count_nonzero(labelled(stand_in("a", 0.55))[z]) for z in (0, 4))


def test_members_that_need_whole_volumes_or_are_missing_are_refused_slice_by_slice(tmp_path):
    source = folder_with(np.ones((5, 9, 10), np.uint8), tmp_path)
    for field in ("member in another plane", "member with neighbours"):
        model = MODELS[field]()
        with pytest.raises(ModelError, match="need whole volumes"):
            list(score_images(model, load([source], SPEC, tmp_path)))
    with pytest.raises(ModelError, match="those of b, which cannot be used"):
        list(score_images(replace(MODELS["members"](), members=()), load([source], SPEC, tmp_path)))
    blind = replace(MODELS["located member"]().members[0], locator=None)
    with pytest.raises(ModelError, match="those of finder, which cannot be used"):
        list(score_images(replace(MODELS["members"](), members=(blind,)), load([source], SPEC, tmp_path)))


def test_a_run_says_what_its_members_lack():
    blind = replace(MODELS["located member"]().members[0], locator=None)
    model = replace(MODELS["members"](), members=(blind,))
    assert any("b looks at a piece of each slice" in text for text in warned(scan(), model))
    across = MODELS["member in another plane"]()
    flat = Volume(scan().data[0], "yx", SCAN, metadata={"format": "NIfTI"})
    assert [text for text in warned(flat, across) if "b was trained on the slices of ASR volumes" in text]


def warned(volume, model):
    return plan(volume, model, InferenceSettings(device="cpu"), trial=False).warnings


def test_where_a_member_may_not_label_the_mean_cannot_reach_one_half():
    member = with_locator(gate=True)
    nothing = replace(member.locator, network=Rows(9.0))
    member = replace(member, card=replace(member.card, name="b"), locator=nothing)
    assert labelled(stand_in("a")).any() and not labelled(with_members(member)).any()
