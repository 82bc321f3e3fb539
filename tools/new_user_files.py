"""Files as a new user has them, made of the bundled samples: a NIfTI file, a DICOM folder, a CT and a picture.

The study in the DICOM folder has three series in one folder, with names as scanners give them: a localizer, which is
made of the bundled CT, the short-axis stack, and every other phase of the cine series of the same heart, which is still
the largest of the three.
"""

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.ndimage import zoom

import napari_medseg
from napari_medseg import samples

HEART = "sunnybrook_SC-HF-I-01_ED.nii.gz"
CINE = "sunnybrook_SC-HF-I-01_cine.nii.gz"
CT = "totalseg_ct.nii.gz"
NUCLEI = "dsb2018_stained_0121d675.png"
BEAT_MS = 750.0
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts to the left and to the back
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Files:
    """Where the files lie."""

    nifti: Path
    dicom: Path
    ct: Path
    picture: Path


def make_files(folder: Path) -> Files:
    """Write the files of a new user into a folder."""
    files = Files(folder / "patient7.nii.gz", folder / "STUDY01", folder / "abdomen.nii.gz", folder / "slide_3.png")
    shutil.copy(samples.path(HEART), files.nifti)
    shutil.copy(samples.path(CT), files.ct)
    shutil.copy(samples.path(NUCLEI), files.picture)
    make_study(files.dicom)
    return files


def make_study(folder: Path) -> None:
    """Write three series into one folder."""
    folder.mkdir()
    study = generate_uid()
    write_localizer(folder, study)
    stack = napari_medseg.read(samples.path(HEART))
    write_series(folder, study, 5, "SAX T1 TSE db", np.asarray(stack.data)[None], stack.affine)
    cine = napari_medseg.read(samples.path(CINE))
    write_series(folder, study, 8, "cine_SAX_trufi_retro", np.asarray(cine.data)[::2], cine.affine)


def write_localizer(folder: Path, study: str) -> None:
    """Write one slice along each of the three axes of the CT, as localizers have them."""
    trunk = napari_medseg.read(samples.path(CT))
    data = zoom(np.asarray(trunk.data, np.float32), 2, order=1)
    affine = trunk.affine.copy()
    affine[:3, :3] /= 2
    series = generate_uid()
    for axis in range(3):
        order = [axis, *(other for other in range(3) if other != axis)]
        turned = np.transpose(data, order)
        middle = len(turned) // 2
        columns = [2 - place for place in order]  # of the affine, whose axes are x, y, z
        placed = affine.copy()
        placed[:3, :3] = affine[:3, columns[::-1]]
        placed[:3, 3] += affine[:3, columns[0]] * middle
        pixels = np.clip(turned[middle] + 160, 0, 400)
        if axis:
            pixels = pixels[::-1]  # the head is above
            placed[:3, 3] += placed[:3, 1] * (len(pixels) - 1)
            placed[:3, 1] *= -1
        write_slice(folder, study, series, 1, "localizer_3plane", pixels, placed, 0.0)


def write_series(folder: Path, study: str, number: int, name: str, data: np.ndarray, affine: np.ndarray) -> None:
    """Write a stack (t, z, y, x) in one file per slice and time."""
    series = generate_uid()
    for time, stack in enumerate(data):
        for place, pixels in enumerate(stack):
            placed = affine.copy()
            placed[:3, 3] += affine[:3, 2] * place
            write_slice(folder, study, series, number, name, pixels, placed, BEAT_MS * time / len(data))


def write_slice(
    folder: Path, study: str, series: str, number: int, name: str, pixels: np.ndarray, affine: np.ndarray, time: float
) -> None:
    """Write one image (y, x); `affine` leads from (x, y, z) to mm in the patient, as in a `Volume`; `time` is in ms."""
    place = LPS @ affine
    step = np.linalg.norm(place[:3, :3], axis=0)
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = generate_uid()
    header.StudyInstanceUID = study
    header.SeriesInstanceUID = series
    header.SeriesNumber = number
    header.SeriesDescription = name
    header.Modality = "MR"
    header.PatientID = "P007"
    header.SeriesDate = "20240312"
    header.SeriesTime = f"{8 + number // 6:02d}{number * 5:02d}00"
    header.TriggerTime = f"{time:.1f}"
    header.PixelSpacing = [f"{step[1]:.6f}", f"{step[0]:.6f}"]
    header.SliceThickness = f"{step[2]:.4f}"
    directions = np.concatenate([place[:3, 0] / step[0], place[:3, 1] / step[1]])
    header.ImageOrientationPatient = [f"{value:.8f}" for value in directions]
    header.ImagePositionPatient = [f"{value:.6f}" for value in place[:3, 3]]
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 0
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.PixelData = pixels.astype(np.uint16).tobytes()
    header.InstanceNumber = next(_NUMBERS)
    header.save_as(folder / f"IM{header.InstanceNumber:05d}", enforce_file_format=True)
