"""Is partial Fourier better completed or left alone, and is that decided well by hidden columns?

    python benchmarks/recon_partial.py DATA

DATA is the folder with ``kspace_16coil`` (a measured slice) and ``cardiac_complex`` (images with true phase). Of full
k-space the columns on one side are left out. Prints a Markdown table of NRMSE at the best scale against the image of
all samples, and what the default decides. A phantom with a smooth phase comes first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_medseg import reconstruct
from napari_medseg.kspace import KSpace
from napari_medseg.recon import fft2c, ifft2c, rss

MISSING = {"5/8": 3 / 8, "6/8": 2 / 8, "7/8": 1 / 8}
WAYS = ("none", "pocs", "homodyne", "auto")


def phantom(size: int = 96, coils: int = 8) -> np.ndarray:
    """k-space (coil, y, x) of ellipses with a smooth phase."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = 0.9 * (np.hypot(x / 0.7, y / 0.85) < 1) - 0.4 * (np.hypot(x / 0.6, y / 0.75) < 1)
    for cx, cy, rx, ry, value in ((-0.2, 0.1, 0.15, 0.3, 0.3), (0.25, -0.1, 0.2, 0.2, -0.2), (0, 0.5, 0.2, 0.1, 0.5)):
        image = image + value * (np.hypot((x - cx) / rx, (y - cy) / ry) < 1)
    turns = np.linspace(0, 2 * np.pi, coils, endpoint=False)[:, None, None]
    maps = np.exp(-((y - 1.1 * np.sin(turns)) ** 2) - (x - 1.1 * np.cos(turns)) ** 2 + 1j * turns)
    noise = np.random.default_rng(1).standard_normal((2, coils, size, size))
    return fft2c(maps * image * np.exp(1j * (x + 0.5 * y))) + 0.002 * (noise[0] + 1j * noise[1])


def scans(root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and k-space (coil, y, x) of every slice."""
    yield "phantom", phantom()
    with np.load(next((root / "kspace_16coil").glob("*.npz")), allow_pickle=False) as file:
        measured = file["kspace"]
    yield "16 coils, columns", measured
    yield "16 coils, rows", measured.swapaxes(1, 2)
    for path in sorted((root / "cardiac_complex").glob("*.npz")):
        images = np.load(path, allow_pickle=False)["image"]
        yield f"heart {path.stem.rpartition('_')[2]}", fft2c(images[:1])


def error(image: np.ndarray, truth: np.ndarray) -> float:
    """NRMSE of an image at its best scale."""
    scaled = image * (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scaled - truth) / np.linalg.norm(truth))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    root = parser.parse_args().data
    print(f"| scan | measured | method | {' | '.join(WAYS)} | decided |")
    print("|---" * (len(WAYS) + 4) + "|")
    for name, kspace in scans(root):
        truth = rss(ifft2c(kspace), 0)
        columns = kspace.shape[2]
        for part, missing in MISSING.items():
            mask = np.arange(columns) >= round(missing * columns)
            scan = KSpace(kspace[None].astype(np.complex64), mask=mask, mask_origin="file")
            for method in ("zero-filled", "tv" if len(kspace) == 1 else "sense-tv"):
                found = [reconstruct(scan, method, partial=how) for how in WAYS]
                cells = " | ".join(f"{error(each.image.data[0], truth):.4f}" for each in found)
                print(f"| {name} | {part} | {method} | {cells} | {found[-1].record.figures['used']['partial']} |")


if __name__ == "__main__":
    main()
