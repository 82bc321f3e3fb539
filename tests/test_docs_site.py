"""Pages that scripts write are as they would write them today, and the public project files fit the code."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import napari_medseg

ROOT = Path(__file__).parents[1]
PUBLIC = sorted((ROOT / ".github").rglob("*.yml"))


@pytest.fixture(scope="module")
def pages():
    """Pages about models, as tools/make_cards.py makes them now."""
    spec = importlib.util.spec_from_file_location("make_cards", ROOT / "tools" / "make_cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def test_pages_about_models_are_those_of_their_cards(pages):
    stored = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "cards").glob("*.md")}
    old = sorted(name for name in pages.keys() | stored.keys() if pages.get(name) != stored.get(name))
    assert not old, f"run 'make cards': {', '.join(old)}"


def test_pages_name_limits_before_figures(pages):
    for name, text in pages.items():
        if name != "index.md":
            assert 0 < text.index("## Limits") < text.index("## Figures"), name


def test_reference_names_every_public_name():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.rst"))
    public = set(napari_medseg.__all__) - {"__version__"}
    named = set(re.findall(r":: napari_medseg\.(\w+)", text))
    assert public <= named


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == napari_medseg.__version__
    assert citation["license"] == "BSD-3-Clause"
    assert all(reference["authors"] and reference["title"] for reference in citation["references"])


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.name)
def test_public_files_are_yaml(path):
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_bug_reports_ask_for_what_is_needed():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    asked = " ".join(str(part["attributes"].get("description", "")) for part in form["body"])
    for command in ("napari-medseg info", "napari-medseg --version", "napari --info"):
        assert command in asked


def test_public_ci_runs_what_exists():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    for extra in re.findall(r'"\.\[([\w,]+)', text):
        for name in filter(None, extra.split(",")):
            assert re.search(rf"^{name} =", setup, re.MULTILINE), name
    assert {"3.11", "3.12", "3.13", "3.14"} <= set(re.findall(r'"(3\.\d+)"', text))
