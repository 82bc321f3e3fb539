"""Take the pictures of README and docs in real napari windows, from the samples of the package.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/pictures.py docs`` writes PNG files of 1280 x 800 pixels, one
subject after the other, each in a window of its own; ``--only run review`` takes some of them again. The table of all
pictures is in `picture_table.py`. napari's own settings and the models of the person do not show.
"""

import argparse
import os
import tempfile
from importlib import import_module
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # as for somebody who starts napari for the first time

from picture_table import MAKERS, Maker
from picture_window import new_window
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


def main() -> None:
    """Write the pictures into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    names = sorted(Path(path).stem for path, maker in MAKERS.items() if is_ours(maker))
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    wanted = [MAKERS[f"docs/{name}.png"] for name in given.only or names]
    for maker in dict.fromkeys(wanted):  # some make several pictures
        with tempfile.TemporaryDirectory() as home:  # else one subject would offer to restore what another has painted
            os.environ["NAPARI_MEDSEG_HOME"] = home
            take_with(maker, given.folder)


def is_ours(maker: Maker) -> bool:
    """Whether a picture is taken in a window that shows samples of the package."""
    return maker.script.startswith("tools/picture_") and not maker.needs


def take_with(maker: Maker, folder: Path) -> None:
    """Let a function take its pictures in a new window."""
    module = import_module(Path(maker.script).stem)
    viewer = new_window()
    getattr(module, maker.function)(viewer, folder)
    viewer.close()
    QTest.qWait(500)


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
