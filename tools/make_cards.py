"""Write the pages about the bundled models, docs/cards/, from their cards.

``python tools/make_cards.py`` (or ``make cards``) writes a page for each model and the list of all; run it whenever a
card has changed. ``tests/test_docs_site.py`` compares the pages with what this script would write.
"""

from pathlib import Path

import napari_medseg
from napari_medseg import models
from napari_medseg.models import figures

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "cards"
WEIGHTS = Path(napari_medseg.__file__).parent / "weights"
TO_WEIGHTS = "../../src/napari_medseg/weights"
NOTE = "<!-- written by tools/make_cards.py: change the card, then run `make cards` -->"
BEGINNING = """\
Every bundled model has a card: what it was made for, from which data, and how good it is on images that it was not
trained on. The same text is behind *Card* in the forms and `napari-medseg models NAME`. Which one to choose is in the
[README](../../README.md#which-model), what happens around the networks in [Models](../models.md)."""
END = """\
`val` are the images on which settings were chosen, `test` those that nothing was chosen on;
[How it was measured](../project/measured.md) says more. **Not a medical device**: for research only."""
CONTENTS = """:::{toctree}
:hidden:
:glob:

*
:::
"""
HEADING = ("model", "what it gives", "on which images", "Dice on `test`", "licence")
MEGABYTE = 1e6


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Text of every page in docs/cards/, by the name of its file."""
    paths = sorted(WEIGHTS.glob("*.safetensors"))
    cards = [models.load_card(path) for path in paths]
    found = {"index.md": index(cards)}
    for card, path in zip(cards, paths, strict=True):
        found[f"{card.name}.md"] = page(card, path)
    return found


def index(cards: list[models.ModelCard]) -> str:
    """The list of all models, and how a card is to be read."""
    rows = [HEADING]
    for card in cards:
        dice = figures.held_out_dice(card) or "see the card"
        link = f"[`{card.name}`]({card.name}.md)"
        rows.append((link, card.task, card.modality, dice, card.licence))
    return "\n\n".join(
        (
            "# Model cards",
            NOTE,
            BEGINNING,
            table(rows),
            END,
            CONTENTS,
        )
    )


def page(card: models.ModelCard, path: Path) -> str:
    """What the card of the weights file `path` says, limits before figures."""
    parts = [f"# {card.name}", NOTE, f"**{sentence(card.task)}**", table(facts(card, path))]
    if path.with_suffix(".png").is_file():
        parts.append(f"![What it finds in a sample]({TO_WEIGHTS}/{card.name}.png)")
    parts += ["## Limits", sentence(card.limits)]
    parts += ["## Figures on held-out images", *map(table, figures.tables(card))]
    parts += ["## What happens around the network", sentence(card.steps or "nothing: each slice is used as it is")]
    parts += ["## Data", sentence(card.data), sentence(f"Split: {card.split}")]
    parts += [f"```bash\nnapari-medseg models {card.name}\n```", "Not a medical device: for research only.\n"]
    return "\n\n".join(parts)


def facts(card: models.ModelCard, path: Path) -> list[tuple[str, ...]]:
    """What fits into a few words, as a table of two columns."""
    spacing = "any" if card.spacing_mm is None else "{:g} to {:g} mm".format(*card.spacing_mm)
    classes = ", ".join(f"{row.id} {row.name}" for row in card.classes)
    helpers = ", ".join(f"[`{name}`]({name}.md)" for name in card.helpers)
    rows = [
        ("about", "on the card"),
        ("Images", card.modality),
        ("Labels", classes or "none: it reconstructs images"),
        ("Pixel size", spacing),
        ("Runs with", helpers or "no other model"),
        ("Group", card.group or "none"),
        ("Licence", card.licence),
        ("Network", f"`{card.architecture}`, {path.stat().st_size / MEGABYTE:.1f} MB of weights"),
        ("Recipe", f"`{card.recipe}`"),
        ("SHA-256", f"`{card.sha256}`"),
    ]
    return rows


def table(rows: list) -> str:
    """A table in Markdown; the first row is the heading, and columns of figures are aligned to the right."""
    heading, *body = rows
    columns = list(zip(*body, strict=True))
    marks = ["---:" if position and is_figures(column) else "---" for position, column in enumerate(columns)]
    return "\n".join(line(row) for row in (heading, marks, *body))


def line(cells: tuple[str, ...] | list[str]) -> str:
    """A row of a table."""
    inner = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {inner} |"


def is_figures(column: tuple[str, ...]) -> bool:
    """Whether every cell of a column is a number, a percentage or empty."""
    return all(cell.strip("%").replace(".", "", 1).isdigit() for cell in column if cell)


def sentence(text: str) -> str:
    """`text` with a capital letter and a full stop."""
    text = text.strip()
    return text and text[0].upper() + text[1:].rstrip(".") + "."


if __name__ == "__main__":
    main()
