"""The XML header of ISMRMRD, which fastMRI's files have too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from . import checks

_Size = tuple[int, int, int]


@dataclass(frozen=True)
class Header:
    """What the first ``encoding`` of a header says; None for what is not there. Sizes are (x, y, z), x the readout.

    Parameters
    ----------
    encoding, recon : (int, int, int) or None
        Matrix of the k-space and of the image.
    encoding_fov, recon_fov : (float, float, float) or None
        Fields of view in mm.
    centre, last : int or None
        Phase-encoding step of zero frequency, and the highest one.
    partition_centre : int or None
        Zero frequency of the second phase encoding.
    trajectory : str
        ``cartesian``, or another one; empty if not stated.
    """

    encoding: _Size | None = None
    recon: _Size | None = None
    encoding_fov: tuple[float, ...] | None = None
    recon_fov: tuple[float, ...] | None = None
    centre: int | None = None
    last: int | None = None
    partition_centre: int | None = None
    trajectory: str = ""

    @property
    def shift(self) -> int:
        """Column of phase-encoding step 0."""
        return 0 if self.encoding is None or self.centre is None else self.encoding[1] // 2 - self.centre

    def crop(self, rows: int, columns: int) -> tuple[int, int] | None:
        """Rows and columns of the image that is shown; a square where the matrix has fewer columns than that."""
        if self.recon is None:
            return None
        size = self.recon[:2] if columns >= self.recon[1] else (columns, columns)
        return min(size[0], rows), min(size[1], columns)

    def acquired(self, columns: int) -> tuple[int, int] | None:
        """First acquired column and the one after the last, see `KSpace`."""
        if self.encoding is None or self.encoding[1] != columns or self.last is None or self.centre is None:
            return None
        left, right = max(self.shift, 0), min(self.shift + self.last + 1, columns)
        return (left, right) if left < right and (left, right) != (0, columns) else None

    def spacing(self, crop: tuple[int, int] | None) -> tuple[float, float, float] | None:
        """Size of a voxel (z, y, x) in mm: that of the image, or that of the matrix where the crop is another one."""
        matrix, fov = self.recon, self.recon_fov
        if matrix is None or crop != matrix[:2]:
            matrix, fov = self.encoding, self.encoding_fov
        if matrix is None or fov is None:
            return None
        x, y, z = (mm / n for mm, n in zip(fov, matrix, strict=True))
        return (z, x, y) if min(x, y, z) > 0 and math.isfinite(x + y + z) else None

    def metadata(self) -> dict[str, Any]:
        """Sizes for the metadata of `KSpace`."""
        return {name: size for name, size in (("encoding_size", self.encoding), ("recon_size", self.recon)) if size}


def parse_header(path: Path, text: str) -> Header:
    """Read the XML header.

    Raises
    ------
    FileError
        If it is not such XML.
    """
    with checks.damaged(path):
        # entities can blow a few bytes up to gigabytes
        if "<!DOCTYPE" in text:
            raise ValueError("its header declares a document type")
        encoding = ElementTree.fromstring(text).find("{*}encoding")
        if encoding is None:
            return Header()
        return Header(
            _triple(encoding, "encodedSpace", "matrixSize", int),
            _triple(encoding, "reconSpace", "matrixSize", int),
            _triple(encoding, "encodedSpace", "fieldOfView_mm", float),
            _triple(encoding, "reconSpace", "fieldOfView_mm", float),
            _limit(encoding, "kspace_encoding_step_1", "center"),
            _limit(encoding, "kspace_encoding_step_1", "maximum"),
            _limit(encoding, "kspace_encoding_step_2", "center"),
            (encoding.findtext("{*}trajectory") or "").strip().lower(),
        )


def _triple(encoding: ElementTree.Element, space: str, kind: str, number: type) -> Any:
    texts = [encoding.findtext(f"{{*}}{space}/{{*}}{kind}/{{*}}{axis}") for axis in "xyz"]
    if None in texts:
        return None
    values = tuple(number(text) for text in texts)
    if number is int and min(values) < 1:
        raise ValueError(f"its header gives {space} the size {values}")
    return values


def _limit(encoding: ElementTree.Element, step: str, name: str) -> int | None:
    text = encoding.findtext(f"{{*}}encodingLimits/{{*}}{step}/{{*}}{name}")
    return None if text is None else int(text)
