"""Names that a person gives, or that come from a file, before a file or folder is called so."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg import cli, files
from napari_medseg.errors import FileError, SettingsError
from napari_medseg.io import read, write
from napari_medseg.io.kspace import read_kspace
from napari_medseg.models.library import check_new_name
from napari_medseg.runs.inputs import find_inputs, find_pairs
from napari_medseg.runs.outputs import make_folder
from napari_medseg.training.data.folders import LabelledImage, read_dataset_file, write_dataset
from napari_medseg.training.data.reading import entries
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume

BAD = {
    "con": "device",
    "NUL.nii.gz": "device",
    "aux.json": "device",
    "com1.tif": "device",
    "lpt9": "device",
    "prn .npy": "device",
    "scan.": "dot",
    "scan ": "space",
    "a\nb.npz": "control",
    "a\x1b[2Jb.npz": "control",
    "a\u202egnp.npz": "control",
    "x" * 250 + ".nii.gz": "bytes",
    "ß" * 150: "bytes",
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_not_every_system_keeps_are_refused(tmp_path, name):
    assert BAD[name] in files.misfit(name)
    with pytest.raises(FileError, match=BAD[name]):
        files.replace_bytes(tmp_path / name, b"")
    with pytest.raises(FileError, match=BAD[name]):
        make_folder(tmp_path / name / "further")
    with pytest.raises(FileError, match=BAD[name]), files.lock(tmp_path / name):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["console.nii.gz", "Größe 1.tif", "a.b.c", ".hidden", "com10.tif", "接 [1].npz"])
def test_other_names_are_fine(tmp_path, name):
    assert not files.misfit(name)
    files.replace_bytes(tmp_path / name, b"")
    assert (tmp_path / name).exists()


def test_folders_that_are_there_keep_their_names(tmp_path, monkeypatch):
    (tmp_path / "aux").mkdir()
    make_folder(tmp_path / "aux")
    files.replace_bytes(tmp_path / "aux" / "a", b"")
    monkeypatch.chdir(tmp_path / "aux")
    with files.lock(tmp_path / ".." / ".."):
        pass


@pytest.mark.parametrize("name", [*BAD, "..", ".", "", "a/b", "a\0b"])
def test_models_and_runs_cannot_be_called_so(name, settings_of):
    with pytest.raises(SettingsError):
        check_new_name(name.lower())
    with pytest.raises(SettingsError, match="name of letters"):
        settings_of(name=name)


def test_images_are_saved_under_other_names_only(tmp_path):
    volume = Volume(np.zeros((2, 2), np.uint8), "yx")
    with pytest.raises(FileError, match="device"):
        write(volume, tmp_path / "nul.nii.gz")
    with pytest.raises(FileError, match="folder"):
        write(volume, tmp_path / "a" / "b.nii.gz")


def test_cases_called_so_get_another_file(tmp_path):
    volume = Volume(np.zeros((2, 2), np.uint8), "yx", metadata={"labels": True})
    image = LabelledImage(volume, volume, "CON", "train")
    found = write_dataset(tmp_path, [image], (LabelClass(1, "a", "#ffffff"),))
    assert found.cases[0].image == "images/image_CON.nii.gz"


@pytest.fixture
def settings_of():
    """Training settings that are right but for what is given."""
    from napari_medseg.training.settings import Phase, TrainSettings

    source = (Source("a.npz"),)
    classes, phases = (LabelClass(1, "a", "#ffffff"),), (Phase(1.0, 16, 1),)

    def make(name):
        return TrainSettings(
            name=name, architecture="litenext", train=source, val=source, steps=1, classes=classes, phases=phases
        )

    return make


LONG = "x" * 300


def _of_cohort(name):
    failures = find_inputs([name])[1]
    raise FileError(failures[0].error)


QUESTIONS = {
    "image": read,
    "folder or glob": _of_cohort,
    "glob": lambda name: _of_cohort(f"{name}/**/*.nii"),
    "pair": lambda name: find_pairs(Path(name), Path(name)),
    "k-space": read_kspace,
    "settings": lambda name: files.read_json(Path(name)),
    "data set": lambda name: read_dataset_file(Path(name)),
    "training data": lambda name: list(entries(Source(name), Path())),
    "output": lambda name: write(Volume(np.zeros((2, 2), np.uint8), "yx"), Path(name) / "a.nii"),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "name", [LONG, f"{LONG}.nii.gz", f"{LONG}/a.h5", "a\0b"], ids=["long", "file", "folder", "null"]
)
def test_names_that_no_file_can_have_are_told(question, name):
    with pytest.raises((FileError, SettingsError)) as found:
        QUESTIONS[question](name)
    assert str(found.value).isprintable()


def test_the_command_line_tells_them_too(capsys):
    for words in (["info", LONG], ["convert", LONG, "a.nii"], ["train", LONG], ["evaluate", LONG, LONG]):
        assert cli.main(words) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
