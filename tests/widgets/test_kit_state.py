"""What a form says of its controls: in plain values, and on the controls."""

from dataclasses import dataclass

from napari_medseg.widgets.kit.controls import Page, Paragraph, apply, beside, button, line
from napari_medseg.widgets.kit.state import Control, first, hint_text, unless


def test_first_reason_that_applies_is_said():
    assert first("", "open an image first.", "a run is under way.") == "open an image first."
    assert first("", "") == ""
    assert unless(None, "open an image first.") == "open an image first."
    assert unless("an image", "open an image first.") == ""


def test_hint_has_one_line_per_reason():
    assert hint_text({"Run": "no image.", "Save": "no labels.", "Preview": "no image.", "Copy": ""}) == (
        "Run, Preview: no image.\nSave: no labels."
    )


@dataclass(frozen=True)
class State:
    run: Control
    path: Control
    bar: bool
    hint: str


class Form(Page):
    def __init__(self):
        super().__init__()
        self.path, self.run, self.bar, self.hint = line(""), button("Run"), button(""), Paragraph()
        self.browse = button("Open…")
        self.stack(self.rows(("Path", self.path, beside(self.path, self.browse))), self.run, self.bar, self.hint)


def test_state_is_shown_on_the_controls_of_its_names(qtbot):
    form = Form()
    qtbot.addWidget(form)
    apply(form, State(Control("Starts.", "no data.", title="Begin"), Control("A path.", visible=False), False, "Why."))
    assert not form.run.isEnabled() and form.run.toolTip() == "no data." and form.run.text() == "Begin"
    assert form.path.isEnabled() and not form.browse.isVisibleTo(form), "a row is hidden as a whole"
    assert form.bar.isHidden() and form.hint.text() == "Why."
    apply(form, State(Control("Starts."), Control("A path."), True, ""))
    assert form.run.isEnabled() and form.run.toolTip() == "Starts." and form.run.text() == "Begin"
    assert form.browse.isVisibleTo(form) and not form.bar.isHidden() and form.hint.isHidden()
