"""What ome-zarr-py (which napari-ome-zarr reads with) and ome-zarr-models see in stores, and stores that they write.

``python judge.py read STORE...`` writes a JSON list; ``python judge.py write ORDERS.json`` writes stores.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import ome_zarr_models
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr.writer import write_multiscale


def read(path):
    """The kind of group that the models take a store for, and what the reader finds in each of its images."""
    version = "0.5" if (Path(path) / "zarr.json").exists() else "0.4"
    kind = type(ome_zarr_models.open_ome_zarr(path, version=version)).__name__
    images = []
    for node in Reader(parse_url(path))():
        if not node.data:  # the group of the labels
            continue
        finest = np.ascontiguousarray(node.data[0].compute())
        images.append(
            {
                "shapes": [level.shape for level in node.data],
                "steps": node.metadata["coordinateTransformations"],
                "axes": [axis["name"] for axis in node.metadata["axes"]],
                "units": sorted({axis.get("unit", "") for axis in node.metadata["axes"] if axis["type"] == "space"}),
                "colours": {str(number): list(rgba) for number, rgba in (node.metadata.get("color") or {}).items()},
                "dtype": finest.dtype.str,
                "voxels": hashlib.sha256(finest).hexdigest(),
            }
        )
    return {"kind": kind, "images": images}


def write(path, voxels, version, axes, scale, translation):
    """A store of an image."""
    old = version == "0.4"
    group = zarr.open_group(path, mode="w", zarr_format=2 if old else 3)
    kinds = {"t": "time", "c": "channel"}
    rows = [{"name": name, "type": kinds.get(name, "space")} for name in axes]
    rows = [row | ({"unit": "millimeter"} if row["type"] == "space" else {}) for row in rows]
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    form = FormatV04() if old else FormatV05()
    write_multiscale([np.load(voxels)], group, fmt=form, axes=rows, coordinate_transformations=[steps])
    ome_zarr_models.open_ome_zarr(path, version=version)


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    if task == "read":
        sys.stdout.write(json.dumps([read(path) for path in words]))
    else:
        for order in json.loads(Path(words[0]).read_text()):
            write(**order)
