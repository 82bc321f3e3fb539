"""Strokes of a person go on to the voxels that belong with them: a graph cut in the box around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import VolumeError
from .common import Change, Where, box_of, guarded, padded
from .values import image_of

if TYPE_CHECKING:
    from scipy import sparse

Plane = tuple[slice, slice]

NO_STROKES = (
    "Nothing was painted or erased on this slice since a tool changed it or it was approved. Paint or erase a few "
    "voxels first."
)

_BLUR = 1.0  # pixels: noise is not an outline
_OUTLINE = 0.15  # difference of neighbours that is an outline, as a share of the range of intensities in the box
_SAME = 0.5  # price of a cut where there is no outline
_LEAST = 0.1  # and on the sharpest one
_BETWEEN_CLASSES = 0.3  # share of this price where the labels differ already
_FAR = 2.0  # price of a voxel at the reach of the strokes
_LIKE = 0.3  # weight of the intensities
_PRICE = 0.1  # of any voxel
_NARROW = 0.05  # least standard deviation of the intensities of a class
_FEW = 5  # voxels that say nothing of a class
_RIM = 2.0  # pixels around a stroke: whose they are is the question
_UNIT = 1000  # capacities are whole numbers


def extend_strokes(labels: np.ndarray, where: Where, mm: float = 10.0) -> Change:
    """Give what was painted or erased on a slice the voxels around it that belong with it.

    Every class, and background where something was erased, is a minimum cut of its own: the strokes are its source, and
    voxels beyond the reach stay as they are. A voxel costs more the farther it is from the strokes and the less its
    intensity is that of the class; cutting costs less on an outline in the image. So a class gains voxels near its own
    strokes alone; of two that gain a voxel, the one with the nearer stroke gets it.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
        Its first slice is the one with the strokes, which are the difference to `before`; with its image.
    mm : float
        How far from the strokes voxels are gained.

    Raises
    ------
    VolumeError
        If there is no image, or nothing was painted.

    References
    ----------
    Boykov and Jolly, ICCV 2001 (interactive graph cuts).
    """
    image = image_of(where)
    here = where.planes.start
    now = labels[here]
    painted = np.zeros(now.shape, bool) if where.before is None else now != where.before
    if not painted.any():
        raise VolumeError(NO_STROKES)
    values = now.copy()
    nearest = np.full(now.shape, np.inf, np.float32)
    kept = painted | np.isin(now, sorted(where.protected))
    for number in np.unique(now[painted]).tolist():
        seeds = painted & (now == number)
        box, distance = _surroundings(seeds, where, mm)
        free = (distance <= mm) & (now[box] != number) & ~kept[box]
        pixels = _blurred(image[here][box])
        price = _price(pixels, now[box], seeds[box], distance, number)
        price += _FAR * (distance / mm) ** 2
        gained = _cut(pixels, now[box], now[box] == number, free, price)
        gained = _touching(gained, seeds[box]) & (distance < nearest[box])
        values[box][gained] = number
        nearest[box][gained] = distance[gained]
    whole = (slice(0, 1), slice(0, now.shape[0]), slice(0, now.shape[1]))
    return guarded(labels, where, whole, values[None])


def _blurred(image: np.ndarray) -> np.ndarray:
    """A part of a slice of an image, from 0 to 1."""
    from scipy import ndimage

    pixels = np.nan_to_num(image.astype(np.float32))
    low, high = np.percentile(pixels, (2, 98))
    scaled = np.clip((pixels - low) / max(float(high - low), 1e-9), 0, 1)
    return ndimage.gaussian_filter(scaled, _BLUR)


def _surroundings(seeds: np.ndarray, where: Where, mm: float) -> tuple[Plane, np.ndarray]:
    """The box in which strokes reach, and the distance to them in it."""
    from scipy import ndimage

    box = box_of(seeds[None])
    if box is None:
        raise ValueError("no strokes")
    _, down, along = where.reach(mm)
    _, rows, columns = padded(box, (0, down + 1, along + 1), (1, *seeds.shape))
    distance = ndimage.distance_transform_edt(~seeds[rows, columns], where.spacing[1:])
    return (rows, columns), distance.astype(np.float32)


def _price(pixels: np.ndarray, now: np.ndarray, seeds: np.ndarray, distance: np.ndarray, number: int) -> np.ndarray:
    """What every voxel costs that a class gains, from the intensities of both classes alone."""
    like = _likeness(pixels, float(pixels[seeds].mean()), float(pixels[seeds].std()))
    own = (now == number) & ~seeds
    if number and own.sum() > _FEW:
        like = np.maximum(like, _likeness(pixels, *_usual(pixels[own])))
    there = np.zeros(pixels.shape, np.float32)
    for other in np.unique(now).tolist():
        mask = (now == other) & ~seeds
        clear = mask & (distance > _RIM)
        if mask.any():
            usual = _usual(pixels[clear if clear.sum() > _FEW else mask])
            there[mask] = _likeness(pixels[mask], *usual)
    return _LIKE * np.clip(there - like, -1, 1) + _PRICE


def _usual(values: np.ndarray) -> tuple[float, float]:
    """Median and standard deviation of most of them."""
    middle = float(np.median(values))
    return middle, 1.48 * float(np.median(np.abs(values - middle)))


def _likeness(pixels: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Logarithm of a normal density."""
    width = max(deviation, _NARROW)
    return -(((pixels - mean) / width) ** 2) / 2 - np.log(width)


def _cut(pixels: np.ndarray, now: np.ndarray, own: np.ndarray, free: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Which of the free voxels fall to the class that has its `own` ones."""
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count = int(free.sum())
    source, sink = count, count + 1
    nodes = np.where(own, source, sink)
    nodes[free] = np.arange(count)
    graph = _graph(pixels, now, nodes, price[free])
    left = graph - maximum_flow(graph, source, sink).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    gained = np.zeros(free.shape, bool)
    gained[free] = reached[:count]
    return gained


def _graph(pixels: np.ndarray, now: np.ndarray, nodes: np.ndarray, price: np.ndarray) -> sparse.csr_array:
    """Capacities between the nodes; the last two are source and sink."""
    from scipy import sparse

    count = len(price)
    free = np.arange(count)
    starts = [np.full(count, count), free]
    ends = [free, np.full(count, count + 1)]
    weights = [np.maximum(-price, 0), np.maximum(price, 0)]
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        step = np.abs(pixels[here] - pixels[there]) / _OUTLINE
        weight = _SAME * np.exp(-(step**2)) + _LEAST
        weight = np.where(now[here] == now[there], weight, weight * _BETWEEN_CLASSES)
        a, b = nodes[here].ravel(), nodes[there].ravel()
        linked = (np.minimum(a, b) < count) & (a != b)
        starts += [a[linked], b[linked]]
        ends += [b[linked], a[linked]]
        weights += [weight.ravel()[linked]] * 2
    capacity = np.rint(np.concatenate(weights) * _UNIT).astype(np.int32)
    places = (np.concatenate(starts), np.concatenate(ends))
    graph = sparse.coo_array((capacity, places), shape=(count + 2, count + 2)).tocsr()
    graph.eliminate_zeros()
    return graph


def _touching(gained: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Those of the gained voxels that hang together with a stroke."""
    from scipy import ndimage

    pieces, _ = ndimage.label(gained | seeds)
    return gained & np.isin(pieces, np.unique(pieces[seeds]))
