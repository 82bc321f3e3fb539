"""How a cine is played: what napari has for it, and how fast the heart or the contrast medium really was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_UNITS = {8: 1.0, 16: 1e-3, 24: 1e-6}  # of NIfTI's codes of time, in seconds
_TIME = 0b111000  # bits of xyzt_units that hold the code of time
_FASTEST = 200  # frames per second; beyond it a file is wrong


def frame_seconds(metadata: Mapping[str, Any]) -> float:
    """Seconds from one time point to the next, as the notes of a volume say; NaN if they do not."""
    notes = metadata.get("nifti") or {}
    unit = _UNITS.get(int(notes.get("fields", {}).get("xyzt_units", 0)) & _TIME)
    step = float((notes.get("time") or (0.0,))[0])
    seconds = math.nan if unit is None else step * unit
    return seconds if seconds >= 1 / _FASTEST else math.nan


def is_cine(axes: str, metadata: Mapping[str, Any]) -> bool:
    """Whether the time axis of a volume is one of time, and not of echoes or b-values."""
    differ = str(metadata.get("t_axis", ""))
    return "t" in axes and (not differ or "temporal" in differ)


def true_fps(seconds: float) -> int:
    """Whole frames per second at which time points so far apart are played as they were; 0 if that is not known."""
    return 0 if math.isnan(seconds) else max(1, round(1 / seconds))


def play_text(name: str, frames: int, slider: str, seconds: float, fps: int) -> str:
    """How to play a cine, in a line.

    Parameters
    ----------
    name : str
        Of its layer.
    frames : int
    slider : str
        Label of the slider of time; empty if there is none, because time lies on the canvas.
    seconds : float
        Between two of them; NaN if it is not known.
    fps : int
        Frames per second at which napari plays.
    """
    if not slider:
        return f"'{name}' has {frames} time points. To play them, press As stored: time lies on the canvas now."
    how = f"'{name}': ▶ at slider {slider} plays its {frames} time points, a right click on it sets the speed."
    if math.isnan(seconds):
        return f"{how} napari plays {fps} a second; the file does not say how fast it was."
    return f"{how} It was {true_fps(seconds)} a second; napari plays {fps}."
