"""Measured lines that are left out: whole ones, never of the full centre."""

import numpy as np
import pytest

from napari_medseg.recon.hidden_lines import cannot_thin, thinned
from napari_medseg.recon.sampling import centre_lines
from napari_medseg.recon.settings import Sampling


@pytest.mark.parametrize(("kind", "direction"), [("random", "x"), ("random", "y"), ("poisson", "x")])
def test_lost_lines_are_whole_and_never_those_of_the_centre(kind, direction):
    mask = Sampling(kind, 3, 0.12, seed=1, direction=direction).mask((64, 64))
    for seed in range(3):
        thin = thinned(mask, 0.2, np.random.default_rng(seed))
        lost = mask & ~thin
        assert lost.any() and not (thin & ~mask).any()
        if kind == "poisson":
            assert not lost[30:34, 30:34].any()
            continue
        lines = lost if lost.ndim == 1 else lost[:, 0]
        assert lost.ndim == 1 or (lost == lines[:, None]).all()
        first, last = centre_lines(mask if lost.ndim == 1 else mask[:, 0])
        assert last > first and not lines[first:last].any()


def test_where_nothing_can_be_left_out_it_is_said():
    centre = np.abs(np.arange(64) - 32) < 8
    assert "fully sampled" in cannot_thin(None) and "fully sampled" in cannot_thin(np.ones(64, bool))
    assert "outside of its full centre" in cannot_thin(centre)
    assert not cannot_thin(centre | (np.arange(64) % 8 == 0))
