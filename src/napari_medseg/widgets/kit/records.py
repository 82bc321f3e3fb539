"""What a layer remembers of its making: the `Record` in its metadata, and which slices a person has reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
