"""Pieces of large slices: constant in, constant out, and no pixel twice."""

import pytest
import torch

from napari_medseg.segmentation.tiling import tiles


@pytest.mark.parametrize(
    ("size", "side", "step"),
    [
        ((512, 336), 320, 16),
        ((528, 2000), 200, 16),
        ((1024, 1088), 320, 64),
        ((96, 1152), 160, 32),
        ((64, 64), 500, 64),
    ],
)
def test_kept_parts_cover_a_slice_once_and_keep_away_from_cuts(size, side, step):
    ramp = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(1, *size)
    whole, times = torch.zeros_like(ramp), torch.zeros_like(ramp)
    for tile in tiles(size, side, step):
        piece = tile.cut(ramp)
        assert all(n % step == 0 for n in piece.shape[-2:]) and all(seen.start % step == 0 for seen in tile.seen)
        tile.paste(piece, whole)
        times[(..., *tile.kept)] += 1
        for seen, inner, length in zip(tile.seen, tile.inner, size, strict=True):
            assert seen.start == 0 or inner.start >= 24
            assert seen.stop == length or seen.stop - seen.start - inner.stop >= 24
    torch.testing.assert_close(whole, ramp, rtol=0, atol=0)
    assert (times == 1).all()


def test_slices_of_few_pixels_stay_whole_however_long():
    assert len(tiles((320, 320), 320, 16)) == 1
    assert len(tiles((64, 1600), 320, 16)) == 1
    assert len(tiles((80, 1600), 320, 16)) > 1
