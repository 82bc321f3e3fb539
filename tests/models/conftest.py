"""The common rule of the reference fixtures: the same made-up weights on both sides (no trained ones are stored)."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

REFERENCE = Path(__file__).parents[1] / "reference"


def _fill(key, shape):
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    value = np.asarray(rng.standard_normal(shape) * 0.05).astype(np.float32)
    if key.endswith("running_var"):
        value = abs(value) + np.float32(0.5)
    elif len(shape) == 1 and key.endswith(".weight"):
        value = 1 + value
    return torch.from_numpy(value)


@pytest.fixture
def fill():
    """Callable: key in the authors' file and shape -> weights."""
    return _fill


@pytest.fixture
def reference():
    """Callable: name of a fixture file below tests/reference -> its arrays."""

    def read(name):
        with np.load(REFERENCE / name, allow_pickle=False) as file:
            return dict(file)

    return read


@pytest.fixture(scope="session")
def litenext_layout():
    """Callable: depthwise kernel -> the authors' keys and shapes."""
    raw = json.loads((REFERENCE / "litenext" / "state_dict.json").read_text())
    return lambda kernel: {row["key"]: tuple(row["shape"]) for row in raw[f"kernel_{kernel}"]["entries"]}


@pytest.fixture
def litenext_state(litenext_layout):
    """Callable: depthwise kernel and what to put before each key for filling -> the authors' state dictionary."""
    return lambda kernel=7, prefix="": {k: _fill(prefix + k, s) for k, s in litenext_layout(kernel).items()}
