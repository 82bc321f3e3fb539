"""What does the network add to SENSE where a scan has several coils?

    python benchmarks/recon_cascade.py DATA [--only NAME] [--model NAME] [--steps N] [--coil-by-coil]

Scans and masks of `recon_bart.py`, without BART. PSNR in dB against the root of the sum of squares of the full k-space,
each image times the factor that fits it best: ``sense-tv`` and ``auto`` with their own strengths, the model as it is
offered (the network's change of ``sense-tv``, as far as hidden samples confirm it), and all of its change. Coil by
coil is what the model does with one coil, then the root of the sum of squares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from recon_bart import Case, cases, judged, ours

from napari_medseg.kspace import KSpace
from napari_medseg.models import TrainedModel
from napari_medseg.progress import run
from napari_medseg.recon import coil_cascade, learned, methods, rss
from napari_medseg.recon.coil_maps import HeldMaps
from napari_medseg.recon.partial_choice import settled_job
from napari_medseg.recon.settings import ReconSettings


def with_model(case: Case, model: TrainedModel, steps: int) -> list[float]:
    """PSNR of the start, of the model as it is offered, and of all of its change."""
    measured, mask = case.measured, case.mask
    kspace = KSpace(measured[None], mask=mask, mask_origin="file")
    held = HeldMaps()
    settings = run(settled_job(kspace, ReconSettings(model.card.name, iterations=steps), [0], model, held))
    held.hold(kspace, 0)
    coils = held.of(measured, mask)
    cascade = coil_cascade.Cascade(model, coils, steps, {"strength": settings.strength})
    start, end = run(cascade.ends_job(measured, mask))
    images = start, run(cascade.job(measured, mask)), end
    found = (methods.agreed(coils, image, measured, mask, settings).magnitude for image in images)
    return [judged(image, case.reference, 0.0).psnr for image in found]


def coil_by_coil(case: Case, model: TrainedModel) -> float:
    """PSNR of the root of the sum of squares of the images of all coils."""
    images = [run(learned.cascade_job(model, coil, case.mask, learned.STEPS)) for coil in case.measured]
    return judged(rss(np.stack(images), 0), case.reference, 0.0).psnr


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="scans whose name contains this")
    parser.add_argument("--model", default="conditional-swin-mri-dc")
    parser.add_argument("--steps", type=int, default=coil_cascade.STEPS)
    parser.add_argument("--coil-by-coil", action="store_true", help="also, which takes a minute for each mask")
    args = parser.parse_args()
    model = methods.model_of(args.model)
    assert model is not None
    columns = ["sense-tv", "model", "all of its change", "auto"] + ["coil by coil"] * args.coil_by_coil
    print("| scan | mask |", " | ".join(columns), "|\n|---|---|" + "---:|" * len(columns))
    for case in cases(args.data, args.only):
        cells = with_model(case, model, args.steps)
        cells.append(ours(case, "auto", None).psnr)
        if args.coil_by_coil:
            cells.append(coil_by_coil(case, model))
        print(f"| {case.name} | {case.title} |", " | ".join(f"{cell:.2f}" for cell in cells), "|", flush=True)


if __name__ == "__main__":
    main()
