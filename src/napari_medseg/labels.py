"""Label arrays: from logits, and operations on them."""

from __future__ import annotations

import numpy as np
import torch


def from_logits(logits: torch.Tensor, certainty: float = 0.5) -> np.ndarray:
    """Class numbers of logits of independent classes.

    Parameters
    ----------
    logits : torch.Tensor, shape (n, c, y, x)
        One map per class; a pixel belongs to the class with the highest logit if that exceeds 0, else to background.
    certainty : float
        Connected pixels of a class are dropped together unless one of them has this probability.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), uint8
        0 background, 1 the first class.
    """
    best, index = logits.max(1)
    numbers = torch.where(best > 0, index + 1, 0)
    found = numbers.to(torch.uint8).cpu().numpy()
    if certainty > 0.5:
        peak = float(np.log(certainty / (1 - certainty)))
        _drop_uncertain(found, best.cpu().numpy(), peak)
    return found


def _drop_uncertain(found: np.ndarray, best: np.ndarray, peak: float) -> None:
    from skimage.filters import apply_hysteresis_threshold

    for labels, logits in zip(found, best, strict=True):
        for number in np.unique(labels[labels > 0]):
            mine = labels == number
            inside = np.where(mine, logits, -1)
            certain = apply_hysteresis_threshold(inside, 0, peak)
            labels[mine & ~certain] = 0


def uncertainty(logits: torch.Tensor) -> np.ndarray:
    """How undecided each pixel is: 255 where the leading class has probability one half, 0 where it is certain.

    Parameters
    ----------
    logits : torch.Tensor, shape (n, c, y, x)
        One map per class.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), uint8
    """
    probability = logits.amax(1).sigmoid()
    decided = (2 * probability - 1).abs()
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
    from skimage.morphology import h_maxima
    from skimage.segmentation import relabel_sequential, watershed

    distance = ndimage.distance_transform_edt(mask)
    depth = np.log1p(ndimage.gaussian_filter(distance, sigma))
    touching = np.ones((3,) * mask.ndim)
    peaks = mask & (h_maxima(depth, notch) > 0)
    pieces, count = ndimage.label(mask, touching)
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
