"""Layers for napari and back: grids coincide and saves keep the true affine."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_medseg import io, samples
from napari_medseg.errors import VolumeError
from napari_medseg.io.contributions import get_reader, layer_tuple, volume_from_layer_data, write_image, write_labels
from napari_medseg.volume import LabelClass, Volume


def shown(volume, name="layer"):
    return Layer.create(*layer_tuple(volume, name))


def of_layer(layer):
    return volume_from_layer_data(*layer.as_layer_data_tuple()[:2])


@pytest.mark.filterwarnings("error:Non-orthogonal")
def test_oblique_volumes_are_scaled_and_moved_only(volume):
    layer = shown(volume)
    np.testing.assert_allclose(layer.scale, volume.spacing)
    assert np.allclose(layer.affine.affine_matrix, np.eye(4)) and not np.any(layer.shear)
    assert [f"{unit:~}" for unit in layer.units] == ["mm"] * 3


@pytest.mark.filterwarnings("error")
def test_oblique_file_opens_without_warnings():
    viewer = ViewerModel()
    path = str(samples.path("sunnybrook_sax_ED"))
    viewer.add_layer(Layer.create(*get_reader(path)(path)[0]))
    assert viewer.layers[0].data.shape == (12, 256, 256)


def test_crops_and_other_resolutions_lie_on_their_image(volume):
    corner = volume.affine.copy()
    corner[:3, 3] = (volume.affine @ [2, 1, 1, 1])[:3]
    crop = Volume(volume.data[1:, 1:, 2:], "zyx", corner)
    layer, part = shown(volume), shown(crop)
    np.testing.assert_allclose(part.data_to_world((0, 0, 0)), layer.data_to_world((1, 1, 2)))
    np.testing.assert_allclose(part.data_to_world((1, 3, 3)), layer.data_to_world((2, 4, 5)))
    coarse = Volume(volume.data[:, ::2, ::2], "zyx", volume.affine @ np.diag([2, 2, 1, 1]))
    np.testing.assert_allclose(shown(coarse).data_to_world((2, 1, 2)), layer.data_to_world((2, 2, 4)))


def test_upright_volumes_lie_at_their_position():
    affine = np.diag([2.0, 3, 4, 1])
    affine[:3, 3] = 5, 6, 7
    layer = shown(Volume(np.zeros((2, 3, 4)), "zyx", affine))
    assert layer.translate.tolist() == [7, 6, 5]


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "tzyx", "czyx", "tczyx", "yxc", "zyxc"])
def test_volumes_come_back_from_their_layer(volume, axes):
    data = np.zeros([3 if a == "c" else 4 for a in axes], np.uint8)
    given = Volume(data, axes, volume.affine, metadata={"modality": "MR", "source": "scan.nii"})
    layer = shown(given)
    assert layer.ndim == len(axes.removesuffix("c"))
    back = of_layer(layer)
    assert back.axes == axes and back.data is data and back.metadata == given.metadata
    np.testing.assert_array_equal(back.affine, volume.affine)


def test_labels_show_names_and_colours(labels):
    layer = shown(labels)
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.get_color(1), [0xE6 / 255, 0x4B / 255, 0x35 / 255, 1], atol=0.01)
    assert layer.features["class"].tolist() == ["background", "cavity", "Größe"]
    assert of_layer(layer).classes == labels.classes


def test_classes_with_numbers_beyond_those_that_napari_colours_are_shown():
    data = np.zeros((2, 8, 8), np.int32)
    data[:, 2:5] = 614454277  # of a brain atlas
    classes = (LabelClass(614454277, "striatum", "#e64b35"),)
    layer = ViewerModel().add_layer(shown(Volume(data, "zyx", np.eye(4), classes)))
    assert layer.features["class"].tolist() == ["background", "striatum"]
    assert layer.get_color(614454277)[3] == 1
    assert of_layer(layer).classes == classes


def test_object_numbers_are_labels_too(labels):
    assert layer_tuple(replace(labels, classes=(), metadata={"labels": True}), "a")[2] == "labels"
    assert layer_tuple(replace(labels, classes=()), "a")[2] == "image"


def test_layers_of_others_get_their_scale_and_position():
    drawn = Labels(np.zeros((3, 4, 5), int), scale=(4, 2, 0.5), translate=(1, 2, 3))
    volume = of_layer(drawn)
    assert volume.axes == "zyx" and volume.has_spacing
    np.testing.assert_array_equal(volume.affine, [[0.5, 0, 0, 3], [0, 2, 0, 2], [0, 0, 4, 1], [0, 0, 0, 1]])
    assert not of_layer(Labels(np.zeros((4, 5), int))).has_spacing
    micrometres = of_layer(Labels(np.zeros((4, 5), int), scale=(2, 2), translate=(10, 0), units=("um", "um")))
    assert micrometres.spacing == pytest.approx((0.002, 0.002)) and micrometres.origin == pytest.approx((0, 0.01, 0))
    assert of_layer(Layer.create(np.zeros((4, 5, 3), np.uint8), {"rgb": True}, "image")).axes == "yxc"
    levels = [np.zeros((8, 6)), np.zeros((4, 3))]
    assert of_layer(Layer.create(levels, {"multiscale": True}, "image")).data.shape == (8, 6)
    with pytest.raises(VolumeError, match="6 axes"):
        of_layer(Labels(np.zeros((1,) * 6, int)))


def test_a_layer_that_lost_an_axis_counts_as_one_of_others(volume):
    data, options, _ = layer_tuple(volume, "a")
    options |= {name: options[name][1:] for name in ("scale", "translate", "units")}
    assert volume_from_layer_data(data[0], options).axes == "yx"


@pytest.mark.parametrize("suffix", [".nii.gz", ".tif", ".npz"])
def test_saved_layers_have_the_grid_of_their_image(tmp_path, volume, labels, suffix):
    path = str(tmp_path / f"a{suffix}")
    layer = shown(labels)
    layer.data = layer.data.astype(np.int64)  # as napari makes them
    assert write_labels(path, *layer.as_layer_data_tuple()[:2]) == [path]
    ((data, options, kind),) = get_reader(path)(path)
    assert kind == "labels" and data.dtype == np.uint8
    back = volume_from_layer_data(data, options)
    np.testing.assert_allclose(back.affine, volume.affine, rtol=0, atol=1e-6)
    assert back.classes == labels.classes
    write_image(path, *shown(volume).as_layer_data_tuple()[:2])
    ((data, options, kind),) = get_reader(path)(path)
    assert kind == "image" and options["name"] == "a"
    np.testing.assert_array_equal(data, volume.data)


def test_hand_drawn_labels_are_labels_when_read_again(tmp_path):
    path = str(tmp_path / "a.nii.gz")
    write_labels(path, *Labels(np.eye(5, dtype=int)).as_layer_data_tuple()[:2])
    assert get_reader(path)(path)[0][2] == "labels"


@pytest.mark.parametrize(
    ("name", "dtype", "kind"),
    [
        ("heart_label.tif", np.uint16, "labels"),
        ("seg.tif", np.int16, "labels"),
        ("labelsTr/a.tif", np.uint8, "labels"),
        ("labels/a.tif", np.float32, "image"),
        ("images/a.tif", np.uint8, "image"),
        ("labelled.tif", np.uint8, "image"),
    ],
)
def test_whole_numbers_called_labels_are_labels(tmp_path, name, dtype, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    io.write(Volume(np.ones((4, 5), dtype), "yx"), path)
    assert get_reader(str(path))(str(path))[0][2] == kind


def test_image_and_label_of_one_archive_are_two_layers(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, image=np.zeros((4, 5), np.float32), label=np.ones((4, 5), np.uint8))
    layers = get_reader(path)(path)
    assert [(kind, options["name"]) for _, options, kind in layers] == [("image", "a"), ("labels", "a labels")]
    np.savez(path, image=np.zeros((4, 5), np.float32), label=np.ones((3, 5), np.uint8))
    assert len(get_reader(path)(path)) == 1


def test_readers_are_offered_only_where_they_fit(tmp_path):
    series = samples.path("sunnybrook_sax_ED")
    assert get_reader(str(series)) and get_reader([str(file) for file in sorted(series.iterdir())])
    assert get_reader("a.nii.gz") and get_reader(["a.nii.gz"])
    (tmp_path / "notes.txt").write_text("hello")
    assert not any(map(get_reader, [str(tmp_path), str(tmp_path / "notes.txt"), "a.csv", ["a.nii", "b.nii"]]))


def test_contrast_ignores_a_few_outliers():
    data = np.random.default_rng(0).normal(100, 10, (4, 50, 50)).astype(np.float32)
    data[0, 0, :3] = 60_000, np.nan, -60_000
    low, high = layer_tuple(Volume(data, "zyx"), "scan")[1]["contrast_limits"]
    assert 50 < low < 90 and 110 < high < 150
    for flat in (np.zeros((5, 5)), np.full((5, 5), np.nan)):
        assert "contrast_limits" not in layer_tuple(Volume(flat, "yx"), "flat")[1]


def test_values_from_white_to_black_are_shown_so(volume):
    negative = replace(volume, metadata={"photometric": "MONOCHROME1"})
    assert layer_tuple(negative, "a")[1]["colormap"] == "gray_r"
    assert "colormap" not in layer_tuple(volume, "a")[1]


def test_a_folder_is_offered_though_other_files_come_first(slice_file, tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02d}.json").write_text("{}")
    slice_file("x.dcm")
    assert get_reader(str(tmp_path)) is not None
