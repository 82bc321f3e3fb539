"""What a person gets who installs the package: manifest, data files and a light import."""

import hashlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_medseg
from napari_medseg import models
from napari_medseg.training.settings import read_settings

ROOT = Path(__file__).parents[1]
PACKAGE = Path(str(resources.files("napari_medseg")))
RECIPES = sorted((PACKAGE / "training" / "recipes").glob("*.json"))
HEAVY = {"PyQt5", "PyQt6", "PySide6", "filelock", "magicgui", "napari", "numpy", "pydantic", "qtpy", "torch"}


def test_both_manifest_paths_are_one_file():
    assert (ROOT / "napari.yaml").resolve() == (PACKAGE / "napari.yaml").resolve()


def test_manifest_is_valid_and_its_commands_exist():
    manifest = PluginManifest.from_distribution("napari-medseg")
    assert manifest.package_version == napari_medseg.__version__
    manifest.validate_imports()


def test_import_is_light():
    program = "import sys, napari_medseg; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "napari_medseg" in loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("name", napari_medseg.__all__)
def test_public_names_exist(name):
    assert getattr(napari_medseg, name) is not None


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_medseg.nothing


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid(path):
    assert read_settings(path).name == path.stem


def test_bundled_models_have_cards_with_their_hash():
    weights = sorted((PACKAGE / "weights").glob("*.safetensors"))
    assert {path.stem for path in weights} >= {"litenext-heart", "litenext-nuclei"}
    for path in weights:
        card = models.load_card(path)
        assert card.name == path.stem
        assert card.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert card.licence and card.data and card.metrics, "a card tells licence, data and held-out figures"
