"""The held-out figures of a card, as tables for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from ..quantities import rounded

if TYPE_CHECKING:
    from .card import ModelCard

Rows = list[list[str]]
"""The rows of a table; the first one is the heading."""

# key of a figure, heading of its column, decimals
_SCORES = (
    ("images", "images", 0),
    ("cases", "cases", 0),
    ("dice", "Dice", 3),
    ("iou", "IoU", 3),
    ("hd95_mm", "HD95 (mm)", 1),
    ("f1", "object F1", 3),
    ("psnr", "PSNR (dB)", 2),
)
_METHODS = (("zero_filled", "zero-filled"), ("tv_dc", "TV + DC"), ("model", "model"))
_LARGEST = 1e9  # figure that a table has room for
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
    by_mask = _mapping(card.metrics.get(_BY_MASK))
    spots = _mapping(card.metrics.get("spots", by_mask.get("spots")))
    scores = [["held-out data", *(title for _, title, _ in _SCORES), "range of Dice"]]
    for name, figures in card.metrics.items():
        if name not in ("spots", _BY_MASK):
            title = name if "," in name else f"{name}, {card.name}"
            scores += _scores(title, figures)
    quality = [["PSNR (dB) / SSIM", *(title for _, title in _METHODS)]]
    quality += _quality(by_mask)
    small = [["small bright spots", *(title for _, title in _SPOTS)]]
    small += _spots(spots)
    return [_without_empty_columns(rows) for rows in (scores, quality, small) if len(rows) > 1]


def held_out_dice(card: ModelCard) -> str:
    """The Dice of `card` on the data held out for the test, class by class; empty if it has none."""
    figures = _mapping(card.metrics.get("test"))
    by_class = _mapping(figures.get("classes")).values()
    cells = [_cell(_mapping(row).get("dice"), 3) for row in by_class]
    return " / ".join(filter(None, cells)) or _cell(figures.get("dice"), 3)


def _scores(title: str, figures: Any) -> Iterator[list[str]]:
    """A row of scores, and one for each class and each group of images."""
    if not isinstance(figures, Mapping):
        return
    known = {**_mapping(figures.get("objects")), **figures}
    cells = [_cell(known.get(key), decimals) for key, _, decimals in _SCORES]
    if any(cells):
        together = f"{title}, all classes as one" if figures.get("classes") else title
        yield [together, *cells, _range(_mapping(figures.get("case_dice")))]
    for name, part in _parts(figures):
        yield from _scores(f"{title}, {name}", part)


def _parts(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has figures of its own: classes, groups of images, other models."""
    for name, part in figures.items():
        if name in ("classes", "groups"):
            yield from _mapping(part).items()
        elif name not in ("objects", "case_dice"):
            yield name, part


def _mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it has names; anything else on a card is ignored."""
    return value if isinstance(value, Mapping) else {}


def _cell(value: Any, decimals: int) -> str:
    if not _is_figure(value):
        return ""
    return _half_up(value, decimals) if decimals else str(int(value))


def _half_up(value: float, decimals: int) -> str:
    """A figure with so many decimals. Cards hold four: 0.8785 reads 0.879, as it was rounded for the README."""
    near = Decimal(str(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return rounded(float(near) or value, decimals)


def _share(value: Any) -> str:
    return f"{value:.0%}" if _is_figure(value) else ""


def _is_figure(value: Any) -> bool:
    """Whether a value is a number that a table has room for."""
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _range(by_case: Mapping[str, float]) -> str:
    values = [value for value in by_case.values() if _is_figure(value)]
    if not values:
        return ""
    return f"{rounded(min(values), 2)} to {rounded(max(values), 2)}"


def _quality(by_mask: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each mask and subject."""
    for mask, subjects in by_mask.items():
        for subject, methods in _mapping(subjects).items():
            if "model" not in _mapping(methods):
                continue
            cells = [_pair(_mapping(methods.get(method))) for method, _ in _METHODS]
            yield [f"{mask}, {subject}", *cells]


def _spots(by_mask: Mapping[str, Mapping[str, float]]) -> Iterator[list[str]]:
    """A row for each mask."""
    for mask, figures in by_mask.items():
        cells = [_share(_mapping(figures).get(key)) for key, _ in _SPOTS]
        yield [mask, *cells]


def _pair(figures: Mapping[str, float]) -> str:
    if not (_is_figure(figures.get("psnr")) and _is_figure(figures.get("ssim"))):
        return ""
    return f"{rounded(figures['psnr'], 2)} / {rounded(figures['ssim'], 3)}"


def _without_empty_columns(rows: Rows) -> Rows:
    kept = []
    for heading, *cells in zip(*rows, strict=True):
        if any(cells):
            kept.append([heading, *cells])
    return [list(row) for row in zip(*kept, strict=True)]
