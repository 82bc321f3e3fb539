"""Draw the picture on the card of each bundled model that segments: its labels on three slices of a sample.

``python tools/card_pictures.py`` writes ``NAME.png`` beside the weights; name models to draw only these.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

import napari_medseg
from napari_medseg import models, samples
from napari_medseg.models.library import bundled_cards

SAMPLES = {
    "heart": ("sunnybrook_SC-HF-I-01_ED.nii.gz", (2, 5, 9)),
    "hippocampus": ("studyforrest_hippocampus.nii.gz", (8, 13, 18)),
    "nuclei": ("dsb2018_stained_0121d675.png", ()),
}
"""File and slices by group."""

INCHES, DPI = (6.0, 2.0), 100


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="MODEL")
    wanted = parser.parse_args().names
    for card in bundled_cards():
        if card.group in SAMPLES and (not wanted or card.name in wanted):
            draw(card)


def draw(card: models.ModelCard) -> None:
    """Write the picture of one model."""
    name, slices = SAMPLES[card.group]
    image = napari_medseg.read(samples.path(name))
    labels = np.asarray(napari_medseg.segment(image, card.name, split_objects=False).labels.data)
    pairs = [(np.asarray(image.data)[place], labels[place]) for place in slices] or [(np.asarray(image.data), labels)]
    figure, panels = plt.subplots(1, len(pairs), figsize=INCHES, dpi=DPI, facecolor="black", squeeze=False)
    rows, columns = _around(labels)
    for panel, (grey, found) in zip(panels[0], pairs, strict=True):
        panel.imshow(grey[rows, columns], cmap="gray", vmin=0, vmax=np.percentile(image.data, 99.8))
        for row in reversed(card.classes):
            inside = found[rows, columns] == row.id
            if inside.any() and not inside.all():
                panel.contour(inside, [0.5], colors=row.colour, linewidths=1)
        panel.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0)
    path = models.find(card.name).with_suffix(".png")
    figure.savefig(path, facecolor="black")
    plt.close(figure)


def _around(labels: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what was found and as much again around it."""
    found = []
    for axis in (-2, -1):
        others = tuple(each for each in range(labels.ndim) if each != axis % labels.ndim)
        places = np.flatnonzero(labels.any(axis=others))
        margin = max(8, (places[-1] - places[0]) // 2)
        found.append(slice(max(0, places[0] - margin), places[-1] + margin))
    return found[0], found[1]


if __name__ == "__main__":
    main()
