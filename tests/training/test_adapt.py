"""A network with one weight, the level above which it calls a pixel bright, learns it from corrected slices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.errors import JobError, SettingsError, VolumeError
from napari_medseg.models import Locator, ModelCard, TrainedModel, available, build, load_card
from napari_medseg.models.card import Member
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.training import adapt
from napari_medseg.training.adapt import Corrected, Lesson, adapt_job
from napari_medseg.training.data.shares import IGNORE
from napari_medseg.volume import LabelClass, Volume

ONE = (LabelClass(1, "bright", "#ff0000"),)
TWO = (*ONE, LabelClass(2, "brighter", "#00ff00"))
SPEC = Preprocess(percentiles=(0, 100), spacing=1.0)
SETTINGS = InferenceSettings(device="cpu")
SHAPE = (5, 48, 52)  # (z, y, x) of 1 mm, 4 mm apart
MUCH = Lesson(steps=10, rate=0.04, share=1.0)
NOTHING = Lesson(steps=1, rate=0.02, share=0.0)


class Bright(torch.nn.Module):
    def __init__(self, level=0.8, classes=1):
        super().__init__()
        self.level = torch.nn.Parameter(level + 0.1 * torch.arange(classes, dtype=torch.float32))
        self.other = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return 20 * (x.mean(1, keepdim=True) - self.level[:, None, None]) + self.other


def model(classes=ONE, learns=("*",), **card):
    made = ModelCard("tiny", "litenext", replace(SPEC, **card.pop("preprocess", {})), classes, learns=learns, **card)
    return TrainedModel(made, Bright(classes=len(classes)))


def looking():
    """A model that is shown 42 x 44 mm about the brightest pixels."""
    finder = TrainedModel(ModelCard("finder", "litenext", SPEC, ONE), Bright(0.95))
    return replace(model(locator=Locator("finder", (42.0, 44.0))), locator=finder)


def scan(affine=(1.0, 1.0, 4.0)):
    """Disks of brightness 1 with a rim of 0.65, of another size in each slice."""
    z, y, x = np.indices(SHAPE)
    distance = np.hypot(y - 22 - z, x - 25)
    data = np.where(distance < 5 + z, 1.0, np.where(distance < 9 + z, 0.65, 0.1)).astype(np.float32)
    return Volume(data, "zyx", np.diag([*affine, 1.0]))


def corrected(volume, made, truth, reviewed=(1, 3)):
    """What a run of the model finds, and the truth on the slices that are reviewed."""
    labels = run(segment_job(volume, made, SETTINGS)).labels.data.copy()
    labels[list(reviewed)] = truth[list(reviewed)]
    return Corrected(labels, reviewed, tuple(n for n in range(len(labels)) if n not in reviewed))


@pytest.mark.parametrize("made", [model(), model(turns=True, temperature=2.0, certainty=0.9), looking()])
def test_the_other_slices_become_as_the_corrected_ones(made):
    volume = scan()
    truth = (volume.data > 0.5).astype(np.uint8)
    given = corrected(volume, made, truth)
    before = made.network.level.item()
    found = run(adapt_job(volume, made, given, SETTINGS, MUCH)).labels
    assert set(found) == {0, 2, 4} and not (given.labels[2] == truth[2]).all()
    assert all((plane == truth[number]).all() for number, plane in found.items())
    assert made.network.level.item() == before and made.network.level.requires_grad, "the model stays as it is"


@pytest.mark.parametrize(
    "made",
    [
        model(TWO, turns=True, temperature=1.5, certainty=0.9),
        model(preprocess={"spacing": 1.3}),
        model(keep="largest"),
        model(orientation="IPR"),
        looking(),
    ],
    ids=["turns and certainty", "resampled", "largest piece", "turned", "locator"],
)
def test_who_learns_nothing_labels_as_a_run_does(made):
    volume = scan((-1.0, 1.0, 4.0))
    volume.data[2, 2:4, 2:4] = 1.0  # a stray piece
    run_found = run(segment_job(volume, made, SETTINGS)).labels.data
    given = Corrected(run_found, (1, 3), (0, 2, 4))
    found = run(adapt_job(volume, made, given, SETTINGS, NOTHING))
    assert run_found.any() and all((plane == run_found[number]).all() for number, plane in found.labels.items())
    again = run(adapt_job(volume, made, given, SETTINGS, NOTHING, found.places))
    assert all((plane == found.labels[number]).all() for number, plane in again.labels.items())


def test_half_of_the_way_is_half_of_the_way_and_the_card_stays():
    volume = scan()
    made = model(certainty=0.9)
    truth = (volume.data > 0.5).astype(np.uint8)
    task = adapt.Task(volume, made, corrected(volume, made, truth), SETTINGS)
    (places, _) = run(task.look_job())
    whole = run(task.learn_job(places, MUCH))
    half = run(task.learn_job(places, replace(MUCH, share=0.5)))
    assert half.network.level.item() == pytest.approx((0.8 + whole.network.level.item()) / 2, abs=1e-4)
    assert whole.network.level.item() < 0.7 and whole.card == made.card


def test_only_what_the_card_names_learns():
    volume = scan()
    made = model(learns=("lev*",))
    task = adapt.Task(volume, made, corrected(volume, made, (volume.data > 0.5).astype(np.uint8)), SETTINGS)
    pupil = run(task.learn_job(run(task.look_job())[0], MUCH))
    assert pupil.network.level.item() != made.network.level.item() and pupil.network.other.item() == 0


def test_classes_that_no_corrected_slice_holds_and_unknown_voxels_are_not_learnt():
    volume = scan()
    made = looking()
    made = replace(made, card=replace(made.card, classes=TWO), network=Bright(classes=2))
    truth = (volume.data > 0.5).astype(np.uint8)
    truth[1, :20] = IGNORE
    task = adapt.Task(volume, made, corrected(volume, made, truth), SETTINGS)
    (pair, _) = task._pairs(run(task.look_job())[0])
    known = pair.target[0, 1]
    assert not known[1].any() and not known[0, :20].any() and known[0, 24, 25]
    assert not known[0, :, :2].any(), "nor what the network does not see"


def test_what_the_bundled_cards_name_is_there():
    cards = [load_card(path) for path in available().values()]
    able = [card for card in cards if card.learns]
    assert "litenext-heart" in [card.name for card in able]
    for card in able:
        assert adapt._learning(build(card.architecture), card)


def test_many_slices_take_turns():
    pairs = list(range(11))
    seen = [number for step in range(11) for number in adapt._chosen(pairs, step)]
    assert len(seen) == 88 and all(seen.count(number) == 8 for number in pairs)


@pytest.mark.parametrize(
    ("change", "given", "error", "says"),
    [
        ({"learns": ()}, {}, SettingsError, "does not say which of its layers"),
        ({"learns": ("head.*",)}, {}, SettingsError, r"no layer like head.\*"),
        ({"orientation": "ASR"}, {}, SettingsError, "across those of the image"),
        ({}, {"reviewed": ()}, SettingsError, "No slice was corrected"),
        ({}, {"reviewed": (0,)}, SettingsError, "hold none of the classes"),
        ({}, {"labels": np.ones((4, 48, 52), np.uint8)}, VolumeError, r"shape \(4, 48, 52\), the image \(5, 48, 52\)"),
        ({}, {"labels": np.full(SHAPE, 0.5)}, VolumeError, "labels"),
    ],
)
def test_what_does_not_fit_is_said(change, given, error, says):
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 20:30, 20:30] = 1
    facts = replace(Corrected(labels, (1, 3), (0, 2, 4)), **given)
    with pytest.raises(error, match=says):
        run(adapt_job(scan(), model(**change), facts, SETTINGS, NOTHING))


def test_what_is_no_number_changes_nothing():
    volume = scan()
    made = model()
    given = corrected(volume, made, (volume.data > 0.5).astype(np.uint8))
    with pytest.raises(JobError, match="not a finite number"):
        run(adapt_job(volume, made, given, SETTINGS, replace(MUCH, rate=float("inf"))))


def test_a_slice_that_is_too_large_to_learn_from_is_refused(monkeypatch):
    labels = np.ones(SHAPE, np.uint8)
    monkeypatch.setattr(adapt, "free_bytes", lambda: 1e7)
    with pytest.raises(JobError, match="48 x 64 pixels takes about"):
        run(adapt_job(scan(), model(turns=True), Corrected(labels, (1, 3), (0,)), SETTINGS, NOTHING))


def test_a_card_with_members_says_of_no_layer_that_it_learns():
    with pytest.raises(SettingsError, match="learns without members"):
        model(members=(Member("other"),))
