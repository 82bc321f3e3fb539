"""What a failing disk leaves: the old content or the new one, whole; a sentence; and nothing half-written.

Every step of a save that the system can refuse is refused in turn: the first time, then the second time, and so on,
until the save succeeds without having met the fault.
"""

import builtins
import errno
import io as streams
import itertools
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import files, io, models
from napari_medseg.cli import report
from napari_medseg.errors import MedsegError
from napari_medseg.files import save_table
from napari_medseg.io import contributions, formats
from napari_medseg.io.kspace_out import read_reconstruction, write_reconstruction
from napari_medseg.models.registry import Architecture
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.recon.sampling import load_mask, save_mask
from napari_medseg.training import loop, segmentation
from napari_medseg.training.data.sources import Source
from napari_medseg.training.loop import train_job
from napari_medseg.training.settings import Phase, TrainSettings, read_settings
from napari_medseg.volume import LabelClass, Volume

resource = pytest.importorskip("resource", reason="Windows has no limit of the size of files")

STEPS = ("mkdir", "open", "fsync", "replace")
CLASSES = (LabelClass(1, "cavity", "#e64b35"),)
# what needs images beside it cannot hold these small volumes; it is written by the same function
WRITTEN = [row.suffixes[0] for row in formats.FORMATS if row.writes and not row.reference]


# faults


@contextmanager
def failing(step, number):
    """Have the system refuse a step the `number`-th time that it is taken in the folder of the test.

    Yields a list, which is not empty once that has happened.
    """
    happened, count = [], itertools.count(1)

    def refuse():
        if next(count) == number:
            happened.append(step)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def guarded(original):
        def call(*args, **kwargs):
            refuse()
            return original(*args, **kwargs)

        return call

    def guarded_fsync(handle):
        if stat.S_ISREG(os.fstat(handle).st_mode):  # of folders it may fail
            refuse()

    def guarded_open(file, mode="r", *args, **kwargs):
        if set(mode) & set("wax+") and ".medseg-" in str(file):
            refuse()
        return original_open(file, mode, *args, **kwargs)

    original_open = builtins.open
    with pytest.MonkeyPatch.context() as patch:
        if step == "open":
            patch.setattr(builtins, "open", guarded_open)
            patch.setattr(streams, "open", guarded_open)
        elif step == "fsync":
            patch.setattr(os, "fsync", guarded_fsync)
        else:
            patch.setattr(os, step, guarded(getattr(os, step)))
        yield happened


@contextmanager
def small_disk(most):
    """Let no file grow beyond `most` bytes, whoever writes it, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# what is saved


@dataclass(frozen=True)
class Case:
    """Something that is saved.

    Parameters
    ----------
    save : callable
        Saves the content 0 or 1 in a folder.
    load : callable
        The content that a folder holds, 0 or 1, or a mixture that is allowed; fails if it is not whole.
    """

    save: Callable[[Path, int], object]
    load: Callable[[Path], int]


def volume(content):
    data = np.full((2, 3, 5), 1 - content, np.uint8)
    data[0, 0, 0] = content
    return Volume(data, "zyx", np.diag([1, 2, 3 + content, 1.0]), CLASSES)


def volume_in(folder, name):
    found = io.read(folder / name)
    content = int(found.data[0, 0, 0])
    np.testing.assert_array_equal(found.data, volume(content).data)
    # names of a .npy file lie in a second one: they may be lost, and are never those of other voxels
    alone = name.endswith(".npy") and not found.has_spacing
    assert alone or (found.classes == CLASSES and np.allclose(found.affine, volume(content).affine))
    return content


def of_volume(suffix):
    name = f"a{suffix}"
    return Case(lambda folder, content: io.write(volume(content), folder / name), lambda f: volume_in(f, name))


def save_layer(folder, content):
    data, options, _ = contributions.layer_tuple(volume(content), "a")
    contributions.write_labels(str(folder / "a.nii.gz"), data, options)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Nothing here is to outlast a power failure."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def tiny_architecture(monkeypatch):
    """A network of a few numbers: what is tested is how it is saved."""

    def build_line(out_channels):
        return torch.nn.Conv2d(3, out_channels, 1)

    monkeypatch.setitem(models.ARCHITECTURES, "line", Architecture(build_line, "Line", 1))


def network(content):
    """One of two networks."""
    built = models.build("line", num_classes=2)
    torch.nn.init.constant_(built.weight, content)
    torch.nn.init.constant_(built.bias, content)
    return built


def save_model(folder, content):
    card = models.ModelCard("tiny", "line", Preprocess(), CLASSES, task=str(content))
    models.save(folder / "tiny.safetensors", network(content), card)


def model_in(folder):
    found = models.load(folder / "tiny.safetensors")
    content = int(found.card.task)
    assert torch.equal(found.network.weight, network(content).weight)
    return content


def settings(content=0):
    return TrainSettings(
        name="tiny",
        architecture="line",
        classes=CLASSES,
        train=(Source("a.npz"),),
        val=(Source("a.npz"),),
        phases=(Phase(1.0, 16, 1),),
        steps=2,
        validate_every=1,
        seed=content,
        threads=1,
        device="cpu",
    )


def image(content):
    return np.full((2, 3, 4), content, np.float32)


CASES = {
    **{f"volume{suffix}": of_volume(suffix) for suffix in WRITTEN},
    "labels layer": Case(save_layer, lambda folder: volume_in(folder, "a.nii.gz")),
    "model": Case(save_model, model_in),
    "settings": Case(
        lambda folder, content: files.dump(folder / "a.json", settings(content)),
        lambda folder: read_settings(folder / "a.json").seed,
    ),
    "cohort report": Case(
        lambda folder, content: report.write_json(folder / "out" / "a.json", {"files": [content] * 50}),
        lambda folder: np.unique(files.read_json(folder / "out" / "a.json")["files"]).item(),
    ),
    "table": Case(
        lambda folder, content: save_table(folder / "a.csv", [[content]] * 50),
        lambda folder: np.unique(np.loadtxt(folder / "a.csv")).item(),
    ),
    "mask": Case(
        lambda folder, content: save_mask(np.arange(8) % 2 == content, folder / "a.npy"),
        lambda folder: int(load_mask(folder / "a.npy")[1]),
    ),
    "reconstruction": Case(
        lambda folder, content: write_reconstruction(folder / "a.h5", image(content), {}),
        lambda folder: np.unique(read_reconstruction(folder / "a.h5")[0]).item(),
    ),
}


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def check(case, folder, known, existing):
    """The folder holds the old or the new content, and nothing that was not there or is not meant to be."""
    found = names(folder)
    assert not [name for name in found if ".medseg-" in name], "something half-written is left"
    if existing or found & known:
        assert case.load(folder) in ((0, 1) if existing else (1,))
    assert found <= known


def known_names(case, folder):
    """The files that a save makes."""
    case.save(folder, 1)
    return names(folder)


def attempt(case, folder):
    """Save the new content; whether it was refused, in a sentence."""
    try:
        case.save(folder, 1)
    except MedsegError as error:
        assert 20 < len(str(error)) < 400 and str(error).endswith("."), str(error)
        return True
    return False


@pytest.mark.parametrize("existing", [True, False], ids=["replaced", "new"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_that_fails_leaves_the_old_or_the_new(tmp_path, name, existing):
    case = CASES[name]
    (tmp_path / "known").mkdir()
    known = known_names(case, tmp_path / "known")
    if name == "model":  # a first save that is interrupted leaves a card that waits
        known |= {"tiny.json.part"}
    met = 0
    for step in STEPS:
        for number in itertools.count(1):
            folder = tmp_path / f"{step}-{number}"
            folder.mkdir()
            if existing:
                case.save(folder, 0)
            with failing(step, number) as happened:
                attempt(case, folder)
            if not happened:
                break
            met += 1
            if name == "model" and not existing:
                check_first_model(folder)
            else:
                check(case, folder, known, existing)
            assert not attempt(case, folder) and case.load(folder) == 1, "the next save does not succeed"
    assert met >= 3, "the faults were not met"


def check_first_model(folder):
    """A model is a card and weights: a card alone is not a model, and both together are whole."""
    assert not [name for name in names(folder) if ".medseg-" in name]
    if (folder / "tiny.safetensors").exists():
        assert model_in(folder) == 1


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_leaves_the_old(tmp_path, name):
    case = CASES[name]
    (tmp_path / "known").mkdir()
    known = known_names(case, tmp_path / "known")
    largest = max((tmp_path / "known" / each).stat().st_size for each in known)
    for most in (0, largest // 2, largest - 1):
        folder = tmp_path / str(most)
        folder.mkdir()
        case.save(folder, 0)
        with small_disk(most):
            refused = attempt(case, folder)
        assert refused
        check(case, folder, known | {"tiny.json.part"}, existing=True)
        assert not attempt(case, folder) and case.load(folder) == 1, "the next save does not succeed"


# a training, which saves several things one after the other


class Lesson(segmentation.Segmentation):
    """A stand-in that learns at once: its weights shrink."""

    def findings(self, root):
        return []

    def load(self, root, run: Path):
        pass

    def loss(self, step):
        return sum((weights**2).sum() for weights in self.network.parameters())

    def score(self, network):
        return -float(sum((weights**2).sum() for weights in network.parameters()))

    def held_out(self, path, root):
        return {"test": {"dice": 0.5}}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "Segmentation", Lesson)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "a.npz", image=np.zeros((1, 8, 8), np.uint8), label=np.zeros((1, 8, 8), np.uint8))
    return tmp_path / "data"


def train(folder, data):
    """Train to the end, or as far as the disk allows; whether it was refused, in a sentence."""
    try:
        run(train_job(settings(), folder, root=data))
    except MedsegError as error:
        assert 20 < len(str(error)) < 600, str(error)
        return True
    return False


def weights(folder):
    return models.load(folder / "tiny.safetensors").card.sha256


@pytest.mark.parametrize("step", STEPS)
def test_a_training_that_fails_at_a_step_goes_on_to_the_same_weights(tmp_path, data, step):
    assert not train(tmp_path / "whole", data)
    expected, known = weights(tmp_path / "whole"), names(tmp_path / "whole")
    for number in itertools.count(1):
        folder = tmp_path / f"{step}-{number}"
        with failing(step, number) as happened:
            train(folder, data)
        if not happened:
            break
        left = names(folder) if folder.exists() else set()
        assert not [name for name in left if ".medseg-" in name]
        assert not train(folder, data), "the same command does not go on"
        assert weights(folder) == expected and names(folder) == known
        shutil.rmtree(folder)


def test_a_training_on_a_full_disk_goes_on_to_the_same_weights(tmp_path, data):
    assert not train(tmp_path / "whole", data)
    expected = weights(tmp_path / "whole")
    sizes = [path.stat().st_size for path in (tmp_path / "whole").iterdir() if path.suffix != ".lock"]
    for most in sorted({0, *(size - 1 for size in sizes if size)}):
        folder = tmp_path / str(most)
        with small_disk(most):
            assert train(folder, data)
        assert not [name for name in names(folder) if ".medseg-" in name]
        assert not train(folder, data) and weights(folder) == expected
