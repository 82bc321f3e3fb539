"""The controls of the View dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import QLabel, QPushButton

from ..kit.controls import Page, Paragraph, beside, button, check


class ViewForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.axial = _pressed("A&xial")
        self.coronal = _pressed("C&oronal")
        self.sagittal = _pressed("Sa&gittal")
        self.stored = button("As store&d")
        self.letters = check("L&etters at the edges")
        self.letters.setChecked(True)
        self.place = Paragraph()
        self.soft_tissue = button("Soft &tissue")
        self.lung = button("L&ung")
        self.bone = button("Bo&ne")
        self.brain = button("B&rain")
        self.liver = button("L&iver")
        self.percentiles = button("1 to &99%")
        self.grey = Paragraph()
        self.bar = check("Colour &bar of the selected layer")
        self.meaning = Paragraph()
        self.cine = Paragraph()
        self.true_speed = button("Play at true speed")
        self.status = Paragraph()
        self.hint = Paragraph()
        self.stack(
            QLabel("As a radiologist views it"),
            beside(self.axial, self.coronal, self.sagittal),
            beside(self.letters, self.stored),
            self.place,
            None,
            QLabel("Grey values"),
            beside(self.soft_tissue, self.lung, self.bone),
            beside(self.brain, self.liver, self.percentiles),
            self.grey,
            None,
            self.bar,
            self.meaning,
            self.cine,
            self.true_speed,
            self.status,
            self.hint,
        )

    @property
    def planes(self) -> Mapping[str, QPushButton]:
        """The buttons of the planes, by the names of `PLANES`."""
        return {"axial": self.axial, "coronal": self.coronal, "sagittal": self.sagittal}

    @property
    def windows(self) -> Mapping[str, QPushButton]:
        """The buttons of the windows, by the names of `CT_WINDOWS`."""
        return {
            "soft tissue": self.soft_tissue,
            "lung": self.lung,
            "bone": self.bone,
            "brain": self.brain,
            "liver": self.liver,
        }


def _pressed(title: str) -> QPushButton:
    """A button that stays down while its view is shown."""
    found = button(title)
    found.setCheckable(True)
    return found
