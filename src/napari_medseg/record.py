"""`Record`: the one description of how an array came to be: what was run, on what, with which models and settings.

It lies under the key `KEY` in ``Volume.metadata`` and so in the metadata of a layer; files keep it in their notes.

Stable, for whoever builds on it: the fields of `Record`, `Item` and `UsedModel` and their names in JSON (schema 1),
`Record.to_json` and `Record.from_json` with the fields that they do not know, `Record.sealed`, `Record.fingerprint`,
`Record.changes`, `file_hash` and `voxel_hash`. A record holds no user, host or folder: paths are cut to their last
part.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .version import __version__

KEY = "record"
"""Name under which ``Volume.metadata`` holds a `Record`."""

SCHEMA = 1

RESULTS = 1
"""Part of every fingerprint; raised when a release may give other results for the same inputs, models and settings."""

UNDECIDING = ("device", "batch")
"""Settings that do not decide about a result, only where and in which portions it is computed."""

_ID_DIGITS = 16

_logger = logging.getLogger(__name__)


def _many(element: type) -> Any:
    """A field that holds a tuple of `element`."""
    return field(default=(), metadata={"of": element})


@dataclass(frozen=True)
class UsedModel:
    """A model that was used in a run.

    Parameters
    ----------
    name, sha256, architecture : str
        As on its card.
    more : mapping
        Fields of later versions, which are kept.
    """

    name: str = ""
    sha256: str = ""
    architecture: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """An input or an output of a run.

    Parameters
    ----------
    role : str
        ``image``, ``labels``, ``kspace``, ``mask`` and the like.
    name : str
        Last part of its path only: names of folders may be those of patients.
    kind : str
        Format, as people call it.
    bytes : int
    sha256 : str
        Of the file.
    voxels : str
        SHA-256 of type, shape and voxels, whatever the container.
    axes : str
        As in `Volume`.
    shape : tuple of int
    affine : tuple of tuple of float
        As in `Volume`; empty when not known.
    classes : tuple of mapping
        A row per class of labels: ``id``, ``name``, ``voxels``, and the measured size where it is known.
    more : mapping
        Fields of later versions, which are kept.
    """

    role: str = ""
    name: str = ""
    kind: str = ""
    bytes: int = 0
    sha256: str = ""
    voxels: str = ""
    axes: str = ""
    shape: tuple[int, ...] = _many(int)
    affine: tuple[tuple[float, ...], ...] = _many(tuple)
    classes: tuple[Mapping[str, Any], ...] = _many(dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What was done, and what came of it.

    Parameters
    ----------
    what : str
        ``segment``, ``consensus``, ``reconstruct``, ``study``, ``evaluate``, ``train``, or ``draw`` for labels that a
        person has drawn.
    time : str
        UTC, for example ``2026-11-27T01:20:00Z``.
    software : mapping of str to str
        Versions.
    inputs, outputs : tuple of Item
    models : tuple of UsedModel
    settings : mapping
        Options of the job, as plain JSON values.
    place : mapping
        Where it was computed: device, batch, precision. Not part of the `id`.
    seconds : float
    warnings : tuple of str
    figures : mapping
        Numbers that the run found.
    reviewed : tuple of int
        Slices of the array that a person has looked at, counted from 0 over all axes before y and x.
    parents : tuple of str
        `id` of the records of its inputs.
    error, detail : str
        Why it failed; empty if it did not.
    schema : int
        Version of this description.
    id : str
        Short fingerprint.
    more : mapping
        Fields of later versions, which are kept.
    """

    what: str = ""
    time: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Item, ...] = _many(Item)
    models: tuple[UsedModel, ...] = _many(UsedModel)
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Item, ...] = _many(Item)
    seconds: float = 0.0
    warnings: tuple[str, ...] = _many(str)
    figures: Mapping[str, Any] = field(default_factory=dict)
    reviewed: tuple[int, ...] = _many(int)
    parents: tuple[str, ...] = _many(str)
    error: str = ""
    detail: str = ""
    schema: int = SCHEMA
    id: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what is not a finite number becomes null."""
        return plain(self)

    @classmethod
    def from_json(cls, content: Any) -> Record | None:
        """From what `to_json` made; parts that are malformed are left out. None if it is not an object."""
        if not isinstance(content, dict):
            return None
        return _read(cls, content)

    def normal(self) -> Record:
        """The same as it reads back from JSON."""
        return _read(Record, self.to_json())

    @property
    def version(self) -> str:
        """Of this package, when it made the record."""
        return self.software.get("napari-medseg", "")

    def report(self) -> dict[str, Any]:
        """What README describes as the report of a result.

        Groups of settings, figures and the ``classes`` of labels have keys of their own. Of several models that vote
        there are only ``models``; else ``model`` is the first one, or None.
        """
        models = [{"name": model.name, "sha256": model.sha256} for model in self.models]
        groups = {name: value for name, value in self.settings.items() if isinstance(value, Mapping)}
        single = {name: value for name, value in self.settings.items() if name not in groups}
        found: dict[str, Any] = {"version": self.version}
        if self.what != "consensus":
            found["model"] = models[0] if models else None
        if len(models) > 1:
            found["models"] = models
        found["settings"] = single
        found |= groups
        if "device" in self.place:
            found["device"] = self.place["device"]
        found |= self.figures
        for output in self.outputs:
            if output.role == "labels":
                found["classes"] = list(output.classes)
        found["seconds"] = self.seconds
        found["warnings"] = list(self.warnings)
        return found

    def deciding(self) -> dict[str, Any]:
        """The settings that decide about the result, as plain JSON values."""
        return _deciding(plain(self.settings))

    def fingerprint(self) -> str:
        """SHA-256 of what decides about the result: what was run, on which inputs, with which models and settings."""
        what = {
            "what": self.what,
            "inputs": self._input_hashes(),
            "models": self._model_hashes(),
            "settings": self.deciding(),
            "results": RESULTS,
        }
        text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _input_hashes(self) -> list[str]:
        return [item.sha256 or item.voxels for item in self.inputs]

    def _model_hashes(self) -> list[str]:
        return [model.sha256 for model in self.models]

    def sealed(self) -> Record:
        """The same with its `id`: call it when inputs, models and settings are complete."""
        return replace(self, id=self.fingerprint()[:_ID_DIGITS])

    def changes(self, other: Record) -> list[str]:
        """What decides about the result and is not the same in `other`, a later record, in words.

        A setting that one of them does not know, because it is of another release, does not count.
        """
        found = []
        if self.what != other.what:
            found.append(f"what '{self.what}' -> '{other.what}'")
        if self._input_hashes() != other._input_hashes():
            found.append("inputs")
        if self._model_hashes() != other._model_hashes():
            found.append(f"models '{_models_text(self)}' -> '{_models_text(other)}'")
        before = self.deciding()
        after = other.deciding()
        for name in sorted(before.keys() & after.keys()):
            if before[name] != after[name]:
                found.append(f"settings.{name} {before[name]!r} -> {after[name]!r}")
        return found

    def with_reviewed(self, slices: Iterable[int]) -> Record:
        """The same with other reviewed slices."""
        numbers = {int(number) for number in slices}
        return replace(self, reviewed=tuple(sorted(numbers)))


_Kind = TypeVar("_Kind", bound=Record | Item | UsedModel)


def now() -> str:
    """The time as a record has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def software() -> dict[str, str]:
    """Versions that may decide about a result; PyTorch only where it is loaded."""
    found = {"napari-medseg": __version__, "numpy": np.__version__, "python": platform.python_version()}
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = str(torch.__version__)
        found["cpu"] = str(torch.backends.cpu.get_cpu_capability())
    found["os"] = platform.system()
    return found


def file_hash(*paths: Path) -> str:
    """SHA-256 of a file; of several, that of their sorted hashes: their names and order do not matter."""
    found = []
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        found.append(digest.hexdigest())
    if len(found) == 1:
        return found[0]
    together = "".join(sorted(found))
    return hashlib.sha256(together.encode()).hexdigest()


def voxel_hash(data: Any) -> str:
    """SHA-256 of type, shape and voxels of an array; one that stays on the disk is read slice (y, x) by slice."""
    digest = voxel_digest(data)
    places = [()] if isinstance(data, np.ndarray) else np.ndindex(tuple(data.shape[:-2]))
    for place in places:
        plane = np.ascontiguousarray(data[place], dtype=data.dtype.newbyteorder("<"))
        digest.update(plane.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def voxel_digest(data: Any) -> Any:
    """The hash of an array before its voxels, which are little-endian and in C order."""
    return hashlib.sha256(f"{np.dtype(data.dtype).newbyteorder('<').str} {tuple(data.shape)}".encode())


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` without those that decide nothing, in groups of settings too."""
    return {name: _without(value) for name, value in settings.items() if name not in UNDECIDING}


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _deciding(value)
    if isinstance(value, list):
        return [_without(each) for each in value]
    return value


def without_folders(value: Any) -> Any:
    """Plain JSON values in which absolute paths are cut to their last part: folders may name persons."""
    if isinstance(value, Mapping):
        return {key: without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _models_text(record: Record) -> str:
    return ", ".join(f"{model.name} {model.sha256[:8]}" for model in record.models)


def plain(value: Any) -> Any:
    """`value` as JSON holds it: lists for tuples and arrays, null for what is not finite."""
    if is_dataclass(value) and not isinstance(value, type):
        return _fields_of(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _fields_of(value: Any) -> dict[str, Any]:
    """Fields of a dataclass; small ones leave out what is empty."""
    whole = isinstance(value, Record) or not hasattr(value, "more")
    found = {}
    for each in fields(value):
        content = getattr(value, each.name)
        if each.name != "more" and (whole or content):
            found[each.name] = plain(content)
    more = plain(getattr(value, "more", {}))
    return {**more, **found}


def _read(kind: type[_Kind], content: Mapping[str, Any]) -> _Kind:
    """A dataclass of this module from its JSON object."""
    known = {each.name: each for each in fields(kind) if each.name != "more"}
    values: dict[str, Any] = {}
    for name in known.keys() & content.keys():
        try:
            values[name] = _value(known[name], content[name])
        except TypeError:
            _logger.warning("'%s' of a record is malformed and left out.", name)
    more = {name: each for name, each in content.items() if name not in known}
    return kind(**values, more=more)


def _value(spec: Field, raw: Any) -> Any:
    element = spec.metadata.get("of")
    if element is not None:
        return _tuple_of(element, raw)
    if isinstance(spec.default, str | int | float):
        return _as(type(spec.default), raw)
    return _as(dict, raw)


def _tuple_of(element: type, raw: Any) -> tuple[Any, ...]:
    return tuple(_as(element, each) for each in _as(list, raw))


def _as(kind: type, raw: Any) -> Any:
    """`raw` if it is of the `kind`; a number for a float, a tuple of numbers for a tuple."""
    if kind is Item or kind is UsedModel:
        return _read(kind, _as(dict, raw))
    if kind is tuple:
        return _tuple_of(float, raw)
    if kind is float and type(raw) is int:
        return float(raw)
    if type(raw) is not kind:
        raise TypeError(f"{raw!r} is not of type {kind.__name__}")
    return raw
