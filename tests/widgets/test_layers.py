import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_medseg import io, samples
from napari_medseg.io.contributions import layer_tuple, volume_from_layer_data
from napari_medseg.segmentation.inference import Part
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit import layer_volumes, saving
from napari_medseg.widgets.segment.slice_in_view import Preview

CLASSES = (LabelClass(1, "nucleus", "#4dbbd5"),)
OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])


@pytest.fixture
def viewer():
    return ViewerModel()


def add(viewer, shape, **options):
    return viewer.add_image(np.zeros(shape, np.uint8), name="scan", **options)


@pytest.mark.parametrize(
    ("axes", "affine"),
    [("zyx", np.diag([2, 3, 8, 1.0])), ("tyx", np.diag([2, 3, 1, 1.0])), ("cyx", np.diag([2, 3, 1, 1.0]))],
)
def test_scale_becomes_affine_of_spatial_axes_only(viewer, axes, affine):
    volume = layer_volumes.to_volume(add(viewer, (4, 8, 9), scale=(8, 3, 2)), axes)
    assert volume.axes == axes
    np.testing.assert_allclose(volume.affine, affine)


def test_image_is_not_copied(viewer):
    layer = add(viewer, (4, 8, 9))
    assert layer_volumes.to_volume(layer, "zyx").data is layer.data


def test_axes_are_asked_for_only_where_the_file_does_not_say(viewer):
    assert layer_volumes.axes_choices(add(viewer, (2, 4, 8, 9))) == ("tzyx", "czyx", "tcyx")
    data, options, _ = layer_tuple(Volume(np.zeros((2, 4, 8, 9)), "czyx"), "known")
    assert layer_volumes.axes_choices(viewer.add_image(data, **options)) == ("czyx",)


@pytest.mark.parametrize(
    ("axes", "shape", "step", "index"),
    [
        ("yx", (8, 9), (), {}),
        ("zyx", (4, 8, 9), (3,), {"z": 3}),
        ("tzyx", (2, 4, 8, 9), (1, 2), {"t": 1, "z": 2}),
        ("czyx", (2, 4, 8, 9), (1, 2), {"z": 2}),
        ("zyxc", (4, 8, 9, 3), (1,), {"z": 1}),
    ],
)
def test_slice_in_view(viewer, axes, shape, step, index):
    layer = add(viewer, shape, rgb=axes.endswith("c"), scale=np.arange(2, 2 + len(axes.removesuffix("c"))))
    for axis, position in enumerate(step):
        viewer.dims.set_current_step(axis, position)
    assert layer_volumes.shown_index(viewer, layer, axes) == index
    lead = [n for n, a in zip(shape, axes, strict=True) if a in index]
    flat = int(np.ravel_multi_index(list(index.values()), lead)) if index else 0
    assert layer_volumes.shown_slice(viewer, layer, axes) == flat


def test_slice_in_view_beside_a_layer_in_other_units(viewer):
    layer = add(viewer, (12, 8, 9), scale=(10, 1, 1), units=["mm"] * 3)
    add(viewer, (4, 8, 9), units=["um"] * 3)
    viewer.dims.set_point(0, 50_000)
    assert layer_volumes.shown_index(viewer, layer, "zyx") == {"z": 5}


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("options", [{}, {"rotate": (10, 20, 30)}, {"shear": (0.1, 0, 0.2)}, {"affine": OBLIQUE}])
def test_preview_lies_on_its_slice_of_a_turned_image(viewer, options):
    image = add(viewer, (4, 8, 9), scale=(8, 3, 2), translate=(1, 2, 3), **options)
    preview = Preview(viewer)
    preview.show(Volume(np.ones((8, 9), np.uint8), "yx", classes=CLASSES), (2,), layer_volumes.Grid.of(image, "zyx"))
    np.testing.assert_allclose(preview.layer.data_to_world((0, 5, 6)), image.data_to_world((2, 5, 6)))


def result(viewer, image, axes, labels, classes=CLASSES):
    made = layer_volumes.Result(viewer, image, layer_volumes.to_volume(image, axes), "model", classes)
    made.show(Part(labels, None, [0]))
    return made


def mirror(layer):
    layer.scale = layer.scale * [*[1] * (layer.ndim - 1), -1]


def turn(layer):
    layer.rotate = (10, 20, 30)


def shear(layer):
    layer.shear = np.eye(layer.ndim) + np.eye(layer.ndim, k=1) * ([0] * (layer.ndim - 1) + [0.3])


def place(layer):
    matrix = np.eye(layer.ndim + 1)
    matrix[-4:-1, :][:, -4:] = OBLIQUE[:3]
    layer.affine = matrix


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("affine", [None, OBLIQUE])
@pytest.mark.parametrize("change", [mirror, turn, shear, place])
@pytest.mark.parametrize(("axes", "shape"), [("zyx", (4, 8, 9)), ("czyx", (2, 4, 8, 9)), ("tczyx", (2, 3, 4, 8, 9))])
def test_labels_lie_on_a_turned_image_in_the_viewer_and_in_their_file(viewer, axes, shape, change, affine):
    data, options = np.zeros(shape, np.uint8), {"scale": [1] * (len(axes) - 3) + [8, 3, 2]}
    if affine is not None:
        data, options, _ = layer_tuple(Volume(data, axes, affine), "scan")
    image = viewer.add_image(data, **options)
    change(image)
    shape = [n for n, a in zip(shape, axes, strict=True) if a != "c"]
    made = result(viewer, image, axes, np.zeros(shape, np.uint8)).labels
    for index in ((0, 0, 0), (3, 7, 8), (3, 0, 0)):
        on_labels = made.data_to_world((*[0] * (made.ndim - 3), *index))
        on_image = image.data_to_world((*[0] * (image.ndim - 3), *index))
        np.testing.assert_allclose(on_labels[-3:], on_image[-3:], atol=1e-9)
    volume = layer_volumes.to_volume(image, axes)
    for saved in (layer_volumes.labels_volume(made, None, None), layer_volumes.labels_volume(made, image, axes)):
        assert saved.axes == axes.replace("c", "")
        np.testing.assert_allclose(saved.affine, volume.affine, atol=1e-9)
    np.testing.assert_allclose(volume_from_layer_data(*made.as_layer_data_tuple()[:2]).affine, volume.affine, atol=1e-9)
    if affine is None:
        far = made.data_to_world((*[0] * (made.ndim - 3), 3, 7, 8))
        np.testing.assert_allclose((saved.affine @ [8, 7, 3, 1])[:3], far[:-4:-1], atol=1e-9)
    made.translate = made.translate + 1
    assert not np.allclose(layer_volumes.labels_volume(made, image, axes).affine, volume.affine)


def refreshed(layer):
    """How often the layer was drawn anew, as a list that grows."""
    drawn = []
    layer.events.set_data.connect(lambda _: drawn.append(1))
    return drawn


def test_layer_is_drawn_anew_only_when_the_slice_in_view_is_finished(viewer):
    image = add(viewer, (4, 8, 9))
    labels = np.zeros((4, 8, 9), np.uint8)
    viewer.dims.set_current_step(0, 2)
    made = result(viewer, image, "zyx", labels)
    drawn = refreshed(made.labels)
    made.show(Part(labels, None, [0, 1]))
    assert not drawn
    made.show(Part(labels, None, [2]))
    assert len(drawn) == 1


def test_other_planes_are_drawn_anew_a_few_times_a_second(viewer, monkeypatch):
    image = add(viewer, (4, 8, 9))
    labels = np.zeros((4, 8, 9), np.uint8)
    now = [100.0]
    monkeypatch.setattr(layer_volumes.time, "monotonic", lambda: now[0])
    viewer.dims.order = (1, 0, 2)
    made = result(viewer, image, "zyx", labels)
    drawn = refreshed(made.labels)
    for now[0] in (100.3, 100.4, 100.5, 100.6):
        made.show(Part(labels, None, [3]))
    assert len(drawn) == 2


def test_labels_of_a_multichannel_series_are_saved_without_channels(viewer):
    data, options, _ = layer_tuple(Volume(np.zeros((2, 3, 4, 8, 9), np.uint8), "tczyx", OBLIQUE), "scan")
    image = viewer.add_image(data, **options)
    labels = np.arange(2 * 4 * 8 * 9, dtype=np.uint32).reshape(2, 4, 8, 9)
    saved = layer_volumes.labels_volume(result(viewer, image, "tczyx", labels).labels, None, None)
    assert saved.axes == "tzyx" and saved.classes == CLASSES
    np.testing.assert_array_equal(saved.data, labels)
    np.testing.assert_array_equal(saved.affine, OBLIQUE)


@pytest.mark.parametrize("fits", [True, False])
def test_labels_drawn_over_an_image_are_saved_on_its_grid(viewer, fits):
    data, options, _ = layer_tuple(Volume(np.zeros((4, 8, 9), np.uint8), "zyx", OBLIQUE), "scan")
    image = viewer.add_image(data, **options)
    drawn = Labels(np.ones((4, 8, 9), np.uint8), scale=image.scale, translate=image.translate + (not fits))
    saved = layer_volumes.labels_volume(drawn, image, "zyx")
    assert np.array_equal(saved.affine, OBLIQUE) == fits
    drawn.data[:] = 2
    assert (saved.data == 1).all(), "what is painted while the file is written does not change it"


@pytest.mark.smoke
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("change", [lambda image: None, mirror, turn, shear, place])
def test_new_labels_of_napari_have_the_place_of_their_image(viewer, change):
    data, options, _ = layer_tuple(Volume(np.zeros((4, 8, 9), np.uint8), "zyx", OBLIQUE), "scan")
    image = viewer.add_image(data, **options)
    change(image)
    same = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    drawn = Labels(np.zeros((4, 8, 9), np.uint8), **{name: getattr(image, name) for name in same})
    volume = layer_volumes.to_volume(image, "zyx")
    assert layer_volumes.lies_on(drawn, image, "zyx")
    np.testing.assert_allclose(layer_volumes.labels_volume(drawn, image, "zyx").affine, volume.affine, atol=1e-9)
    drawn.translate = drawn.translate + (0, 0, 1.4)
    assert not layer_volumes.lies_on(drawn, image, "zyx")
    moved = layer_volumes.labels_volume(drawn, image, "zyx").affine
    step = np.subtract(drawn.data_to_world((0, 0, 0)), image.data_to_world((0, 0, 0)))[::-1]
    directions = OBLIQUE[:3, :3] / np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    np.testing.assert_allclose(moved[:3, 3], volume.affine[:3, 3] + directions @ step, atol=1e-9)


def test_labels_belong_to_the_image_that_they_lie_on(viewer):
    def scan(affine, z):
        data, options, _ = layer_tuple(Volume(np.zeros((z, 8, 9), np.uint8), "zyx", affine), "scan")
        return viewer.add_image(data, **options)

    oblique, upright = scan(OBLIQUE, 4), scan(np.diag([1.0, 2, 3, 1]), 5)
    on_oblique = Labels(np.zeros((4, 8, 9), np.uint8), scale=oblique.scale, translate=oblique.translate)
    assert saving.image_of(viewer, on_oblique) == (oblique, "zyx")
    assert saving.image_of(viewer, on_oblique, (upright, "zyx")) == (oblique, "zyx")
    elsewhere = Labels(np.zeros((2, 3, 3), np.uint8))
    assert saving.image_of(viewer, elsewhere, (upright, "zyx")) == (upright, "zyx")
    assert saving.image_of(viewer, elsewhere) is None, "two scans turned differently"
    viewer.layers.remove(upright)
    assert saving.image_of(viewer, elsewhere) == (oblique, "zyx")


def test_labels_drawn_on_micrometres_have_micrometres(viewer):
    image = add(viewer, (8, 9), scale=(0.5, 0.5), units=("um", "um"))
    saved = layer_volumes.labels_volume(Labels(np.zeros((8, 9), np.uint8), scale=(0.5, 0.5)), image, "yx")
    assert saved.spacing == pytest.approx((0.0005, 0.0005))


@pytest.mark.parametrize(("spacing", "name"), [(True, "scan 1_labels.nii.gz"), (False, "scan 1_labels.tif")])
def test_labels_are_suggested_beside_their_image(tmp_path, spacing, name):
    metadata = {"source": str(tmp_path / "scan 1.nii.gz"), "has_spacing": spacing}
    assert layer_volumes.suggested_path(Volume(np.zeros((3, 4)), "yx", metadata=metadata), "x") == tmp_path / name


def test_labels_are_not_suggested_inside_the_package():
    source = samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz")
    path = layer_volumes.suggested_path(io.read(source), "x")
    assert path.name == "sunnybrook_SC-HF-I-01_ED_labels.nii.gz" and not path.is_relative_to(source.parent)


@pytest.mark.parametrize("change", [mirror, turn, shear, place])
def test_a_person_hears_that_an_image_was_moved_since_it_was_opened(viewer, change):
    volume = Volume(np.zeros((3, 8, 9), np.uint8), "zyx", np.diag([1.5, 1.5, 8, 1]))
    data, options, _ = layer_tuple(volume, "scan")
    image = viewer.add_image(data, **options)
    assert not layer_volumes.was_moved(image, "zyx") and saving.moved_text(image, "zyx") == ""
    image.data = data[1:]
    image.translate = (8, 0, 0)
    assert not layer_volumes.was_moved(image, "zyx"), "a crop is where it was"
    change(image)
    assert "'scan' was moved or turned" in saving.moved_text(image, "zyx")


def test_labels_of_nobodys_image_are_not_called_moved(viewer):
    assert not layer_volumes.was_moved(add(viewer, (3, 8, 9), rotate=(0, 0, 20)), "zyx")


# ---- several resolutions ----


class Unread:
    """An array of slices, as those of zarr, that fails if more than one is read."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.size = array.size

    def __getitem__(self, place):
        found = self.array[place]
        assert found.size <= 8 * 9, "more than a slice is read"
        return found


def add_levels(viewer, data):
    half = data[:, ::2, ::2]
    return viewer.add_image([Unread(data), half], multiscale=True, scale=(8, 3, 2), units=["mm"] * 3, name="scan")


def test_the_finest_level_is_what_a_job_reads(viewer):
    data = np.arange(4 * 8 * 9, dtype=np.uint16).reshape(4, 8, 9)
    layer = add_levels(viewer, data)
    (axes,) = layer_volumes.axes_choices(layer)[:1]
    volume = layer_volumes.to_volume(layer, axes)
    assert volume.axes == "zyx" and volume.data.shape == data.shape and volume.spacing == (8, 3, 2)
    np.testing.assert_array_equal(volume.data[2], data[2])
    turned = volume.data.transpose(0, 2, 1)[::-1]
    np.testing.assert_array_equal(turned[0], data[3].T)


def test_labels_of_an_image_with_levels_lie_on_it(viewer):
    layer = add_levels(viewer, np.zeros((4, 8, 9), np.uint16))
    volume = layer_volumes.to_volume(layer, "zyx")
    result = layer_volumes.Result(viewer, layer, volume, "model", CLASSES)
    result.show(Part(np.zeros((4, 8, 9), np.uint8), None, [0]))
    assert result.labels.data.shape == (4, 8, 9)
    np.testing.assert_allclose(result.labels.scale, layer.scale)
    drawn = viewer.add_labels(np.ones((4, 8, 9), np.uint8), scale=layer.scale)
    assert layer_volumes.lies_on(drawn, layer, "zyx")
    assert layer_volumes.labels_volume(drawn, layer, "zyx").spacing == (8, 3, 2)
