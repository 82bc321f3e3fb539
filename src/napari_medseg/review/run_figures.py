"""What a run said of the labels that it made, as a table like that of a measurement."""

from __future__ import annotations

import math

from ..record import Record
from .measure import Measured
from .regions import Row


def of_run(record: Record | None) -> Measured | None:
    """Sizes of the classes as a run left them; None if the record does not say.

    Labels over time have voxels only: the sum of all time points is not a volume.
    """
    found = [item for item in record.outputs if item.role == "labels" and item.classes] if record else []
    if not found:
        return None
    item = found[0]
    timed = item.axes.startswith("t")
    rows = []
    unit = "px"
    for facts in item.classes:
        size = facts.get("volume_mm3", facts.get("area_mm2", math.nan))
        if not timed and isinstance(size, int | float) and math.isfinite(size):
            unit = "mm"
        rows.append(Row(facts.get("id", 0), str(facts.get("name", "")), voxels=facts.get("voxels", 0), size=size))
    return Measured(tuple(rows), unit=unit, flat="z" not in item.axes)
