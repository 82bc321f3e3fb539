import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.layers import Labels

from napari_medseg import io, samples
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.segment.dock import SegmentWidget

DOCKS = ("segment", "batch", "reconstruct", "study", "fine_tune", "review", "measure", "view")


def commands(menu):
    """Commands in a menu of napari and its submenus."""
    found = set()
    for item in get_app_model().menus.get_menu(menu):
        if hasattr(item, "submenu"):
            found |= commands(item.submenu)
        else:
            found.add(item.command.id)
    return found


@pytest.mark.usefixtures("viewer")
def test_menus_hold_the_commands():
    assert {f"napari-medseg.{name}" for name in DOCKS} <= commands("napari/plugins")
    assert "napari-medseg.segment" in commands("napari/layers/segment")
    assert {f"napari-medseg.{key}" for key in ("heart", "nuclei", "head_kspace")} <= commands("napari/file/samples")


@pytest.mark.smoke
def test_menu_opens_the_dock(viewer, qtbot):
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    assert isinstance(dock, SegmentWidget)
    qtbot.waitUntil(lambda: not dock.busy, timeout=30000)


@pytest.mark.parametrize(
    "key", ["heart", "heart_cine", "hippocampus", "head", "ct", "nuclei", "stained_nuclei", "head_kspace"]
)
def test_samples_open(viewer, key):
    layers = viewer.open_sample("napari-medseg", key)
    assert len(layers) == (2 if key == "ct" else 1)
    assert all(layer.data.size and layer.metadata for layer in layers)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".tif", ".npz"])
def test_napari_opens_and_saves_with_geometry_and_classes(viewer, tmp_path, ending):
    affine = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])
    labels = Volume(np.ones((3, 8, 9), np.uint8), "zyx", affine, (LabelClass(1, "cavity", "#e64b35"),))
    (layer,) = viewer.open(str(io.write(labels, tmp_path / f"a{ending}")), plugin="napari-medseg")
    assert isinstance(layer, Labels)
    layer.data[0] = 0
    (saved,) = layer.save(str(tmp_path / f"b{ending}"), plugin="napari-medseg")
    again = io.read(saved)
    np.testing.assert_allclose(again.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(again.data, layer.data)
    assert again.classes == labels.classes


def test_napari_saves_labels_drawn_by_hand_where_their_image_lies(viewer, tmp_path):
    affine = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])
    path = io.write(Volume(np.ones((3, 8, 9), np.uint8), "zyx", affine), tmp_path / "a.nii.gz")
    (image,) = viewer.open(str(path), plugin="napari-medseg")
    drawn = viewer.add_labels(np.ones((3, 8, 9), np.uint8), scale=image.scale, translate=image.translate)
    (saved,) = drawn.save(str(tmp_path / "b.nii.gz"), plugin="napari-medseg")
    np.testing.assert_allclose(io.read(saved).affine, affine, atol=1e-6)


def test_napari_opens_a_dicom_folder(viewer):
    (layer,) = viewer.open(str(samples.path("sunnybrook_sax_ED")), plugin="napari-medseg")
    assert layer.ndim == 3 and layer.scale[0] != 1
