"""Small sound files for `fuzz.py`: every kind that the package reads but DICOM, which is in `fuzz_dicom`.

They are made from fixed numbers, so that a case is the same on every machine with the same libraries.
"""

from __future__ import annotations

import gzip
import hashlib
import io as memory
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg import io, models
from napari_medseg.io.kspace_out import write_reconstruction
from napari_medseg.io.notes import KEY
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import Item, Record
from napari_medseg.volume import LabelClass, Volume

ISMRMRD = Path(__file__).parents[1] / "tests" / "reference" / "mri" / "formats" / "acq17.h5"
CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(3, "wall", "#4dbbd5"))
AFFINE = np.array([[1.5, 0.2, 0, -9], [-0.2, 1.5, 0, 4], [0, 0, 6, 1], [0, 0, 0, 1]])
RECORD = Record("segment", inputs=(Item("image", "a.nii", shape=(2, 4, 5)),), settings={"threads": 1}).sealed()
HEADER = (
    '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace><matrixSize>'
    "<x>8</x><y>6</y><z>1</z></matrixSize><fieldOfView_mm><x>64</x><y>24</y><z>8</z></fieldOfView_mm></encodedSpace>"
    "<reconSpace><matrixSize><x>4</x><y>6</y><z>1</z></matrixSize><fieldOfView_mm><x>32</x><y>24</y><z>8</z>"
    "</fieldOfView_mm></reconSpace><trajectory>cartesian</trajectory><encodingLimits><kspace_encoding_step_1>"
    "<minimum>0</minimum><maximum>5</maximum><center>3</center></kspace_encoding_step_1></encodingLimits></encoding>"
    "</ismrmrdHeader>"
)


@dataclass(frozen=True)
class Seed:
    """A sound file, with those that must lie next to it.

    Parameters
    ----------
    files : mapping of str to bytes
        By name; the first is the one that is read.
    kind : str
        What is known of the parts of the first file, see ``fuzz_changes.KINDS``.
    changed : tuple of str
        The files that are damaged; empty: any of them.
    settle : callable, optional
        Repairs what would only show that something was changed, such as the hash of a model on its card.
    """

    files: Mapping[str, bytes]
    kind: str
    changed: tuple[str, ...] = ()
    settle: Callable[[dict[str, bytes]], None] | None = None


# images


def volume(labels: bool = True) -> Volume:
    data = np.arange(40).reshape(2, 4, 5) % 4
    if labels:
        return Volume(data.astype(np.uint8), "zyx", AFFINE, CLASSES, {"labels": True, "record": RECORD})
    return Volume(data.astype(np.float32), "zyx", AFFINE)


def written(folder: Path, name: str, kind: str, labels: bool) -> Seed:
    path = io.write(volume(labels), folder / name)
    return Seed({name: without_uuid(path.read_bytes())}, kind)


def without_uuid(content: bytes) -> bytes:
    """OME-TIFF has a name that is drawn anew whenever it is written."""
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"urn:uuid:" + b"0" * 36, content)


def nifti(folder: Path) -> Iterator[Seed]:
    import nibabel

    yield written(folder, "a.nii", "nifti", labels=True)
    yield written(folder, "b.nii", "nifti", labels=False)
    scaled = nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(5, 4, 2, 3), AFFINE)
    scaled.header.set_slope_inter(2, -1000)
    yield Seed({"c.nii": scaled.to_bytes()}, "nifti")
    yield Seed({"d.nii": nibabel.Nifti2Image(np.ones((5, 4, 2), np.float64), AFFINE).to_bytes()}, "nifti")
    colours = np.zeros((5, 4, 2), [(name, np.uint8) for name in "RGB"])
    yield Seed({"e.nii": nibabel.Nifti1Image(colours, AFFINE).to_bytes()}, "nifti")


def compressed_nifti(folder: Path) -> Iterator[Seed]:
    for seed in nifti(folder):
        yield Seed({f"{name}.gz": gzip.compress(content, mtime=0) for name, content in seed.files.items()}, "nifti.gz")


def nrrd(folder: Path) -> Iterator[Seed]:
    yield written(folder, "a.nrrd", "text", labels=False)
    yield written(folder, "b.seg.nrrd", "text", labels=True)
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 2\nspacings: 1 2 3\nendian: big\nencoding: raw\n\n"
    yield Seed({"c.nrrd": head.encode() + bytes(80)}, "text")


def meta_image(folder: Path) -> Iterator[Seed]:
    yield written(folder, "a.mha", "text", labels=True)
    head = "NDims = 3\nDimSize = 5 4 2\nElementType = MET_SHORT\nElementSpacing = 1 2 3\nElementDataFile = b.raw\n"
    yield Seed({"b.mhd": head.encode(), "b.raw": bytes(80)}, "text")


def tiff(folder: Path) -> Iterator[Seed]:
    import tifffile

    yield written(folder, "a.tif", "tiff", labels=True)
    grey = np.arange(256 * 2, dtype=np.uint16).reshape(2, 16, 16)
    colour = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(16, 16, 3).astype(np.uint8)
    forms: list[tuple[np.ndarray, dict[str, Any]]] = [
        (grey, {"rowsperstrip": 4}),
        (grey, {"tile": (16, 16), "compression": "deflate", "predictor": True}),
        (grey, {"bigtiff": True, "byteorder": ">"}),
        (colour, {"photometric": "rgb", "compression": "lzw"}),
        (colour, {"photometric": "rgb", "compression": "jpeg"}),
        (grey[0], {"photometric": "miniswhite", "resolution": (20, 20), "resolutionunit": 3}),
    ]
    for data, options in forms:
        stream = memory.BytesIO()
        tifffile.imwrite(stream, data, metadata=None, **options)
        yield Seed({"b.tif": stream.getvalue()}, "tiff")


def ome_tiff(folder: Path) -> Iterator[Seed]:
    import tifffile

    yield written(folder, "a.ome.tif", "tiff", labels=True)
    grey = np.arange(240, dtype=np.uint16).reshape(2, 2, 1, 6, 10)
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(folder / "b.ome.tif", grey, metadata={"axes": "TCZYX", **size}, photometric="minisblack")
    yield Seed({"b.ome.tif": without_uuid((folder / "b.ome.tif").read_bytes())}, "tiff")


def imagej(folder: Path) -> Iterator[Seed]:
    import tifffile

    grey = np.arange(240, dtype=np.uint16).reshape(2, 2, 6, 10)
    about = {"axes": "ZCYX", "unit": "um", "spacing": 2, "Labels": ["a", "b"], "min": 0.0, "max": 240.0}
    for number, order in enumerate("<>"):
        stream = memory.BytesIO()
        tifffile.imwrite(stream, grey, imagej=True, byteorder=order, resolution=(2, 2), metadata=about)
        yield Seed({f"{'ab'[number]}.tif": stream.getvalue()}, "tiff")


def png(folder: Path) -> Iterator[Seed]:
    from PIL import Image

    grey = np.arange(48).reshape(6, 8).astype(np.uint8)
    table = Image.fromarray(grey % 3, "L").convert("P")
    table.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    pictures = {
        "a": Image.fromarray(grey),
        "b": Image.fromarray(grey.astype(np.uint16) * 1000),
        "c": Image.fromarray(np.dstack([grey] * 4)),
        "d": table,
        "e": Image.fromarray(grey > 20),
    }
    for name, picture in pictures.items():
        stream = memory.BytesIO()
        picture.save(stream, "PNG", dpi=(72, 72))
        yield Seed({f"{name}.png": stream.getvalue()}, "png")


def jpeg(folder: Path) -> Iterator[Seed]:
    from PIL import Image

    grey = np.arange(192).reshape(12, 16).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # orientation
    forms: list[tuple[np.ndarray, dict[str, Any]]] = [
        (grey, {}),
        (np.dstack([grey] * 3), {"exif": exif}),
        (np.dstack([grey] * 3), {"progressive": True}),
    ]
    for data, options in forms:
        stream = memory.BytesIO()
        Image.fromarray(data).save(stream, "JPEG", **options)
        yield Seed({"a.jpg": stream.getvalue()}, "jpeg")


def npy(folder: Path) -> Iterator[Seed]:
    path = io.write(volume(), folder / "a.npy")
    side = path.with_name("a.npy.json")
    yield Seed({"a.npy": path.read_bytes(), "a.npy.json": side.read_bytes()}, "npy")
    for name, array in {"b": np.zeros((4, 5, 3), np.uint8), "c": np.asfortranarray(np.ones((2, 4, 5), ">f4"))}.items():
        yield Seed({f"{name}.npy": saved(array)}, "npy")


def npz(folder: Path) -> Iterator[Seed]:
    yield written(folder, "a.npz", "zip", labels=True)
    stream = memory.BytesIO()
    np.savez(stream, image=np.ones((4, 5), np.float32), label=np.ones((4, 5), np.uint8))
    yield Seed({"b.npz": stream.getvalue()}, "zip")


def saved(array: np.ndarray) -> bytes:
    stream = memory.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


# raw data


def kspace(*shape: int) -> np.ndarray:
    parts = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    return parts.view(np.complex64)[..., 0]


def fastmri(folder: Path) -> Iterator[Seed]:
    import h5py

    for number, options in enumerate(({"libver": "earliest"}, {"libver": "latest"})):
        path = folder / f"{'ab'[number]}.h5"
        with h5py.File(path, "w", **options) as file:
            file["kspace"] = kspace(2, 8, 6)
            file["ismrmrd_header"] = HEADER
            file["reconstruction_esc"] = np.ones((2, 4, 6), np.float32)
            file["mask"] = np.array([1, 0, 1, 1, 0, 1], np.uint8)
            file.attrs.update({"acquisition": "AXT2", "max": 0.5, "acceleration": 2})
        yield Seed({path.name: path.read_bytes()}, "hdf5")
    path = folder / "c.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=kspace(2, 2, 8, 6), chunks=(1, 2, 8, 6), compression="gzip", shuffle=True)
    yield Seed({path.name: path.read_bytes()}, "hdf5")


def ismrmrd(folder: Path) -> Iterator[Seed]:
    import h5py

    with h5py.File(ISMRMRD) as file:
        dtype = file["dataset/data"].dtype
    table = np.zeros(6, dtype)
    for column, row in enumerate(table):
        head, data = row["head"], kspace(2, 8)
        head["active_channels"], head["number_of_samples"] = data.shape
        head["center_sample"], head["idx"]["kspace_encode_step_1"] = 4, column
        row["data"], row["traj"] = data.view(np.float32).ravel(), np.zeros(0, np.float32)
    for name, chunks in {"a.mrd": None, "b.mrd": (1,)}.items():
        with h5py.File(folder / name, "w") as file:
            file.create_dataset("dataset/xml", data=[HEADER], dtype=h5py.string_dtype())
            file.create_dataset("dataset/data", data=table, chunks=chunks)
        yield Seed({name: (folder / name).read_bytes()}, "hdf5")


def reconstruction(folder: Path) -> Iterator[Seed]:
    path = write_reconstruction(folder / "a.h5", np.ones((2, 4, 6), np.float32), {"psnr": 30.5}, RECORD)
    yield Seed({"a.h5": path.read_bytes()}, "hdf5")


def bart(folder: Path) -> Iterator[Seed]:
    values = kspace(8, 6, 1, 2).tobytes()
    text = b"# Dimensions\n8 6 1 2 1 1 1 1 1 1 1 1 1 1 1 1\n# Command\nfft -u 7 a b\n"
    yield Seed({"a.hdr": text, "a.cfl": values}, "text")
    head = struct.pack("<8s5Q", b"rawarray", 0, 4, 8, len(values), 4) + struct.pack("<4Q", 8, 6, 1, 2)
    yield Seed({"b.ra": head + values}, "ra")


def raw_numpy(folder: Path) -> Iterator[Seed]:
    yield Seed({"a.npy": saved(kspace(2, 2, 8, 6))}, "npy")
    stream = memory.BytesIO()
    np.savez_compressed(stream, kspace=kspace(8, 6), mask=np.array([1, 0, 1, 1, 0, 1]))
    yield Seed({"b.npz": stream.getvalue()}, "zip")


# what the package itself writes: side files, records, settings, models


def side_file(folder: Path) -> Iterator[Seed]:
    (seed, *_) = npy(folder)
    yield Seed({"a.npy": seed.files["a.npy"], "a.npy.json": seed.files["a.npy.json"]}, "npy", ("a.npy.json",))


def record(folder: Path) -> Iterator[Seed]:
    content = {KEY: {"record": RECORD.to_json()}}
    yield Seed({"a.json": json.dumps(content).encode()}, "json")


def settings(folder: Path) -> Iterator[Seed]:
    from napari_medseg.training.settings import RECIPES

    for number, path in enumerate(sorted(RECIPES.glob("*.json"))):
        yield Seed({f"{number}.json": path.read_bytes()}, "json")
    yield Seed({"a.json": b'{"like": "b", "seed": 3}', "b.json": path.read_bytes()}, "json")


def fine_tune(folder: Path) -> Iterator[Seed]:
    classes = [{"id": 1, "name": "cavity", "colour": "#e64b35"}]
    annotated = [{"image": "a.nii.gz", "labels": "b.nii.gz", "reviewed": [1, 2], "name": "a"}]
    content = {"base": "litenext-heart", "name": "mine", "classes": classes, "annotated": annotated, "seconds": 5}
    yield Seed({"a.json": json.dumps(content).encode()}, "json")


def dataset(folder: Path) -> Iterator[Seed]:
    case = {"image": "a.nii", "label": "b.nii", "case": "a", "split": "train", "held_back": [1], "spacing": [1.0, 2]}
    content = {"classes": [{"id": 1, "name": "cavity", "colour": "#e64b35"}], "cases": [case], "ignore": 255}
    yield Seed({"dataset.json": json.dumps(content).encode(), "a.nii": b"a", "b.nii": b"b"}, "json", ("dataset.json",))


def model(folder: Path) -> Iterator[Seed]:
    card = models.ModelCard("tiny", "litenext", Preprocess(), CLASSES)
    network = models.build(card.architecture, num_classes=3, channels=1, width=1)
    path = folder / "tiny.safetensors"
    models.save(path, network, card)
    found = {name: (folder / name).read_bytes() for name in ("tiny.safetensors", "tiny.json")}
    yield Seed(found, "safetensors", settle=new_hash)


def new_hash(changed: dict[str, bytes]) -> None:
    """Have the card say that the weights are its own, unless it was changed itself."""
    card = changed["tiny.json"]
    try:
        content = json.loads(card)
        content["sha256"] = hashlib.sha256(changed["tiny.safetensors"]).hexdigest()
        changed["tiny.json"] = json.dumps(content).encode()
    except (ValueError, TypeError, RecursionError):
        pass


def checkpoint(folder: Path) -> Iterator[Seed]:
    import torch

    state = {"model": {"a.weight": torch.ones(2, 3), "b": torch.arange(4)}, "step": 3, "best": np.float64(0.5)}
    for name, options in {"a.pt": {}, "b.pt": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(state, folder / name, **options)
        yield Seed({name: without_addresses((folder / name).read_bytes())}, "zip" if not options else "bytes")


def without_addresses(content: bytes) -> bytes:
    """The old format of PyTorch names a tensor by its place in memory."""
    for number, address in enumerate(dict.fromkeys(re.findall(rb"\d{14,15}", content))):
        content = content.replace(address, b"%0*d" % (len(address), number))
    return content


def replay(folder: Path) -> Iterator[Seed]:
    stream = memory.BytesIO()
    image = np.zeros((2, 4, 5), np.uint8)
    np.savez_compressed(stream, image=image, label=image, case=np.array(["a", "b"]))
    yield Seed({"a.npz": stream.getvalue()}, "zip")


def mask(folder: Path) -> Iterator[Seed]:
    yield Seed({"a.npy": saved(np.array([1, 0, 1, 1], np.uint8))}, "npy")
    yield Seed({"b.npy": saved(np.ones((4, 6), bool))}, "npy")
