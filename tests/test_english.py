"""The words that people read: phrases that are not plain English do not come back."""

import io
import re
import tokenize
from pathlib import Path

import pytest

import napari_medseg

ROOT = Path(__file__).parents[1]
SOURCE = Path(napari_medseg.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
TEXTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md"),
        *SOURCE.rglob("*.md"),
        *SOURCE.rglob("*.yaml"),
        *(SOURCE / "weights").glob("*.json"),
    ]
)

# what is not written -> what to write
BANNED = {
    r"\b(needed|expected) (is|are)\b": "expected ...",
    r"(?<!\bthere )\b(is|are|was|were) no (?!longer|more|better|worse|larger|less|fewer|wider)": "is not a",
    r"\b(is|are) none of (your|the|our|napari)": "is not one of",
    r"\bof no (class|kind|concern|use|type)\b": "does not belong to any class",
    r"\btakes? no part\b": "is ignored",
    r"\bmay stand\b": "expected ... at most once",
    r"\b(is|are|be|being|been|was|were) told\b": "is reported",
    r"\b(cannot|can|not) be told\b": "cannot be determined",
    r"\b(it|they|file|files|tensors|header|card|cards|does not|do not) tells?\b": "says, states",
    r"(?<!['`])\bbeside\b(?!['`]| :)": "next to",
    r"\bgiven several times\b": "repeat the option for more",
    r"\b(was|were) (not )?given\b": "is missing, was left out",
    r"\bwith nobody\b|\bhas nobody\b": "say what is missing",
    r"\bfare worse\b": "give worse results",
    r"\bcures\b|\bunmirrors\b": "say when to tick it",
}


def words_of(path: Path) -> list[tuple[int, str]]:
    """Line number and text of every string and every run of comments of a module, or the lines of another file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [(1, text)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type in (tokenize.STRING, tokenize.COMMENT)]


def faults(text: str) -> list[str]:
    """Banned phrases in a text, with what to write instead."""
    plain = re.sub(r"\s+", " ", text)
    found = []
    for pattern, better in BANNED.items():
        found += [f"'{match.group()}': {better}" for match in re.finditer(pattern, plain, re.IGNORECASE)]
    return found


@pytest.mark.parametrize("path", [*MODULES, *TEXTS], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_words_are_plain_english(path):
    wrong = [f"{path.name}:{line} {fault}" for line, text in words_of(path) for fault in faults(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "sentence",
    [
        "The type is float; needed are whole numbers.",
        "'a.npy' is no mask.",
        "The entry takes no part in the result.",
        "m is none of your models any more.",
        "The label 7 is of no class.",
        "Copy the file beside it.",
        "The axes cannot be told.",
        "A mask was not given.",
    ],
)
def test_odd_phrases_are_found(sentence):
    assert faults(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no sample of that name.",
        "The model is no longer installed.",
        "It is no better than before.",
        "Lower 'beside'.",
        "What a volume is besides its voxels.",
        "A given share of the columns.",
    ],
)
def test_plain_phrases_are_not(sentence):
    assert not faults(sentence)
