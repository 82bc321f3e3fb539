"""The list of the DICOM series of a folder, as *Open scan…* shows it.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/picture_series.py docs --dicom FOLDER`` writes
``opening_series.png``; the folder holds several series, in folders of their own if you like.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""

from picture_window import new_window, open_dock, take, wait_until
from qtpy.QtWidgets import QApplication, QTableWidget


def main() -> None:
    """Write the picture into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--dicom", type=Path, metavar="FOLDER", required=True, help="with several series")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MEDSEG_HOME"] = home
        series(given.dicom, given.folder)


def series(dicom: Path, folder: Path) -> None:
    """Open the folder in a dock, and wait for the pictures of all series."""
    viewer = new_window()
    opener = open_dock(viewer, "Segment").opener
    opener.open([dicom])
    wait_until(lambda: opener.series_list is not None and has_pictures(opener.series_list.table))
    take(opener.series_list, folder / "opening_series.png")
    viewer.close()


def has_pictures(table: QTableWidget) -> bool:
    """Whether every line has the picture of its middle slice."""
    return all(not table.item(row, 0).icon().isNull() for row in range(table.rowCount()))


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
