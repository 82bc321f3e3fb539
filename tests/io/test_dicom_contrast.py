"""DICOM: the images of one volume agree in the table of contrast; what differs is an axis or is refused."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_medseg import io
from napari_medseg.errors import FileError


def mixed(slice_file, settings, swapped=True):
    """Three slices with an image of each setting; at the second slice they have the opposite numbers."""
    for z in range(3):
        for k, elements in enumerate(settings):
            number = len(settings) - 1 - k if swapped and z == 1 else k
            value = 100 * (k + 1) + z
            path = slice_file(f"{z}{k}", (0, 0, 2.0 * z), value, InstanceNumber=10 * z + number, **elements)
    return path


@pytest.mark.parametrize(
    ("settings", "axis"),
    [
        ([{"EchoTime": 10, "EchoNumbers": 1}, {"EchoTime": 20, "EchoNumbers": 2}], "echo time, echo number"),
        ([{"EchoTime": 9.5}, {"EchoTime": 10}], "echo time"),
        ([{"DiffusionBValue": 0}, {"DiffusionBValue": 1000}], "b-value"),
        ([{"SequenceName": "*ep_b50"}, {"SequenceName": "*ep_b1000#1"}], "b-value"),
        (
            [{"DiffusionGradientOrientation": [0, 0, 1.0]}, {"DiffusionGradientOrientation": [1.0, 0, 0]}],
            "gradient direction",
        ),
        ([{"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}], "temporal position"),
        ([{"InversionTime": 100}, {"InversionTime": 900}], "inversion time"),
        ([{"FlipAngle": 3}, {"FlipAngle": 15}], "flip angle"),
    ],
)
def test_every_volume_holds_one_setting(slice_file, settings, axis):
    volume = io.read(mixed(slice_file, settings).parent)
    assert volume.axes == "tzyx" and volume.metadata["t_axis"] == axis
    np.testing.assert_array_equal(volume.data[..., 0, 0], [[100, 101, 102], [200, 201, 202]])


@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "values"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", (0, 1000)),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", (0.0, 800.0)),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ([0, 8, 0, 0], [1000000700, 8, 0, 0])),
    ],
)
def test_vendors_keep_the_b_value_in_elements_of_their_own(slice_file, group, creator, element, vr, values):
    for z in range(2):
        for k, value in enumerate(values):
            number = k if z else 1 - k
            path = slice_file(f"{z}{k}", (0, 0, 2.0 * z), 10 * k + z, InstanceNumber=number)
            dataset = pydicom.dcmread(path)
            dataset.private_block(group, creator, create=True).add_new(element, vr, value)
            dataset.save_as(path)
    volume = io.read(path)
    assert volume.metadata["t_axis"] == "b-value" and volume.data[..., 0, 0].tolist() == [[0, 1], [10, 11]]


def test_numbers_that_are_almost_equal_are_one_setting(slice_file):
    for z, echo_time in enumerate((1.532, 1.536, 1.529)):
        path = slice_file(f"{z}", (0, 0, 2.0 * z), z, EchoTime=echo_time)
    volume = io.read(path)
    assert volume.axes == "zyx" and "t_axis" not in volume.metadata


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ([{"EchoTime": 10}, {"EchoTime": 10}, {"EchoTime": 20}], r"differ in echo time \(10, 20\)"),
        ([{"TemporalPositionIdentifier": t} for t in (1, 1, 2)], r"differ in temporal position \(1, 2\)"),
        ([{"DiffusionBValue": b} for b in (0, 500, 500)], r"differ in b-value \(0, 500\)"),
    ],
)
def test_slices_of_several_settings_are_not_one_volume(slice_file, elements, sentence):
    for z, content in enumerate(elements):
        path = slice_file(f"{z}", (0, 0, 2.0 * z), z, **content)
    for chosen in (path, path.parent):
        with pytest.raises(FileError, match=sentence):
            io.read(chosen)


def test_counted_numbers_are_never_almost_equal(slice_file):
    for z, time in enumerate((200, 201)):
        path = slice_file(f"{z}", (0, 0, 2.0 * z), TemporalPositionIdentifier=time)
    with pytest.raises(FileError, match=r"temporal position \(200, 201\)"):
        io.read(path)


def test_an_axis_is_complete_at_every_position(slice_file):
    for z, times in enumerate(((1, 2), (2, 3))):
        for time in times:
            path = slice_file(f"{z}{time}", (0, 0, 2.0 * z), TemporalPositionIdentifier=time)
    with pytest.raises(FileError, match=r"temporal position \(1, 2, 3\), and not every position"):
        io.read(path)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ([{"ImageType": ["ORIGINAL", "PRIMARY", c]} for c in "MP"], r"image type ORIGINAL\\PRIMARY\\P"),
        ([{"ComplexImageComponent": c} for c in ("REAL", "IMAGINARY")], "complex component IMAGINARY"),
        ([{"ConvolutionKernel": k} for k in ("B30f", "B70f")], "kernel B70f"),
        ([{"KVP": kv} for kv in (80, 140)], "tube voltage 140"),
        ([{"SequenceName": n} for n in ("fl3d", "fl3d_v150in")], "sequence fl3d_v150in"),
    ],
)
def test_images_of_two_kinds_are_apart(slice_file, elements, words):
    path = mixed(slice_file, elements)
    with pytest.raises(FileError, match=words):
        io.read(path.parent)
    chosen = io.read(path)
    assert chosen.axes == "zyx" and chosen.data[:, 0, 0].tolist() == [200, 201, 202]


def test_a_volume_is_not_split_by_kinds_without_a_word(slice_file):
    for z, component in enumerate("MMP"):
        path = slice_file(f"{z}", (0, 0, 2.0 * z), z, ImageType=["ORIGINAL", "PRIMARY", component])
    for chosen in (path, path.with_name("0"), path.parent):
        with pytest.raises(FileError, match=r"ORIGINAL\\PRIMARY\\P"):
            io.read(chosen)


def test_times_of_acquisition_sort_where_nothing_else_does(slice_file):
    for z in range(2):
        for t in range(2):
            number = t if z else 1 - t
            clock = f"1200{10 * t + z:02}.5"
            path = slice_file(f"{z}{t}", (0, 0, 2.0 * z), 10 * t + z, InstanceNumber=number, AcquisitionTime=clock)
    assert io.read(path).data[..., 0, 0].tolist() == [[0, 1], [10, 11]]


def functional(slice_file, frames):
    """An enhanced file: (z, value, functional groups) of every frame."""
    path = slice_file("enhanced.dcm", ImagePositionPatient=None, PixelSpacing=None)
    dataset = pydicom.dcmread(path)
    items = []
    for z, _, groups in frames:
        item = Dataset()
        for sequence, content in {"PlanePositionSequence": {"ImagePositionPatient": [0, 0, z]}, **groups}.items():
            inner = Dataset()
            for keyword, value in content.items():
                setattr(inner, keyword, value)
            setattr(item, sequence, [inner])
        items.append(item)
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.concatenate([np.full(20, value, "<u2") for _, value, _ in frames]).tobytes()
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    "group",
    [
        lambda t: {"MREchoSequence": {"EffectiveEchoTime": 10.0 * t}},
        lambda t: {"MRDiffusionSequence": {"DiffusionBValue": 500.0 * t}},
        lambda t: {"FrameContentSequence": {"TemporalPositionIndex": t}},
    ],
)
def test_functional_groups_tell_volumes_apart(slice_file, group):
    order = [(0, 1), (0, 2), (2, 2), (2, 1)]  # z, and which of the two volumes
    volume = io.read(functional(slice_file, [(z, 10 * t + z, group(t)) for z, t in order]))
    assert volume.axes == "tzyx" and volume.data[..., 0, 0].tolist() == [[10, 12], [20, 22]]


def test_dimension_indices_tell_volumes_apart(slice_file):
    order = [(0, 1), (0, 2), (2, 2), (2, 1)]
    path = functional(
        slice_file,
        [(z, 10 * t + z, {"FrameContentSequence": {"DimensionIndexValues": [z // 2 + 1, t]}}) for z, t in order],
    )
    dataset = pydicom.dcmread(path)
    dimensions = [Dataset(), Dataset()]
    dimensions[0].DimensionIndexPointer = 0x00209057
    dimensions[1].DimensionIndexPointer = 0x00189074
    dataset.DimensionIndexSequence = dimensions
    dataset.save_as(path)
    assert io.read(path).data[..., 0, 0].tolist() == [[10, 12], [20, 22]]


def test_frames_of_two_kinds_in_one_file_are_named(slice_file):
    frames = [
        (z, 0, {"MRImageFrameTypeSequence": {"ComplexImageComponent": component}})
        for component in ("MAGNITUDE", "PHASE")
        for z in (0, 2)
    ]
    with pytest.raises(FileError, match="complex component PHASE"):
        io.read(functional(slice_file, frames))
