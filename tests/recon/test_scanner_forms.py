"""Raw data in the forms in which scanners write them, from a phantom whose true image is known."""

import h5py
import numpy as np
import pytest

from napari_medseg import metrics, reconstruct
from napari_medseg.io.kspace import read_kspace
from napari_medseg.recon import fft2c

SIZE = 64
COILS = 6
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{n}</x><y>{n}</y><z>{depth}</z></matrixSize>
<fieldOfView_mm><x>128</x><y>128</y><z>{thick}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{n}</x><y>{n}</y><z>{depth}</z></matrixSize>
<fieldOfView_mm><x>128</x><y>128</y><z>{thick}</z></fieldOfView_mm></reconSpace>
<trajectory>{trajectory}</trajectory><encodingLimits>
<kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center></kspace_encoding_step_1>
<kspace_encoding_step_2><minimum>0</minimum><maximum>{end}</maximum><center>{middle}</center></kspace_encoding_step_2>
</encodingLimits></encoding></ismrmrdHeader>"""
HEAD = np.dtype(
    {
        "names": ["flags", "number_of_samples", "active_channels", "discard_pre", "discard_post", "center_sample"]
        + ["encoding_space_ref", "trajectory_dimensions", "idx"],
        "formats": ["<u8", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2"]
        + [
            [
                (name, "<u2")
                for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase")
                + ("repetition", "set", "segment")
            ]
        ],
    }
)


def header(depth=1, trajectory="cartesian", last=SIZE - 1, centre=SIZE // 2):
    return HEADER.format(
        n=SIZE, depth=depth, thick=4 * depth, trajectory=trajectory, last=last, centre=centre, end=depth - 1,
        middle=depth // 2,
    )  # fmt: skip


class Phantom:
    """Ellipses with a smooth phase, seen by coils around them: ``kspace`` (coil, y, x), and the ``truth`` (y, x)."""

    def __init__(self):
        y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
        image = 0.9 * (np.hypot(x / 0.7, y / 0.85) < 1) - 0.4 * (np.hypot(x / 0.6, y / 0.75) < 1)
        for cx, cy, rx, ry, value in (
            (-0.2, 0.1, 0.15, 0.3, 0.3),
            (0.25, -0.1, 0.2, 0.2, -0.2),
            (0, 0.5, 0.2, 0.1, 0.5),
        ):
            image = image + value * (np.hypot((x - cx) / rx, (y - cy) / ry) < 1)
        turns = np.linspace(0, 2 * np.pi, COILS, endpoint=False)[:, None, None]
        maps = np.exp(-((y - 1.1 * np.sin(turns)) ** 2) - (x - 1.1 * np.cos(turns)) ** 2 + 1j * turns)
        self.coil_images = maps * image * np.exp(1j * (x + 0.5 * y))
        self.truth = np.sqrt((np.abs(self.coil_images) ** 2).sum(0))
        noise = np.random.default_rng(1).standard_normal((2, COILS, SIZE, SIZE))
        self.kspace = (fft2c(self.coil_images) + 0.002 * (noise[0] + 1j * noise[1])).astype(np.complex64)

    def error(self, images):
        """Largest NRMSE of images (..., y, x), each at its best scale, against the truth."""
        found = []
        for image in np.asarray(images, float).reshape(-1, SIZE, SIZE):
            scaled = image * (image * self.truth).sum() / (image**2).sum()
            found.append(np.sqrt(metrics.nmse(self.truth[None], scaled[None])))
        return max(found)


@pytest.fixture(scope="module")
def phantom():
    return Phantom()


@pytest.fixture
def mrd(tmp_path):
    """A function that writes readouts, each (data (coil, sample), counters and flags), as ISMRMRD does."""

    def write(readouts, xml, name="a.h5"):
        samples = h5py.vlen_dtype(np.float32)
        table = np.zeros(len(readouts), [("head", HEAD), ("traj", samples), ("data", samples)])
        for row, (data, counters) in zip(table, readouts, strict=True):
            head = row["head"]
            head["active_channels"], head["number_of_samples"] = data.shape
            head["center_sample"] = data.shape[1] // 2
            for field, value in counters.items():
                (head if field in head.dtype.names else head["idx"])[field] = value
            row["data"] = np.ascontiguousarray(data, np.complex64).view(np.float32).ravel()
            row["traj"] = np.zeros(0, np.float32)
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("dataset/xml", data=[xml], dtype=h5py.string_dtype())
            file.create_dataset("dataset/data", data=table, chunks=(1,))
        return tmp_path / name

    return write


def lines(kspace, columns=range(SIZE), **counters):
    """Readouts of k-space (coil, y, x), one per column."""
    return [(kspace[..., column], {"kspace_encode_step_1": column, **counters}) for column in columns]


def every_second(first, centre=16):
    """Every second column from `first`, and a full centre."""
    columns = np.arange(SIZE)
    return np.flatnonzero((columns % 2 == first) | (np.abs(columns - SIZE // 2 + 0.5) < centre / 2))


# a mask for every slice


@pytest.mark.parametrize("form", ["mrd", "npy"])
def test_every_slice_is_reconstructed_from_its_own_columns(phantom, mrd, tmp_path, form):
    columns = [every_second(0), every_second(1), every_second(0)]
    if form == "mrd":
        path = mrd([line for s, own in enumerate(columns) for line in lines(phantom.kspace, own, slice=s)], header())
    else:
        path = tmp_path / "a.npy"
        data = np.zeros((3, *phantom.kspace.shape), np.complex64)
        for place, own in zip(data, columns, strict=True):
            place[..., own] = phantom.kspace[..., own]
        np.save(path, data)
    kspace = read_kspace(path)
    assert kspace.mask.shape == (3, 1, SIZE) and kspace.mask_origin == ("file" if form == "mrd" else "inferred")
    for index, own in enumerate(columns):
        np.testing.assert_array_equal(np.flatnonzero(kspace.mask_of(index)), own)
    assert kspace.acceleration == SIZE / len(columns[0])
    assert phantom.error(reconstruct(kspace, "tv").image.data) < 0.05
    assert phantom.error(reconstruct(kspace, "sense-tv").image.data) < 0.02


def test_one_mask_stays_one_where_slices_agree(phantom, mrd):
    path = mrd([line for s in range(2) for line in lines(phantom.kspace, every_second(0), slice=s)], header())
    assert read_kspace(path).mask.shape == (SIZE,)


def test_calibration_lines_count_as_measured(phantom, mrd):
    readouts = lines(phantom.kspace, range(0, SIZE, 2)) + lines(phantom.kspace, range(24, 40), flags=1 << 19)
    kspace = read_kspace(mrd(readouts, header()))
    assert kspace.counted() == (40, SIZE)
    assert phantom.error(reconstruct(kspace, "sense-tv").image.data) < 0.02


# partial Fourier


@pytest.mark.parametrize("counted_from_zero", [True, False])
def test_partial_fourier_is_not_called_fully_sampled(phantom, mrd, counted_from_zero):
    first = 24
    readouts = lines(phantom.kspace, range(first, SIZE))
    xml = header()
    if counted_from_zero:
        readouts = [(data, {"kspace_encode_step_1": number}) for number, (data, _) in enumerate(readouts)]
        xml = header(last=SIZE - first - 1, centre=SIZE // 2 - first)
    kspace = read_kspace(mrd(readouts, xml))
    np.testing.assert_array_equal(np.flatnonzero(kspace.mask), np.arange(first, SIZE))
    assert kspace.acceleration == SIZE / (SIZE - first)
    found = reconstruct(kspace, "sense-tv")
    assert found.report["mask"]["effective_acceleration"] == 1.6 and found.report["mask"]["against"] == "columns"
    assert phantom.error(found.image.data) < 0.08 < phantom.error(reconstruct(kspace, "zero-filled").image.data)


def test_partial_fourier_of_fastmri_is_known_by_its_header(phantom, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.where(np.arange(SIZE) < 24, 0, phantom.kspace)[None]
        file["ismrmrd_header"] = header(last=39, centre=8)
    kspace = read_kspace(tmp_path / "a.h5")
    assert kspace.is_partial and kspace.counted() == (40, SIZE)
    drawn = reconstruct(kspace, "zero-filled", mask=np.arange(SIZE) % 2 == 0).report["mask"]
    assert drawn["samples"] == 20 and drawn["effective_acceleration"] == 3.2


def test_a_scan_of_fewer_columns_is_counted_against_these(phantom, tmp_path):
    """Filling on both sides makes pixels smaller; it is not undersampling."""
    columns = np.arange(SIZE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.where((columns >= 8) & (columns < 56), phantom.kspace, 0)[None]
        file["ismrmrd_header"] = header(last=47, centre=24)
    kspace = read_kspace(tmp_path / "a.h5")
    assert kspace.mask is None and kspace.acceleration == 1
    drawn = reconstruct(kspace, "zero-filled", mask=columns % 2 == 0).report["mask"]
    assert drawn["effective_acceleration"] == 2 and drawn["against"] == "columns from 8 to 55"
