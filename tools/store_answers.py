"""Store what bundled models answer to noise: tests/models/test_bundled.py holds later versions to it.

python tools/store_answers.py NAME ...
"""

import sys
from pathlib import Path

import numpy as np

from napari_medseg import models

FOLDER = Path(__file__).parents[1] / "tests" / "reference" / "bundled"

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:]:
        model = models.load(models.find(name))
        np.savez_compressed(FOLDER / f"{name}.npz", logits=models.check(model).numpy(), sha256=model.card.sha256)
