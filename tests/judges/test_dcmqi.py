"""DICOM segmentations as dcmqi, the library behind 3D Slicer, reads them; `make judges` installs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_medseg import io, samples
from napari_medseg.volume import LabelClass

TOOL = shutil.which("segimage2itkimage") or shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(TOOL is None, reason="dcmqi is not installed: make judges")

CLASSES = (LabelClass(1, "left-ventricular cavity", "#e64b35"), LabelClass(52, "心肌", "#00a087"))


def by_dcmqi(path, folder):
    """What dcmqi reads, by name of the segment: an image, and the number that the segment has in it."""
    folder.mkdir()
    subprocess.run([TOOL, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nifti"], check=True, timeout=120)
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    found = {}
    # one file per segment, or one for all of a label map
    for number, group in enumerate(meta["segmentAttributes"], 1):
        image = sitk.ReadImage(str(folder / f"{number}.nii.gz"))
        found |= {segment["SegmentLabel"]: (image, segment["labelID"]) for segment in group}
    return found


@pytest.mark.parametrize("label_map", [False, True])
def test_the_heart_lies_where_dcmqi_sees_it(tmp_path, label_map):
    image = io.read(samples.path("sunnybrook_sax_ED"))
    data = np.zeros(image.data.shape, np.uint8)
    data[3:7, 90:120, 80:130] = 1
    data[5, 100:110, 100:140] = 52
    path = io.write(image.like(data, CLASSES), tmp_path / "a.seg.dcm", label_map=label_map)
    found = by_dcmqi(path, tmp_path / "out")
    assert set(found) == {row.name for row in CLASSES}
    to_index = np.linalg.inv(image.affine)
    for row in CLASSES:
        mask, number = found[row.name]
        seen = np.zeros(data.shape, bool)
        for z, y, x in np.argwhere(sitk.GetArrayFromImage(mask) == number).tolist():
            place = mask.TransformIndexToPhysicalPoint((x, y, z))
            at = (to_index @ [-place[0], -place[1], place[2], 1])[:3]
            assert np.abs(at - np.round(at)).max() < 1e-2
            seen[tuple(np.round(at).astype(int)[::-1])] = True
        assert np.array_equal(seen, data == row.id)
