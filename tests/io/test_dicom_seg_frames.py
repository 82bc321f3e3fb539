"""Segmentations of images that lie in files with many frames."""

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread

from napari_medseg import io
from napari_medseg.volume import LabelClass

from .enhanced import KINDS, SHAPE, enhanced

CLASSES = (LabelClass(1, "one", "#e64b35"), LabelClass(2, "two", "#00a087"), LabelClass(52, "many", "#3c5488"))


def labelled(folder, kind):
    """The files of a series, and labels on it; on its second phase if it has two."""
    files = enhanced(folder, kind)
    image = io.read(files[0])
    if "phase" in kind:
        image = image.select("t", 1)
    assert image.data.shape == (SHAPE[1:] if kind == "one frame" else SHAPE)
    data = np.random.default_rng(1).choice(np.array([0, 1, 2, 52], np.uint8), image.data.shape)
    if data.ndim == 3:
        data[[0, 2]] = 0
    return files, image.like(data, CLASSES)


def places_of(files):
    """Position and phase of every frame of DICOM files, by identifier and number."""
    found = {}
    for file in files:
        header = pydicom.dcmread(file)
        for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence, 1):
            content = frame.FrameContentSequence[0]
            place = frame.PlanePositionSequence[0].ImagePositionPatient
            found[header.SOPInstanceUID, number] = (*place, content.TemporalPositionIndex)
    return found


@pytest.mark.parametrize("label_map", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_lie_on_the_frames(tmp_path, kind, label_map):
    (tmp_path / "images").mkdir()
    files, labels = labelled(tmp_path / "images", kind)
    path = io.write(labels, tmp_path / "a.seg.dcm", label_map=label_map)
    back = io.read(path)
    assert np.array_equal(back.data, labels.data)
    assert np.abs(back.affine - labels.affine).max() < 1e-6
    dataset = segread(path)
    named = {item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named <= {pydicom.dcmread(file).SOPInstanceUID for file in files}
    places = places_of(files)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        *place, phase = places[source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber", 1))]
        assert np.abs(np.subtract(place, frame.PlanePositionSequence[0].ImagePositionPatient)).max() < 1e-6
        assert phase == (2 if "phase" in kind else 1)
        assert source.SpatialLocationsPreserved == "YES"
    judged = dataset.get_volume(combine_segments=True)
    to_index = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ labels.affine)
    ids = {number: row.id for number, row in zip((1, 2, 52 if label_map else 3), CLASSES, strict=True)}
    seen = np.zeros(labels.data.shape, int).reshape(-1, *SHAPE[1:])
    for index in np.argwhere(judged.array):
        at = (to_index @ judged.affine @ [*index, 1])[:3]
        assert np.abs(at - np.round(at)).max() < 1e-3
        seen[tuple(np.round(at).astype(int)[::-1])] = ids[int(judged.array[tuple(index)])]
    assert np.array_equal(seen.reshape(labels.data.shape), labels.data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_finds_its_frames(tmp_path, kind):
    (tmp_path / "images").mkdir()
    _, labels = labelled(tmp_path / "images", kind)
    path = io.write(labels, tmp_path / "a.seg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    dataset.save_as(path)
    back = io.read(path)
    assert np.array_equal(back.data.reshape(labels.data.shape) > 0, labels.data > 0)
    assert np.abs(back.affine - labels.affine).max() < 1e-6
