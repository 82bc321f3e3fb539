"""The authors' checkpoints: their key names, what their tensors determine, and the way to our modules and back."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file as load_safetensors
from torch import nn

from .. import files
from ..errors import ModelError
from .key_maps import Published
from .registry import ARCHITECTURES, build, published_names
from .registry import architecture as find_architecture

_log = logging.getLogger(__name__)


_WRAPPERS = ("model_state_dict", "state_dict", "model")
_NUMBERS = {"f4": np.float32, "f8": np.float64, "i8": np.int64}  # numpy numbers that a checkpoint may hold
_MOST_WRAPPERS = 8  # a dictionary that wraps itself would go on for ever
_LEADING = re.compile(r"^((module|model|net|student)\.)+")


def layout(architecture: str) -> Published:
    """How the authors' files of an architecture are read.

    Raises
    ------
    ModelError
        If none are known.
    """
    row = ARCHITECTURES.get(architecture)
    if row is None or row.published is None:
        raise ModelError(
            f"No published checkpoints are known for '{architecture}'; choose one of {', '.join(published_names())}."
        )
    return row.published


def from_published(architecture: str, state: Mapping[str, Any], **options: Any) -> nn.Module:
    """Build our module from a checkpoint in the authors' key names.

    Parameters
    ----------
    architecture : str
        For example ``litenext``.
    state : mapping
        The state dictionary, bare or inside a training dictionary, as `read_checkpoint` returns it; ``module.`` and
        the like before a key are stripped, what belongs to training only is dropped.
    **options
        What tensors cannot determine, for example ``dilation``.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    ModelError
        If the checkpoint is of another network; names what is missing, unknown or of the wrong shape.
    """
    entry = layout(architecture)
    title = find_architecture(architecture).title
    theirs = _weights(state, entry.dropped)
    for pattern, what in entry.others.items():
        if any(re.match(pattern, key) for key in theirs):
            raise ModelError(f"This checkpoint is {what}, not {title} as published. Only the published layout loads.")
    try:
        inferred = {"out_channels": len(theirs[entry.classes])}
        inferred |= entry.options(theirs)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        first = ", ".join(sorted(theirs)[:3])
        raise ModelError(
            f"This is not a checkpoint of {title} as its authors write it: {error} is missing or not a tensor; its "
            f"keys begin with {first}. Choose the architecture that the file was trained with."
        ) from error
    theirs = {key: value for key, value in theirs.items() if not re.search(entry.derived, key)}
    network = build(architecture, **(inferred | options))
    names = {key: _rename(key, entry.prefixes) for key in network.state_dict()}
    wrong = sorted(set(names.values()) ^ set(theirs))
    if wrong:
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise ModelError(f"The checkpoint does not fit {title}: missing or unknown are {', '.join(wrong[:8])}{more}.")
    try:
        network.load_state_dict({ours: theirs[upstream] for ours, upstream in names.items()})
    except RuntimeError as error:
        last = str(error).splitlines()[-1]
        raise ModelError(f"The checkpoint does not fit {title}: {last.strip()}") from error
    ignored = find_architecture(architecture).unused
    unused = sorted(upstream for ours, upstream in names.items() if re.search(ignored, ours))
    if unused:
        _log.info("%d published entries are ignored: %s", len(unused), ", ".join(unused))
    return network.eval()


def to_published(architecture: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """State dictionary of `network` in the authors' key names; an architecture without any keeps its own."""
    state = network.state_dict()
    published = find_architecture(architecture).published
    if published is None:
        return dict(state)
    return {_rename(key, published.prefixes): value for key, value in state.items()}


def _rename(key: str, prefixes: Mapping[str, str]) -> str:
    prefix = max((p for p in prefixes if key.startswith(p + ".")), key=len)
    return prefixes[prefix] + key[len(prefix) :]


def _weights(state: Mapping[str, Any], dropped: str) -> dict[str, Any]:
    """Entries of the network itself, by their names in the authors' module."""
    state = _unwrapped(state)
    weights = {}
    training = []
    for key, value in state.items():
        name = _LEADING.sub("", str(key))
        if re.match(dropped, name):
            training.append(name)
        else:
            weights[name] = value
    if not weights or len(weights) + len(training) < len(state):
        raise ModelError(
            "The checkpoint holds no weights, or two networks at once, for example 'net.' and 'student.'. "
            "Give the state dictionary of one network."
        )
    if training:
        _log.info("Left out %d entries that belong to training only: %s ...", len(training), training[0])
    for key, value in weights.items():
        # a few bytes can declare any shape: such a tensor must not decide how large the network is built
        if isinstance(value, torch.Tensor) and _declared_bytes(value) > value.untyped_storage().nbytes():
            raise ModelError(
                f"The checkpoint is damaged: '{key}' declares {tuple(value.shape)} but holds fewer values."
            )
    return weights


def _unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The innermost dictionary of those that training wraps around the weights."""
    for _ in range(_MOST_WRAPPERS):
        inner = next((state[key] for key in _WRAPPERS if isinstance(state.get(key), Mapping)), None)
        if inner is None:
            break
        state = inner
    return state


def _declared_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file without running any code in it.

    Parameters
    ----------
    path : pathlib.Path
        Safetensors, or what ``torch.save`` wrote: a state dictionary, or a training dictionary that may hold numpy
        scalars. The content decides, not the name.

    Returns
    -------
    dict
        As stored, tensors on the CPU; `from_published` finds the weights in it.

    Raises
    ------
    ModelError
        If the file cannot be read, is damaged, or holds anything but numbers, text and tensors.
    """
    advice = "Give the authors' .pt or .pth file or a .safetensors file, complete."
    files.refuse_special(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] == b"{":
            return load_safetensors(path)
        _check_unpacked_size(path)
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(
            f"The checkpoint '{path.name}' cannot be read ({error.strerror or error}). {advice}"
        ) from error
    except Exception as error:  # what PyTorch raises on damaged files is not foreseen
        raise ModelError(
            f"The checkpoint '{path.name}' is damaged, or holds more than tensors, numbers and text. {advice}"
        ) from error
    if not isinstance(content, Mapping):
        raise ModelError(
            f"The checkpoint '{path.name}' holds a {type(content).__name__}; expected a state dictionary. {advice}"
        )
    return dict(content)


def _check_unpacked_size(path: Path) -> None:
    """Refuse archives whose parts are larger than the file: PyTorch never compresses them."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > path.stat().st_size:
        raise ValueError(f"it would unpack to {size / 1e6:.0f} MB")


class _Kind:
    """What stands for ``numpy.dtype`` while a checkpoint is read: numpy's own ends the process on a damaged state."""

    def __init__(self, name: str, *flags: object):
        self.dtype = np.dtype(_NUMBERS[name])

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Of a number only the order of its bytes."""
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


def _number(kind: _Kind, content: bytes) -> Any:
    """A numpy number."""
    (number,) = np.frombuffer(content, kind.dtype)
    return number


def _numpy_scalars() -> list[Any]:
    """What unpickling a numpy number needs; files written with NumPy 1 call the function by its old place."""
    places = [(_number, f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")]
    return [*places, _Kind, (_Kind, "numpy.dtype")]
