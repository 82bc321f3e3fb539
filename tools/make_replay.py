"""Choose a few training slices that a bundled model rehearses while it is fine-tuned.

    python tools/make_replay.py DATA NAME [--slices 100]

DATA is the folder that the recipe NAME starts from. Writes ``weights/NAME.replay.npz``: slices at the pixel size of the
model, evenly spread over its training data, three quarters of them labelled. Only for data whose licence allows to pass
them on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import napari_medseg
from napari_medseg.training.data.dataset import load, on_working_grid
from napari_medseg.training.settings import read_settings

PACKAGE = Path(napari_medseg.__file__).parent
LABELLED = 0.75  # share of the slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("name")
    parser.add_argument("--slices", type=int, default=100)
    args = parser.parse_args()
    recipe = read_settings(PACKAGE / "training" / "recipes" / f"{args.name}.json")
    samples = load(recipe.train, recipe.preprocess, args.data, len(recipe.classes))
    samples = [on_working_grid(sample, recipe.preprocess, len(recipe.classes)) for sample in samples]
    size = recipe.phases[-1].size
    samples = [sample for sample in samples if sample.labels.shape == (size, size)]
    chosen = []
    for full, share in ((True, LABELLED), (False, 1 - LABELLED)):
        part = sorted((s for s in samples if bool(s.labels.any()) == full), key=lambda sample: sample.case)
        places = np.linspace(0, len(part) - 1, round(share * args.slices)).round().astype(int)
        chosen += [part[place] for place in places]
    np.savez_compressed(
        PACKAGE / "weights" / f"{args.name}.replay.npz",
        image=np.stack([(sample.image[0].numpy() * 255).round().astype(np.uint8) for sample in chosen]),
        label=np.stack([sample.labels.numpy() for sample in chosen]),
        case=np.array([sample.case for sample in chosen]),
    )


if __name__ == "__main__":
    main()
