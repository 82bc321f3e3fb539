"""Do zero filling and TV reach the figures of the specification, on the same simulated k-space?

    python benchmarks/recon_baselines.py DATA

DATA is the folder with ``mri_recon_open/val.npz`` and ``mri_recon_btp/val.npz``. Prints a Markdown table: PSNR in dB,
SSIM and NMSE (means over subjects of the figures of a volume) beside the published ones, and what the differences
are. The bar is 0.05 dB and 0.005 SSIM.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_medseg.metrics import nmse, psnr, ssim
from napari_medseg.recon import data_consistency, ifft2c, sampling_mask
from napari_medseg.recon.classical import tv, zero_filled
from napari_medseg.recon.sampling import file_seed
from napari_medseg.recon.simulate import simulate

METHODS = {
    "zero-filled": zero_filled,
    "TV-CS": tv,
    "TV-CS + DC": lambda y, mask: data_consistency(tv(y, mask), y, mask),
}

# kind, acceleration, centre fraction, published PSNR, SSIM, NMSE of zero filling and of TV
PUBLISHED = {
    "mri_recon_open": (
        ("random", 4, 0.08, (25.09, 0.671, 0.0609), (27.93, 0.771, 0.0316)),
        ("random", 8, 0.04, (21.67, 0.556, 0.1377), (23.33, 0.655, 0.0909)),
        ("equispaced_fraction", 4, 0.08, (25.31, 0.652, 0.0576), (28.87, 0.778, 0.0260)),
        ("equispaced_fraction", 8, 0.04, (21.87, 0.543, 0.1320), (23.84, 0.667, 0.0812)),
        ("center_heavy", 4, 0.8, (29.91, 0.851, 0.0204), (31.04, 0.804, 0.0160)),
    ),
    "mri_recon_btp": (
        ("random", 4, 0.08, (23.42, 0.678, 0.0721), (27.76, 0.841, 0.0265)),
        ("random", 8, 0.04, (21.19, 0.597, 0.1205), (24.08, 0.757, 0.0619)),
        ("equispaced_fraction", 4, 0.08, (23.39, 0.665, 0.0726), (27.05, 0.828, 0.0313)),
        ("equispaced_fraction", 8, 0.04, (21.29, 0.630, 0.1176), (22.13, 0.702, 0.0972)),
        ("center_heavy", 4, 0.8, (28.64, 0.859, 0.0217), (31.83, 0.919, 0.0104)),
    ),
}


def scans(path: Path) -> dict[str, np.ndarray]:
    """k-space (slice, y, x) by subject: four slices spread over it, simulated with one seed."""
    with np.load(path, allow_pickle=False) as file:
        images, subjects = file["image"], file["subject"]
    found = {}
    for subject in np.unique(subjects):
        volume = images[subjects == subject].astype(np.float64)
        chosen = np.round(np.linspace(0, len(volume) - 1, 4)).astype(int)
        found[str(subject)] = simulate(volume[chosen], np.random.default_rng(7))[:, 0]
    return found


def score(kspace: np.ndarray, subject: str, kind: str, acceleration: float, fraction: float) -> np.ndarray:
    """PSNR, SSIM and NMSE (last axis) of every method for one subject under one mask."""
    reference = np.abs(ifft2c(kspace))
    mask = sampling_mask(kind, kspace.shape[-1], acceleration, fraction, seed=file_seed(f"{subject}.h5"))
    rows = []
    for method in METHODS.values():
        images = np.abs([method(y, mask) for y in kspace])
        rows.append([figure(reference, images) for figure in (psnr, ssim, nmse)])
    return np.array(rows)


def cell(figures: np.ndarray) -> str:
    """PSNR, SSIM and NMSE as text."""
    return "{:.2f} / {:.3f} / {:.4f}".format(*figures)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    data = parser.parse_args().data
    print("| file | mask | method | here | published | PSNR difference | SSIM difference |")
    print("|---|---|---|---|---|---|---|")
    worst = np.zeros(2)
    for name, masks in PUBLISHED.items():
        volumes = scans(data / name / "val.npz")
        for kind, acceleration, fraction, *published in masks:
            scores = [score(volume, s, kind, acceleration, fraction) for s, volume in volumes.items()]
            for method, ours in zip(METHODS, np.mean(scores, axis=0), strict=True):
                row = [name, f"{kind} {acceleration}x", method, cell(ours)]
                if published:
                    theirs = published.pop(0)
                    apart = ours[:2] - theirs[:2]
                    worst = np.maximum(worst, np.abs(apart))
                    row += [cell(theirs), f"{apart[0]:+.3f}", f"{apart[1]:+.4f}"]
                else:
                    row += ["", "", ""]
                print("|", " | ".join(row), "|", flush=True)
    print(f"\nLargest difference: {worst[0]:.3f} dB (bar 0.05), {worst[1]:.4f} SSIM (bar 0.005).")


if __name__ == "__main__":
    main()
