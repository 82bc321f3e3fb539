"""A volume as slices: their order and neighbours, and the labels that fill them."""

import numpy as np
import pytest

from napari_medseg.errors import VolumeError
from napari_medseg.quantities import extent
from napari_medseg.segmentation.orientation import Turn
from napari_medseg.segmentation.slices import Canvas, Slices
from napari_medseg.volume import LabelClass, Volume


def slices(shape, axes, along=""):
    return Slices(Volume(np.zeros(shape), axes), None, along)


def test_the_axis_of_the_neighbours_varies_fastest():
    assert slices((2, 3, 4, 4), "tzyx").order(4) == [4, 5, 0, 1, 2, 3]
    assert slices((2, 3, 4, 4), "tzyx", "z").order(4) == [4, 5, 0, 1, 2, 3]
    assert slices((2, 3, 4, 4), "tzyx", "t").order(4) == [4, 2, 5, 0, 3, 1]
    assert slices((4, 4), "yx").order(7) == [0]


@pytest.mark.parametrize(
    ("shape", "axes", "along", "expected"),
    [
        ((4, 4, 4), "zyx", "z", [(0, 2), (0, 2), (1, 3), (1, 3)]),
        ((2, 4, 4), "zyx", "z", [(0, 1), (0, 1)]),
        ((2, 3, 4, 4), "tzyx", "z", [(0, 2)] * 3 + [(3, 5)] * 3),
        ((3, 2, 4, 4), "tzyx", "t", [(0, 4), (1, 5)] * 3),
        ((3, 4, 4, 3), "zyxc", "z", [(0, 2)] * 3),
        ((3, 4, 4), "zyx", "", [(0, 0), (1, 1), (2, 2)]),
    ],
)
def test_neighbours_stay_in_their_stack(shape, axes, along, expected):
    source = slices(shape, axes, along)
    assert [source.around(k) for k in range(source.count)] == expected


def test_canvas_counts_what_is_put_on_it():
    volume = Volume(np.zeros((3, 2, 4)), "zyx", np.diag([0.5, 0.5, 2, 1]))
    canvas = Canvas(volume, (LabelClass(1, "left", "#ff0000"), LabelClass(2, "right", "#00ff00")), split=False)
    canvas.put([2, 0], np.array([[[1, 1, 0, 2], [0, 0, 0, 2]], [[1, 0, 0, 0], [0, 0, 0, 0]]], np.uint8))
    assert canvas.volume().data.sum(axis=(1, 2)).tolist() == [1, 0, 6]
    assert [(row["voxels"], row["volume_mm3"]) for row in canvas.classes()] == [(3, 1.5), (2, 1.0)]
    canvas = Canvas(Volume(np.zeros((4, 3, 2, 4)), "tzyx", volume.affine), (LabelClass(1, "left", "#ff0000"),), False)
    canvas.put([2, 9], np.ones((2, 2, 4), np.uint8))
    (row,) = canvas.classes()
    assert (row["voxels"], row["volume_mm3"]) == (16, 2.0), "a volume is that of one time point, in the mean"
    assert extent(row) == "2.00 mm3 (mean of 4 time points)"


@pytest.mark.parametrize(("axes", "key", "size"), [("yx", "area_mm2", 1e-8), ("zyx", "volume_mm3", 1e-12)])
def test_sizes_of_micrometre_voxels_are_not_rounded_to_nothing(axes, key, size):
    volume = Volume(np.zeros((1, 2, 4)[-len(axes) :]), axes, np.diag([1e-4, 1e-4, 1e-4, 1]))
    canvas = Canvas(volume, (LabelClass(1, "nucleus", "#ff0000"),), split=False)
    canvas.put([0], np.ones((1, 2, 4), np.uint8))
    assert canvas.classes()[0][key] == pytest.approx(8 * size, rel=1e-12)


def test_objects_are_as_large_as_the_pixels_of_the_slices_that_were_segmented():
    volume = Volume(np.zeros((20, 24, 30)), "zyx", np.diag([0.5, 1, 4, 1]))
    canvas = Canvas(volume, (LabelClass(1, "nucleus", "#ff0000"),), split=True, turn=Turn(("x", "z", "y")))
    plane = np.zeros((1, 20, 24), np.uint8)
    plane[0, 3:13, 2:22] = 1
    canvas.put([0], plane)
    assert canvas.objects() == {"objects": 1, "pixels_per_object": 200, "area_mm2_per_object": 200 * 4 * 1}


class Declared:
    """An array on the disk that declares more than memory holds."""

    dtype = np.dtype(np.uint8)

    def __init__(self, *shape):
        self.shape = shape
        self.ndim = len(shape)


def test_labels_that_do_not_fit_into_memory_are_refused():
    volume = Volume(Declared(2**30, 2048, 2048), "zyx")
    with pytest.raises(VolumeError, match=r"segment SCAN -o LABELS\.ome\.zarr"):
        Canvas(volume, (), split=False)


def test_a_slice_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(VolumeError, match="can be read at a time"):
        Slices(Volume(Declared(2**22, 2**22), "yx"), None)
