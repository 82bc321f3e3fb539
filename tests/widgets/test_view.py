"""The View dock and the letters in a window: they follow axes, camera and layers, and planes lie as they are viewed."""

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from napari_medseg import samples
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import legend, letters
from napari_medseg.widgets.kit.upright import keep_upright

SIDES = ("left", "right", "top", "bottom")
RAS = np.diag([1.0, 1, 3, 1])  # thick slices
LPS = np.diag([-1.0, -1, 3, 1])


def scan(affine=RAS, shape=(6, 20, 30), **metadata):
    """A volume (z, y, x) with a bright block in its first voxels."""
    data = np.full(shape, 40, np.int16)
    data[..., :6, :10] = 1000
    return Volume(data, "tzyx"[-len(shape) :], affine, metadata={"format": "NIfTI", **metadata})


def add(viewer, volume, name="scan"):
    return viewer.add_layer(Layer.create(*layer_tuple(volume, name)))


def orientation(viewer):
    """Where rows and columns grow."""
    return tuple(map(str, viewer.scene.camera.orientation2d))


def shown(viewer):
    """Letters on the left, on the right, at the top and at the bottom, by what napari draws."""
    overlays = viewer.canvas.overlays
    found = [overlays.get(f"medseg_{side}") for side in SIDES]
    return " ".join(text.text if text is not None and text.visible else "-" for text in found)


@pytest.fixture
def view(viewer, qtbot):
    def make():
        _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "View")
        qtbot.waitUntil(lambda: not dock.busy, timeout=30000)
        return dock

    return make


@pytest.mark.smoke
def test_letters_follow_axes_camera_and_layers(view, viewer):
    dock = view()
    assert shown(viewer) == "- - - -" and dock.form.place.text() == "No image is open."
    layer = add(viewer, scan())
    assert shown(viewer) == "R L A P" and list(viewer.layers) == [layer]
    dock.form.stored.click()
    assert shown(viewer) == "L R P A"
    assert dock.form.place.text() == "'scan': axial."
    viewer.dims.roll()
    assert shown(viewer) == "P A I S" and "sagittal" in dock.form.place.text()
    viewer.dims.transpose()
    assert shown(viewer) == "I S P A"
    viewer.dims.order = (0, 1, 2)
    viewer.scene.camera.orientation2d = ("up", "left")
    assert shown(viewer) == "R L A P"
    viewer.scene.camera.orientation2d = ("down", "right")
    viewer.scene.camera.zoom *= 3
    viewer.theme = "light"
    assert shown(viewer) == "L R P A"
    viewer.theme = "dark"
    viewer.layers.remove(layer)
    assert shown(viewer) == "- - - -"
    add(viewer, scan(LPS), "other")
    assert shown(viewer) == "R L A P"


def test_the_first_scan_stands_upright_and_an_empty_viewer_is_as_before(view, viewer):
    view()
    first = add(viewer, scan())
    assert shown(viewer) == "R L A P"
    viewer.add_image(np.ones((4, 5, 5)), name="plain")
    assert shown(viewer) == "R L A P", "what says nothing turns nothing"
    viewer.layers.remove(first)
    viewer.layers.clear()
    assert orientation(viewer) == ("down", "right")
    viewer.scene.camera.orientation2d = ("up", "right")  # by a person
    add(viewer, scan())
    assert shown(viewer) == "L R A P"
    viewer.layers.clear()
    assert orientation(viewer) == ("up", "right")
    viewer.scene.camera.orientation2d = ("down", "right")
    plain = viewer.add_image(np.ones((4, 5, 5)), name="plain")
    assert orientation(viewer) == ("down", "right"), "it says nothing of a patient"
    late = add(viewer, scan())
    assert shown(viewer) == "R L A P"
    viewer.layers.remove(late)
    assert orientation(viewer) == ("down", "right") and list(viewer.layers) == [plain]


@pytest.mark.smoke
def test_the_scan_in_view_stands_upright_whatever_was_opened_before(view, viewer):
    dock = view()
    first = add(viewer, scan(), "first")
    drawn = viewer.add_labels(np.zeros((6, 20, 30), int), name="drawn")
    second = add(viewer, scan(LPS), "second")
    assert shown(viewer) == "R L A P" and orientation(viewer) == ("down", "right")
    viewer.layers.selection.active = drawn
    assert orientation(viewer) == ("down", "right"), "it says nothing, and the second scan is still in view"
    viewer.layers.selection.active = first
    assert shown(viewer) == "R L A P" and orientation(viewer) == ("up", "left")
    centre = viewer.scene.camera.center
    viewer.layers.selection.active = second
    assert orientation(viewer) == ("down", "right") and viewer.scene.camera.center == centre
    second.visible = False
    assert orientation(viewer) == ("up", "left"), "the one that can be seen"
    first.visible = False
    assert orientation(viewer) == ("up", "left"), "nothing can be seen: nothing turns"
    first.visible = second.visible = True
    dock.form.coronal.click()
    viewer.layers.selection.active = first
    assert shown(viewer) == "R L S I" and dock.form.coronal.isChecked(), "the same plane"
    viewer.layers.selection.active = second
    viewer.scene.camera.orientation2d = ("down", "left")  # by a person
    viewer.layers.selection.active = first
    assert orientation(viewer) == ("down", "left")
    viewer.layers.remove(first)
    viewer.layers.remove(drawn)
    viewer.scene.camera.orientation2d = ("up", "right")
    viewer.layers.clear()
    assert orientation(viewer) == ("down", "right"), "a view of the scan that has gone"


def test_a_scan_that_was_opened_before_the_first_dock_stands_upright_too():
    opened_before = ViewerModel()
    add(opened_before, scan())
    assert orientation(opened_before) == ("down", "right")
    keep_upright(opened_before)
    assert orientation(opened_before) == ("up", "left")
    turned_before = ViewerModel()
    add(turned_before, scan())
    turned_before.scene.camera.orientation2d = ("up", "right")  # by a person
    keep_upright(turned_before)
    assert orientation(turned_before) == ("up", "right")


def test_letters_are_of_the_selected_layer_or_the_lowest_image(view, viewer):
    dock = view()
    plain = viewer.add_image(np.ones((4, 5, 5)), name="plain")
    assert shown(viewer) == "- - - -" and "does not say where right" in dock.form.place.text()
    viewer.scene.camera.orientation2d = ("down", "left")  # by a person, so that it stays
    first = add(viewer, scan(), "first")
    second = add(viewer, scan(LPS), "second")
    assert shown(viewer) == "L R A P" and "'first' lies differently" in dock.form.place.text()
    viewer.layers.selection.active = first
    assert shown(viewer) == "R L P A"
    viewer.layers.selection.active = plain
    assert shown(viewer) == "R L P A", "the lowest that says where it lies"
    first.visible = False
    assert shown(viewer) == "L R A P"
    first.visible = True
    viewer.layers.move(viewer.layers.index(second), 0)
    assert shown(viewer) == "L R A P"
    viewer.canvas.grid.enabled = True
    assert shown(viewer) == "- - - -" and "Leave the grid" in dock.form.place.text()
    viewer.layers.remove(first)
    assert shown(viewer) == "L R A P"


def test_the_place_of_a_layer_is_worked_out_once_for_a_change(view, viewer, monkeypatch):
    view()
    first = add(viewer, scan(), "first")
    add(viewer, scan(LPS), "second")
    asked = []

    def counted(layer):
        asked.append(layer.name)
        return place_of(layer)

    place_of = letters.place_of
    monkeypatch.setattr(letters, "place_of", counted)
    first.visible = False
    assert asked == ["second"]
    asked.clear()
    first.visible = True
    assert sorted(asked) == ["first", "second"]


def test_letters_can_be_put_away_and_outlive_the_dock(view, viewer):
    dock = view()
    add(viewer, scan())
    dock.form.letters.click()
    assert shown(viewer) == "- - - -" and dock.form.place.text() == "'scan': axial."
    dock.form.letters.click()
    assert shown(viewer) == "R L A P"
    viewer.window.remove_dock_widget(dock)
    viewer.dims.roll()
    assert shown(viewer) == "A P S I"
    letters.letters_of(viewer).wanted = False
    again = view()
    assert not again.form.letters.isChecked()
    again.form.letters.click()
    assert shown(viewer) == "A P S I"


@pytest.mark.parametrize(("name", "expected"), [("axial", "R L A P"), ("coronal", "R L S I"), ("sagittal", "A P S I")])
@pytest.mark.parametrize("affine", [RAS, LPS], ids=["RAS", "LPS"])
def test_one_click_shows_a_plane_as_it_is_viewed(view, viewer, name, expected, affine):
    dock = view()
    layer = add(viewer, scan(affine, (2, 6, 20, 30)))
    before = layer.data.copy()
    getattr(dock.form, name).click()
    assert shown(viewer) == expected and viewer.dims.order[0] == 0
    assert [key for key, pressed in dock.form.planes.items() if pressed.isChecked()] == [name]
    viewer.dims.ndisplay = 3
    assert shown(viewer) == expected
    viewer.scene.camera.angles = (0, 90, 0)
    assert shown(viewer) != expected and not dock.form.planes[name].isChecked()
    getattr(dock.form, name).click()
    assert shown(viewer) == expected and "mirror" not in dock.form.place.text()
    viewer.dims.ndisplay = 2
    dock.form.stored.click()
    assert viewer.dims.order == (0, 1, 2, 3) and shown(viewer) == ("L R P A" if affine is RAS else "R L A P")
    assert np.array_equal(layer.data, before) and np.allclose(layer.metadata["medseg"]["affine"], affine)


def test_a_mirrored_rendering_is_said(view, viewer):
    dock = view()
    add(viewer, scan())
    dock.form.stored.click()
    viewer.dims.ndisplay = 3
    assert "mirror image" in dock.form.place.text()
    dock.form.coronal.click()
    assert "mirror image" not in dock.form.place.text()


def test_a_slice_and_a_thin_stack_have_one_plane(view, viewer):
    dock = view()
    add(viewer, scan().select("z", 2), "slice")
    dock.form.stored.click()
    assert shown(viewer) == "L R P A" and dock.form.axial.isEnabled() and not dock.form.coronal.isEnabled()
    assert "single slice of another plane" in dock.form.coronal.toolTip()
    dock.form.axial.click()
    assert shown(viewer) == "R L A P"
    viewer.layers.clear()
    QApplication.processEvents()
    add(viewer, scan(shape=(1, 20, 30)), "thin")
    assert dock.form.axial.isEnabled() and "one slice only" in dock.form.sagittal.toolTip()


def test_colour_pictures_and_arrays_have_no_letters(view, viewer):
    dock = view()
    viewer.add_image(np.zeros((40, 40, 3), np.uint8), rgb=True, name="colours")
    assert shown(viewer) == "- - - -" and not dock.form.axial.isEnabled() and not dock.form.percentiles.isEnabled()
    viewer.add_image([np.zeros((16, 16)), np.zeros((8, 8))], multiscale=True, name="levels")
    viewer.add_points(np.zeros((1, 2)))
    assert shown(viewer) == "- - - -"
    assert dock.form.percentiles.isEnabled() and not dock.form.lung.isEnabled()
    assert "its values start at 0" in dock.form.lung.toolTip()


def test_windows_of_ct_and_percentiles(view, viewer):
    dock = view()
    volume = scan()
    volume.data[0, :2] = -1000
    layer = add(viewer, volume, "ct")
    assert "is taken for a CT" in dock.form.grey.text()
    dock.form.brain.click()
    assert layer.contrast_limits == [0, 80]
    dock.form.lung.click()
    assert layer.contrast_limits == [-1350, 150]
    dock.form.percentiles.click()
    assert layer.contrast_limits == [-1000, 1000]
    viewer.layers.clear()
    QApplication.processEvents()
    add(viewer, scan(modality="MR"), "mr")
    assert not dock.form.brain.isEnabled() and "is MR" in dock.form.brain.toolTip()
    flat = viewer.add_image(np.ones((8, 8)), name="flat")
    dock.form.percentiles.click()
    assert "alike" in dock.form.status.text() and flat.contrast_limits[0] < flat.contrast_limits[1]


def test_the_pixels_lie_where_the_letters_say(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "View")
    layer = add(viewer, scan(), "scan")  # bright on the left and at the back
    layer.contrast_limits = (0, 1000)
    QApplication.processEvents()
    places = {}
    for name in ("stored", "axial"):
        getattr(dock.form, name).click()
        QApplication.processEvents()
        picture = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(float)
        middle = picture[60:-60, 60:-60]  # without the letters
        rows, columns = np.nonzero(middle > 200)
        places[name] = rows.mean() < middle.shape[0] / 2, columns.mean() < middle.shape[1] / 2
    assert shown(viewer) == "R L A P"
    assert places == {"stored": (True, True), "axial": (False, False)}


def test_two_viewers_and_their_end(make_napari_viewer):
    first = make_napari_viewer()
    second = make_napari_viewer()
    for viewer in (first, second):
        viewer.window.add_plugin_dock_widget("napari-medseg", "View")
    add(first, scan())
    add(second, scan(LPS))
    assert shown(first) == "R L A P" and shown(second) == "R L A P"
    assert tuple(map(str, first.scene.camera.orientation2d)) == ("up", "left")
    assert tuple(map(str, second.scene.camera.orientation2d)) == ("down", "right")
    followed = weakref.ref(first.layers[0])
    first.layers.clear()
    gc.collect()
    assert shown(first) == "- - - -" and shown(second) == "R L A P"
    assert letters.letters_of(first).layer is None and (followed() is None or followed() not in first.layers)


def test_the_sample_heart_is_oblique(view, viewer):
    dock = view()
    viewer.open_sample("napari-medseg", "heart")
    assert "oblique, nearest to" in dock.form.place.text()
    assert any(len(text) > 1 for text in shown(viewer).split())
    assert samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz").exists()


def test_colour_bars_say_what_they_stand_for(view, viewer):
    dock = view()
    add(viewer, scan())
    assert not dock.form.bar.isChecked() and dock.form.bar.isEnabled()
    dock.form.bar.click()
    assert viewer.layers[0].colorbar.visible and legend.meaning_of(viewer.layers[0]) == ""
    doubts = [viewer.add_image(np.zeros((6, 20, 30)), metadata={legend.MEANING: legend.UNCERTAINTY}) for _ in range(2)]
    assert "0 certain, 255 undecided" in dock.form.meaning.text() and not dock.form.bar.isChecked()
    dock.form.bar.click()
    doubts[0].colorbar.visible = True
    text = viewer.canvas.overlays["medseg_legend"]
    assert text.visible and text.text == legend.UNCERTAINTY, "said once"
    viewer.canvas.grid.enabled = True
    assert not text.visible
    viewer.canvas.grid.enabled = False
    doubts[1].visible = False
    assert text.visible
    viewer.layers.remove(doubts[0])
    assert not text.visible
    assert dock.form.percentiles.isEnabled() and dock._grey() is viewer.layers[0], "a map has no grey window"
    viewer.add_labels(np.zeros((6, 20, 30), int))
    assert not dock.form.bar.isEnabled() and not dock.form.bar.isChecked()


def test_a_cine_says_how_it_is_played_and_at_which_speed_it_was(view, viewer):
    dock = view()
    assert dock.form.cine.isHidden()
    (layer,) = viewer.open_sample("napari-medseg", "heart_cine")
    assert "slider t plays its 10 time points" in dock.form.cine.text() and "does not say" in dock.form.cine.text()
    assert dock.form.true_speed.isHidden()
    viewer.dims.order = (1, 2, 0, 3)
    assert "As stored" in dock.form.cine.text()
    viewer.dims.order = (0, 1, 2, 3)
    step = {"nifti": {"fields": {"xyzt_units": 2 | 16}, "time": [40.0, 0.0]}}
    add(viewer, scan(shape=(5, 6, 20, 30), **step), "fast")
    assert layer.visible and dock.form.true_speed.text() == "Play at 25 frames per second"
    dock.form.true_speed.click()
    assert get_settings().application.playback_fps == 25
    assert dock.form.true_speed.isHidden() and "napari plays 25" in dock.form.cine.text()
