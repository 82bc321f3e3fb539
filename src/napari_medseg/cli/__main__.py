"""``python -m napari_medseg.cli``: the same as ``napari-medseg``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
