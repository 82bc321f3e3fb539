"""``python -m napari_medseg.training SETTINGS.json``: the same as ``napari-medseg train``."""

import sys

from ..cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
