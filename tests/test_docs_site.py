"""Pages that scripts write are as they would write them today, and the public project files fit the code."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import napari_medseg

ROOT = Path(__file__).parents[1]
PUBLIC = sorted((ROOT / ".github").rglob("*.yml"))
LARGEST = 150_000  # bytes of a picture of a window: the repository keeps every version of it for ever


def tool(name):
    """A module of tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown():
    """Pictures that the pages show, as paths from the folder of the repository, with a page for each."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")]
    found = {}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)|:: (\S+\.(?:png|jpe?g|svg|gif|webp))", text):
            picture = (page.parent / "".join(name)).resolve()
            found[picture.relative_to(ROOT).as_posix()] = page.name
    return found


def functions(script):
    """Names of the functions of a script, and of methods as Class.method."""
    body = ast.parse((ROOT / script).read_text(encoding="utf-8")).body
    inside = [(f"{node.name}.", part) for node in body if isinstance(node, ast.ClassDef) for part in node.body]
    parts = [("", node) for node in body] + inside
    return {lead + part.name for lead, part in parts if isinstance(part, ast.FunctionDef)}


@pytest.fixture(scope="module")
def makers():
    """The table of what makes each picture."""
    return tool("picture_table").MAKERS


@pytest.fixture(scope="module")
def pages():
    """Pages about models, as tools/make_cards.py makes them now."""
    return tool("make_cards").pages()


def test_every_picture_of_a_page_is_made_by_a_script(makers):
    pictures = shown()
    without = sorted(f"{name} in {page}" for name, page in pictures.items() if name not in makers)
    assert not without, f"write the function that takes it, and its row in tools/picture_table.py: {without}"
    unseen = sorted(makers.keys() - pictures.keys())
    assert not unseen, f"no page shows it, so it goes, with its row in tools/picture_table.py: {unseen}"
    stored = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.png")}
    assert stored <= pictures.keys()


def test_makers_of_pictures_exist(makers):
    for name, maker in makers.items():
        assert maker.function in functions(maker.script), name
        if maker.script.startswith("tools/picture_"):
            assert f'"{Path(name).name}"' in (ROOT / maker.script).read_text(encoding="utf-8"), name


def test_make_pictures_takes_all_pictures_of_windows(makers):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\npictures:")[1].split("\n\n")[0]
    called = set(re.findall(r"tools/\w+\.py", recipe))
    assert "tools/pictures.py" in called
    for name, maker in makers.items():
        if name.startswith("docs/") and not maker.needs:
            assert maker.script.startswith("tools/picture_") or maker.script in called, name


def test_pictures_of_windows_are_small(makers):
    sizes = {name: (ROOT / name).stat().st_size for name, maker in makers.items() if maker.script.startswith("tools/")}
    assert not [name for name, size in sizes.items() if size > LARGEST]


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
