import threading

import pytest
import torch

from napari_medseg import inference, models
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(1, "everything", "#e64b35"),)


@pytest.fixture
def model(own_home):
    """Two models of the user: one that calls every pixel class 1, and the same one for touching objects."""
    network = models.build("litenext")
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(9)
    folder = own_home / "models"
    folder.mkdir()
    for name, objects in (("all", False), ("all-objects", True)):
        card = models.ModelCard(
            name, "litenext", Preprocess(), CLASSES, modality="noise", data="none", licence="CC0", objects=objects
        )
        models.save(folder / f"{name}.safetensors", network, card)
    return "all"


@pytest.fixture
def gate(monkeypatch):
    """Holds every run after its first part until it is set."""
    opened = threading.Event()
    whole = inference.segment_job

    def held(*arguments, **options):
        job = whole(*arguments, **options)
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                return end.value
            yield step
            if step.partial is not None:
                opened.wait(20)

    monkeypatch.setattr(inference, "segment_job", held)
    yield opened
    opened.set()
