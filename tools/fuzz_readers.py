"""Every reader of the package, for `fuzz.py`: where its sound files come from, and how one of them is read.

What was read is looked at: a value that cannot be true is a fault as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fuzz_dicom
import fuzz_seeds
import numpy as np
from fuzz_seeds import Seed

from napari_medseg import files, io, models
from napari_medseg.io import contributions
from napari_medseg.io.kspace import read_kspace
from napari_medseg.io.kspace_out import read_reconstruction
from napari_medseg.io.notes import KEY, Notes
from napari_medseg.kspace import KSpace
from napari_medseg.volume import Volume


@dataclass(frozen=True)
class Reader:
    """A reader of the package: its seeds, made in a folder, and how a file is read and looked at."""

    seeds: Callable[[Path], Iterator[Seed]]
    read: Callable[[Path], object]


def read_image(path: Path) -> object:
    """Read as *File > Open* does, and look at what comes."""
    opened = contributions.get_reader(str(path))
    if opened is None:
        return io.read(path)
    layers = opened(str(path))
    for data, options, _ in layers:
        look_at_volume(contributions.volume_from_layer_data(data, options))
    return layers


def look_at_volume(volume: Volume) -> None:
    data = np.asarray(volume.data)
    assert data.shape == tuple(volume.data.shape), "the voxels do not have the shape that was declared"
    assert data.ndim == len(volume.axes), "an axis has no name"
    assert data.dtype.kind in "iuf", f"the voxels are of type {data.dtype}"
    assert np.isfinite(volume.affine).all() and np.linalg.det(volume.affine) != 0, "the affine is singular"
    assert all(0 < mm < np.inf for mm in volume.spacing), f"the spacing is {volume.spacing}"


def read_raw(path: Path) -> object:
    kspace = read_kspace(path)
    look_at_kspace(kspace)
    return kspace


def look_at_kspace(kspace: KSpace) -> None:
    slices, *shape = kspace.data.shape
    for index in {0, slices - 1}:
        assert np.asarray(kspace.data[index]).shape == tuple(shape), "a slice does not have the shape declared"
    if kspace.reference is not None:
        assert np.asarray(kspace.reference[0]).shape == tuple(kspace.reference.shape[1:]), "the reference differs"
    if kspace.spacing is not None:
        assert all(0 < mm < np.inf for mm in kspace.spacing), f"the spacing is {kspace.spacing}"


def read_record(path: Path) -> object:
    content = files.read_json(path)
    notes = Notes.from_json(content.get(KEY) if isinstance(content, dict) else None)
    found = notes.metadata.get("record")
    if found is not None:
        found.normal()
        found.report()
        found.fingerprint()
    return found


def read_settings(path: Path) -> object:
    from napari_medseg.training import continuing, settings

    found = settings.read_settings(path)
    continuing.differences(found, found)
    files.to_json(found)
    return found


def read_fine_tune(path: Path) -> object:
    from napari_medseg.training import fine_tune

    return fine_tune.read(path)


def read_dataset(path: Path) -> object:
    from napari_medseg.training.data.folders import read_dataset_file

    return read_dataset_file(path.parent)


def read_replay(path: Path) -> object:
    from napari_medseg.training.data.sources import npz_arrays

    return npz_arrays(path, {"image", "label", "case"})


def read_mask(path: Path) -> object:
    from napari_medseg.recon.sampling import load_mask

    return load_mask(path)


READERS: dict[str, Reader] = {
    "dicom plain": Reader(fuzz_dicom.plain, read_image),
    "dicom compressed": Reader(fuzz_dicom.compressed, read_image),
    "dicom multi-frame": Reader(fuzz_dicom.frames, read_image),
    "dicom series": Reader(fuzz_dicom.series, read_image),
    "nifti": Reader(fuzz_seeds.nifti, read_image),
    "nifti.gz": Reader(fuzz_seeds.compressed_nifti, read_image),
    "nrrd": Reader(fuzz_seeds.nrrd, read_image),
    "metaimage": Reader(fuzz_seeds.meta_image, read_image),
    "tiff": Reader(fuzz_seeds.tiff, read_image),
    "ome-tiff": Reader(fuzz_seeds.ome_tiff, read_image),
    "imagej": Reader(fuzz_seeds.imagej, read_image),
    "png": Reader(fuzz_seeds.png, read_image),
    "jpeg": Reader(fuzz_seeds.jpeg, read_image),
    "npy": Reader(fuzz_seeds.npy, read_image),
    "npz": Reader(fuzz_seeds.npz, read_image),
    "side file": Reader(fuzz_seeds.side_file, read_image),
    "fastmri": Reader(fuzz_seeds.fastmri, read_raw),
    "ismrmrd": Reader(fuzz_seeds.ismrmrd, read_raw),
    "bart": Reader(fuzz_seeds.bart, read_raw),
    "k-space numpy": Reader(fuzz_seeds.raw_numpy, read_raw),
    "reconstruction": Reader(fuzz_seeds.reconstruction, read_reconstruction),
    "record": Reader(fuzz_seeds.record, read_record),
    "settings": Reader(fuzz_seeds.settings, read_settings),
    "fine-tune settings": Reader(fuzz_seeds.fine_tune, read_fine_tune),
    "dataset.json": Reader(fuzz_seeds.dataset, read_dataset),
    "model": Reader(fuzz_seeds.model, models.load),
    "checkpoint": Reader(fuzz_seeds.checkpoint, models.read_checkpoint),
    "replay": Reader(fuzz_seeds.replay, read_replay),
    "mask": Reader(fuzz_seeds.mask, read_mask),
}
"""Every reader, by the name that ``make fuzz`` prints."""
