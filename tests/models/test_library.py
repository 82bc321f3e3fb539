"""Where models are found."""

import subprocess
import sys

import pytest

from napari_medseg import models
from napari_medseg.errors import ModelError, SettingsError
from napari_medseg.models import library


def test_own_models_join_the_bundled_ones_and_hide_none(tmp_path, monkeypatch):
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    monkeypatch.setattr(library, "_BUNDLED", bundled)
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path / "home"))
    assert models.available() == {}
    own = models.models_folder()
    own.mkdir(parents=True)
    for folder, name in ((bundled, "heart"), (own, "heart"), (own, "mine"), (own, "._mine")):
        (folder / f"{name}.safetensors").touch()
    assert models.available() == {"heart": bundled / "heart.safetensors", "mine": own / "mine.safetensors"}
    assert models.find("mine") == own / "mine.safetensors"
    with pytest.raises(ModelError, match="choose one of heart, mine"):
        models.find("lung")
    library.check_new_name("lung-2.1")
    for name, text in (("mine", "already"), ("../lung", "not a model name"), ("Lung", "not a model name")):
        with pytest.raises(SettingsError, match=text):
            library.check_new_name(name)


def test_removed_models_are_kept_aside(own_home):
    folder = own_home / "models"
    folder.mkdir()
    for content in ("first", "second"):
        for ending in ("safetensors", "json"):
            (folder / f"mine.{ending}").write_text(content)
        library.remove("mine")
    assert "mine" not in models.available()
    kept = {path.name: path.read_text() for path in (folder / "removed").iterdir()}
    assert kept == {f"mine{n}.{e}": t for n, t in (("", "first"), ("-2", "second")) for e in ("safetensors", "json")}
    for name in ("mine", "litenext-heart", "../mine"):
        with pytest.raises(ModelError, match="your own"):
            library.remove(name)


def test_without_the_variable_models_lie_in_the_users_data_folder(monkeypatch):
    monkeypatch.delenv("NAPARI_MEDSEG_HOME", raising=False)
    assert models.models_folder().parts[-2:] == ("napari-medseg", "models")


def test_looking_for_models_loads_no_torch():
    program = "import sys; from napari_medseg import models; models.available(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
