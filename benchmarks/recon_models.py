"""Does a model beat TV with data consistency, on simulated k-space and on images with true phase?

    python benchmarks/recon_models.py DATA MODEL [MODEL ...]

DATA is the folder with ``mri_recon_open/val.npz``, ``mri_recon_btp/val.npz`` and ``cardiac_complex``. Prints a Markdown
table: PSNR in dB and SSIM of zero filling, TV with hard data consistency and the model, means over three masks each.
All but the last group are simulated from magnitudes. Images with true phase are for this test alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from napari_medseg import metrics, models
from napari_medseg.recon import data_consistency, fft2c, ifft2c
from napari_medseg.recon.classical import tv
from napari_medseg.training.data.sources import Source
from napari_medseg.training.recon_figures import figures, reconstruct
from napari_medseg.training.simulated import mask_of

SIMULATED = {
    "open MR": Source("mri_recon_open/val.npz", case="subject"),
    "tumour brains": Source("mri_recon_btp/val.npz", case="subject"),
}
MASKS = {"random 4x": ("random", 4, 0.08), "random 8x": ("random", 8, 0.04)}


def true_phase(path: Path, model: models.TrainedModel) -> dict[str, dict[str, tuple[float, float]]]:
    """Per mask: PSNR and SSIM by method, on complex images (n, y, x)."""
    images = np.load(path, allow_pickle=False)["image"]
    kspace, reference = fft2c(images), np.abs(images)
    table = {}
    for name, (kind, acceleration, fraction) in MASKS.items():
        scores: dict[str, list[tuple[float, float]]] = {"zero_filled": [], "tv_dc": [], "model": []}
        for repeat in range(3):
            mask = mask_of(kind, images.shape[-1], acceleration, fraction, path.stem, repeat)
            measured = np.where(mask, kspace, 0)
            found = {
                "zero_filled": np.abs(ifft2c(measured)),
                "tv_dc": np.stack([np.abs(data_consistency(tv(y, mask), y, mask)) for y in measured]),
                "model": reconstruct(model, kspace, mask),
            }
            for method, result in found.items():
                scores[method].append((metrics.psnr(reference, result), metrics.ssim(reference, result)))
        table[name] = {method: tuple(np.mean(values, axis=0)) for method, values in scores.items()}
    return table


def row(group: str, mask: str, by_method: dict[str, tuple[float, float]]) -> str:
    cells = [f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in by_method.values()]
    gain = by_method["model"][0] - by_method["tv_dc"][0]
    return f"| {group} | {mask} | {' | '.join(cells)} | {gain:+.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="DATA")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name or file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.models:
        model = models.load(Path(name) if Path(name).is_file() else models.find(name))
        print(f"\n| {model.card.name} | mask | zero-filled | TV + DC | model | gain (dB) |")
        print("|---|---|---:|---:|---:|---:|")
        for group, source in SIMULATED.items():
            table = figures(model, [source], given.root)
            spots = table.pop("spots", None)
            for mask, subjects in table.items():
                for subject, methods in subjects.items():
                    by_method = {method: (f["psnr"], f["ssim"]) for method, f in methods.items()}
                    print(row(f"{group}: {subject}", mask, by_method), flush=True)
            if spots:
                print(f"\nSpots, {group}: {spots}\n")
        for path in sorted((given.root / "cardiac_complex").glob("*.npz")):
            for mask, by_method in true_phase(path, model).items():
                print(row(f"true phase: {path.stem}", mask, by_method), flush=True)


if __name__ == "__main__":
    main()
