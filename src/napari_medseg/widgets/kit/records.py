"""What a layer remembers of its making: the `Record` in its metadata, and which slices a person has reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from ...io.contributions import KEY
from ...record import KEY as RECORD
from ...record import Record, now


def noted(layer: Layer) -> Mapping[str, Any]:
    """What the metadata of a layer say about its volume; empty if nothing."""
    return layer.metadata.get(KEY, {})


def record_of(layer: Layer) -> Record | None:
    """How a layer came to be, if that is known."""
    return noted(layer).get(RECORD)


def put_record(layer: Layer, record: Record) -> None:
    """Note in a layer how it came to be."""
    # a new mapping, never a change of the old one: napari lets a duplicate of the layer share it
    layer.metadata = {**layer.metadata, KEY: {**noted(layer), RECORD: record}}


def is_made_by_model(layer: Layer) -> bool:
    """Whether a model made what is in a layer, as far as is known."""
    record = record_of(layer)
    return record is not None and bool(record.models)


def is_opened(layer: Layer) -> bool:
    """Whether a layer comes from a file, a sample or a function of another plugin: not drawn in this session."""
    source: Any = layer.source  # napari declares its `parent` as a layer and keeps a weak reference
    if source.path or source.sample or source.widget is not None or noted(layer).get("source"):
        return True
    if source.parent is None:
        return False
    original = source.parent()
    return original is None or is_opened(original)


def is_judged(layer: Layer) -> bool:
    """Whether a slice of a layer counts as reviewed only if a person said so."""
    return record_of(layer) is not None or is_opened(layer)


def say_reviewed(layer: Labels, slices: Iterable[int]) -> None:
    """Note in a layer which slices were reviewed."""
    record = record_of(layer)
    if record is None:
        record = Record("" if is_opened(layer) else "draw", time=now())
    put_record(layer, record.with_reviewed(slices))


def touched(item: Sequence[tuple[Any, ...]], ndim: int) -> set[int]:
    """The slices that a step of napari's undo history changed: each of its parts begins with an index of the array."""
    if ndim < 3:
        return {0}
    found: set[int] = set()
    for where in (part[0][-3] for part in item):
        found |= set(range(where.start, where.stop)) if isinstance(where, slice) else set(np.unique(where).tolist())
    return found


def follow_strokes(layer: Layer) -> None:
    """From now on, slices of a layer that a person paints on count as reviewed; following it twice changes nothing."""
    if isinstance(layer, Labels) and layer.ndim in (2, 3):
        layer.events.paint.connect(_painted)


def _painted(event: Any) -> None:
    layer = event.source
    if is_judged(layer):
        record = record_of(layer)
        earlier = record.reviewed if record else ()
        say_reviewed(layer, {*earlier, *touched(event.value, layer.ndim)})
