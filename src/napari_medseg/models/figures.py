"""The held-out figures of a card, as tables for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import ModelCard

Rows = list[list[str]]
"""The rows of a table; the first one is the heading."""

# key of a figure, heading of its column, how it is printed
_SCORES = (
    ("images", "images", "{:d}"),
    ("cases", "cases", "{:d}"),
    ("dice", "Dice", "{:.3f}"),
    ("iou", "IoU", "{:.3f}"),
    ("hd95_mm", "HD95 (mm)", "{:.1f}"),
    ("f1", "object F1", "{:.3f}"),
    ("psnr", "PSNR (dB)", "{:.2f}"),
)
_METHODS = (("zero_filled", "zero-filled"), ("tv_dc", "TV + DC"), ("model", "model"))
_BY_MASK = "val_by_mask_and_subject"
_SPOTS = (
    ("kept", "height shown of a true one"),
    ("kept_tv", "by TV + DC"),
    ("left", "left of a false one"),
)


def tables(card: ModelCard) -> list[Rows]:
    """The held-out figures of `card`, its peers' and baselines' among them.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    list of Rows
        One table of scores by data and method; for models that reconstruct also PSNR and SSIM by mask and subject, and
        what becomes of small spots. Columns without any figure are left out. Empty for a card without figures.
    """
    by_mask = card.metrics.get(_BY_MASK, {})
    spots = card.metrics.get("spots", by_mask.get("spots", {}))
    others = {name: figures for name, figures in card.metrics.items() if name not in ("spots", _BY_MASK)}
    found = [
        [
            ["held-out data", *(title for _, title, _ in _SCORES), "range of Dice"],
            *(row for name, figures in others.items() for row in _scores(_title(name, card.name), figures)),
        ],
        [["PSNR (dB) / SSIM on val", *(title for _, title in _METHODS)], *_quality(by_mask)],
        [["small bright spots", *(title for _, title in _SPOTS)], *_spots(spots)],
    ]
    return [_without_empty_columns(rows) for rows in found if len(rows) > 1]


def _title(name: str, model: str) -> str:
    return name if "," in name else f"{name}, {model}"


def _scores(title: str, figures: Any) -> Iterator[list[str]]:
    """A row of scores, and one for each class and each group of images."""
    if not isinstance(figures, Mapping):
        return
    known = {**figures.get("objects", {}), **figures}
    cells = [_cell(known.get(key), form) for key, _, form in _SCORES]
    if any(cells):
        together = f"{title}, all classes as one" if figures.get("classes") else title
        yield [together, *cells, _range(figures.get("case_dice", {}))]
    for name, part in _parts(figures):
        yield from _scores(f"{title}, {name}", part)


def _parts(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has figures of its own: classes, groups of images, other models."""
    for name, part in figures.items():
        if name in ("classes", "groups"):
            yield from part.items()
        elif name not in ("objects", "case_dice"):
            yield name, part


def _cell(value: Any, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) else ""


def _range(by_case: Mapping[str, float]) -> str:
    values = [value for value in by_case.values() if value is not None]
    return f"{min(values):.2f} to {max(values):.2f}" if values else ""


def _quality(by_mask: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each mask and subject."""
    for mask, subjects in by_mask.items():
        for subject, methods in subjects.items():
            if "model" in methods:
                yield [f"{mask}, {subject}", *(_pair(methods.get(method, {})) for method, _ in _METHODS)]


def _spots(by_mask: Mapping[str, Mapping[str, float]]) -> Iterator[list[str]]:
    """A row for each mask."""
    for mask, figures in by_mask.items():
        yield [mask, *(_cell(figures.get(key), "{:.0%}") for key, _ in _SPOTS)]


def _pair(figures: Mapping[str, float]) -> str:
    return f"{figures['psnr']:.2f} / {figures['ssim']:.3f}" if figures else ""


def _without_empty_columns(rows: Rows) -> Rows:
    keep = [index for index in range(len(rows[0])) if any(row[index] for row in rows[1:])]
    return [[row[index] for index in keep] for row in rows]
