"""Tools that carry outlines from slice to slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .common import Box, Change, Where, box_of, guarded, nothing, padded
from .pieces import holes
from .values import image_of

_ROOM = 24  # pixels around a class that the image is compared in: organs move less from slice to slice
_LONGEST = 160  # pixels of the longer side of what is compared
_RADIUS = 7  # pixels of the window of the optical flow


def interpolate(labels: np.ndarray, where: Where) -> Change:
    """Draw classes on the slices between those on which they are drawn.

    The signed distances to both outlines are shifted to the centroid in between and blended; the outer and the inner
    outline of a ring are drawn apart. Where several classes claim a voxel, the one with the largest value gets it.
    Nothing is drawn beyond the first and the last slice, nor next to a drawn slice without the class.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
        Its `drawn` slices are the ends, and the slices between them are drawn anew; by default every slice that holds
        the class is an end.

    References
    ----------
    Raya and Udupa, IEEE Trans Med Imaging 9:32, 1990 (shape-based interpolation).
    """
    region = where.region(labels)
    first = where.planes.start
    values = region.copy()
    best = np.zeros(region.shape, np.float32)
    for number in where.open_classes:
        for start, end in _gaps(region, number, where.drawn, first):
            between = slice(start + 1, end)
            values[between][values[between] == number] = 0
    for number in where.open_classes:
        for start, end in _gaps(region, number, where.drawn, first):
            _fill_gap(region, values, best, number, (start, end), where.spacing[1:])
    box = box_of(values != region)
    return nothing(labels) if box is None else guarded(labels, where, box, values[box])


def _gaps(region: np.ndarray, number: int, drawn: frozenset[int] | None, first: int) -> list[tuple[int, int]]:
    """Pairs of slices of a region with a gap between them that a class is to be drawn in."""
    holding = np.flatnonzero((region == number).any(axis=(1, 2))).tolist()
    ends = holding if drawn is None else sorted(place - first for place in drawn if 0 <= place - first < len(region))
    pairs = [pair for pair in pairwise(ends) if pair[1] - pair[0] > 1]
    return [pair for pair in pairs if pair[0] in holding and pair[1] in holding]


def _fill_gap(
    region: np.ndarray,
    values: np.ndarray,
    best: np.ndarray,
    number: int,
    ends: tuple[int, int],
    spacing: Sequence[float],
) -> None:
    start, end = ends
    outlines = _outlines(region[start] == number, region[end] == number)
    both = box_of((outlines[0].here | outlines[0].there)[None])
    if both is None:
        return
    # twice the way: what is shifted into the picture is then known
    room = 2 * int(np.ceil(max(np.abs(outline.way).max() for outline in outlines))) + 2
    _, rows, columns = padded(both, (0, room, room), (1, *region.shape[1:]))
    distances = [outline.distances(rows, columns, spacing) for outline in outlines]
    for place in range(start + 1, end):
        share = (place - start) / (end - start)
        outer, *inner = (_blend(*each, share) for each in zip(distances, outlines, strict=True))
        blended = np.minimum(outer, -inner[0]) if inner else outer
        free = (values[place][rows, columns] == 0) | (best[place][rows, columns] > 0)
        wins = (blended > best[place][rows, columns]) & free
        values[place][rows, columns][wins] = number
        best[place][rows, columns][wins] = blended[wins]


@dataclass(frozen=True, eq=False)
class _Outline:
    """A form on the two slices (y, x) next to a gap."""

    here: np.ndarray
    there: np.ndarray

    @property
    def way(self) -> np.ndarray:
        """From the one centroid to the other."""
        return np.argwhere(self.there).mean(axis=0) - np.argwhere(self.here).mean(axis=0)

    def distances(self, rows: slice, columns: slice, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """To this outline, in a box of both slices."""
        here, there = (_signed_distance(mask[rows, columns], spacing) for mask in (self.here, self.there))
        return here, there


def _outlines(here: np.ndarray, there: np.ndarray) -> list[_Outline]:
    """The outline of a class on both slices; of a ring the outer and the inner one, so that thin rings stay closed."""
    inside = [holes(mask[None], per_slice=True)[0] for mask in (here, there)]
    if not all(hole.any() for hole in inside):
        return [_Outline(here, there)]
    return [_Outline(here | inside[0], there | inside[1]), _Outline(*inside)]


def _signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance to the outline of a mask (y, x) in mm: above 0 inside."""
    from scipy import ndimage

    padding = np.pad(mask, 1, mode="edge")
    outside = ndimage.distance_transform_edt(~padding, spacing)
    within = ndimage.distance_transform_edt(padding, spacing) if not padding.all() else np.full(padding.shape, 1.0)
    return (within - outside)[1:-1, 1:-1].astype(np.float32)


def _blend(distances: tuple[np.ndarray, np.ndarray], outline: _Outline, share: float) -> np.ndarray:
    """Signed distance to an outline on a slice between the two."""
    from scipy import ndimage

    way = outline.way
    ahead = ndimage.shift(distances[0], way * share, order=1, mode="nearest")
    back = ndimage.shift(distances[1], -way * (1 - share), order=1, mode="nearest")
    return (1 - share) * ahead + share * back


def propagate(labels: np.ndarray, where: Where, step: int = 1) -> Change:
    """Carry the classes of a slice to the next one, as the image moves between the two.

    What the next slice held of these classes is replaced; other classes stay.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
        Its first slice is carried; with its image.
    step : int
        1 for the next slice, -1 for the previous one.

    Raises
    ------
    VolumeError
        If there is no image.

    References
    ----------
    Le Besnerais and Champagnat, ICIP 2005 (iterative Lucas-Kanade, as in scikit-image).
    """
    image = image_of(where)
    here = where.planes.start
    there = here + step
    source = labels[here]
    box = box_of(np.isin(source, where.open_classes)[None])
    if not 0 <= there < len(labels) or box is None:
        return nothing(labels)
    _, rows, columns = padded(box, (0, _ROOM, _ROOM), (1, *source.shape))
    moved = _flow(image[here][rows, columns], image[there][rows, columns])
    values = labels[there].copy()
    values[np.isin(values, where.open_classes)] = 0
    part = values[rows, columns]
    carried = _carried(source[rows, columns], where.open_classes, moved)
    free = part == 0
    part[free] = carried[free]
    whole: Box = (slice(0, 1), slice(0, source.shape[0]), slice(0, source.shape[1]))
    target = Where(where.classes, range(there, there + 1), where.spacing, where.protected)
    return guarded(labels, target, whole, values[None])


def _flow(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Where each pixel of the next slice comes from: shape (2, y, x)."""
    from scipy import ndimage
    from skimage.registration import optical_flow_ilk
    from skimage.transform import downscale_local_mean

    both = np.nan_to_num(np.stack([here, there]).astype(np.float32))
    low, high = np.percentile(both, (0.5, 99.5))
    scaled = np.clip((both - low) / max(float(high - low), 1e-9), 0, 1)
    coarse = -(-max(here.shape) // _LONGEST)  # large organs move as a whole: fewer pixels say as much
    small = downscale_local_mean(scaled, (1, coarse, coarse)).astype(np.float32)
    flow = optical_flow_ilk(small[1], small[0], radius=_RADIUS) * coarse
    places = np.indices(here.shape, dtype=np.float32)
    if coarse > 1:
        lookup = (places + 0.5) / coarse - 0.5
        flow = np.stack([ndimage.map_coordinates(part, lookup, order=1, mode="nearest") for part in flow])
    return places + flow


def _carried(source: np.ndarray, classes: Sequence[int], places: np.ndarray) -> np.ndarray:
    """The classes of a slice at other places; a pixel gets the class that covers at least half of it."""
    from scipy import ndimage

    found = np.zeros(source.shape, source.dtype)
    most = np.full(source.shape, 0.5, np.float32)
    for number in classes:
        mask = (source == number).astype(np.float32)
        if mask.any():
            cover = ndimage.map_coordinates(mask, places, order=1, mode="nearest")
            more = cover >= most
            found[more] = number
            most[more] = cover[more]
    return found
