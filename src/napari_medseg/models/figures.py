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
    scores = [["held-out data", *(title for _, title, _ in _SCORES), "range of Dice"]]
    for name, figures in card.metrics.items():
        if name not in ("spots", _BY_MASK):
            title = name if "," in name else f"{name}, {card.name}"
            scores += _scores(title, figures)
    quality = [["PSNR (dB) / SSIM on val", *(title for _, title in _METHODS)]]
    quality += _quality(by_mask)
    small = [["small bright spots", *(title for _, title in _SPOTS)]]
    small += _spots(spots)
    return [_without_empty_columns(rows) for rows in (scores, quality, small) if len(rows) > 1]


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
    if not isinstance(value, int | float):
        return ""
    return form.format(value)


def _range(by_case: Mapping[str, float]) -> str:
    values = [value for value in by_case.values() if value is not None]
    if not values:
        return ""
    return f"{min(values):.2f} to {max(values):.2f}"


def _quality(by_mask: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each mask and subject."""
    for mask, subjects in by_mask.items():
        for subject, methods in subjects.items():
            if "model" not in methods:
                continue
            cells = [_pair(methods.get(method, {})) for method, _ in _METHODS]
            yield [f"{mask}, {subject}", *cells]


def _spots(by_mask: Mapping[str, Mapping[str, float]]) -> Iterator[list[str]]:
    """A row for each mask."""
    for mask, figures in by_mask.items():
        cells = [_cell(figures.get(key), "{:.0%}") for key, _ in _SPOTS]
        yield [mask, *cells]


def _pair(figures: Mapping[str, float]) -> str:
    if not figures:
        return ""
    return f"{figures['psnr']:.2f} / {figures['ssim']:.3f}"


def _without_empty_columns(rows: Rows) -> Rows:
    kept = []
    for heading, *cells in zip(*rows, strict=True):
        if any(cells):
            kept.append([heading, *cells])
    return [list(row) for row in zip(*kept, strict=True)]
