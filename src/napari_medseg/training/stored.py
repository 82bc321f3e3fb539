"""What a checkpoint may hold: PyTorch takes over numbers and states without a look at them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


def number(value: Any, kind: type) -> Any:
    """A number out of a checkpoint; counts are not negative."""
    impossible = not isinstance(value, kind) or isinstance(value, bool) or math.isnan(value)
    if impossible or (kind is int and value < 0):
        raise ValueError(f"{value!r} is not such a number")
    return value


def check_alike(found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Make sure that a stored state, which replaces the own one unseen, has its names and types."""
    kinds = {name: type(value) for name, value in found.items()}
    if kinds != {name: type(value) for name, value in own.items()}:
        raise ValueError("another kind of state")


def check_moments(optimizer: torch.optim.Optimizer) -> None:
    """Make sure that what an optimizer remembers of its parameters has their shapes: it does not look itself."""
    for parameter, moments in optimizer.state.items():
        for value in moments.values():
            if isinstance(value, torch.Tensor) and value.shape not in ((), parameter.shape):
                raise ValueError("the optimizer is that of another network")
