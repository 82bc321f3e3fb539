"""DICOM segmentations: size, seconds and memory of writing and reading, as a table in Markdown.

``python benchmarks/dicom_seg.py FOLDER`` writes a series of 300 slices there (158 MB), and both kinds of segmentation
of it and of the sample heart, each in a process of its own. Written files are read back and compared, as always.

CPU seconds count all threads. Memory is the most that the process took above what it held with the labels in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_medseg import io, samples
from napari_medseg.reference import KEY, Reference
from napari_medseg.volume import LabelClass, Volume

SHAPE = (300, 512, 512)
SPACING = (1.0, 0.7, 0.7)
CLASSES = 5
KINDS = ("BINARY", "LABELMAP")
PROCESS = Path("/proc/self")  # of Linux


def series(folder: Path) -> None:
    """Write axial images of nothing, as a CT scanner would name them."""
    folder.mkdir(parents=True)
    uid = generate_uid()
    for z in range(SHAPE[0]):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = uid
        dataset.Modality = "CT"
        dataset.InstanceNumber = z + 1
        dataset.ImagePositionPatient = [0, 0, z * SPACING[0]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = list(SPACING[1:])
        dataset.Rows, dataset.Columns = SHAPE[1:]
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = 0
        dataset.add_new("PixelData", "OW", bytes(2 * SHAPE[1] * SHAPE[2]))
        pydicom.dcmwrite(folder / f"{z:03}.dcm", dataset, enforce_file_format=True)


def organs(folder: Path) -> Volume:
    """Ellipsoids on the series, one of each class."""
    data = np.zeros(SHAPE, np.uint8)
    places = np.random.default_rng(0).uniform(0.25, 0.75, (CLASSES, 3))
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    for number, place in enumerate(places, 1):
        parts = [((axis / n - centre) / 0.13) ** 2 for axis, n, centre in zip(axes, SHAPE, place, strict=True)]
        data[sum(parts) < 1] = number
    classes = tuple(LabelClass(n, f"organ {n}", f"#{40 * n:02x}8080") for n in range(1, CLASSES + 1))
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1])
    uid = pydicom.dcmread(folder / "000.dcm", stop_before_pixels=True).SeriesInstanceUID
    return Volume(data, "zyx", affine, classes, {KEY: Reference(str(uid), str(folder)), "labels": True})


def heart() -> Volume:
    """Two cylinders on the sample heart, one in the other."""
    image = io.read(samples.path("sunnybrook_sax_ED"))
    data = np.zeros(image.data.shape, np.uint8)
    rows, columns = np.ogrid[: data.shape[1], : data.shape[2]]
    squared = (rows - 128) ** 2 + (columns - 128) ** 2
    data[2:10, squared < 30**2] = 2
    data[2:10, squared < 22**2] = 1
    return image.like(data, (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "muscle", "#4dbbd5")))


def most() -> int:
    """Bytes that this process has held at most since `forget`."""
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget() -> int:
    """Let `most` begin anew; returns what the process holds now."""
    (PROCESS / "clear_refs").write_text("5")
    return most()


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds, CPU seconds and MB of a piece of work."""
    before = forget()
    cpu = sum(os.times()[:2])
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu": sum(os.times()[:2]) - cpu, "mb": (most() - before) / 1e6}


def one(folder: Path, what: str, kind: str, step: str) -> None:
    """Write or read one file, and print the figures as JSON."""
    path = folder / f"{what}-{kind}.seg.dcm"
    labels = heart() if what == "heart" else organs(folder / "series")
    # what is imported on first use is not counted
    io.read(io.write(heart(), folder / "first.seg.dcm", say=lambda _: None))
    if step == "write":
        found = measured(lambda: io.write(labels, path, label_map=kind == "LABELMAP", say=lambda _: None))
    else:
        found = measured(lambda: io.read(path))
        assert np.array_equal(io.read(path).data, labels.data)
    frames = int(pydicom.dcmread(path, stop_before_pixels=True).NumberOfFrames)
    json.dump({**found, "size": path.stat().st_size / 1e6, "frames": frames}, sys.stdout)


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "KIND", "STEP"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.folder, *args.one)
        return
    if not (args.folder / "series").is_dir():
        series(args.folder / "series")
    print("| labels | kind | size | frames | write | CPU | memory | read | CPU | memory |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for what, words in (("heart", "heart, 12 x 256 x 256, 2 classes"), ("organs", "300 x 512 x 512, 5 classes")):
        for kind in KINDS:
            cells = []
            for step in ("write", "read"):
                command = [sys.executable, __file__, str(args.folder), "--one", what, kind, step]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                cells += [f"{found['seconds']:.2f} s", f"{found['cpu']:.2f} s", f"{found['mb']:.0f} MB"]
            print(f"| {words} | {kind} | {found['size']:.2f} MB | {found['frames']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
