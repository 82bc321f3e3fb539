"""Is the default for several coils as good as BART's best, and as fast?

    python benchmarks/recon_bart.py DATA KEPT [--only NAME] [--methods auto sense-tv ...] [--strength S]

DATA is the folder with ``kspace_16coil``, ``mri_recon_open/val.npz`` and ``mri_recon_btp/val.npz``; KEPT keeps what
BART found, which does not change. BART (Debian package ``bart``) must be installed. It has its own coil maps, wavelets
and total variation, and its strength is the best of a grid **by the truth**; ours is chosen without it. PSNR against
the root of the sum of squares of the full k-space, each image times the factor that fits it best; SSIM of the same
images; CPU seconds of one run with maps, for ours with the choice of the strength too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.transform import downscale_local_mean

from napari_medseg.kspace import KSpace
from napari_medseg.metrics import psnr, ssim
from napari_medseg.recon.reconstruct import reconstruct
from napari_medseg.recon.settings import Sampling
from napari_medseg.recon.simulate import smooth_phase
from napari_medseg.recon.transforms import fft2c, ifft2c, rss

MASKS = {
    "random 4x": Sampling("random", 4, 0.08, seed=1),
    "equispaced 4x": Sampling("equispaced", 4, 0.08, seed=1, offset=1),
    "Poisson 4x": Sampling("poisson", 4, 0.1, seed=1),
    "Poisson 8x": Sampling("poisson", 8, 0.1, seed=1),
}
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
MAPS = ("-c0", "-a")
"""Options of BART's ecalib: no pixel cropped, and thresholds chosen by the noise. The better one counts."""
METHODS = ("zero-filled", "sense-tv", "sense-wavelet", "auto")


@dataclass(frozen=True)
class Found:
    """Figures of one image."""

    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """A scan under a mask.

    Parameters
    ----------
    name, title : str
        Of the scan, and of the mask.
    measured : numpy.ndarray, shape (coil, y, x), complex64
        k-space under the mask.
    mask : numpy.ndarray, bool
    reference : numpy.ndarray, shape (y, x)
        Root of the sum of squares of the full k-space.
    """

    name: str
    title: str
    measured: np.ndarray
    mask: np.ndarray
    reference: np.ndarray


def cases(data: Path, only: str = "") -> Iterator[Case]:
    """Every scan whose name contains `only`, under every mask."""
    for name, kspace in scans(data):
        if only not in name:
            continue
        reference = rss(ifft2c(kspace), 0)
        for title, sampling in MASKS.items():
            mask = sampling.mask(kspace.shape[1:])
            yield Case(name, title, np.where(mask, kspace, 0), mask, reference)


def scans(data: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Fully sampled k-space (coil, y, x) by name: one that was measured, the others simulated from magnitudes."""
    with np.load(data / "kspace_16coil" / "raw_16coil_96.npz", allow_pickle=False) as file:
        yield "real head, 16 coils", file["kspace"]
    for folder in ("mri_recon_open", "mri_recon_btp"):
        with np.load(data / folder / "val.npz", allow_pickle=False) as file:
            images, subjects = file["image"], file["subject"]
        for number, subject in enumerate(np.unique(subjects)):
            volume = images[subjects == subject]
            middle = downscale_local_mean(volume[len(volume) // 2].astype(np.float64), (2, 2))
            for coils in (8, 16):
                name = f"{folder[10:]} {number + 1}, {coils} coils"
                yield name, coil_kspace(middle / middle.max(), coils, np.random.default_rng(coils + number))


def coil_kspace(image: np.ndarray, coils: int, rng: np.random.Generator) -> np.ndarray:
    """k-space (coil, y, x) of a magnitude image seen by a ring of loops, with a smooth phase and 0.5 % noise."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform(-0.2, 0.2, coils)) / coils
    away_y = y - 1.3 * np.sin(angles)[:, None, None]
    away_x = x - 1.3 * np.cos(angles)[:, None, None]
    strength = (away_y**2 + away_x**2 + 0.15) ** -1.0  # about what a loop sees on its axis
    seen = strength * np.exp(1j * (np.arctan2(away_y, away_x) + rng.uniform(0, 2 * np.pi, (coils, 1, 1))))
    seen /= rss(seen, 0).max()
    noise = rng.standard_normal((2, coils, *image.shape)) / np.sqrt(2)
    clean = seen * image * np.exp(1j * smooth_phase(image.shape, rng))
    return fft2c(clean + 0.005 * seen.std() * (noise[0] + 1j * noise[1])).astype(np.complex64)


def judged(image: np.ndarray, reference: np.ndarray, seconds: float) -> Found:
    """The figures of an image (y, x) once it is scaled to fit the reference."""
    image = image * (np.vdot(image, reference) / np.vdot(image, image)).real
    peak = float(reference.max())
    both = reference[None], image[None].astype(reference.dtype)
    return Found(psnr(*both, peak), ssim(*both, peak), seconds)


def bart(measured: np.ndarray, reference: np.ndarray) -> dict[str, Found]:
    """BART's wavelets and total variation, each at the strength that is best by the truth."""
    best: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        coils, rows, columns = measured.shape
        (path / "k.hdr").write_text(f"# Dimensions\n{rows} {columns} 1 {coils}\n")
        # axes y, x, coil with the first one changing fastest
        (path / "k.cfl").write_bytes(measured.transpose(1, 2, 0).astype(np.complex64).tobytes("F"))
        for option in MAPS:
            maps = timed(path, "ecalib", "-m1", option, "k", "maps")
            for kind, strength in itertools.product("WT", STRENGTHS):
                spent = timed(path, "pics", "-S", "-i100", "-R", f"{kind}:3:0:{strength}", "k", "maps", "image")
                image = np.abs(np.fromfile(path / "image.cfl", np.complex64).reshape((rows, columns), order="F"))
                found = judged(image, reference, maps + spent)
                if kind not in best or found.psnr > best[kind].psnr:
                    best[kind] = found
    return best


def timed(folder: Path, *words: str) -> float:
    """CPU seconds of a BART command on one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["bart", *words], cwd=folder, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(case: Case, method: str, strength: float | None) -> Found:
    """A method of this package; without a strength, with its own choice of it."""
    began = time.process_time()
    kspace = KSpace(case.measured[None], mask=case.mask, mask_origin="file")
    result = reconstruct(kspace, method, strength=strength)
    return judged(np.asarray(result.image.data[0]), case.reference, time.process_time() - began)


def kept(place: Path, measured: np.ndarray, reference: np.ndarray) -> dict[str, Found]:
    """BART's figures, from `place` if they are there."""
    if not place.exists():
        found = {name: vars(row) for name, row in bart(measured, reference).items()}
        place.write_text(json.dumps(found))
    return {name: Found(**row) for name, row in json.loads(place.read_text()).items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("kept", type=Path)
    parser.add_argument("--only", default="", help="scans whose name contains this")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--strength", type=float, help="given to all methods, to compare their time with BART's")
    args = parser.parse_args()
    args.kept.mkdir(parents=True, exist_ok=True)
    columns = ("BART W", "BART T", *args.methods)
    print("| scan | mask |", " | ".join(columns), "|\n|---|---|" + "---:|" * len(columns))
    for case in cases(args.data, args.only):
        rows = kept(args.kept / f"{case.name} {case.title}.json", case.measured, case.reference)
        cells = [rows["W"], rows["T"]]
        cells += [ours(case, method, args.strength) for method in args.methods]
        shown = " | ".join(f"{cell.psnr:.2f} / {cell.ssim:.3f} / {cell.seconds:.1f}" for cell in cells)
        print(f"| {case.name} | {case.title} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
