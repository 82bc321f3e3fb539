"""The card of a model as a page to read."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from ...models import figures, library

if TYPE_CHECKING:
    from ...models import ModelCard


def to_html(card: ModelCard) -> str:
    """The card as headings and paragraphs, with a picture of what the model finds where there is one."""
    range_mm = "any" if card.spacing_mm is None else "{:g} to {:g} mm".format(*card.spacing_mm)
    measured = "".join(_table(rows) for rows in figures.tables(card))
    rows = {
        "Finds": escape(", ".join(row.name for row in card.classes)),
        "Task": escape(card.task),
        "Modality": escape(card.modality),
        "Pixel size": escape(range_mm),
        "Steps": escape(card.steps or "each slice as it is"),
        "Limits": escape(card.limits),
        "Held-out figures": measured,
        "Data": escape(card.data),
        "Split": escape(card.split),
        "Licence": escape(card.licence),
        "Network": escape(card.architecture),
        "Weights (SHA-256)": escape(card.sha256),
    }
    drawn = f'<p><img src="{picture.as_uri()}"></p>' if (picture := library.picture(card.name)) else ""
    body = "".join(f"<p><b>{title}</b><br>{text or 'not stated'}</p>" for title, text in rows.items())
    return f"<h3>{escape(card.name)}</h3>{drawn}{body}<p>Not a medical device.</p>"


def _table(rows: figures.Rows) -> str:
    lines = [_line(row, "td") for row in rows[1:]]
    return f"<table cellpadding=3>{_line(rows[0], 'th')}{''.join(lines)}</table>"


def _line(cells: list[str], tag: str) -> str:
    inner = "".join(f"<{tag} align=left>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"


class CardDialog(QDialog):
    """A window with the card of one model; it does not block the others."""

    def __init__(self, card: ModelCard, parent: QWidget):
        super().__init__(parent)
        self.setWindowTitle(f"Model {card.name}")
        text = QTextBrowser()
        text.setHtml(to_html(card))
        text.setToolTip("What the model was made for, from what data, and how good it is on data it never saw.")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)
        self.resize(660, 700)
