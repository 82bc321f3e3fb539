"""Saving from the forms and with napari's own Save: names are completed, and nothing is lost without a word."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton

from napari_medseg import io, samples
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.io.formats import file_filters
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit.in_store import InStore
from napari_medseg.widgets.kit.save_labels import completed
from napari_medseg.widgets.kit.saving import watch_saves

AFFINE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])
NIFTI, NRRD = (next(row for row in file_filters(writing=True) if row.startswith(name)) for name in ("NIfTI", "NRRD"))

BUILTINS = "napari."
"""Begins the commands of napari's own writers, and not ours: napari takes the first command that begins so."""


def labels():
    data = np.zeros((4, 20, 24), np.uint8)
    data[1:3, 5:12, 6:14] = 1
    return Volume(data, "zyx", AFFINE, (LabelClass(1, "cavity", "#e64b35"),))


@pytest.fixture
def review(viewer, qtbot):
    viewer.add_layer(Layer.create(*layer_tuple(labels(), "drawn")))
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
    return dock


@pytest.mark.parametrize(
    ("typed", "chosen", "saved"),
    [
        ("a", NIFTI, "a.nii.gz"),
        ("a", NRRD, "a.nrrd"),
        ("a.nrrd", NIFTI, "a.nrrd"),
        ("a.docx", NIFTI, "a.docx"),
        ("a", "", "a"),
        ("scan.zarr/labels/a", NIFTI, "a"),
    ],
)
def test_names_without_an_ending_get_that_of_the_chosen_type(typed, chosen, saved):
    assert completed(Path(typed), chosen).name == saved


@pytest.mark.smoke
def test_review_saves_with_geometry_and_completes_the_name(review, tmp_path, monkeypatch, qtbot):
    assert review.form.save.isEnabled()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), NIFTI))
    review.form.save.click()
    qtbot.waitUntil(lambda: not review.busy, timeout=60000)
    found = io.read(tmp_path / "mine.nii.gz")
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-6)
    np.testing.assert_array_equal(found.data, labels().data)
    assert "mine.nii.gz" in review.form.status.text()


@pytest.mark.parametrize("dock", ["Review", "Segment"])
def test_labels_whose_dock_is_closed_at_once_are_saved_all_the_same(dock, viewer, tmp_path, monkeypatch, qtbot):
    viewer.add_layer(Layer.create(*layer_tuple(labels(), "drawn")))
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", dock)
    qtbot.waitUntil(lambda: not widget.busy, timeout=60000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine.nii.gz"), NIFTI))
    monkeypatch.setattr(widget._queue._timer, "start", lambda *_: None)  # the moment in which clicks are gathered
    widget.form.save.click()
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil((tmp_path / "mine.nii.gz").exists, timeout=60000)
    np.testing.assert_array_equal(io.read(tmp_path / "mine.nii.gz").data, labels().data)


def test_a_completed_name_that_exists_is_asked_about(review, tmp_path, monkeypatch, qtbot):
    path = tmp_path / "mine.nii.gz"
    path.write_bytes(b"someone's work")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), NIFTI))
    asked = []

    def question(parent, title, text, *_):
        asked.append(text)
        return QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QMessageBox, "question", question)
    review.form.save.click()
    qtbot.waitUntil(lambda: not review.busy, timeout=60000)
    assert asked == ["Replace mine.nii.gz?"] and path.read_bytes() == b"someone's work"


def test_review_without_labels_says_why_it_cannot_save(viewer, qtbot):
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
    assert not dock.form.save.isEnabled() and "no labels layer" in dock.form.save.toolTip()


@pytest.mark.parametrize("plugin", ["napari-medseg", BUILTINS])
def test_napari_s_save_by_another_writer_says_what_is_lost(review, tmp_path, notes, plugin):
    viewer = review._viewer
    (path,) = viewer.layers.save(str(tmp_path / "mine.tif"), plugin=plugin)
    told = [note.message for note in notes if "without the place" in note.message]
    if plugin == "napari-medseg":
        assert not told
        np.testing.assert_allclose(io.read(path).affine, AFFINE, atol=1e-6)
    else:
        assert len(told) == 1 and "'drawn'" in told[0]


def test_layers_that_say_nothing_of_a_patient_are_saved_as_ever(review, tmp_path, notes):
    viewer = review._viewer
    viewer.layers.clear()
    viewer.add_points(np.zeros((3, 2)), name="points")
    viewer.layers.save(str(tmp_path / "points.csv"))
    assert (tmp_path / "points.csv").is_file() and not [note for note in notes if "without the place" in note.message]


def test_labels_of_the_heart_become_a_dicom_segmentation(viewer, qtbot, tmp_path, monkeypatch, notes):
    image = io.read(samples.path("sunnybrook_sax_ED"))
    data = np.zeros(image.data.shape, np.uint8)
    data[3:7, 90:120, 80:130] = 1
    classes = (LabelClass(1, "left-ventricular cavity", "#e64b35"),)
    viewer.add_layer(Layer.create(*layer_tuple(image, "heart")))
    viewer.add_layer(Layer.create(*layer_tuple(image.like(data, classes), "labels")))
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.seg.dcm"), ""))
    dock.form.save.click()
    qtbot.waitUntil(lambda: not dock.busy and "Saved" in dock.form.status.text(), timeout=60000)
    assert "12 frames of reference" in dock.form.status.text()
    found = io.read(tmp_path / "a.seg.dcm")
    np.testing.assert_array_equal(found.data, data)
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-6)
    assert found.classes == classes
    viewer.layers[-1].save(str(tmp_path / "b.seg.dcm"), plugin="napari-medseg")
    np.testing.assert_array_equal(io.read(tmp_path / "b.seg.dcm").data, data)
    # labels drawn by hand, saved together with the image
    viewer.add_image(np.zeros(data.shape), scale=viewer.layers[0].scale, translate=viewer.layers[0].translate)
    drawn = viewer.add_labels(data, scale=viewer.layers[0].scale, translate=viewer.layers[0].translate)
    viewer.layers.selection = {viewer.layers[0], drawn}
    (path,) = viewer.layers.save(str(tmp_path / "c.seg.dcm"), selected=True)
    found = io.read(path)
    np.testing.assert_array_equal(found.data, data)
    assert found.metadata["reference"].series_uid == image.metadata["series_uid"]
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-6)
    assert not [note for note in notes if "saved by another plugin" in note.message]
    viewer.layers.selection = {viewer.layers[2], drawn}
    with pytest.raises(FileError, match="was not opened from DICOM files"):
        viewer.layers.save(str(tmp_path / "d.seg.dcm"), selected=True)
    with pytest.raises(VolumeError, match="2 images and 2 labels"):
        viewer.layers.save(str(tmp_path / "d.seg.dcm"))
    assert not (tmp_path / "d.seg.dcm").exists()


def test_only_the_layers_that_another_writer_saved_are_named(review, tmp_path, monkeypatch, notes):
    viewer = review._viewer
    viewer.add_layer(Layer.create(*layer_tuple(labels(), "other")))
    first, second = viewer.layers

    def half(path, **_):
        return [*first.save(f"{path}.nii.gz", plugin="napari-medseg"), *second.save(f"{path}.tif", plugin=BUILTINS)]

    del viewer.layers.save
    monkeypatch.setattr(type(viewer.layers), "save", lambda self, path, **options: half(path))
    watch_saves(viewer)
    viewer.layers.save(str(tmp_path / "both"))
    (told,) = [note.message for note in notes if "without the place" in note.message]
    assert f"'{second.name}'" in told and f"'{first.name}'" not in told


@pytest.fixture
def stored(viewer, tmp_path, qtbot):
    """Review with labels drawn on the image of a store; the store, and what is asked about it."""
    store = io.write(Volume(np.zeros((4, 20, 24), np.uint16), "zyx", AFFINE), tmp_path / "scan.ome.zarr")
    viewer.open(str(store), plugin="napari-medseg")
    layer = viewer.add_labels(labels().data, name="scan heart/left", scale=viewer.layers[0].scale)
    layer.translate = viewer.layers[0].translate
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
    return dock, store


def answer(monkeypatch, asked, do):
    """Let a person answer the question about the store."""

    def answered(window):
        asked.append((window.name.text(), window.save.text(), window.note.text()))
        do(window)
        return window.result()

    monkeypatch.setattr(InStore, "exec", answered)


def test_labels_of_the_image_of_a_store_are_saved_in_it(stored, monkeypatch, qtbot):
    dock, store = stored
    asked = []
    answer(monkeypatch, asked, lambda window: window.save.click())
    for _ in range(2):
        dock.form.save.click()
        qtbot.waitUntil(lambda: not dock.busy and "Saved" in dock.form.status.text(), timeout=60000)
        dock.form.status.say("")
    assert asked[0] == ("heart-left", "Save in the store", "")
    assert asked[1] == (
        "heart-left",
        "Replace in the store",
        "The store has labels 'heart-left', which will be replaced.",
    )
    image, drawn = io.read_all(store)
    np.testing.assert_array_equal(drawn.data, labels().data)
    np.testing.assert_allclose(drawn.affine, image.affine, atol=1e-6)


def test_other_places_can_be_chosen_and_names_that_cannot_be_are_refused(stored, tmp_path, monkeypatch, qtbot):
    dock, store = stored
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine.nii.gz"), NIFTI))

    def leave(window):
        for name, sentence in (
            ("", "Give the labels a name"),
            ("a.nii.gz", "OME-Zarr"),
            ("zarr.json", "cannot be called"),
        ):
            window.name.setText(name)
            assert sentence in window.note.text() and not window.save.isEnabled()
        window.findChildren(QPushButton, "elsewhere")[0].click()

    answer(monkeypatch, asked, leave)
    dock.form.save.click()
    qtbot.waitUntil(lambda: not dock.busy and "Saved" in dock.form.status.text(), timeout=60000)
    assert (tmp_path / "mine.nii.gz").exists() and not (store / "labels").exists()
    answer(monkeypatch, asked, lambda window: window.reject())
    (tmp_path / "mine.nii.gz").unlink()
    dock.form.save.click()
    assert not dock.busy and not (tmp_path / "mine.nii.gz").exists()
