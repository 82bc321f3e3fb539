"""Take the picture of a DICOM segmentation of the sample heart as readers of other programs see it.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/picture_seg.py docs`` segments the heart by the command line,
saves the same labels from a dock, and draws what dcmqi and OHIF's adapter read from both files over the DICOM images,
as ``dicom_seg.png``. ``make judges`` installs the two readers.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import napari
import numpy as np
import pydicom
from matplotlib.figure import Figure
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_medseg import cli, io, samples
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.widgets.demo import _wait_until

SLICES = (2, 4, 6, 8)
CROP = np.s_[84:172, 82:170]
INCHES = 1.76  # of one picture: two dots of the screen for each pixel
GREYS = 20
COLOURS = ("#e64b35", "#4dbbd5")

JUDGES = Path(__file__).parent.parent / "tests" / "judges"


def main() -> None:
    """Write the picture into the folder that the command line names."""
    sys.path.insert(0, str(JUDGES))
    from seg_judges import by_dcmqi, by_ohif

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    target = parser.parse_args().folder / "dicom_seg.png"
    heart = samples.path("sunnybrook_sax_ED")
    files = sorted(heart.iterdir())
    image = io.read(heart)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {"command line": folder / "command.seg.dcm", "dock": folder / "dock.seg.dcm"}
        cli.main(["segment", str(heart), "-o", str(paths["command line"]), "--model", "litenext-heart"])
        save_from_dock(image, io.read(paths["command line"]), paths["dock"])
        rows = {}
        for writer, path in paths.items():
            masks = by_dcmqi(path, image, folder / f"{writer} dcmqi")
            rows[f"{writer}\nread by dcmqi"] = list(masks.values())
            labels, names = by_ohif(path, image, files)
            rows[f"{writer}\nread by OHIF's adapter"] = [labels == number for number in names]
    draw(rows, image, files, target)


def save_from_dock(image: io.Volume, labels: io.Volume, path: Path) -> None:
    """Open an image and its labels in a window, and press Save in the Review form."""
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_layer(napari.layers.Layer.create(*layer_tuple(image, "heart")))
    viewer.add_layer(napari.layers.Layer.create(*layer_tuple(labels, "labels")))
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    _wait_until(lambda: not dock.busy)
    with patch.object(QFileDialog, "getSaveFileName", lambda *_: (str(path), "")):
        dock.form.save.click()
        _wait_until(path.exists)
        _wait_until(lambda: not dock.busy)
    viewer.close()


def draw(rows: dict[str, list[np.ndarray]], image: io.Volume, files: list[Path], target: Path) -> None:
    """Draw the outlines of masks (z, y, x), a row for each reader, over the pixels of the DICOM files."""
    pictures = slices_of(image, files)
    size = (INCHES * len(SLICES), INCHES * len(rows))
    figure = Figure(size, facecolor="black")
    axes = figure.subplots(len(rows), len(SLICES))
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)
    for line, (title, masks) in zip(axes, rows.items(), strict=True):
        for axis, z in zip(line, SLICES, strict=True):
            picture = pictures[z][CROP]
            axis.imshow(picture, cmap="gray", vmax=np.percentile(picture, 99.5))
            # the muscle first: its inner outline is that of the cavity
            for mask, colour in zip(masks[::-1], COLOURS[::-1], strict=True):
                axis.contour(mask[z][CROP], [0.5], colors=colour, linewidths=1.2)
            axis.axis("off")
        line[0].text(2, 2, title, color="white", fontsize=8, va="top")
    figure.savefig(target, dpi=100)
    with Image.open(target) as drawn:
        drawn.convert("RGB").quantize(palette=palette(), dither=Image.Dither.NONE).save(target, optimize=True)


def palette() -> Image.Image:
    """Few greys and the colours of the outlines: a small file."""
    greys = [level for level in np.linspace(0, 255, GREYS).astype(int).tolist() for _ in range(3)]
    found = Image.new("P", (1, 1))
    found.putpalette([*greys, *b"".join(bytes.fromhex(colour[1:]) for colour in COLOURS)])
    return found


def slices_of(image: io.Volume, files: list[Path]) -> dict[int, np.ndarray]:
    """The pixels of each file by the slice of a volume that lies where its header says."""
    to_index = np.linalg.inv(image.affine)
    found = {}
    for file in files:
        dataset = pydicom.dcmread(file)
        x, y, z = dataset.ImagePositionPatient
        found[round((to_index @ [-x, -y, z, 1])[2])] = dataset.pixel_array
    return found


if __name__ == "__main__":
    main()
