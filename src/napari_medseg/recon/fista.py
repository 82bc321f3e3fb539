"""Proximal steps that gain speed: the solver of wavelets, and of frames together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..progress import Job, Progress


def fista(
    closer: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    simpler: Callable[[np.ndarray], np.ndarray],
    iterations: int,
) -> Job[np.ndarray]:
    """The x that minimises 0.5 ||A x - y||^2 and a penalty, by proximal steps that gain speed.

    Parameters
    ----------
    closer : callable
        A gradient step of length 1 towards the data, ``x - A^H (A x - y)``; the largest eigenvalue of ``A^H A`` must
        not be above 1.
    start : numpy.ndarray
    simpler : callable
        The proximal operator of the penalty, such as `wavelets.shrink`.
    iterations : int

    Yields
    ------
    Progress
        After every iteration.

    Returns
    -------
    numpy.ndarray, shape of `start`

    References
    ----------
    Beck and Teboulle, SIAM J Imaging Sci 2:183, 2009.
    """
    image = ahead = start
    pace = 1.0
    for done in range(1, iterations + 1):
        found = simpler(closer(ahead))
        before, pace = pace, (1 + math.sqrt(1 + 4 * pace**2)) / 2
        # a Python number keeps single precision
        ahead = found + (before - 1) / pace * (found - image)
        image = found
        yield Progress(done, iterations)
    return image
