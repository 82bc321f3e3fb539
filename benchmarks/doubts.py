"""How often the statistics of the guard doubt images, for every bundled model that segments.

    python benchmarks/doubts.py DATA

DATA is a folder of data sets as the recipes expect them. What a file says (modality, body part, pixel size) and
negative values are left out: the table shows what is left when only grey values and texture speak. A stack is one
image, of which a few middle slices are looked at. Prints a table in Markdown, the share of images that are doubted, and
the milliseconds of processor time that a slice takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_medseg import models
from napari_medseg.segmentation import guard
from napari_medseg.segmentation.slices import Slices
from napari_medseg.volume import Volume

UNKNOWN = {"has_spacing": False}


def images(data: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every image (z, y, x) or (y, x, 3) with the name of its row."""
    for part in ("val", "test"):
        for plane in np.load(data / "sunnybrook" / f"{part}.npz")["image"]:
            yield f"heart, {part}", plane[None]
        for plane in np.load(data / "dsb2018" / f"{part}.npz")["image"]:
            yield f"nuclei, {part}", plane
        content = np.load(data / "hippocampus" / f"{part}.npz")
        for image, shape in zip(content["image"], content["shape"], strict=True):
            yield f"hippocampus, {part}", image[tuple(map(slice, shape))].T
    for plane in stored(data / "sunnybrook_stack", "empty", 2):
        yield "heart, slices beyond the ventricle", plane[None]
    for plane in stored(data / "sunnybrook_negative"):
        yield "heart, other views (localizers)", plane[None]
    other = np.load(data / "cardiac_complex" / "cardiac_complex_256x192.npz")
    for plane, name in zip(np.abs(other["image"]), other["view"], strict=True):
        view = "short axis" if name.startswith("sax") else "four chambers"
        yield f"heart, another scanner, {view}", plane[None]
    for plane in np.load(data / "ct_liver_mini" / "slices.npz")["image"]:
        yield "CT of the abdomen, 8 bit", plane[None]
    for name, title in (("ct", "CT of the trunk, Hounsfield units"), ("mr", "MR of the trunk")):
        volume = scan(data / "ct_totalseg_sample" / f"example_{name}_sm.nii.gz")
        for axis in range(3):
            yield title, np.moveaxis(volume, axis, 0)
    for plane in stored(data / "mri_recon_open", "source", "studyforrest_T1w")[::3]:
        yield "head, T1w slices", plane[None]
    for plane in stored(data / "mri_recon_btp"):
        yield "brain with tumour, four contrasts", plane[None]
    head = scan(data / "samples" / "studyforrest_T1w_half.nii.gz")
    for axis in range(3):
        yield "head, T1w stack along each axis", np.moveaxis(head, axis, 0)


def stored(folder: Path, key: str = "", value: object = None) -> list[np.ndarray]:
    """The images of all parts of a data set, or those whose `key` has a `value`."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        content = np.load(path)
        chosen = content[key] == value if key else slice(None)
        found += list(content["image"][chosen])
    return found


def scan(path: Path) -> np.ndarray:
    """A NIfTI file as (z, y, x)."""
    import nibabel as nib

    return np.asarray(nib.load(path).dataobj).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    cards = {}
    for path in models.available().values():
        card = models.load_card(path)
        if card.appearance is not None:
            cards.setdefault(card.group, card)  # the models of a group share their statistics
    counted: dict[str, list[list[bool]]] = {}
    planes = 0
    seconds = 0.0
    for title, image in images(args.data):
        volume = Volume(image, "yxc" if image.shape[-1] == 3 else "zyx", metadata=UNKNOWN)
        sample = guard.Sample(volume, Slices(volume, None))
        planes += len(sample.planes)
        began = time.process_time()
        sample.measures  # noqa: B018
        seconds += time.process_time() - began
        counted.setdefault(title, []).append([bool(guard.appearance(sample, card)) for card in cards.values()])
    print("| images | number |", " | ".join(cards), "|")
    print("|---|---:|" + "---:|" * len(cards))
    for title, rows in counted.items():
        shares = np.mean(rows, 0)
        print(f"| {title} | {len(rows)} |", " | ".join(f"{share:.0%}" for share in shares), "|")
    print(f"\n{1000 * seconds / planes:.1f} ms of processor time for a slice")


if __name__ == "__main__":
    main()
