"""DICOM segmentations as dcmqi, the library behind 3D Slicer, and OHIF's adapter read them; see `make judges`."""

import numpy as np
import pydicom
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_medseg import cli, io, samples
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.volume import LabelClass, Volume
from tests.io.enhanced import KINDS, enhanced

from .seg_judges import DCMQI, NODE, by_dcmqi, by_ohif

# those of the sample heart have leading zeros
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
HEART = samples.path("sunnybrook_sax_ED")
dcmqi = pytest.mark.skipif(DCMQI is None, reason="dcmqi is not installed: make judges")
ohif = pytest.mark.skipif(NODE is None, reason="OHIF's adapter is not installed: install Node.js, then make judges")


def files_of(folder):
    return sorted(folder.iterdir())


def numbered(labels, names):
    """What a judge has read under its own numbers, under ours."""
    ids = {row.name: row.id for row in labels.classes}
    return {number: ids[name] for number, name in names.items()}


@pytest.fixture(params=["binary", "label map"])
def written(request, series, tmp_path):
    """The folder of a series, its labels, and the segmentation that the command line makes of them."""
    folder, labels = series
    source = io.write(labels, tmp_path / "a.nii.gz")
    path = tmp_path / "a.seg.dcm"
    more = ["--label-map"] if request.param == "label map" else []
    assert cli.main(["convert", str(source), str(path), "--reference", str(folder), *more]) == 0
    return folder, labels, path


def check_dcmqi(path, labels, folder):
    found = by_dcmqi(path, labels, folder)
    assert found.keys() == {row.name for row in labels.classes}
    for row in labels.classes:
        assert np.array_equal(found[row.name], labels.data == row.id)


def check_ohif(path, labels, files):
    found, names = by_ohif(path, labels, files)
    ours = numbered(labels, names)
    assert sorted(ours.values()) == sorted(row.id for row in labels.classes)
    expected = np.select([labels.data == id_ for id_ in ours.values()], list(ours))
    assert np.array_equal(found, expected)


@dcmqi
def test_dcmqi_sees_what_the_command_line_converts(written, tmp_path):
    _, labels, path = written
    check_dcmqi(path, labels, tmp_path / "out")


@ohif
def test_ohif_sees_what_the_command_line_converts(written):
    folder, labels, path = written
    check_ohif(path, labels, files_of(folder))


@dcmqi
@ohif
def test_both_see_what_the_command_line_segments(segmented, tmp_path):
    plain, path = segmented
    labels = io.read(plain)
    assert {1, 2} == set(np.unique(labels.data)) - {0}
    check_dcmqi(path, labels, tmp_path / "out")
    check_ohif(path, labels, files_of(HEART))


@dcmqi
@ohif
def test_both_see_what_the_dock_saves(segmented, make_napari_viewer, qtbot, tmp_path, monkeypatch):
    from napari.layers import Layer

    labels = io.read(segmented[0])
    viewer = make_napari_viewer()
    viewer.add_layer(Layer.create(*layer_tuple(io.read(HEART), "heart")))
    viewer.add_layer(Layer.create(*layer_tuple(labels, "labels")))
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
    path = tmp_path / "a.seg.dcm"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    dock.form.save.click()
    qtbot.waitUntil(lambda: not dock.busy and "Saved" in dock.form.status.text(), timeout=60000)
    check_dcmqi(path, labels, tmp_path / "out")
    check_ohif(path, labels, files_of(HEART))


@dcmqi
@pytest.mark.parametrize("label_map", [False, True])
def test_numbers_with_gaps_and_names_in_other_scripts(tmp_path, label_map):
    image = io.read(HEART)
    data = np.zeros(image.data.shape, np.uint8)
    data[3:7, 90:120, 80:130] = 1
    data[5, 100:110, 100:140] = 52
    classes = (LabelClass(1, "left-ventricular cavity", "#e64b35"), LabelClass(52, "心肌", "#00a087"))
    labels = image.like(data, classes)
    path = io.write(labels, tmp_path / "a.seg.dcm", label_map=label_map)
    check_dcmqi(path, labels, tmp_path / "out")


@dcmqi
@ohif
@pytest.mark.parametrize("label_map", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_both_see_labels_on_files_with_many_frames(tmp_path, kind, label_map):
    (tmp_path / "images").mkdir()
    files = enhanced(tmp_path / "images", kind)
    image = io.read(files[0])
    if "phase" in kind:
        image = image.select("t", 1)
    data = np.random.default_rng(1).choice(np.array([0, 1, 52], np.uint8), image.data.shape)
    classes = (LabelClass(1, "one", "#e64b35"), LabelClass(52, "many", "#3c5488"))
    path = io.write(image.like(data, classes), tmp_path / "a.seg.dcm", label_map=label_map)
    solid = Volume(data.reshape(-1, *data.shape[-2:]), "zyx", image.affine, classes)
    check_dcmqi(path, solid, tmp_path / "out")
    check_ohif(path, solid, files)


@ohif
def test_ohif_finds_nothing_without_the_reference(segmented, tmp_path):
    """The judge can fail: it shows nothing where the segmentation names images of another series."""
    dataset = pydicom.dcmread(segmented[1])
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 3
    dataset.save_as(tmp_path / "a.seg.dcm")
    with pytest.raises(AssertionError, match=r"not present in stack|No imageId"):
        by_ohif(tmp_path / "a.seg.dcm", io.read(segmented[0]), files_of(HEART))
