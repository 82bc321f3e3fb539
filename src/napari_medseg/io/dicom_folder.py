"""A folder of DICOM files as napari opens it: the images, and the segmentations that lie next to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import FileError, readable
from ..reference import KEY, Reference
from ..volume import Volume
from . import dicom, formats
from .clutter import is_clutter
from .notes import NAME
from .pairing import names

_logger = logging.getLogger(__name__)


def read_all(path: Path) -> list[Volume]:
    """Read a DICOM series, and from a folder the labels that were made on it too.

    Parameters
    ----------
    path : pathlib.Path
        As for `dicom.read`. A folder may also hold nothing but one segmentation.

    Raises
    ------
    FileError
        As of `dicom.read`; or if the folder holds several segmentations and no image. What is wrong with a
        segmentation next to images is logged.
    """
    if not path.is_dir():
        return [dicom.read(path)]
    found = [file for file in sorted(path.iterdir()) if file.is_file() and not is_clutter(file)]
    of_dicom = [file for file in found if formats.is_dicom(file)]
    segmentations = [file for file in of_dicom if formats.recognise(file) is formats.DICOM_SEG]
    if not segmentations:
        return [dicom.read(path)]
    from . import dicom_seg_read

    if len(segmentations) == len(of_dicom):
        if len(segmentations) > 1:
            raise FileError(
                f"The folder '{path.name}' holds {len(segmentations)} segmentations ({names(segmentations)}) and no "
                "images. Open one of the files."
            )
        return dicom_seg_read.read_all(segmentations[0])
    image = dicom.read(path)
    return [image, *labels_made_on(image, segmentations)]


def labels_made_on(image: Volume, segmentations: Sequence[Path]) -> list[Volume]:
    """Those labels of segmentations that were made on an image; named by their files if there are several of these.

    What is wrong with a segmentation is logged, and it is left out.
    """
    from . import dicom_seg_read

    found: list[Volume] = []
    for file in segmentations:
        try:
            layers = dicom_seg_read.read_all(file)
        except FileError as error:
            _logger.warning("%s It is left out.", error)
            continue
        if len(segmentations) > 1:
            name = readable(formats.stem(file))
            layers = [replace(layer, metadata={**layer.metadata, NAME: name}) for layer in layers]
        found += [layer for layer in layers if _belongs(layer, image)]
    return found


def _belongs(labels: Volume, image: Volume) -> bool:
    """Whether labels were made on an image."""
    known = labels.metadata.get(KEY)
    return isinstance(known, Reference) and known.series_uid == image.metadata.get("series_uid")
