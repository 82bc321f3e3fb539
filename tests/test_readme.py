"""What the README and the pages in docs/ say is true: every command and example runs, every link and picture exists."""

import configparser
import json
import re
import shlex
import shutil
import struct
from pathlib import Path

import nibabel
import pytest
import torch

import napari_medseg
from napari_medseg import cli, models, samples
from napari_medseg.training import fine_tune
from napari_medseg.training.settings import read_settings
from napari_medseg.volume import Volume

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PICTURE_KB = 300
HEART = "sunnybrook_SC-HF-I-01_ED"
LONG = {"napari-medseg train litenext-heart --root DATA"}  # needs hours and data that are not part of the package


def blocks(page, language):
    """Texts of the fenced blocks of a page in one language."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for name, text in found if name == language]


def commands(page):
    """Lines of the command blocks of a page, without comments."""
    lines = "".join(blocks(page, "bash")).splitlines()
    return [line.split("  #")[0].rstrip() for line in lines]


def settings_of_docs():
    """The settings file that docs/training.md shows, as text."""
    (text,) = blocks(ROOT / "docs" / "training.md", "json")
    return text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The files that the pages name, in the current folder: slices of the heart, its DICOM series, and the raw head."""
    monkeypatch.chdir(tmp_path)
    for name, sample in {"scan": HEART, "reference": f"{HEART}_label"}.items():
        whole = nibabel.load(samples.path(f"{sample}.nii.gz"))
        file = f"{name}.nii.gz"
        nibabel.save(whole.slicer[..., 4:8], file)
        Path(f"{name}s").mkdir()
        shutil.copy(file, f"{name}s/a.nii.gz")
    shutil.copytree(samples.path("sunnybrook_sax_ED"), "series")
    shutil.copy(samples.path("brain8_poisson8x.npz"), "raw.npz")


@pytest.fixture
def trainable():
    """Data and settings for ``napari-medseg train``: those of the page, with two steps instead of thousands."""
    image = napari_medseg.read("scan.nii.gz")
    drawn = napari_medseg.read("reference.nii.gz")
    cavity = Volume((drawn.data == 1).astype("uint8"), drawn.axes, drawn.affine, metadata={"labels": True})
    for part in ("train", "val"):
        for kind, volume in {"images": image, "labels": cavity}.items():
            inside = Path("data", part, kind)
            inside.mkdir(parents=True)
            napari_medseg.write(volume, inside / f"{part}.nii.gz")
    settings = json.loads(settings_of_docs())
    phases = [{"until": 1.0, "size": 64, "batch": 2}]
    short = {"steps": 2, "phases": phases, "threads": 1, "device": "cpu", "options": {"channels": 4, "width": 8}}
    Path("settings.json").write_text(json.dumps(settings | short), encoding="utf-8")


@pytest.fixture
def checkpoint():
    """A small checkpoint of LSTM-SA with the key names of its authors."""
    network = models.build("lstm-sa", num_classes=4, width=8, levels=1, tokens=14)
    torch.save(models.to_published("lstm-sa", network), "best.pth")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page):
    """A block of another language, or of none, would run nowhere."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        assert language in {"bash", "python", "json"}, text


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_examples(page, capsys):
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    assert re.search(r"left-ventricular cavity \d+\.\d ml", capsys.readouterr().out)


@pytest.mark.usefixtures("trainable", "checkpoint")
def test_command_line_examples():
    """In the order of the pages, in one folder, where a command may use what an earlier one wrote; none runs twice."""
    lines = [line for page in PAGES for line in commands(page)]
    for line in dict.fromkeys(lines):
        check(line)


def check(line):
    """Run a command of napari-medseg; of the others, make sure that what they name exists."""
    program, *arguments = shlex.split(line)
    if program == "make":
        (target,) = arguments
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
    elif program == "pip":
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        (extra,) = re.findall(r"\.\[(\w+)\]", line)
        assert extra in setup["options.extras_require"], line
    elif program == "torchrun":
        split = arguments.index("-m") + 2
        assert arguments[split - 1] == "napari_medseg.training", line
        assert cli.main(["train", *arguments[split:]]) == 0, line
    elif program == "napari":
        assert not arguments, line
    elif line in LONG:
        recipe = Path(napari_medseg.__file__).parent / "training" / "recipes" / f"{arguments[1]}.json"
        assert recipe.is_file(), line
    else:
        assert program == "napari-medseg", line
        assert cli.main(arguments) == 0, line


def test_settings_of_the_page_are_valid():
    Path("settings.json").write_text(settings_of_docs(), encoding="utf-8")
    assert read_settings(Path("settings.json")).name == "my-heart"


def test_fine_tune_settings_of_the_page_are_valid():
    (text,) = blocks(ROOT / "docs" / "fine_tune.md", "json")
    Path("settings.json").write_text(text, encoding="utf-8")
    assert fine_tune.read(Path("settings.json")).annotated[0].reviewed == (3, 4, 5)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page):
    """Anchors of the headings of a page, made as code forges make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme():
    linked = set(LINK.findall(PAGES[0].read_text(encoding="utf-8")))
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= linked


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture):
    head = picture.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:])
    assert (width, height >= 800) == (1280, True)
    assert picture.stat().st_size < PICTURE_KB * 1000
    assert any(picture.name in page.read_text(encoding="utf-8") for page in PAGES)
