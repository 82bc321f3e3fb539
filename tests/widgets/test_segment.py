import gc
import re
import shlex
import weakref

import dask.array as da
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QThreadPool, QUrl
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QFileDialog, QTextBrowser

from napari_medseg import io, models
from napari_medseg.errors import VolumeError
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.models.library import bundled_groups
from napari_medseg.segmentation import engine, inference, last_runs
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import jobs
from napari_medseg.widgets.kit.card import CardDialog, to_html
from napari_medseg.widgets.kit.records import record_of

SLICES = 10
OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])


def noise(*shape):
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8)


def add_volume(viewer, volume, name="scan"):
    """Add `volume` as napari's own Open does."""
    return viewer.add_layer(Layer.create(*layer_tuple(volume, name)))


# ---- a run ----


def test_an_image_with_levels_is_segmented_at_the_finest(dock):
    d = dock()
    data = noise(SLICES, 40, 48)
    d.viewer.add_image([da.from_array(data, chunks=(1, 40, 48)), data[:, ::2, ::2]], multiscale=True, name="scan")
    d.settle()
    labels = d.run()
    assert labels.data.shape == data.shape and (labels.data == 1).all()
    assert record_of(labels).outputs[0].shape == data.shape


@pytest.mark.smoke
def test_labels_take_scale_classes_and_name_of_image_and_model(dock):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1.5, 1.25), translate=(3, 2, 1))
    labels = d.run()
    assert labels.name == "scan all"
    assert labels.data.shape == (SLICES, 40, 48) and labels.data.dtype == np.uint8 and (labels.data == 1).all()
    np.testing.assert_allclose(labels.scale, (8, 1.5, 1.25))
    np.testing.assert_allclose(labels.translate, (3, 2, 1))
    assert labels.units == d.viewer.layers["scan"].units
    assert list(labels.features["class"]) == ["background", "everything"]
    np.testing.assert_allclose(labels.get_color(1), (0xE6 / 255, 0x4B / 255, 0x35 / 255, 1), atol=1e-6)
    assert labels.editable
    assert "everything" in d.form.status.text()


@pytest.mark.parametrize(
    ("shape", "options", "axes", "labels"),
    [
        ((40, 48), {}, None, (40, 48)),
        ((1, 40, 48), {}, "zyx", (1, 40, 48)),
        ((40, 48, 3), {"rgb": True}, None, (40, 48)),
        ((40, 48, 4), {"rgb": True}, None, (40, 48)),
        ((3, 40, 48, 3), {"rgb": True}, "zyxc", (3, 40, 48)),
        ((2, 3, 40, 48), {}, "tzyx", (2, 3, 40, 48)),
        ((2, 3, 40, 48), {}, "czyx", (3, 40, 48)),
        ((2, 3, 4, 40, 48), {}, "tczyx", (2, 1, 4, 40, 48)),
    ],
)
def test_every_kind_of_image(dock, shape, options, axes, labels):
    d = dock(noise(*shape), **options)
    if axes:
        d.choose(d.form.axes, axes)
    assert d.run().data.shape == labels
    first, last = d.viewer.layers["scan"].extent.world
    assert d.widget.labels.get_value(first, world=True) == d.widget.labels.get_value(last, world=True) == 1
    assert d.widget.labels.get_value(last + 1, world=True) is None


def test_dask_image(dock):
    d = dock(da.from_array(noise(SLICES, 40, 48), chunks=(2, 40, 48)))
    assert (d.run().data == 1).all()


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_lazy_image_whose_drive_goes_away(dock, ndisplay):
    """Whoever asks for its voxels gets an error: the job, and napari when it draws or lists a layer."""
    gone = []

    def load(block):
        if gone:
            raise OSError(5, "Input/output error")
        return block

    d = dock(da.from_array(noise(SLICES, 40, 48), chunks=(1, 40, 48)).map_blocks(load, dtype=np.uint8))
    d.viewer.dims.ndisplay = ndisplay
    gone.append(True)
    d.form.run.click()
    d.settle()
    assert "OSError: [Errno 5] Input/output error" in d.form.status.text()
    assert d.form.run.isEnabled() and [layer.name for layer in d.viewer.layers] == ["scan"]


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (noise(1, 1, 2, 2, 8, 8), {}, "6 axes"),
    ],
)
def test_impossible_image_is_refused_with_a_sentence(dock, data, options, words):
    d = dock(data, **options)
    assert not d.form.run.isEnabled()
    assert words in d.form.hint.text() and words in d.form.run.toolTip()


def test_run_begins_with_the_slice_in_view_and_goes_on_live(dock, gate, monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 4)
    d = dock(noise(SLICES, 40, 48), scale=(8, 1, 1))
    d.viewer.dims.set_current_step(0, 6)
    labels = d.start()
    assert [labels.data[i].any() for i in range(SLICES)] == [False] * 6 + [True] * 4
    assert not labels.editable, "strokes on slices to come would be lost"
    shared = labels.data
    gate.set()
    d.settle()
    assert labels.data is shared and shared.all()


def test_run_takes_the_form_as_it_was_at_the_click(dock):
    d = dock(noise(SLICES, 40, 48))
    other = d.viewer.add_image(noise(5, 5), name="other")
    d.form.image.setCurrentIndex(d.form.image.findText("scan"))
    d.settle()
    d.form.run.click()
    d.widget.choose(other)
    d.settle()
    assert d.widget.labels.name == "scan all" and d.widget.labels.data.shape == (SLICES, 40, 48)


def test_run_in_a_rendering_that_napari_stumbles_over(dock, gate):
    """As with the pointer on the canvas: the layer is listed, and then something raises."""
    d = dock(noise(SLICES, 40, 48))
    d.viewer.dims.ndisplay = 3

    def stumble(event):
        raise ValueError("nothing lies under the pointer")

    events = d.viewer.layers.events
    for event in (events.inserted, events.removed):
        event.connect(stumble, position="last")
    d.start()
    d.form.cancel.click()
    gate.set()
    d.settle()
    cancelled = [layer.name for layer in d.viewer.layers]
    d.run()
    for event in (events.inserted, events.removed):
        event.disconnect(stumble)
    assert cancelled == ["scan"]
    assert list(d.viewer.layers) == [d.viewer.layers["scan"], d.widget.labels] and d.widget.labels.data.all()


def test_run_ends_with_a_sentence_where_its_labels_cannot_be_shown(dock, monkeypatch):
    d = dock(noise(SLICES, 40, 48))

    def refuse(viewer, layer):
        raise ValueError("no room")

    monkeypatch.setattr(type(d.viewer), "add_layer", refuse)
    d.form.run.click()
    d.settle()
    assert "no room" in d.form.status.text() and d.form.run.isEnabled()
    assert [layer.name for layer in d.viewer.layers] == ["scan"]


def test_run_twice_makes_two_layers(dock):
    d = dock(noise(SLICES, 40, 48))
    first = d.run()
    first.data[0] = 7
    second = d.run()
    assert second is not first and second.name != first.name
    assert (first.data[0] == 7).all(), "a run never writes into an existing layer"


def test_uncertainty_layer(dock):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1, 1))
    d.form.uncertainty.setChecked(True)
    d.run()
    (layer,) = [layer for layer in d.viewer.layers if "uncertainty" in layer.name]
    assert layer.data.dtype == np.uint8 and layer.data.shape == (SLICES, 40, 48)
    np.testing.assert_allclose(layer.scale, (8, 1, 1))
    assert layer.colorbar.visible and "255 undecided" in d.viewer.canvas.overlays["medseg_legend"].text


def test_split_is_offered_for_objects_only_and_numbers_them(dock):
    d = dock(noise(40, 48))
    assert d.form.split.isHidden()
    d.choose(d.form.model, "all-objects")
    assert not d.form.split.isHidden()
    assert d.form.split.isChecked() and d.widget._models.settings(d.widget._models.chosen()).split_objects is None
    labels = d.run()
    assert labels.data.max() >= 1 and "class" not in labels.features
    assert "1 object, mean area 1920 pixels" in d.form.status.text()
    d.form.split.setChecked(False)
    d.settle()
    assert "class" in d.run().features


def test_channel_is_asked_for_only_when_there_are_several(dock):
    d = dock(noise(2, 3, 40, 48))
    assert d.form.channel.isHidden()
    d.choose(d.form.axes, "czyx")
    assert not d.form.channel.isHidden() and d.form.channel.count() == 2


def test_plan_is_shown_before_the_run(dock):
    d = dock(noise(SLICES, 40, 48))
    assert f"{SLICES} slices" in d.form.plan.text() and "CPU" in d.form.plan.text()


def test_plan_after_a_run_and_the_time_left_go_by_that_run(dock, monkeypatch):
    seconds = [60.0]
    monkeypatch.setattr(last_runs.Way, "seconds", lambda *_: seconds[0])
    d = dock(noise(SLICES, 40, 48))
    assert "about 60 s" in d.form.plan.text()
    expected = []
    clock = jobs.Clock
    monkeypatch.setattr(jobs, "Clock", lambda planned: expected.append(planned) or clock(planned))
    seconds[0] = 1200.0
    d.run()
    assert expected == [60.0]
    assert "about 20 min" in d.form.plan.text()


# ---- what goes wrong, or changes, on the way ----


@pytest.mark.smoke
def test_cancel_leaves_everything_as_it_was(dock, gate):
    d = dock(noise(SLICES, 40, 48))
    mine = d.viewer.add_labels(np.zeros((SLICES, 40, 48), np.uint8), name="mine")
    d.form.uncertainty.setChecked(True)
    d.settle()
    d.start()
    d.form.cancel.click()
    assert [layer.name for layer in d.viewer.layers] == ["scan", "mine"]
    assert d.viewer.layers.selection.active is mine
    gate.set()
    d.settle()
    assert [layer.name for layer in d.viewer.layers] == ["scan", "mine"]
    assert d.form.run.isEnabled() and d.form.cancel.isHidden()


@pytest.mark.smoke
@pytest.mark.parametrize("error", [VolumeError("The image is odd."), RuntimeError("out of luck")])
def test_error_shows_its_sentence_and_leaves_no_layer(dock, monkeypatch, notes, error):
    d = dock(noise(SLICES, 40, 48))
    whole = inference.segment_job

    def failing(*arguments, **options):
        yield next(whole(*arguments, **options))
        raise error

    monkeypatch.setattr(inference, "segment_job", failing)
    d.form.run.click()
    d.settle()
    assert str(error) in d.form.status.text()
    assert any(str(error) in note.message for note in notes)
    assert [layer.name for layer in d.viewer.layers] == ["scan"]
    assert d.form.run.isEnabled()


def test_image_deleted_during_the_run(dock, gate):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1, 1))
    labels = d.start()
    d.viewer.layers.remove("scan")
    gate.set()
    d.settle()
    assert d.widget.labels is labels and labels.data.all()
    assert not d.form.run.isEnabled() and "image" in d.form.hint.text()


def test_result_belongs_to_the_image_the_run_started_from(dock, gate):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1, 1))
    d.start()
    d.viewer.layers["scan"].data = noise(3, 8, 8)
    other = d.viewer.add_image(noise(5, 5), name="other")
    d.form.image.setCurrentIndex(d.form.image.findText("other"))
    d.viewer.layers.selection.active = other
    gate.set()
    d.settle()
    assert d.widget.labels.name == "scan all" and d.widget.labels.data.shape == (SLICES, 40, 48)
    np.testing.assert_allclose(d.widget.labels.scale, (8, 1, 1))


def test_deleting_the_growing_labels_cancels_the_run(dock, gate):
    d = dock(noise(SLICES, 40, 48))
    d.viewer.layers.remove(d.start())
    assert "Cancelled" in d.form.status.text()
    gate.set()
    d.settle()
    assert d.widget.labels is None and [layer.name for layer in d.viewer.layers] == ["scan"]
    assert "Cancelled" in d.form.status.text() and d.form.run.isEnabled()


def test_dock_lets_go_of_a_result_that_is_deleted(dock):
    d = dock(noise(SLICES, 40, 48))
    d.viewer.layers.remove(d.run())
    assert d.widget.labels is None and not d.form.save.isEnabled()


def test_undo_history_of_an_annotation_survives_a_run(dock):
    d = dock(noise(SLICES, 40, 48))
    mine = d.viewer.add_labels(np.zeros((SLICES, 40, 48), np.uint8), name="mine")
    mine.paint((2, 20, 20), 3)
    painted = mine.data.copy()
    assert painted.any()
    d.run()
    np.testing.assert_array_equal(mine.data, painted)
    mine.undo()
    assert not mine.data.any()
    mine.redo()
    np.testing.assert_array_equal(mine.data, painted)


def test_deleted_layers_are_freed(dock):
    def preview_and_run():
        data = noise(SLICES, 40, 48)
        d.viewer.add_image(data)
        d.form.preview.setChecked(True)
        d.settle()
        return weakref.ref(data), weakref.ref(d.run().data)

    d = dock()
    image, labels = preview_and_run()
    assert image() is not None and labels() is not None
    d.viewer.layers.clear()
    d.settle()
    gc.collect()
    assert image() is None and labels() is None


def test_window_closed_during_the_run(dock, gate):
    d = dock(noise(SLICES, 40, 48))
    d.start()
    d.viewer.close()
    gate.set()


@pytest.mark.smoke
def test_dock_closed_during_the_run_leaves_no_layer(dock, gate):
    d = dock(noise(SLICES, 40, 48))
    d.start()
    d.viewer.window.remove_dock_widget(d.widget)
    assert [layer.name for layer in d.viewer.layers] == ["scan"]
    gate.set()
    QThreadPool.globalInstance().waitForDone(20000)
    QApplication.processEvents()
    assert [layer.name for layer in d.viewer.layers] == ["scan"]


# ---- preview ----


@pytest.mark.smoke
def test_preview_follows_the_slice_in_one_layer_and_ends_with_a_run(dock):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1.5, 1), translate=(5, 0, 0))
    mine = d.viewer.add_labels(
        np.zeros((SLICES, 40, 48), np.uint8), name="mine", scale=(8, 1.5, 1), translate=(5, 0, 0)
    )
    d.form.preview.setChecked(True)
    for position in (0, 4, 9):
        d.viewer.dims.set_current_step(0, position)
        d.settle()
        (preview,) = set(d.viewer.layers) - {d.viewer.layers["scan"], mine}
        assert preview.data.shape == (1, 40, 48) and preview.data.all()
        np.testing.assert_allclose(preview.translate, (5 + 8 * position, 0, 0))
        assert not preview.editable
    assert d.viewer.layers.selection.active is mine and not mine.data.any()
    labels = d.run()
    assert set(d.viewer.layers) == {d.viewer.layers["scan"], mine, labels}


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (lambda d: d.form.preview.setChecked(False), ["scan"]),
        (lambda d: d.viewer.layers.remove("preview (not saved)"), ["scan"]),
        (lambda d: d.viewer.layers.remove("scan"), []),
    ],
    ids=["untick", "delete", "no-image"],
)
def test_preview_can_be_ended(dock, end, left):
    d = dock(noise(40, 48))
    d.form.preview.setChecked(True)
    d.settle()
    d.viewer.layers.selection.active = d.viewer.layers["preview (not saved)"]
    assert not d.form.save.isEnabled(), "it is only looked at"
    end(d)
    d.settle()
    assert [layer.name for layer in d.viewer.layers] == left and not d.form.preview.isChecked()


# ---- save, copy, card, hints ----


@pytest.mark.smoke
def test_save_writes_the_oblique_affine_of_the_image(dock, monkeypatch, tmp_path):
    d = dock()
    add_volume(d.viewer, Volume(noise(SLICES, 40, 48), "zyx", OBLIQUE))
    d.settle()
    d.run().data[0, 0, 0] = 0
    path = tmp_path / "labels.nii.gz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    d.form.save.click()
    d.settle()
    saved = io.read(path)
    np.testing.assert_allclose(saved.affine, OBLIQUE, atol=1e-6)
    np.testing.assert_array_equal(saved.data, d.widget.labels.data)
    assert [row.name for row in saved.classes] == ["everything"]
    assert "labels.nii.gz" in d.form.status.text()


def test_save_gives_labels_drawn_by_hand_the_affine_of_their_image(dock, monkeypatch, tmp_path):
    d = dock()
    image = add_volume(d.viewer, Volume(noise(SLICES, 40, 48), "zyx", OBLIQUE))
    d.viewer.add_labels(np.ones((SLICES, 40, 48), np.uint8), scale=image.scale, translate=image.translate)
    d.settle()
    path = tmp_path / "drawn.nii.gz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    d.form.save.click()
    d.settle()
    np.testing.assert_allclose(io.read(path).affine, OBLIQUE, atol=1e-6)


def test_failed_save_is_told(dock, monkeypatch, tmp_path, notes):
    d = dock(noise(40, 48))
    d.run()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "labels.docx"), ""))
    d.form.save.click()
    d.settle()
    assert any("docx" in note.message for note in notes) and d.form.save.isEnabled()


@pytest.mark.smoke
def test_copied_command_does_the_same(dock, monkeypatch, tmp_path):
    path = io.write(Volume(noise(3, 40, 48), "zyx", OBLIQUE), tmp_path / "a scan.nii.gz")
    d = dock()
    d.viewer.open(str(path), plugin="napari-medseg")
    d.settle()
    d.form.uncertainty.setChecked(True)
    d.settle()
    labels = d.run()
    d.form.copy.click()
    words = shlex.split(QApplication.clipboard().text())
    assert words[:2] == ["napari-medseg", "segment"]

    from napari_medseg import cli

    assert cli.main(words[1:]) == 0
    output = words[words.index("--output") + 1]
    np.testing.assert_array_equal(io.read(output).data, labels.data)


def test_copy_is_off_for_an_image_without_a_file(dock):
    d = dock(noise(40, 48))
    assert not d.form.copy.isEnabled()
    assert "not opened from a file" in d.form.copy.toolTip() and "not opened from a file" in d.form.hint.text()


@pytest.mark.smoke
def test_card_is_one_click_away(dock):
    d = dock()
    d.form.card.click()
    text = d.widget.findChild(CardDialog).findChild(QTextBrowser).toPlainText()
    for part in ("all", "everything", "noise", "CC0", "litenext"):
        assert part in text


def test_card_of_a_bundled_model_shows_what_it_finds(dock):
    d = dock()
    for group, cards in bundled_groups().items():
        for card in cards:
            text = to_html(card)
            (source,) = re.findall(r'<img src="([^"]+)">', text)
            assert not QImage(QUrl(source).toLocalFile()).isNull(), f"{card.name} of {group}"
    assert "<img" not in to_html(models.load_card(models.find("all"))), "none was drawn for the models of the user"
    assert d.form.card.isEnabled()


@pytest.mark.smoke
def test_form_explains_what_is_off_and_has_tooltips(dock):
    d = dock()
    form = d.form
    assert not form.run.isEnabled() and "image" in form.hint.text()
    controls = (
        *(form.image, form.axes, form.channel, form.model, form.card, form.device, form.uncertainty, form.split),
        *(form.preview, form.run, form.cancel, form.save, form.copy),
    )
    assert all(control.toolTip() for control in controls)
    cuda = form.device.model().item(form.device.findData("cuda"))
    assert cuda.isEnabled() or "not found" in cuda.text()


def test_model_with_a_wrong_hash_is_refused_with_a_sentence(dock, own_home):
    d = dock(noise(40, 48))
    weights = own_home / "models" / "all-objects.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    d.choose(d.form.model, "all-objects")
    assert not d.form.run.isEnabled() and "SHA-256" in d.form.hint.text()
    d.choose(d.form.model, "all")
    assert d.form.run.isEnabled()


def test_corrected_slice_is_reviewed_after_save_and_open(dock, tmp_path, monkeypatch):
    d = dock()
    metadata = {"series_uid": "1.2.3", "source": str(tmp_path / "scan.nii.gz")}
    add_volume(d.viewer, Volume(noise(4, 40, 48), "zyx", OBLIQUE, metadata=metadata))
    d.settle()
    layer = d.run()
    layer.paint((2, 20, 20), 0)
    path = tmp_path / "labels.nii.gz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    d.viewer.layers.selection.active = layer
    d.form.save.click()
    d.settle()
    (again,) = d.viewer.open(path, plugin="napari-medseg")
    record = record_of(again)
    assert record.reviewed == (2,) and [model.name for model in record.models] == ["all"] and record.models[0].sha256
    assert record.settings["context"] == "auto" and record.figures["slices"] == 4
    assert again.metadata["medseg"]["series_uid"] == "1.2.3"
    again.paint((0, 20, 20), 0)
    assert record_of(again).reviewed == (0, 2), "an opened layer is followed too"
