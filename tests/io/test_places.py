"""A volume from a layer lies in the patient where the layer lies in the viewer, whatever was done to the layer."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from napari.layers.utils.stack_utils import images_to_stack, stack_to_images

from napari_medseg import io
from napari_medseg.errors import VolumeError
from napari_medseg.io.contributions import axes_choices, layer_tuple, volume_from_layer_data, write_image, write_labels
from napari_medseg.volume import Volume

OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])
SIZES = {"t": 2, "c": 2, "z": 4, "y": 5, "x": 6}


def shown(axes, affine=OBLIQUE, **metadata):
    """The layer of a volume as the reader makes it."""
    data = np.zeros([3 if axes[i:] == "c" else SIZES[a] for i, a in enumerate(axes)], np.uint8)
    return Layer.create(*layer_tuple(Volume(data, axes, affine, metadata=metadata), "scan"))


def of_layer(layer):
    return volume_from_layer_data(*layer.as_layer_data_tuple()[:2])


def corners(layer, axes):
    """The corners of an array by index, in the order of the layer and as homogeneous (x, y, z)."""
    ends = [(0, n - 1) for n in layer.data.shape[: layer.ndim]]
    indices = np.array(np.meshgrid(*ends)).reshape(layer.ndim, -1).T
    place = np.zeros((len(indices), 4))
    place[:, 3] = 1
    for column, axis in enumerate("xyz"):
        if axis in axes:
            place[:, column] = indices[:, axes.index(axis)]
    return indices, place


def positions(layer, axes):
    """Where the viewer shows the corners, (x, y, z) of those axes that the layer has."""
    indices, _ = corners(layer, axes)
    world = np.array([layer.data_to_world(index) for index in indices])
    return {axis: world[:, axes.index(axis)] for axis in "xyz" if axis in axes}


def mirror(layer):
    layer.scale = layer.scale * [*[1] * (layer.ndim - 1), -1]


def turn(layer):
    flat = layer.ndim == 2 or "t" in layer.axis_labels[-3]
    layer.rotate = 30 if flat else (10, 20, 30)


def shear(layer):
    values = np.zeros((layer.ndim, layer.ndim))
    values[-2, -1] = 0.3
    layer.shear = values + np.eye(layer.ndim)


def swap(layer):
    matrix = np.eye(layer.ndim + 1)
    matrix[-3:-1, -3:-1] = [[0, 1], [1, 0]]
    matrix[-2, -1] = 7
    layer.affine = matrix


def move(layer):
    layer.translate = layer.translate + np.arange(1, layer.ndim + 1) * ([1] if layer.ndim < 4 else [0, 1, 1, 1])


def rescale(layer):
    layer.scale = [1] * layer.ndim


def everything(layer):
    for change in (move, mirror, turn, shear, swap):
        change(layer)


CHANGES = [mirror, turn, shear, swap, move, rescale, everything]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("axes", ["zyx", "yx", "tyx", "czyx", "tzyx", "zyxc"])
def test_changed_layers_of_a_scan_lie_where_they_are_shown(axes, change):
    before, layer = shown(axes), shown(axes)
    change(layer)
    _, place = corners(layer, axes)
    volume = of_layer(layer)
    # the scan as it was read shows, at the same spot of the viewer, the patient's position
    spots = np.array([layer.data_to_world(index) for index in corners(layer, axes)[0]])
    expected = np.zeros_like(place)
    expected[:, 3] = 1
    for row, spot in enumerate(spots):
        index = before.world_to_data(spot)
        expected[row, :3] = [index[axes.index(axis)] if axis in axes else 0 for axis in "xyz"]
    np.testing.assert_allclose(place @ volume.affine.T, expected @ OBLIQUE.T, atol=1e-9)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("axes", ["zyx", "yx"])
def test_layers_of_others_lie_where_they_are_shown(axes, change):
    layer = Labels(np.zeros([SIZES[a] for a in axes], int), scale=(8, 1.4, 1.2)[-len(axes) :])
    change(layer)
    volume = of_layer(layer)
    found = corners(layer, axes)[1] @ volume.affine.T
    for axis, values in positions(layer, axes).items():
        np.testing.assert_allclose(found[:, "xyz".index(axis)], values, atol=1e-9)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_layer_comes_back_from_its_file_at_its_place(tmp_path, change):
    """Files keep the place; and a layer made of the changed one stays there however often it is made anew."""
    layer = shown("zyx")
    change(layer)
    volume = of_layer(layer)
    again = Layer.create(*layer_tuple(volume, "again"))
    for index in corners(layer, "zyx")[0]:
        np.testing.assert_allclose(again.data_to_world(index), layer.data_to_world(index), atol=1e-9)
    np.testing.assert_allclose(of_layer(again).affine, volume.affine, atol=1e-9)
    for write, suffix in ((write_image, ".nii.gz"), (write_labels, ".tif"), (write_image, ".npz")):
        (path,) = write(str(tmp_path / f"a{suffix}"), *layer.as_layer_data_tuple()[:2])
        np.testing.assert_allclose(io.read(path).affine, volume.affine, atol=1e-6)


def test_an_unchanged_layer_keeps_the_transforms_of_its_file_bit_by_bit(tmp_path):
    import nibabel as nib

    image = nib.Nifti1Image(np.zeros((6, 5, 4), np.uint8), OBLIQUE)
    image.set_sform(OBLIQUE, 4)
    image.set_qform(np.diag([1.3, 1.2, 8, 1]), 1)
    nib.save(image, tmp_path / "scan.nii")
    layer = Layer.create(*layer_tuple(io.read(tmp_path / "scan.nii"), "scan"))
    write_labels(str(tmp_path / "labels.nii"), *layer.as_layer_data_tuple()[:2])
    headers = [nib.load(tmp_path / name).header for name in ("scan.nii", "labels.nii")]
    for field in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z", "pixdim"):
        np.testing.assert_array_equal(headers[0][field], headers[1][field])


def test_a_crop_lies_in_its_scan():
    layer = shown("zyx")
    part = Image(layer.data[1:, 2:, 3:], scale=layer.scale, metadata=layer.metadata)
    part.translate = layer.data_to_world((1, 2, 3))
    np.testing.assert_allclose(of_layer(part).affine[:, 3], OBLIQUE @ [3, 2, 1, 1])
    np.testing.assert_allclose(of_layer(part).affine[:3, :3], OBLIQUE[:3, :3])


@pytest.mark.parametrize(
    ("axes", "axis", "left"), [("tzyx", 0, "zyx"), ("tzyx", 1, "tyx"), ("czyx", 0, "zyx"), ("tczyx", 0, "czyx")]
)
def test_parts_of_a_split_stack_keep_their_place(axes, axis, left):
    parts = stack_to_images(shown(axes, photometric="MONOCHROME1"), axis)
    for volume in map(of_layer, parts):
        assert volume.axes == left and volume.low_is_bright
        np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-9)


def test_slices_of_a_split_stack_keep_their_place_in_the_plane():
    volume = of_layer(stack_to_images(shown("zyx"), 0)[2])
    assert volume.axes == "yx"
    np.testing.assert_allclose(volume.affine[:3, :2], OBLIQUE[:3, :2])


def test_reviewed_slices_are_not_those_of_another_stack():
    from napari_medseg.record import Record

    volume = Volume(np.zeros((4, 5, 6), np.uint8), "zyx", metadata={"record": Record("draw", reviewed=(1, 3))})
    layer = Layer.create(*layer_tuple(volume, "a"))
    assert of_layer(layer).record.reviewed == (1, 3)
    layer.data = layer.data[2:]
    assert of_layer(layer).record.reviewed == ()


def test_an_array_in_another_order_is_refused():
    layer = shown("zyx")
    layer.data = layer.data.transpose(2, 1, 0)
    with pytest.raises(VolumeError, match="another order"):
        of_layer(layer)


def test_space_and_time_do_not_mix():
    layer = shown("tzyx")
    matrix = np.eye(5)
    matrix[0, 1] = 0.5
    layer.affine = matrix
    with pytest.raises(VolumeError, match="between space and its time"):
        of_layer(layer)


def test_a_size_set_by_hand_is_believed():
    layer = shown("zyx", np.eye(4), has_spacing=False)
    assert not of_layer(layer).has_spacing
    layer.scale = 4, 0.5, 0.5
    assert of_layer(layer).has_spacing and of_layer(layer).spacing == pytest.approx((4, 0.5, 0.5))
    layer.units = ["um"] * 3
    assert of_layer(layer).spacing == pytest.approx((0.004, 0.0005, 0.0005))
    layer.scale = 1, 1, 1
    assert of_layer(layer).has_spacing and of_layer(layer).spacing == pytest.approx((0.001, 0.001, 0.001))


def test_a_stack_of_split_slices_has_no_known_distance_any_more():
    volume = of_layer(images_to_stack(stack_to_images(shown("zyx"), 0)))
    assert volume.axes == "zyx" and volume.spacing[0] == pytest.approx(1) and not volume.has_spacing


def test_units_of_one_axis_alone_say_no_size():
    volume = of_layer(Labels(np.zeros((4, 5, 6), int), scale=(1, 0.5, 0.5), units=("pixel", "um", "um")))
    assert not volume.has_spacing and volume.spacing == pytest.approx((1, 0.5, 0.5))
    mixed = of_layer(Labels(np.zeros((4, 5, 6), int), scale=(2, 500, 500), units=("mm", "um", "um")))
    assert mixed.has_spacing and mixed.spacing == pytest.approx((2, 0.5, 0.5))


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((4, 5, 6), {"units": ("s", "um", "um")}, ("tyx",)),
        ((4, 5, 6), {"units": ("ms", "pixel", "pixel")}, ("tyx",)),
        ((4, 5, 6), {"axis_labels": ("t", "y", "x")}, ("tyx",)),
        ((3, 4, 5, 6), {"units": ("min", "um", "um", "um")}, ("tzyx", "tcyx")),
        ((3, 4, 5, 6), {"axis_labels": ("c", "z", "y", "x")}, ("czyx",)),
        ((3, 4, 5, 6), {"units": ("um", "s", "um", "um")}, ()),
        ((4, 5, 6), {"axis_labels": ("x", "y", "z")}, ()),
        ((4, 5, 6), {"axis_labels": ("a", "b", "c")}, ("zyx", "tyx", "cyx")),
    ],
)
def test_units_and_labels_say_what_axes_mean(shape, options, axes):
    data, meta, _ = Image(np.zeros(shape), scale=[3] * len(shape), **options).as_layer_data_tuple()
    assert axes_choices(data, meta) == axes
    if not axes:
        with pytest.raises(VolumeError, match="expected the order"):
            volume_from_layer_data(data, meta)
    elif axes[0] == "tyx":
        assert volume_from_layer_data(data, meta).affine[2, 2] == 1, "seconds are not millimetres"


def test_a_time_unit_set_by_hand_makes_slices_times():
    layer = shown("zyx", np.eye(4), has_spacing=False)
    layer.units = "s", "um", "um"
    assert of_layer(layer).axes == "tyx"
