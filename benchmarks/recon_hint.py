"""How often is the hint right that compares methods by hidden lines?

    python benchmarks/recon_hint.py DATA MODEL [--masks N]

DATA is the folder with ``mri_recon_open/val.npz``, ``mri_recon_btp/val.npz`` and ``cardiac_complex``. The hint chooses
between TV and MODEL; right is the one with the higher PSNR against the fully sampled image. Prints a Markdown table
with the hint pooled over the slices of a volume, and one by slices. All but the images with true phase are simulated
from magnitudes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from napari_medseg import metrics, models
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import fft2c
from napari_medseg.recon.reconstruct import ReconSettings, reconstruct_job
from napari_medseg.recon.suggest import CLOSE, Candidate, hint_job
from napari_medseg.training.data.sources import Source
from napari_medseg.training.simulated import mask_of, volumes

SIMULATED = {"open MR": "mri_recon_open/val.npz", "tumour brains": "mri_recon_btp/val.npz"}
MASKS = {"random 4x": ("random", 4, 0.08), "random 8x": ("random", 8, 0.04)}


def scans(root: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, k-space (slice, y, x) and magnitudes (slice, y, x) of every volume."""
    for path in sorted((root / "cardiac_complex").glob("*.npz")):
        images = np.load(path, allow_pickle=False)["image"]
        yield f"true phase: {path.stem}", fft2c(images), np.abs(images)
    for group, path in SIMULATED.items():
        for subject, kspace, reference in volumes([Source(path, case="subject")], root):
            yield f"{group}: {subject}", kspace, reference


def compared(kspace: KSpace, reference: np.ndarray, candidates: list[Candidate]) -> np.ndarray:
    """Gain of the model over TV by PSNR (dB) and by the hint (percentage points): of the volume, then of the slices.

    Returns
    -------
    numpy.ndarray, shape (2, 1 + slices)
    """
    images = [run(reconstruct_job(kspace, settings, model=model)).image.data for settings, model in candidates]
    largest = float(reference.max())
    parts = [slice(None), *(slice(i, i + 1) for i in range(kspace.slices))]
    tv, learned = ([metrics.psnr(reference[part], image[part], largest) for part in parts] for image in images)
    found = {row["settings"]["method"]: row for row in run(hint_job(kspace, candidates)).report["methods"]}
    errors = [
        100 * np.array([row["error"], *row["error_by_slice"]])
        for row in (found[settings.method] for settings, _ in candidates)
    ]
    return np.stack([np.subtract(learned, tv), errors[0] - errors[1]])


def share(right: np.ndarray) -> str:
    return f"{np.count_nonzero(right)} of {len(right)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="DATA")
    parser.add_argument("model", metavar="MODEL", help="name or file")
    parser.add_argument("--masks", type=int, default=2, metavar="N", help="per volume and acceleration (default: 2)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = models.load(Path(given.model) if Path(given.model).is_file() else models.find(given.model))
    candidates = [(ReconSettings("tv"), None), (ReconSettings(model.card.name), model)]
    print(f"| {model.card.name} against TV | mask | effective | gain (dB) | gain of the hint (points) | slices right |")
    print("|---|---|---:|---:|---:|---:|")
    slices: dict[str, list[np.ndarray]] = {name: [] for name in MASKS}
    whole: dict[str, list[np.ndarray]] = {name: [] for name in MASKS}
    for name, data, reference in scans(given.root):
        for mask_name, (kind, acceleration, fraction) in MASKS.items():
            for repeat in range(given.masks):
                mask = mask_of(kind, data.shape[-1], acceleration, fraction, name.split(": ")[1], repeat)
                kspace = KSpace(data[:, None], mask=mask, mask_origin="given")
                gains = compared(kspace, reference, candidates)
                whole[mask_name].append(gains[:, :1])
                slices[mask_name].append(gains[:, 1:])
                right = share((gains[0, 1:] > 0) == (gains[1, 1:] > 0))
                cells = f"{mask.size / mask.sum():.2f}x | {gains[0, 0]:+.2f} | {gains[1, 0]:+.1f} | {right}"
                print(f"| {name} | {mask_name} | {cells} |", flush=True)
    print(f"\n| mask | of | all | under {100 * CLOSE:.0f} points | from {100 * CLOSE:.0f} points up | model better |")
    print("|---|---|---:|---:|---:|---:|")
    for mask_name in MASKS:
        for of, parts in (("volumes", whole[mask_name]), ("slices", slices[mask_name])):
            psnr, hint = np.concatenate(parts, axis=1)
            right, far = (psnr > 0) == (hint > 0), np.abs(hint) >= 100 * CLOSE
            cells = " | ".join(share(part) for part in (right, right[~far], right[far], psnr > 0))
            print(f"| {mask_name} | {of} | {cells} |")


if __name__ == "__main__":
    main()
