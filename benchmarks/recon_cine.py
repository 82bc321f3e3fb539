"""Is a cine better reconstructed frame by frame, with lines of the frames around, or all frames together?

    python benchmarks/recon_cine.py FOLDER

FOLDER is a DICOM cine of one slice, such as ``dicom/sunnybrook_cine_midslice``: at half size, seen by eight simulated
coils, with equal steps that move from frame to frame and ten centre columns. Prints a Markdown table: PSNR (dB), the
mean over the frames, of each way at the best strength of a short list by the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from recon_bart import coil_kspace, judged
from skimage.transform import downscale_local_mean

from napari_medseg import io
from napari_medseg.recon.coil_maps import CoilMaps
from napari_medseg.recon.frames import kt_sense
from napari_medseg.recon.sense import sense_tv
from napari_medseg.recon.transforms import ifft2c, rss

STRENGTHS = (0.0004, 0.001, 0.003)
CENTRE = 10
COILS = 8


def masks_of(frames: int, columns: int, every: int) -> np.ndarray:
    """Every so many columns (frame, x), beginning at another one in each frame, and the centre."""
    masks = np.zeros((frames, columns), bool)
    for frame in range(frames):
        first = frame * (every // 2 + 1) % every
        masks[frame, first::every] = True
    middle = columns // 2
    masks[:, middle - CENTRE // 2 : middle + CENTRE // 2] = True
    return masks


def shared(kspace: np.ndarray, masks: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (t, coil, y, x) and masks (t, x), missing columns taken from the nearest frames of the cycle."""
    filled, known = kspace.copy(), masks.copy()
    count = len(kspace)
    for frame in range(count):
        for distance in range(1, reach + 1):
            around = [(frame - distance) % count, (frame + distance) % count]
            missing = ~known[frame]
            seen = masks[around].sum(0)
            found = missing & (seen > 0)
            filled[frame][..., found] = kspace[around].sum(0)[..., found] / seen[found]
            known[frame] |= found
    return filled, known


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    data = np.asarray(io.read(parser.parse_args().folder).data, float)
    images = np.stack([downscale_local_mean(frame, (2, 2)) for frame in data.reshape(-1, *data.shape[-2:])])
    full = np.stack([coil_kspace(frame, COILS, np.random.default_rng(3)) for frame in images / images.max()])
    truth = rss(ifft2c(full), 1)

    def quality(found: list[np.ndarray] | np.ndarray) -> float:
        return float(np.mean([judged(np.abs(one), frame, 0).psnr for one, frame in zip(found, truth, strict=True)]))

    print("| | frame by frame | lines shared over 1 frame | 2 | k-t SENSE |\n|---|---:|---:|---:|---:|")
    for every in (4, 8):
        masks = masks_of(len(full), full.shape[-1], every)
        measured = np.where(masks[:, None, None], full, 0)
        coils = CoilMaps.of(measured[0], masks[0])
        samples = np.stack([coils.compress(frame) for frame in measured])
        row = []
        for reach in (0, 1, 2):
            frames, known = shared(samples, masks, reach)
            ways = [[sense_tv(a, b, coils.maps, s) for a, b in zip(frames, known, strict=True)] for s in STRENGTHS]
            row.append(max(map(quality, ways)))
        row.append(max(quality(kt_sense(samples, masks, coils.maps, strength)) for strength in STRENGTHS))
        print(f"| {every}x | " + " | ".join(f"{value:.1f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
