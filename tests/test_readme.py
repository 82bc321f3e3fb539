"""What the README and the pages in docs/ say is true: every command and example runs, every link and picture exists.

A command that cannot run here says so on the page, in a comment that begins with ``# needs``: it is parsed alone.
"""

import configparser
import json
import re
import shlex
import shutil
import struct
import textwrap
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import napari_medseg
from napari_medseg import cli, models, samples
from napari_medseg.training import fine_tune
from napari_medseg.training.settings import read_settings
from napari_medseg.volume import Volume

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"), key=lambda page: (page.parent != DOCS, page))]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PICTURE_KB = 300
HEART = "sunnybrook_SC-HF-I-01_ED"
NUCLEI = "dsb2018_stained_0121d675"
RAW = 64  # rows and columns of the samples about the centre of k-space
WAITS = "  # needs "


def blocks(page, language):
    """Texts of the fenced blocks of a page in one language."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(text) for name, text in found if name == language]


def commands(page, *, waiting):
    """Lines of the command blocks of a page, without comments: those that wait for something, or the others."""
    lines = "".join(blocks(page, "bash")).splitlines()
    return [line.split("  #")[0].rstrip() for line in lines if (WAITS in line) == waiting]


def settings_of_docs():
    """The settings file that docs/training.md shows, as text."""
    (text,) = blocks(DOCS / "training.md", "json")
    return text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the pages name, in the current folder: small parts of the samples."""
    monkeypatch.chdir(tmp_path)
    for name, sample in {"scan": HEART, "reference": f"{HEART}_label"}.items():
        keep_slices(sample, f"{name}.nii.gz", 4, 8)
        Path(f"{name}s").mkdir()
        shutil.copy(f"{name}.nii.gz", f"{name}s/a.nii.gz")
    for name, sample in {"ct": "totalseg_ct", "ct_labels": "totalseg_ct_label"}.items():
        keep_slices(sample, f"{name}.nii.gz", 10, 16)
    keep_slices("studyforrest_hippocampus", "hippocampus.nii.gz", 10, 16)
    for name, file in {"nuclei.png": f"{NUCLEI}.png", "nuclei_reference.tif": f"{NUCLEI}_label.tif"}.items():
        whole = Image.open(samples.path(file))
        whole.crop((0, 0, 128, 128)).save(name)
    shutil.copytree(samples.path("sunnybrook_sax_ED"), "series")
    write_raw()


def keep_slices(sample, file, first, stop):
    """Write a few slices of a sample."""
    whole = nibabel.load(samples.path(f"{sample}.nii.gz"))
    nibabel.save(whole.slicer[..., first:stop], file)


def write_raw():
    """Write the centre of the measured k-space of the head, as NumPy and as HDF5: an image of few pixels."""
    with np.load(samples.path("brain8_poisson8x.npz")) as sample:
        measured, mask = sample["kspace"], sample["mask"]
    rows, columns = (slice(size // 2 - RAW // 2, size // 2 + RAW // 2) for size in mask.shape)
    centre = {"kspace": measured[..., rows, columns], "mask": mask[rows, columns]}
    np.savez("raw.npz", **centre)
    with h5py.File("raw.h5", "w") as file:
        for name, array in centre.items():
            file[name] = array


@pytest.fixture
def trainable(folder):
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
def checkpoint(folder):
    """A small checkpoint of LSTM-SA with the key names of its authors."""
    network = models.build("lstm-sa", num_classes=4, width=8, levels=1, tokens=14)
    torch.save(models.to_published("lstm-sa", network), "best.pth")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page):
    """A block of another language, or of none, would run nowhere."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        assert language in {"bash", "python", "json"}, text


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: str(page.relative_to(ROOT))
)
@pytest.mark.usefixtures("folder")
def test_python_examples(page, capsys):
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    assert re.search(r"left-ventricular cavity \d+\.\d ml", capsys.readouterr().out)


@pytest.mark.usefixtures("trainable", "checkpoint")
def test_command_line_examples():
    """In the order of the pages, in one folder, where a command may use what an earlier one wrote; none runs twice."""
    lines = [line for page in PAGES for line in commands(page, waiting=False)]
    for line in dict.fromkeys(lines):
        check(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_wait_for_something_are_understood(page):
    for line in commands(page, waiting=True):
        program, command, *arguments = shlex.split(line)
        assert program == "napari-medseg", line
        cli.parsed([command, *arguments])
        if command == "train" and not arguments[0].endswith(".json"):
            recipe = Path(napari_medseg.__file__).parent / "training" / "recipes" / f"{arguments[0]}.json"
            assert recipe.is_file(), line


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
        assert arguments[split - 1] == "napari_medseg.cli", line
        assert cli.main(arguments[split:]) == 0, line
    elif program == "napari":
        assert not arguments, line
    else:
        assert program == "napari-medseg", line
        assert cli.main(arguments) == 0, line


def test_settings_of_the_page_are_valid(tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(settings_of_docs(), encoding="utf-8")
    assert read_settings(settings).name == "my-heart"


def test_fine_tune_settings_of_the_page_are_valid(tmp_path):
    (text,) = blocks(DOCS / "fine_tune.md", "json")
    settings = tmp_path / "settings.json"
    settings.write_text(text, encoding="utf-8")
    assert fine_tune.read(settings).annotated[0].reviewed == (3, 4, 5)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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


def links(page):
    """Pages that a page links to."""
    targets = (target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8")))
    return {(page.parent / target).resolve() for target in targets if target.endswith(".md")}


def test_every_page_can_be_reached():
    """From the README, or from the first page of the site."""
    found = {PAGES[0], DOCS / "index.md"}
    waiting = list(found)
    while waiting:
        new = links(waiting.pop()) - found
        found |= new
        waiting += new
    assert not set(PAGES) - found, "no page links to it: add it to the table of docs/index.md or to the README"


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture):
    head = picture.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:])
    assert (width == 1280 and height >= 800) or width < 1000, "a window of napari, or a dialog"
    assert picture.stat().st_size < PICTURE_KB * 1000
    assert any(picture.name in page.read_text(encoding="utf-8") for page in PAGES)
