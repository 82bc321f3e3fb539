"""Label arrays: from logits, and operations on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

_AROUND = 4  # pixels around a piece that decide with it which of its tops are peaks
_CALL = 5000  # pixels that could be looked at in the time that it takes to begin


@dataclass(frozen=True, eq=False)
class Leading:
    """The leading class of every pixel: what labels need of logits.

    Parameters
    ----------
    logit : torch.Tensor, shape (n, y, x)
        The highest logit.
    number : torch.Tensor, shape (n, y, x), uint8
        Class number, 1 the first class; 0, background, where no logit exceeds 0.
    """

    logit: torch.Tensor
    number: torch.Tensor


def leading(parts: Iterable[torch.Tensor]) -> Leading:
    """The leading class of every pixel; of equals the first.

    Parameters
    ----------
    parts : iterable of torch.Tensor, shape (n, c, y, x)
        Logits of independent classes; some classes at a time, in order.
    """
    steps = iter(parts)
    classes = next(steps)
    logit, index = classes.max(1)
    before = classes.shape[1]
    for classes in steps:
        highest, place = classes.max(1)
        index = torch.where(highest > logit, place + before, index)
        logit = torch.maximum(logit, highest)
        before += classes.shape[1]
    number = torch.where(logit > 0, index + 1, 0)
    return Leading(logit, number.to(torch.uint8))


def from_logits(logits: torch.Tensor, certainty: float = 0.5) -> np.ndarray:
    """Class numbers of logits of independent classes.

    Parameters
    ----------
    logits : torch.Tensor, shape (n, c, y, x)
        One map per class; a pixel belongs to the class with the highest logit if that exceeds 0, else to background.
    certainty : float
        Connected pixels, of whatever classes, are dropped together unless one of them has this probability: a part of
        an organ that is never certain stays where it touches one that is.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), uint8
        0 background, 1 the first class.
    """
    return from_leading(leading([logits]), certainty)


def from_leading(leading: Leading, certainty: float = 0.5) -> np.ndarray:
    """Class numbers as of `from_logits` from the leading class of every pixel."""
    found = leading.number.cpu().numpy()
    if certainty > 0.5:
        peak = float(np.log(certainty / (1 - certainty)))
        _drop_uncertain(found, leading.logit.cpu().numpy(), peak)
    return found


def _drop_uncertain(found: np.ndarray, best: np.ndarray, peak: float) -> None:
    from skimage.filters import apply_hysteresis_threshold

    for labels, logits in zip(found, best, strict=True):
        inside = np.where(labels > 0, logits, -1)
        certain = apply_hysteresis_threshold(inside, 0, peak)
        labels[~certain] = 0


def keep_largest(labels: np.ndarray, numbers: Iterable[int]) -> None:
    """Remove, in place, all but the largest piece of each class.

    Pixels belong to one piece where they share a face, an edge or a corner. Of two pieces of the same size the first
    one stays.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x) or (y, x), integer
    numbers : iterable of int
        The classes.
    """
    from scipy import ndimage

    touching = np.ones((3,) * labels.ndim)
    numbers = list(numbers)
    boxes = ndimage.find_objects(labels, max(numbers, default=0))
    for number in numbers:
        box = boxes[number - 1]
        if box is None:
            continue
        inside = labels[box]
        pieces, count = ndimage.label(inside == number, touching)
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            largest = 1 + int(sizes[1:].argmax())
            inside[(pieces > 0) & (pieces != largest)] = 0


def mean_logits(logits: torch.Tensor) -> torch.Tensor:
    """Log-odds of the mean probability that several models give.

    Computed from logarithms, so that neither a sign close to 0 nor the order of classes that are all but certain is
    rounded away: the mean of equal logits decides as each of them does.

    Parameters
    ----------
    logits : torch.Tensor, shape (model, n, c, y, x)
        One map per class and model; minus infinity where a class is impossible.

    Returns
    -------
    torch.Tensor, shape (n, c, y, x), float64
        Above 0 where the mean of the probabilities is above one half.
    """
    precise = logits.double()
    # the number of models would be subtracted from both
    for_it = torch.nn.functional.logsigmoid(precise).logsumexp(0)
    against = torch.nn.functional.logsigmoid(-precise).logsumexp(0)
    return for_it - against


def margin(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """How far the highest logit of every pixel is above the next one, shape (n, y, x); that of the background is 0.

    Parameters
    ----------
    parts : iterable of torch.Tensor, shape (n, c, y, x)
        Logits; some classes at a time.
    """
    best, second = torch.tensor(0.0), torch.tensor(-torch.inf)
    for classes in parts:
        for plane in classes.unbind(1):
            second = torch.maximum(second, torch.minimum(best, plane))
            best = torch.maximum(best, plane)
    return best - second


def uncertainty(margin: torch.Tensor) -> np.ndarray:
    """How undecided each pixel is: 255 where two classes, or class and background, are equally likely, 0 where certain.

    Parameters
    ----------
    margin : torch.Tensor, shape (n, y, x)
        See `margin`.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), uint8
    """
    # not a number: of two that are infinite neither leads
    decided = 2 * margin.nan_to_num(0).sigmoid() - 1
    levels = (255 * (1 - decided)).round()
    return levels.to(torch.uint8).cpu().numpy()


def vote(opinions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label that most of several label arrays give each voxel; in a tie the array named first wins.

    Parameters
    ----------
    opinions : numpy.ndarray, shape (n, ...), uint8
        Class numbers, one array per opinion; two or more.

    Returns
    -------
    labels, disagreement : numpy.ndarray, shape (...), uint8
        Disagreement is 255 (n - votes) / (n - 1) with the votes for that label: 0 all agree, 255 no two agree.
    """
    count = len(opinions)
    chosen = opinions[0].copy()
    most = np.zeros(chosen.shape, np.uint8)
    for opinion in opinions:
        agreeing = np.count_nonzero(opinions == opinion, axis=0)
        votes = agreeing.astype(np.uint8)
        np.copyto(chosen, opinion, where=votes > most)
        np.maximum(most, votes, out=most)
    against = count - np.arange(count + 1)
    levels = np.round(255 * against / (count - 1))
    levels = levels.clip(0, 255).astype(np.uint8)
    return chosen, levels[most]


def split_objects(mask: np.ndarray, *, sigma: float = 1.0, notch: float = 0.05, smallest: int = 15) -> np.ndarray:
    """Number the objects of a mask one by one, touching ones apart.

    A watershed on the smoothed distance to the background: every peak of it that rises enough above the saddles around
    it grows into one object. Depths are compared as ratios, so that large and small objects are treated alike.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (y, x) or (z, y, x)
    sigma : float
        Standard deviation of the smoothing in pixels.
    notch : float
        How much deeper than the neck between them the shallower of two objects must be, as a share; more splits less.
    smallest : int
        Objects of fewer pixels are left out.

    Returns
    -------
    numpy.ndarray, shape of `mask`, int32
        0 background, 1 to n the objects without gaps.
    """
    from scipy import ndimage
    from skimage.segmentation import relabel_sequential, watershed

    distance = ndimage.distance_transform_edt(mask)
    depth = np.log1p(ndimage.gaussian_filter(distance, sigma))
    touching = np.ones((3,) * mask.ndim)
    pieces, count = ndimage.label(mask, touching)
    peaks = _peaks(depth, pieces, notch)
    # next to a larger object a small one has no peak of its own: it stays whole
    peaked = np.zeros(count + 1, bool)
    peaked[pieces[peaks]] = True
    whole = mask & ~peaked[pieces]
    markers, _ = ndimage.label(peaks | whole, touching)
    parts = watershed(-depth, markers, mask=mask)
    sizes = np.bincount(parts.ravel())
    parts[sizes[parts] < smallest] = 0
    numbered, _, _ = relabel_sequential(parts)
    return numbered.astype(np.int32)


def _peaks(depth: np.ndarray, pieces: np.ndarray, notch: float) -> np.ndarray:
    """Peaks that rise by `notch` above the saddles to higher ones in the same piece, or above all around it.

    Only where a piece has several tops they are compared, which takes long, and in its own box.
    """
    from scipy import ndimage
    from skimage.morphology import h_maxima, local_maxima

    peaks = local_maxima(depth) & (pieces > 0)
    tops, count = ndimage.label(peaks, np.ones((3,) * peaks.ndim))
    homes = ndimage.maximum(pieces, tops, np.arange(1, count + 1))
    tops_of = np.bincount(np.asarray(homes, int))
    several = np.flatnonzero(tops_of > 1)
    found = ndimage.find_objects(pieces)
    boxes = [tuple(slice(max(0, side.start - _AROUND), side.stop + _AROUND) for side in found[n - 1]) for n in several]
    if sum(depth[box].size + _CALL for box in boxes) > depth.size:
        return (pieces > 0) & (h_maxima(depth, notch) > 0)
    for piece, box in zip(several, boxes, strict=True):
        mine = pieces[box] == piece
        peaks[box][mine] = h_maxima(depth[box], notch)[mine] > 0
    return peaks
