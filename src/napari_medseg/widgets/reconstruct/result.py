"""The layer that a reconstruction becomes, slice by slice, and what it remembers of its making."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from napari.layers import Image, Layer

from ...quantities import duration
from ...recon.reconstruct import DIFFERS, Part, Reconstruction, used_text
from ...record import KEY as RECORD
from ...record import Record, now, software
from ..kit.layer_volumes import shown_slice, shows_slices
from ..kit.listing import Selection, add_layer, remove_layer
from ..kit.records import is_opened, put_record, record_of
from .scans import Scan

if TYPE_CHECKING:
    from napari import Viewer


def reconstruction_of(layer: Layer) -> Record | None:
    """How a layer came to be, if it is a reconstruction."""
    record = record_of(layer)
    return record if record is not None and record.what == "reconstruct" else None


def is_result(layer: Image) -> bool:
    """Whether a layer was reconstructed in this session: an opened one can also serve as a scan or a reference."""
    return reconstruction_of(layer) is not None and not is_opened(layer)


def is_partial(layer: Image) -> bool:
    """Whether a layer is a reconstruction that was cancelled."""
    record = reconstruction_of(layer)
    return record is not None and bool(record.figures.get("partial"))


def is_finished_further(layer: Image) -> bool:
    """Whether a layer is a reconstruction that was filtered or interpolated."""
    record = reconstruction_of(layer)
    return record is not None and bool(record.settings.get("gibbs") or record.settings.get("interpolate"))


def done_text(found: Reconstruction) -> str:
    """What is said of a finished run."""
    report = found.report
    acceleration = report["mask"]["effective_acceleration"]
    text = f"Done in {duration(report['seconds'])}: {acceleration:.2f}x, {used_text(report['used'])}. "
    text += (
        f"Data residual {report['residual_before_consistency']:.3f} before data consistency (noise "
        f"{report['noise']:.3f}), {found.residual:.3f} after."
    )
    differs = [f"⚠ {note}" for note in report["warnings"] if note.startswith(DIFFERS)]
    return "\n".join([text, *differs])


class Result:
    """The layer of one run: it appears with its first slice and vanishes when the run is given up.

    Parameters
    ----------
    viewer : napari.Viewer
    scan : Scan
    method : str
    learned : bool
        Whether a network estimates it.
    finer : int
        Pixels for each one of the scan, along y and x.
    """

    def __init__(self, viewer: Viewer, scan: Scan, method: str, learned: bool, finer: int = 1):
        self.layer: Image | None = None
        self._viewer, self._scan, self._method = viewer, scan, method
        self._learned = learned
        self._finer = finer
        rows, columns = scan.size
        self._images = np.zeros((scan.kspace.slices, finer * rows, finer * columns), np.float32)
        self._residuals: dict[int, float] = {}
        self._selection = Selection(viewer)

    def show(self, part: Part) -> None:
        """Add a finished slice."""
        self._images[part.index] = part.image
        self._residuals[part.index] = part.residual
        if self.layer is None:
            notes = {"simulated": self._scan.kspace.simulated, RECORD: self._unfinished()}
            data, options = self._scan.layer(self._images, self._name(self._method), notes, self._finer)
            self.layer = add_layer(self._viewer, Image(data, **options))
            self.layer.editable = False
        elif self.layer in self._viewer.layers and self._in_view(self.layer, part.index):
            self.layer.refresh(extent=False, highlight=False, thumbnail=False)

    def finish(self, found: Reconstruction) -> Image:
        """Hand the finished layer over to the person."""
        layer = cast(Image, self.layer)  # it came with the first slice
        if layer in self._viewer.layers:
            put_record(layer, found.record)
            used = found.record.figures["used"]["method"]
            if used != self._method:
                layer.name = self._name(used)
            layer.editable = True
            layer.refresh()
        return layer

    def discard(self) -> None:
        """Leave the viewer as it was before the run."""
        remove_layer(self._viewer, self.layer)
        self._selection.restore()

    def _name(self, method: str) -> str:
        signs = (" (simulated)", self._scan.kspace.simulated), (" (estimated)", self._learned)
        return f"{self._scan.name} {method}" + "".join(sign for sign, applies in signs if applies)

    def _unfinished(self) -> Record:
        done = sorted(self._residuals)
        figures = {
            "partial": True,
            "simulated": self._scan.kspace.simulated,
            "slices": done,
            "residual_by_slice": [self._residuals[index] for index in done],
        }
        settings = {"method": self._method}
        return Record("reconstruct", time=now(), software=software(), settings=settings, figures=figures)

    def _in_view(self, layer: Image, index: int) -> bool:
        return shows_slices(self._viewer) and shown_slice(self._viewer, layer, self._scan.axes) == index
