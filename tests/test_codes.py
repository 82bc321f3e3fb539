"""Codes of classes: they are SNOMED's, known names find them, and files keep them."""

import pytest
from pydicom.sr._concepts_dict import concepts

from napari_medseg import codes
from napari_medseg.codes import ANATOMY, TISSUE, Code, Coding
from napari_medseg.io.notes import Notes
from napari_medseg.volume import LabelClass

MEANINGS = {(value, meaning) for names in concepts["SCT"].values() for value, (meaning, _) in names.items()}


@pytest.mark.parametrize("name", sorted(codes._KINDS))
def test_codes_are_those_of_the_standard(name):
    found = codes.of_name(name)
    for code in (found.kind, found.category):
        assert (code.value, code.meaning) in MEANINGS


@pytest.mark.parametrize("part", sorted(codes._PARTS))
def test_sides_and_parts_are_modifiers(part):
    found = codes.of_name(f"Kidney_{part}")
    assert found.kind.meaning == "Kidney"
    assert found.modifier.meaning.casefold() == part
    assert (found.modifier.value, found.modifier.meaning) in MEANINGS


def test_bundled_classes_have_codes():
    assert codes.of_name("left-ventricular cavity") == Coding(Code("SCT", "87878005", "Left ventricle"), ANATOMY)
    assert codes.of_name("anterior hippocampus").modifier.meaning == "Anterior"


@pytest.mark.parametrize("name", ["", "class 7", "left", "left right kidney", "腔"])
def test_unknown_names_are_tissue(name):
    assert codes.of_name(name) == TISSUE


def test_notes_keep_codes():
    foreign = Coding(Code("FMA", "7088", "Heart"), Code("SCT", "123037004", "Body structure"), Code("99X", "1", "ä"))
    classes = (LabelClass(1, "heart", "#112233", foreign), LabelClass(2, "plain", "#445566"))
    assert Notes.from_text(Notes(classes=classes).to_text()).classes == classes


def test_malformed_codes_are_left_out():
    content = {"classes": [{"id": 1, "name": "a", "colour": "#112233", "code": {"kind": 3}}]}
    assert Notes.from_json(content).classes == (LabelClass(1, "a", "#112233"),)
