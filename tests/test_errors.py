"""Sentences for people hold nothing that steers a terminal, whatever was in the file."""

import json

import pytest

from napari_medseg.cli import terminal
from napari_medseg.errors import FileError, escaped, readable, short
from napari_medseg.volume import LabelClass

HOSTILE = "a\x1b[2J\x07\r\x9b31m\u202egnp\u2028b\ud800"


@pytest.mark.parametrize("text", ["plain", "Größe ß 接", "a\u200cb", "😀", "non-breaking\xa0space"])
def test_ordinary_letters_stay(text):
    assert escaped(text) == readable(text) == str(FileError(text)) == text


def test_control_characters_are_written_out():
    assert escaped("a\x1b[0m\n") == "a\\u001b[0m\\n"
    assert escaped("a\tb\n", lines=True) == "a\tb\n"
    assert escaped(HOSTILE).isprintable()
    # text of a JSON file stays such a text
    assert json.loads(escaped(json.dumps({"a": HOSTILE}, ensure_ascii=False))) == {"a": HOSTILE}


def test_errors_are_one_line_of_bounded_length():
    text = str(FileError(f"'{HOSTILE * 10_000}' is damaged. Copy it again."))
    assert text.isprintable() and len(text) < 10_000
    assert text.startswith("'a\\u001b[2J") and text.endswith("is damaged. Copy it again.")
    assert short(ValueError(HOSTILE)).isprintable()
    assert short(KeyError("a")) == "a"
    assert short(ValueError("'a' is not 'b'.")) == "'a' is not 'b'", "quotes stay in pairs"


def test_terminals_get_lines_and_tabs_only(capsys):
    terminal.say(HOSTILE)
    terminal.complain(f"one\n{HOSTILE}")
    terminal.say(terminal.table([["name", "b"], [f"{HOSTILE}\nnext line", "1"]]))
    found = capsys.readouterr()
    assert found.out.count("\n") == 3 and found.err.count("\n") == 2
    assert (found.out + found.err).replace("\n", "").isprintable()


def test_names_of_classes_can_be_shown():
    assert LabelClass(1, HOSTILE, "#ffffff").name.isprintable()
    assert len(LabelClass(1, "x" * 10_000, "#ffffff").name) < 300
