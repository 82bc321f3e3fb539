"""An oblique volume, labels on its grid, and DICOM files made to measure."""

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from napari_medseg.volume import LabelClass, Volume

AFFINE = np.array(
    [[1.2, -0.3, 0.5, -40.123456789], [0.4, 1.1, -0.2, 212.3456789], [-0.5, 0.3, 7.9, 33.1], [0, 0, 0, 1]]
)
CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(7, "Größe", "#4dbbd5"))


@pytest.fixture
def volume():
    data = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    return Volume(data, "zyx", AFFINE)


@pytest.fixture
def labels():
    return Volume(np.random.default_rng(1).integers(0, 8, (3, 5, 6), np.uint8), "zyx", AFFINE, CLASSES)


@pytest.fixture
def slice_file(tmp_path):
    """A function that writes one DICOM image and returns its path."""
    series = generate_uid()

    def write(name, position=(0, 0, 0), value=0, **elements):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid()
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = series, series
        dataset.Modality, dataset.SeriesDescription = "MR", "short axis"
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 5, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelSpacing, dataset.SliceThickness = [1.5, 0.5], 99
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = list(position)
        dataset["PixelData"] = DataElement("PixelData", "OW", np.full((4, 5), value, "<u2").tobytes())
        for keyword, content in elements.items():
            setattr(dataset, keyword, content)
            if content is None:
                delattr(dataset, keyword)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write
