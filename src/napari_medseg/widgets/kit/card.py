"""The card of a model as a page to read."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from ...models import ModelCard


def to_html(card: ModelCard) -> str:
    """The card as headings and paragraphs."""
    range_mm = "any" if card.spacing_mm is None else "{:g} to {:g} mm".format(*card.spacing_mm)
    figures = "<br>".join(f"<b>{escape(_words(name))}</b>: {_figures(value)}" for name, value in card.metrics.items())
    rows = {
        "Finds": escape(", ".join(row.name for row in card.classes)),
        "Task": escape(card.task),
        "Modality": escape(card.modality),
        "Pixel size": escape(range_mm),
        "Held-out figures": figures,
        "Data": escape(card.data),
        "Split": escape(card.split),
        "Limits": escape(card.limits),
        "Licence": escape(card.licence),
        "Network": escape(card.architecture),
        "Weights (SHA-256)": escape(card.sha256),
    }
    body = "".join(f"<p><b>{title}</b><br>{text or 'not stated'}</p>" for title, text in rows.items())
    return f"<h3>{escape(card.name)}</h3>{body}<p>Not a medical device.</p>"


def _figures(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{escape(_words(name))} ({_figures(part)})"
            if isinstance(part, Mapping)
            else f"{escape(_words(name))} {_figures(part)}"
            for name, part in value.items()
        )
    if isinstance(value, list | tuple):
        return " to ".join(_figures(part) for part in value)
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _words(name: str) -> str:
    return name.replace("_", " ")


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
        self.resize(460, 560)
