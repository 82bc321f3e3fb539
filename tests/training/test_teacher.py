"""Teachers: what a network should say is partly what trained models say of the same view."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_medseg import models
from napari_medseg.errors import SettingsError
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.training.data import shares
from napari_medseg.training.loop import train_job
from napari_medseg.training.teacher import Teacher, probabilities
from napari_medseg.volume import LabelClass

CPU = torch.device("cpu")


class Fixed(nn.Module):
    """A network that always gives the same logits, one number per map."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits)[None, :, None, None])

    def forward(self, images):
        return self.logits.expand(len(images), -1, *images.shape[-2:])


def model(architecture, *logits, names=("one", "two")):
    classes = tuple(LabelClass(i, name, "#ffffff") for i, name in enumerate(names, start=1))
    return TrainedModel(ModelCard("fixed", architecture, Preprocess(), classes), Fixed(*logits).eval())


@pytest.fixture
def teacher(monkeypatch):
    """Callable: models, share and classes -> a teacher out of them."""

    def make(given, share=0.7, classes=("one", "two"), spacing=None, channels=3):
        monkeypatch.setattr(models, "load", lambda number: given[number])
        return Teacher(range(len(given)), classes, share, spacing, channels, CPU)

    return make


def test_probabilities_are_those_of_the_maps_and_at_most_one_together():
    images = torch.zeros(1, 3, 2, 2)
    found = probabilities(model("unet", 0.0, -2.0), images)[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, -2.0]).sigmoid())
    assert probabilities(model("unet", 5.0, 5.0), images)[0, :, 0, 0].sum().item() == pytest.approx(1)
    found = probabilities(model("mt-unet", 1.0, 2.0, 3.0), images)[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([1.0, 2.0, 3.0]).softmax(0)[1:])


def test_the_share_of_the_teachers_is_the_mean_of_what_they_say(teacher):
    two = [model("unet", -20.0, 20.0), model("unet", -20.0, -20.0, names=("two", "one"))]
    target = shares.targets(torch.tensor([[[1, 2, 0]]]), 2)
    mixed = teacher(two).mixed(torch.zeros(1, 3, 1, 3), target)
    expected = 0.3 * target[0, 0] + 0.7 * torch.tensor([0.0, 0.5])[:, None, None]
    torch.testing.assert_close(mixed[0, 0], expected)
    assert mixed[0, 1].eq(1).all()


def test_what_nobody_labelled_is_taken_from_the_teacher_alone(teacher):
    labels = torch.tensor([[[1, 0, shares.IGNORE]]])
    target = shares.targets(labels, 2, unlabelled=(2,))
    mixed = teacher([model("unet", -20.0, 1.0)]).mixed(torch.zeros(1, 3, 1, 3), target)
    said = torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(mixed[0, 0, 1, 0], torch.stack([0.7 * said, said, said]))
    torch.testing.assert_close(mixed[0, 0, 0, 0], torch.tensor([0.3, 0.0, 0.0]), rtol=0, atol=1e-6)
    assert mixed[0, 1].eq(1).all()


def test_teachers_that_do_not_fit_are_refused(teacher):
    with pytest.raises(SettingsError, match="'fixed' does not know three"):
        teacher([model("unet", 0.0, 0.0)], classes=("one", "three"))
    with pytest.raises(SettingsError, match="three slices, the network at one"):
        teacher([model("lstm-sa", 0.0, 0.0, 0.0)])


@pytest.mark.parametrize("spacing", [1.0, 1.5])
def test_a_teacher_sees_the_view_at_its_own_pixel_size(teacher, monkeypatch, spacing):
    seen = []
    given = model("unet", 0.0, 0.0)
    given = replace(given, card=replace(given.card, preprocess=Preprocess(spacing=1.0, smallest=(48, 48))))
    monkeypatch.setattr(Fixed, "forward", lambda self, images: seen.append(images.shape) or images[:, :2])
    images = torch.rand(2, 3, 24, 24)
    said = teacher([given], spacing=spacing).says(images)
    assert seen == [(2, 3, 48, 48)] and said.shape == (2, 2, 24, 24)
    if spacing == 1:
        torch.testing.assert_close(said, images[:, :2].sigmoid() / images[:, :2].sigmoid().sum(1, keepdim=True))


def test_a_run_learns_from_the_weights_of_another_run(data, settings, tmp_path):
    run(train_job(settings(steps=2), tmp_path / "teacher", root=data))
    taught = settings(steps=2, teachers=("../teacher/discs.safetensors",), teacher_share=0.7)
    run(train_job(taught, tmp_path / "taught", root=data))
    run(train_job(settings(steps=2), tmp_path / "alone", root=data))
    weights = [(tmp_path / name / "discs.safetensors").read_bytes() for name in ("taught", "alone")]
    assert weights[0] != weights[1]
    with pytest.raises(SettingsError, match="teacher_share"):
        settings(teachers=("a",))
