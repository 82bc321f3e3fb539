"""How often does the heart model see a ventricle where there is none?

    python benchmarks/no_ventricle.py DATA [MODEL]

DATA holds the sets that the recipes name. Prints, for slices outside the contoured range of a patient the model was
not trained on and for images of other parts of the body, the share of slices with any labelled pixel and the mean
labelled share of a slice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_medseg import models
from napari_medseg.training.data.sources import Source
from napari_medseg.training.evaluate import score_sources

# 20 cine phases per slice; experts contoured slices 2 to 10 of this patient
_OUTER = [n for n in range(1, 241) if (n - 1) // 20 not in range(2, 11)]
SETS = {
    "heart, outside the contoured slices": Source(
        "mri_recon_open/val.npz", label="", select={"subject": ["SC-HF-I-01"], "slice_index": _OUTER}
    ),
    "head, T1 MR": Source("mri_recon_open/val.npz", label="", select={"subject": ["studyforrest-02"]}),
    "brain with tumour, MR": Source("mri_recon_btp/val.npz", label=""),
    "abdomen, CT": Source("ct_liver_mini/slices.npz", label=""),
    "nuclei": Source("dsb2018/val.npz", label=""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path, nargs="?", default=models.find("heart-locator"))
    given = parser.parse_args()
    model = models.load(given.model)
    print("| slices | number | with any label | labelled share |")
    print("|---|---:|---:|---:|")
    for name, source in SETS.items():
        scores = score_sources(model, [source], given.data)
        wrong = sum(score.predicted > 0 for score in scores)
        share = sum(score.predicted for score in scores) / len(scores)
        print(f"| {name} | {len(scores)} | {wrong / len(scores):.0%} | {share:.2%} |")


if __name__ == "__main__":
    main()
