"""DICOM segmentations as other programs read them, put onto the grid of the images: for the tests and the picture."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

OHIF = Path(__file__).parent / "ohif"
DCMQI = shutil.which("segimage2itkimage") or shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent))
NODE = shutil.which("node") if (OHIF / "node_modules").is_dir() else None


def by_dcmqi(path, image, folder):
    """Masks (z, y, x) on the grid of a volume by name of the segment, as dcmqi reads them; files go into `folder`."""
    folder.mkdir()
    subprocess.run([DCMQI, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nifti"], check=True, timeout=120)
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    found = {}
    # one file per segment, or one for all of a label map
    for number, group in enumerate(meta["segmentAttributes"], 1):
        read = sitk.ReadImage(str(folder / f"{number}.nii.gz"))
        for segment in group:
            found[segment["SegmentLabel"]] = _on_grid(read, segment["labelID"], image)
    return found


def _on_grid(read, number, image):
    """Where an image of SimpleITK has a number, as a mask on the grid of a volume."""
    indices = np.argwhere(sitk.GetArrayFromImage(read) == number)[:, ::-1]
    directions = np.reshape(read.GetDirection(), (3, 3)) * read.GetSpacing()
    places = indices @ directions.T + read.GetOrigin()
    places[:, :2] *= -1
    at = np.column_stack([places, np.ones(len(places))]) @ np.linalg.inv(image.affine).T
    whole = np.round(at[:, :3]).astype(int)
    assert not len(at) or np.abs(at[:, :3] - whole).max() < 1e-2
    mask = np.zeros(image.data.shape, bool)
    mask[tuple(whole[:, ::-1].T)] = True
    return mask


def by_ohif(path, image, files):
    """Labels (z, y, x) on the grid of a volume, and names by number, as OHIF's adapter reads them.

    It returns a picture for each source image; where this one lies is read from its header.
    """
    command = [NODE, OHIF / "read_seg.js", path, *files]
    told = subprocess.run(command, check=True, timeout=120, capture_output=True, cwd=OHIF).stdout
    found = json.loads(told)
    assert not found["messages"], found["messages"]
    (layer,) = found["layers"]
    slices = _slices(files, image)
    labels = np.zeros(image.data.shape, np.uint16)
    for key, text in layer.items():
        labels[slices[key]] = np.frombuffer(base64.b64decode(text), "<u2").reshape(labels.shape[1:])
    return labels, {int(number): name for number, name in found["segments"].items() if number != "0"}


def _slices(files, image):
    """The slice of a volume that each frame of DICOM files is, by ``SOPInstanceUID/frame``."""
    to_index = np.linalg.inv(image.affine)
    found = {}
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        frames = header.get("PerFrameFunctionalGroupsSequence") or []
        places = [frame.PlanePositionSequence[0] for frame in frames if "PlanePositionSequence" in frame]
        for number, place in enumerate(places or [header], 1):
            x, y, z = place.ImagePositionPatient
            at = (to_index @ [-x, -y, z, 1])[:3]
            assert np.abs(at - [0, 0, round(at[2])]).max() < 1e-2
            found[f"{header.SOPInstanceUID}/{number}"] = round(at[2])
    return found
