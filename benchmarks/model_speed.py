"""What every bundled model that segments takes for a million pixels, on one core of a processor.

    python benchmarks/model_speed.py [--write]

Each model labels a sample of its own task from beginning to end, twice; the second run counts, by the processor time
of the process, so that other programs matter little. Prints a table in Markdown; ``--write`` puts the figures on the
cards, where lists of models take them from as long as a model has not run on a computer.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

from napari_medseg import io, models, samples
from napari_medseg.models.library import bundled_cards
from napari_medseg.progress import run
from napari_medseg.segmentation import costs
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.segmentation.orientation import turn_for
from napari_medseg.segmentation.slices import Slices
from napari_medseg.volume import Volume

SAMPLES = {
    "heart": "sunnybrook_SC-HF-I-01_ED.nii.gz",
    "hippocampus": "studyforrest_hippocampus.nii.gz",
    "nuclei": "dsb2018_fluorescence_05040e2e.png",
}
SETTINGS = InferenceSettings(device="cpu")


def seconds_per_megapixel(model: models.TrainedModel, volume: Volume) -> float:
    """Processor time of a whole run for a million pixels as the networks see them."""
    source = Slices(turn_for(volume, model.card.orientation).volume(volume), None)
    seen = sum(pixels for _, pixels in costs.stages(model, source)) * source.count
    run(segment_job(volume, model, SETTINGS))
    began = time.process_time()
    run(segment_job(volume, model, SETTINGS))
    return (time.process_time() - began) / seen * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the figures on the cards")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | s per million pixels |\n|---|---:|")
    for card in bundled_cards():
        task = next((task for task in SAMPLES if task in card.name), "")
        if card.design or not task:
            continue
        path = models.find(card.name)
        found = seconds_per_megapixel(models.load(path), io.read(samples.path(SAMPLES[task])))
        print(f"| {card.name} | {found:.2f} |")
        if wanted.write:
            models.save_card(path, replace(card, seconds_per_megapixel=float(f"{found:.2g}")))


if __name__ == "__main__":
    main()
