import csv
import gc
import shlex
import threading
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg import cli, io, samples
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.progress import Progress
from napari_medseg.recon.figures import CONVENTION
from napari_medseg.recon.transforms import fft2c
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import layer_volumes
from napari_medseg.widgets.kit.tuning import training
from napari_medseg.widgets.reconstruct import view as slice_view

MRI = Path(__file__).parents[1] / "reference" / "mri"
SINGLE, MULTI, UNDER = (MRI / "fastmri_like" / f"file17_{kind}.h5" for kind in ("sc", "mc", "test"))
OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])


def ball(*shape):
    """Bright discs, a little different in every slice."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[-2:]), indexing="ij")
    scale = np.linspace(0.8, 1, int(np.prod(shape[:-2])))[:, None, None]
    return (200 * scale * (x**2 + y**2 < 0.5) + 20).reshape(shape).astype(np.float32)


class Dock:
    """The form in a viewer, and what a person does with it."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        _, self.widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Reconstruct")
        self.form, self.compare = self.widget.form, self.widget.compare
        self._qtbot = qtbot
        self.settle()

    def wait(self, condition):
        self._qtbot.waitUntil(condition, timeout=60000)

    def settle(self):
        self.wait(lambda: not self.widget.busy)

    def choose(self, box, value):
        assert box.findData(value) >= 0
        box.setCurrentIndex(box.findData(value))
        self.settle()

    def open(self, path):
        self.widget.open(path)
        self.settle()

    def run(self, method="zero-filled"):
        self.choose(self.form.method, method)
        self.form.run.click()
        self.settle()
        return self.widget.result

    def layer(self, words):
        return next((layer for layer in self.viewer.layers if words in layer.name), None)


@pytest.fixture
def dock(viewer, qtbot):
    docks = []

    def make(data=None, **options):
        if data is not None:
            viewer.add_image(data, **{"name": "scan", **options})
        docks.append(Dock(viewer, qtbot))
        return docks[-1]

    yield make
    assert QThreadPool.globalInstance().waitForDone(20000), "no thread outlives its form"
    QApplication.processEvents()
    docks.clear()
    gc.collect()


@pytest.fixture
def gate(monkeypatch):
    """Holds every reconstruction after its first slice until it is set."""
    opened, whole = threading.Event(), slice_view.reconstruct_job

    def held(*arguments, **options):
        job = whole(*arguments, **options)
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                return end.value
            yield step
            while step.partial is not None and not opened.wait(0.05):
                yield Progress(step.done, step.total)

    monkeypatch.setattr(slice_view, "reconstruct_job", held)
    yield opened
    opened.set()


# ---- data ----


def test_axes_are_asked_for_where_the_file_does_not_tell(dock, tmp_path):
    np.save(tmp_path / "raw.npy", np.random.default_rng(0).normal(size=(3, 16, 12, 2)))
    d = dock()
    d.open(tmp_path / "raw.npy")
    assert not d.form.run.isEnabled() and "cyx for coils" in d.form.hint.text() and not d.form.axes.isHidden()
    d.form.axes.setText("cyx")
    d.form.axes.editingFinished.emit()
    d.settle()
    assert "1 slice, 3 coils" in d.form.facts.text() and d.form.run.isEnabled()


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (np.full((20, 24), np.nan, np.float32), {"contrast_limits": (0, 1)}, "not finite"),  # the job says so
        (np.ones((2, 3, 20, 24), np.float32), {}, "time point"),
    ],
    ids=["nan", "time"],
)
def test_impossible_image_is_refused_with_a_sentence(dock, data, options, words):
    d = dock(data, **options)
    assert not d.form.run.isEnabled() and words in d.form.hint.text() and words in d.form.run.toolTip()


@pytest.mark.smoke
def test_wrong_file_is_refused_and_another_one_can_follow(dock, tmp_path):
    (tmp_path / "notes.h5").write_text("no raw data")
    d = dock()
    d.open(tmp_path / "notes.h5")
    assert "cannot be read as raw data" in d.form.hint.text()
    d.open(SINGLE)
    assert d.form.run.isEnabled()


def test_layer_that_remembers_its_raw_file_is_not_simulated(dock):
    d = dock()
    (layer,) = d.viewer.open(str(MULTI), plugin="napari-medseg")
    d.settle()
    assert layer.data.shape == (2, 80, 80) and not np.iscomplexobj(layer.data)
    assert "4 coils" in d.form.facts.text() and "(simulated)" not in d.run().name


def cine(folder, phases=3, slices=2):
    """BART's k-space of discs that get brighter from time to time and from slice to slice; every time its columns."""
    data = np.zeros((24, 20, 1, 2, *(1,) * 6, phases, 1, 1, slices), np.complex64)
    for time, number in np.ndindex(phases, slices):
        image = ball(24, 20) * (1 + time) * (1 + 10 * number)
        kspace = np.where((np.arange(20) + time) % 3 == 0, np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))), 0)
        data[:, :, 0, :, 0, 0, 0, 0, 0, 0, time, 0, 0, number] = kspace[..., None] * [1, 0.5]
    (folder / "cine.cfl").write_bytes(data.tobytes("F"))
    (folder / "cine.hdr").write_text(f"# Dimensions\n{' '.join(map(str, data.shape))}\n")
    return folder / "cine.cfl"


def test_frames_of_a_file_are_time_points_or_one_is_chosen(dock, tmp_path):
    d = dock()
    d.open(cine(tmp_path))
    assert "3 frames of 2 slices" in d.form.facts.text() and not d.form.frames.isHidden()
    texts = [d.form.frames.itemText(place) for place in range(d.form.frames.count())]
    assert texts == ["all 3", "time 1", "time 2", "time 3"]
    result = d.run()
    assert result.data.shape == (3, 2, 24, 20) and list(result.axis_labels) == ["t", "z", "y", "x"]
    levels = result.data.mean((2, 3))
    np.testing.assert_allclose(levels[:, 1] / levels[:, 0], 11, rtol=1e-3)
    d.viewer.dims.set_point((0, 1), (2, 1))
    d.form.preview.setChecked(True)
    d.settle()
    shown = d.layer("preview")
    np.testing.assert_allclose(shown.data[0, 0], result.data[2, 1], rtol=1e-5)
    assert tuple(shown.translate[:2]) == tuple(result.data_to_world((2, 1, 0, 0))[:2])
    d.form.preview.setChecked(False)
    d.choose(d.form.frames, 1)
    assert "Only time 2 of several is taken" in d.form.facts.text() and d.form.frames.currentText() == "time 2"
    d.form.copy.click()
    assert "--first time=1" in QApplication.clipboard().text()
    one = d.run()
    assert one.name == "cine time 2 zero-filled"
    np.testing.assert_allclose(one.data, result.data[1], rtol=1e-5)
    d.choose(d.form.frames, -1)
    assert "3 frames" in d.form.facts.text()


def test_frames_are_reconstructed_together_where_all_of_them_are_chosen(dock, tmp_path):
    d = dock()
    d.open(cine(tmp_path))
    assert not d.form.together.isHidden() and d.form.together.isEnabled()
    d.form.together.setChecked(True)
    d.settle()
    assert not d.form.method.isEnabled() and "k-t SENSE" in d.form.method.toolTip()
    assert "one by one" in d.form.probe.toolTip() and not d.form.probe.isEnabled()
    d.form.interpolate.setChecked(True)
    d.form.gibbs.setValue(0.5)
    d.form.copy.click()
    command = QApplication.clipboard().text()
    assert "--together" in command and "--interpolate" in command and "--gibbs 0.5" in command
    d.choose(d.form.frames, 1)
    assert not d.form.together.isEnabled() and "choose all" in d.form.together.toolTip()
    assert d.form.method.isEnabled()
    d.form.copy.click()
    assert "--together" not in QApplication.clipboard().text()


def test_frames_together_are_named_after_what_was_done(dock, tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 1, 3, 32, 32)) + 1j * rng.normal(size=(2, 1, 3, 32, 32))
    data[0, ..., 20::2] = 0
    data[1, ..., 21::2] = 0
    np.save(tmp_path / "cine.npy", data.astype(np.complex64))
    d = dock()
    d.form.axes.setText("tscyx")
    d.open(tmp_path / "cine.npy")
    assert not d.form.together.isHidden(), "frames of an array count, too"
    d.form.together.setChecked(True)
    d.form.iterations.setValue(2)
    result = d.run()
    assert result.name == "cine k-t SENSE" and "k-t SENSE" in d.form.status.text()


def test_a_mask_painted_on_one_slice_leaves_those_of_the_others(dock, tmp_path):
    d = dock()
    d.open(cine(tmp_path))
    d.run()
    d.viewer.dims.set_point((0, 1), (0, 0))
    d.form.view.setChecked(True)
    d.settle()
    mask = d.layer("sampling mask")
    before = d.widget._mask.kspace.mask.copy()
    mask.data_setitem((np.array([0]), np.array([0]), np.array([5]), np.array([0])), 0)
    d.settle()
    after = d.widget._mask.kspace.mask
    assert before[0, 0, 0] and not after[0, 0, 0]
    np.testing.assert_array_equal(after[1:], before[1:])


# ---- phase, coils, point spread; filter and interpolation ----


def test_coils_of_the_slice_in_view_lie_on_it_along_an_axis_of_their_own(dock):
    d = dock()
    d.open(MULTI)
    d.choose(d.form.method, "sense")
    result = d.run("sense")
    d.viewer.dims.set_point(0, result.data_to_world((1, 0, 0))[0])
    for name, words in (("coils", "coil images"), ("maps", "coil maps"), ("phase", "phase (rad)")):
        d.choose(d.form.shows, name)
        d.form.probe.click()
        d.settle()
        layer = d.layer(words)
        lead = (4,) if name != "phase" else ()
        assert layer.data.shape == (*lead, 1, 80, 80) and layer.colorbar.visible
        first = np.array(layer.data_to_world((0,) * layer.ndim))[-3:]
        np.testing.assert_allclose(first, result.data_to_world((1, 0, 0)))
        last = np.array(layer.data_to_world((*(0,) * (layer.ndim - 2), 79, 79)))[-3:]
        np.testing.assert_allclose(last, result.data_to_world((1, 79, 79)))
    assert "slice 1" in d.form.status.text()
    np.testing.assert_allclose(d.layer("coil maps").data * result.data[1], d.layer("coil images").data, rtol=1e-3)
    assert d.layer("phase").colormap.name == "twilight"
    d.choose(d.form.method, "tv")
    assert not d.form.probe.isEnabled() and "SENSE" in d.form.probe.toolTip()


def test_point_spread_needs_no_method_and_names_the_side_lobe(dock):
    d = dock(ball(32, 48))
    d.choose(d.form.mask_kind, "equispaced")
    d.choose(d.form.shows, "point-spread")
    d.form.probe.click()
    d.settle()
    layer = d.layer("point spread of the mask (dB)")
    assert layer.data.max() == 0 and layer.data[16, 24] == 0
    assert "The highest side lobe has -" in d.form.status.text() and "from the centre" in d.form.status.text()


def test_finer_pixels_lie_on_the_image_and_are_saved_there(dock):
    volume = Volume(ball(2, 33, 48), "zyx", affine=OBLIQUE)
    data, options, _ = layer_tuple(volume, "scan")
    d = dock()
    source = d.viewer.add_image(data, **options)
    d.settle()
    d.form.interpolate.setChecked(True)
    d.form.gibbs.setValue(0.5)
    d.settle()
    result = d.run()
    assert result.data.shape == (2, 66, 96)
    # 33 rows: the finer image begins half a pixel before the first
    np.testing.assert_allclose(result.data_to_world((1, 1, 0)), source.data_to_world((1, 0, 0)), atol=1e-6)
    np.testing.assert_allclose(result.data_to_world((0, 65, 94)), source.data_to_world((0, 32, 47)), atol=1e-6)
    saved = layer_volumes.to_volume(result, "zyx")
    corner = saved.affine @ [94, 65, 0, 1]
    np.testing.assert_allclose(corner, volume.affine @ [47, 32, 0, 1], atol=1e-4)
    (entry,) = [action for action in d.compare.results.menu().actions() if action.data() == result.name]
    assert not entry.isEnabled() and "filtered or interpolated" in entry.toolTip()
    d.form.preview.setChecked(True)
    d.settle()
    preview = d.layer("preview")
    assert preview.data.shape == (1, 66, 96)
    np.testing.assert_allclose(preview.scale[-2:], result.scale[-2:])


# ---- mask ----


def test_mask_of_the_file_is_the_default_and_another_only_chooses_among_its_samples(dock):
    d = dock()
    d.open(UNDER)
    assert d.form.mask_kind.currentData() == "own" and "columns" in d.form.read_out.text()
    d.choose(d.form.mask_kind, "equispaced")
    assert d.form.run.isEnabled() and "of the chosen mask were measured" in d.form.read_out.text()
    assert "of the chosen mask were measured" in d.form.warnings.text()


def test_read_out_follows_kind_acceleration_and_centre(dock):
    d = dock(ball(64, 96))
    assert "All 96 columns" in d.form.read_out.text()
    d.choose(d.form.mask_kind, "equispaced_fraction")
    assert "24 of 96 columns" in d.form.read_out.text() and "4.00x" in d.form.read_out.text()
    d.form.acceleration.setValue(8)
    d.settle()
    assert d.form.centre.value() == pytest.approx(0.04) and "12 of 96" in d.form.read_out.text()
    d.choose(d.form.mask_kind, "center_heavy")
    assert d.form.centre.value() == pytest.approx(0.8)
    d.choose(d.form.direction, "y")
    assert "of 64 rows" in d.form.read_out.text()
    d.form.seed.setText("x")
    d.form.seed.editingFinished.emit()
    d.settle()
    assert "whole number" in d.form.hint.text()


@pytest.mark.smoke
def test_saved_mask_can_be_loaded(dock, monkeypatch, tmp_path):
    d = dock(ball(32, 48))
    d.choose(d.form.mask_kind, "random")
    path = tmp_path / "mask.npy"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    said = d.form.read_out.text()
    d.form.save_mask.click()
    d.choose(d.form.mask_kind, "own")
    d.form.load.click()
    d.settle()
    assert np.load(path).shape == (48,) and d.form.read_out.text() == said


# ---- layers to look at ----


@pytest.mark.smoke
def test_painted_pixel_switches_its_column_and_the_preview_follows(dock):
    d = dock(ball(3, 32, 48), scale=(4, 1, 1))
    d.choose(d.form.mask_kind, "random")
    d.choose(d.form.method, "zero-filled")
    d.form.view.setChecked(True)
    d.settle()
    mask = d.layer("sampling mask")
    assert isinstance(mask, Labels) and not any(np.iscomplexobj(layer.data) for layer in d.viewer.layers)
    before = mask.data[0, 0].copy()
    left_out = int(np.flatnonzero(before == 0)[0])
    mask.data_setitem((np.array([0]), np.array([5]), np.array([left_out])), 1)
    d.settle()
    assert mask.data[0, :, left_out].all() and (mask.data[0].sum(1) == before.sum() + 1).all()
    assert d.form.mask_kind.currentData() == "given" and f"{before.sum() + 1} of 48" in d.form.read_out.text()
    assert d.layer("preview zero-filled") is not None
    mask.undo()
    d.settle()
    np.testing.assert_array_equal(mask.data[0, 0], before)
    d.form.view.setChecked(False)
    d.form.preview.setChecked(False)
    d.settle()
    assert [layer.name for layer in d.viewer.layers] == ["scan"]


def test_newest_stroke_wins(dock):
    d = dock(ball(32, 48))
    d.choose(d.form.method, "tv")
    d.form.view.setChecked(True)
    d.settle()
    mask = d.layer("sampling mask")
    for column in range(0, 12, 2):
        mask.data_setitem((np.array([3]), np.array([column])), 0)
        QApplication.processEvents()
    d.settle()
    assert "42 of 48 columns" in d.form.read_out.text() and d.layer("preview tv") is not None


@pytest.mark.smoke
def test_k_space_stands_beside_the_image_and_follows_the_slice(dock):
    d = dock()
    d.open(SINGLE)
    d.form.view.setChecked(True)
    d.settle()
    k_space, image = d.layer("k-space (log)"), d.layer("zero-filled slice")
    assert k_space.data.shape == (1, 120, 92) and image.data.shape == (1, 80, 80)
    assert k_space.extent.world[0, -1] > image.extent.world[1, -1]
    np.testing.assert_allclose(*(np.diff(layer.extent.world[:, 1:], axis=0) for layer in (k_space, image)), rtol=0.1)
    assert np.isfinite(k_space.data).all() and k_space.contrast_limits[0] < k_space.contrast_limits[1]


# ---- run ----


@pytest.mark.smoke
def test_result_is_a_new_layer_on_the_grid_of_the_image(dock, monkeypatch, tmp_path):
    d = dock()
    d.viewer.add_layer(Layer.create(*layer_tuple(Volume(ball(3, 32, 48), "zyx", OBLIQUE), "scan")))
    d.settle()
    d.choose(d.form.mask_kind, "random")
    layer = d.run("tv")
    assert layer.name == "scan tv (simulated)" and layer.data.shape == (3, 32, 48)
    np.testing.assert_allclose(layer.scale, d.viewer.layers["scan"].scale)
    report = layer.metadata["medseg"]["record"].report()
    assert report["settings"]["method"] == "tv" and report["mask"]["sha256"] and report["simulated"]
    assert "simulated" in d.form.warnings.text()
    (path,) = layer.save(str(tmp_path / "tv.nii.gz"), plugin="napari-medseg")
    np.testing.assert_allclose(io.read(path).affine, OBLIQUE, atol=1e-6)
    assert d.run("tv") is not layer, "a run never writes into an existing layer"


def test_learned_results_say_so_wherever_they_go(dock):
    dock = dock(ball(2, 64, 64))
    dock.choose(dock.form.mask_kind, "random")
    result = dock.run("conditional-swin-mri-dc")
    assert result.name == "scan conditional-swin-mri-dc (simulated) (estimated)"
    assert "not for diagnosis" in dock.form.warnings.text()
    assert dock.form.card.isVisibleTo(dock.form) and dock.form.device.isVisibleTo(dock.form)
    assert "0.000 after" in dock.form.status.text()


@pytest.mark.parametrize("shape", [(32, 48), (1, 32, 48)])
def test_single_slice(dock, shape):
    d = dock(ball(*shape))
    assert d.run().data.shape == shape


def test_raw_data_come_with_their_voxel_size(dock):
    d = dock()
    d.open(MULTI)
    layer = d.run("sense")
    assert layer.data.shape == (2, 80, 80) and layer.name == "file17_mc sense"
    np.testing.assert_allclose(layer.scale, (4, 1.8, 1.8))


def test_methods_of_several_coils_are_off_for_one(dock):
    d = dock()
    d.open(SINGLE)
    item = d.form.method.model().item(d.form.method.findData("sense-tv"))
    assert not item.isEnabled() and "one coil" in item.text()


@pytest.mark.smoke
def test_a_chosen_model_that_was_removed_makes_way_for_automatic(dock):
    d = dock(ball(2, 40, 40))
    d.form.method.addItem("removed", "removed")
    d.choose(d.form.method, "removed")
    training().models_changed.emit()
    d.settle()
    assert d.form.method.currentData() == "auto" and not d.form.status.text()


def test_run_begins_in_view_and_cancel_leaves_the_viewer_as_it_was(dock, gate):
    d = dock(ball(4, 32, 48))
    d.choose(d.form.method, "zero-filled")
    d.viewer.dims.set_current_step(0, 2)
    mine = d.viewer.layers["scan"]
    d.viewer.layers.selection.active = mine
    d.form.run.click()
    d.wait(lambda: d.layer("zero-filled") is not None)
    layer = d.layer("zero-filled")
    assert [bool(plane.any()) for plane in layer.data] == [False, False, True, False]
    assert layer.name not in d.compare.results.ticked()
    d.form.cancel.click()
    assert list(d.viewer.layers) == [mine] and d.viewer.layers.selection.active is mine
    gate.set()
    d.settle()
    assert list(d.viewer.layers) == [mine] and d.form.run.isEnabled()
    assert d.form.status.text() == "Cancelled; nothing was changed."


def test_cancelled_at_once_leaves_nothing(dock, gate):
    d = dock(ball(4, 32, 48))
    d.choose(d.form.method, "tv")
    d.form.run.click()
    d.wait(lambda: not d.form.cancel.isHidden())
    d.form.cancel.click()
    gate.set()
    d.settle()
    assert len(d.viewer.layers) <= 2 and d.form.run.isEnabled()


def test_layer_deleted_during_the_run(dock, gate):
    d = dock(ball(3, 32, 48))
    d.choose(d.form.method, "zero-filled")
    d.form.run.click()
    d.wait(lambda: d.layer("zero-filled") is not None)
    d.viewer.layers.remove("scan")
    gate.set()
    d.settle()
    assert d.widget.result.data.any(axis=(1, 2)).all() and not d.form.run.isEnabled()


@pytest.mark.parametrize("close", ["window", "dock"])
def test_closed_during_the_run(dock, gate, close):
    d = dock(ball(3, 32, 48))
    d.form.run.click()
    d.wait(lambda: len(d.viewer.layers) > 1)
    if close == "window":
        d.viewer.close()
    else:
        d.viewer.window.remove_dock_widget(d.widget)
    gate.set()


# ---- compare ----


@pytest.mark.smoke
def test_compare_scores_results_against_the_full_k_space(dock, monkeypatch, tmp_path):
    d = dock(ball(3, 32, 48), scale=(4, 1, 1))
    d.choose(d.form.mask_kind, "equispaced_fraction")
    d.run("tv")
    rows = {row.name: row for row in d.compare.rows_found}
    assert set(rows) == {"scan tv (simulated)", "zero-filled, mask as now"}
    tv, zero = rows["scan tv (simulated)"], rows["zero-filled, mask as now"]
    assert tv.volume["nmse"] < zero.volume["nmse"] and len(tv.slices) == 3
    assert CONVENTION[1:] in d.compare.caption.text()
    d.compare.slices.cellClicked.emit(2, 0)
    assert d.viewer.dims.current_step[0] == 2
    path = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    d.compare.export.click()
    lines = list(csv.reader(path.open()))
    assert lines[0][0] == "result" and len(lines) == 2 + 2 * 4 and CONVENTION in lines[-1][0]


def test_difference_layers_of_a_kind_share_one_scale(dock):
    d = dock(ball(2, 32, 48))
    d.choose(d.form.mask_kind, "equispaced_fraction")
    d.run("zero-filled")
    d.run("tv")
    layers = {}
    for view, words in (("error", "error"), ("difference", "difference"), ("ssim", "SSIM")):
        d.choose(d.compare.view, view)
        for _ in range(2):  # the second time they are replaced
            d.compare.show_view.click()
            d.settle()
        bad, good = layers[view] = [layer for layer in d.viewer.layers if layer.name.startswith(words)]
        assert bad.contrast_limits == good.contrast_limits
        assert (bad.colorbar.visible, good.colorbar.visible) == (True, False), "one scale, one bar"
    error, difference, ssim = layers.values()
    assert error[0].data.mean() > error[1].data.mean() and ssim[0].data.mean() < ssim[1].data.mean()
    end = error[0].contrast_limits[1]
    assert difference[0].contrast_limits == [-end, end] and ssim[0].contrast_limits == [0, 1]
    np.testing.assert_allclose(difference[0].colormap.map(np.array([0.5]))[0, :3], 0, atol=0.01)
    assert not d.compare.times.isVisibleTo(d.compare)
    d.compare.times.setValue(4)
    assert [layer.contrast_limits for layer in error] == [[0, end / 4]] * 2
    assert [layer.contrast_limits for layer in difference] == [[-end / 4, end / 4]] * 2
    assert ssim[0].contrast_limits == [0, 1]
    error[0].contrast_limits = (0, 1)
    assert error[1].contrast_limits == [0, 1]
    assert isinstance(d.form.source.currentData(), Image) and d.form.source.currentText() == "scan"


def test_without_a_reference_residual_and_stability_are_told(dock):
    d = dock()
    (layer,) = d.viewer.open(str(UNDER), plugin="napari-medseg")
    d.settle()
    d.run("tv")
    assert d.compare.reference.findText(layer.name) < 0, "a zero-filled image is no truth"
    (row,) = d.compare.rows_found
    assert row.volume["nmse"] is None and row.volume["residual"] < 1e-3
    text = d.compare.status.text()
    assert "no reference" in text and "data residual" in text and "Sensitivity" in text
    assert not d.compare.show_view.isEnabled() and "no reference" in d.compare.show_view.toolTip()


# ---- maps of a slice ----


def test_router_map_lies_over_the_slice_in_view(dock):
    d = dock(ball(3, 64, 64), scale=(4, 1, 1))
    assert not d.form.routers.isVisibleTo(d.form)
    d.choose(d.form.mask_kind, "random")
    d.choose(d.form.method, "conditional-swin-mri-dc")
    assert d.form.routers.isVisibleTo(d.form)
    d.viewer.dims.set_current_step(0, 2)
    d.form.routers.click()
    d.settle()
    layer = d.layer("router map")
    assert layer.data.shape == (1, 64, 64) and layer.translate[0] == 8 and np.ptp(layer.data) > 0
    assert d.form.source.currentText() == "scan" and d.viewer.layers.selection.active.name == "scan"


def test_sensitivity_of_the_slice_in_view(dock):
    d = dock(ball(3, 32, 48), scale=(4, 1, 1))
    assert not d.form.probe.isEnabled() and "fully sampled" in d.form.probe.toolTip()
    d.choose(d.form.mask_kind, "random")
    layers = []
    for method in ("zero-filled", "tv"):
        d.choose(d.form.method, method)
        d.viewer.dims.set_current_step(0, 2)
        d.form.probe.click()
        d.settle()
        layers.append(d.layer(f"scan {method} sensitivity (not a probability)"))
    assert all(layer.data.shape == (1, 32, 48) and layer.translate[0] == 8 for layer in layers)
    assert layers[0].contrast_limits == layers[1].contrast_limits and "slice 2" in d.form.status.text()
    assert d.compare.reference.findText(layers[0].name) < 0 and not d.compare.results.ticked()


@pytest.mark.parametrize("shows", ["noise", "g-factor"])
def test_noise_of_the_slice_in_view_stands_beside_its_scale(dock, shows):
    d = dock(ball(3, 32, 48), scale=(4, 1, 1))
    d.choose(d.form.shows, shows)
    assert d.form.probe.isEnabled(), "a full scan has noise, too"
    d.choose(d.form.mask_kind, "random")
    d.choose(d.form.method, "zero-filled")
    d.viewer.dims.set_current_step(0, 1)
    d.form.probe.click()
    d.settle()
    layer = d.layer(f"scan zero-filled {shows}")
    assert layer.data.shape == (1, 32, 48) and layer.colorbar.visible and (layer.data > 0).all()
    assert "slice 1" in d.form.status.text() and shows in d.form.status.text().lower()


def test_partial_fourier_is_chosen_and_named(dock, tmp_path):
    samples = fft2c(ball(1, 1, 32, 48).astype(np.complex64))
    np.save(tmp_path / "scan.npy", np.where(np.arange(48) >= 18, samples, 0))
    d = dock()
    assert not d.form.partial.isVisibleTo(d.form)
    d.open(tmp_path / "scan.npy")
    assert d.form.partial.isVisibleTo(d.form)
    images = []
    for how in ("none", "auto"):
        d.choose(d.form.partial, how)
        images.append(d.run("zero-filled").data)
    assert "completed by POCS" in d.form.status.text() and not np.allclose(*images)


def test_cancelled_probe_leaves_nothing(dock):
    d = dock(ball(3, 64, 64))
    d.choose(d.form.mask_kind, "random")
    d.choose(d.form.method, "wavelet")
    d.form.probe.click()
    d.wait(lambda: not d.form.cancel.isHidden())
    assert d.form.cancel.isEnabled() and not d.form.run.isEnabled()
    d.form.cancel.click()
    d.settle()
    assert [layer.name for layer in d.viewer.layers] == ["scan"]
    assert "Cancelled" in d.form.status.text() and d.form.probe.isEnabled()


def test_method_is_suggested_for_the_slice_in_view(dock):
    d = dock(ball(3, 32, 48), scale=(4, 1, 1))
    assert not d.form.suggest.isEnabled() and "fully sampled" in d.form.suggest.toolTip()
    d.choose(d.form.mask_kind, "random")
    d.viewer.dims.set_current_step(0, 2)
    before = [layer.name for layer in d.viewer.layers]
    d.form.suggest.click()
    d.settle()
    text = d.form.status.text()
    assert text.startswith("Slice 2: ") and "predict" in text and "not a proof" in text and "zero-filled 100" in text
    assert all(f"{name} " in text for name in ("tv", "wavelet", "conditional-swin-mri-dc")) and "sense" not in text
    assert d.form.method.currentData() == "auto" and [layer.name for layer in d.viewer.layers] == before
    assert d.form.suggest.isEnabled() and "not a proof" in d.form.suggest.toolTip()


def test_suggestion_can_be_cancelled(dock):
    d = dock(ball(3, 64, 64))
    d.choose(d.form.mask_kind, "random")
    d.form.suggest.click()
    d.wait(lambda: not d.form.cancel.isHidden())
    assert d.form.cancel.isEnabled() and "being compared" in d.form.run.toolTip()
    d.form.cancel.click()
    d.settle()
    assert d.form.status.text() == "Cancelled; nothing was changed." and d.form.suggest.isEnabled()


# ---- what comes after ----


def test_copied_command_does_the_same(dock, tmp_path):
    path = io.write(Volume(ball(2, 32, 48), "zyx", OBLIQUE), tmp_path / "a scan.nii.gz")
    d = dock()
    d.viewer.open(str(path), plugin="napari-medseg")
    d.settle()
    d.choose(d.form.mask_kind, "random")
    layer = d.run("wavelet")
    d.form.copy.click()
    words = shlex.split(QApplication.clipboard().text())
    assert words[:2] == ["napari-medseg", "reconstruct"] and cli.main(words[1:]) == 0
    written = io.read(words[words.index("--output") + 1])
    np.testing.assert_allclose(written.data, layer.data, rtol=1e-5)


def test_result_goes_on_to_segment(dock, monkeypatch):
    d = dock(ball(2, 32, 48))
    assert not d.form.segment.isEnabled()
    layer = d.run()
    d.form.segment.click()
    _, segment = d.viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    assert segment.form.image.currentData() is layer
    d.wait(lambda: not segment.busy)


def test_sample_of_a_head_opens_as_raw_data(dock):
    d = dock()
    (layer,) = d.viewer.open_sample("napari-medseg", "head_kspace")
    d.settle()
    assert layer.data.shape == (1, 230, 180) and "8 coils" in d.form.facts.text()
    assert samples.path("brain8_poisson8x.npz").is_file()


def test_every_control_has_a_tooltip(dock):
    d = dock()
    controls = [value for value in vars(d.form).values() if hasattr(value, "setChecked") or hasattr(value, "addItem")]
    assert controls and all(control.toolTip() for control in controls)
    assert not d.form.run.isEnabled() and "open raw k-space or an image" in d.form.hint.text()
