"""Damaged files of every kind, read again: each gives what it gave when it was put here, a value or a sentence.

``damaged/index.json`` lists the cases, ``damaged/files.tar.xz`` holds their files in a folder for each; both are made
by ``tools/make_damaged.py``. What is read, and what must hold of a value, is in ``tools/fuzz_readers.py``.
"""

import importlib
import json
import logging
import tarfile
import warnings
from pathlib import Path

import pytest

from napari_medseg.errors import MedsegError, escaped

HERE = Path(__file__).parent
INDEX = json.loads((HERE / "damaged" / "index.json").read_text("utf-8"))
KINDS = list(dict.fromkeys(row["reader"] for row in INDEX))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files, in folders that are named after the numbers of the cases."""
    folder = tmp_path_factory.mktemp("damaged")
    with tarfile.open(HERE / "damaged" / "files.tar.xz") as archive:
        for member in archive:
            path = folder / member.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    return folder


@pytest.fixture
def readers(monkeypatch):
    monkeypatch.syspath_prepend(HERE.parent / "tools")
    return importlib.import_module("fuzz_readers").READERS


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_a_value_or_a_sentence(readers, folder, kind, caplog):
    caplog.set_level(logging.CRITICAL)
    found, expected = {}, {}
    for number, row in enumerate(INDEX):
        if row["reader"] == kind:
            path = folder / str(number) / row["files"][0]
            found[row["fault"]] = outcome(readers[kind], path, row.get("says", ""))
            expected[row["fault"]] = row["outcome"]
    assert found == expected


def outcome(reader, path, says):
    """What comes of a file; a sentence must hold the words `says`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(path)
        except MedsegError as error:
            sentence = str(error)
            fits = says in sentence and escaped(sentence) == sentence and 20 < len(sentence) < 1000
            return "refused" if fits else sentence
    return "value"


def test_there_are_files_of_every_kind_and_they_are_small(readers):
    assert set(KINDS) == set(readers)
    assert len(INDEX) >= 200
    assert sum(file.stat().st_size for file in (HERE / "damaged").iterdir()) < 200_000
