"""Raw data in the forms in which scanners write them, from a phantom whose true image is known."""

import h5py
import numpy as np
import pytest

from napari_medseg import metrics, reconstruct
from napari_medseg.errors import FileError
from napari_medseg.io import across
from napari_medseg.io.kspace import read_kspace
from napari_medseg.progress import run
from napari_medseg.recon import fft2c
from napari_medseg.recon.reconstruct import reconstruct_job
from napari_medseg.recon.settings import ReconSettings

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
        + ["encoding_space_ref", "trajectory_dimensions", "sample_time_us", "idx"],
        "formats": ["<u8", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2", "<f4"]
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
    assert found.report["used"]["partial"] == "pocs" and phantom.error(found.image.data) < 0.02
    zero_filled = [reconstruct(kspace, "zero-filled", partial=how).image.data for how in ("none", "auto")]
    assert phantom.error(zero_filled[1]) < 0.03 < 0.1 < phantom.error(zero_filled[0])


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


# 3-D scans


DEPTH = 12


@pytest.fixture(scope="module")
def volume(phantom):
    """k-space (partition, coil, y, x) of a slab of the phantom that fades to both sides, and its truth (z, y, x)."""
    profile = np.hanning(DEPTH + 4)[2:-2]
    hybrid = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(phantom.kspace, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    slab = profile[:, None, None, None] * hybrid
    axes = (0, 2, 3)
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(slab, axes=axes), axes=axes, norm="ortho"), axes=axes)
    return kspace.astype(np.complex64), profile[:, None, None] * phantom.truth


def partitions(kspace, mask):
    """Readouts of k-space (partition, coil, y, x) where `mask` (partition, x) says so."""
    found = []
    for number, (plane, own) in enumerate(zip(kspace, mask, strict=True)):
        found += lines(plane, np.flatnonzero(own), kspace_encode_step_2=number)
    return found


def whole_error(image, truth):
    """NRMSE of an image at its best scale."""
    scaled = image * (image * truth).sum() / (image**2).sum()
    return np.sqrt(metrics.nmse(truth, scaled))


def elliptic():
    z, x = np.meshgrid(np.linspace(-1, 1, DEPTH), np.linspace(-1, 1, SIZE), indexing="ij")
    return np.hypot(z, x) < 1.02


def scattered(centre):
    mask = np.random.default_rng(0).random((DEPTH, SIZE)) < 0.5
    middle = DEPTH // 2
    mask[middle - centre // 2 : middle + (centre + 1) // 2, 24:40] = True
    return mask


@pytest.mark.parametrize(("form", "mask", "method", "most"), [
    ("mrd", elliptic(), "sense-tv", 0.02),
    pytest.param("mrd", scattered(8), "sense-tv", 0.03, marks=pytest.mark.slow),
    ("mrd", scattered(4), "tv", 0.06),
    ("cfl", scattered(8), "sense-tv", 0.03),
])  # fmt: skip
def test_two_undersampled_phase_encodings_are_slices_across_the_readout(
    mrd, volume, tmp_path, monkeypatch, form, mask, method, most
):
    monkeypatch.setattr(across, "_BLOCK_BYTES", 20 * COILS * DEPTH * SIZE * 8)  # several blocks, the last one shorter
    kspace, truth = volume
    if form == "mrd":
        path = mrd(partitions(kspace, mask), header(DEPTH))
    else:
        path = tmp_path / "a.cfl"
        measured = np.where(mask[:, None, None], kspace, 0).transpose(2, 3, 0, 1)
        path.write_bytes(measured.tobytes("F"))
        path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, measured.shape))}\n")
    scan = read_kspace(path)
    assert scan.data.shape == (SIZE, COILS, DEPTH, SIZE)
    np.testing.assert_array_equal(scan.mask, mask)
    some = range(1, SIZE, 4)  # of every block
    result = run(reconstruct_job(scan, ReconSettings(method), indices=some))
    assert whole_error(result.image.data, truth.swapaxes(0, 1)[some]) < most
    if form == "mrd":
        # the voxel (x, partition, readout) lies where that of (x, y, z) of partitions as slices does
        np.testing.assert_allclose(result.image.affine @ (3, 5, 7, 1), (6, 14, 20, 1))
        assert result.image.spacing == (2, 4, 2)


def test_partitions_that_are_sampled_alike_are_the_slices(mrd, volume):
    kspace, truth = volume
    mask = np.zeros((DEPTH, SIZE), bool)
    mask[:, every_second(0)] = True
    scan = read_kspace(mrd(partitions(kspace, mask), header(DEPTH)))
    assert scan.data.shape == (DEPTH, COILS, SIZE, SIZE) and scan.mask.shape == (SIZE,)
    assert whole_error(reconstruct(scan, "sense-tv").image.data, truth) < 0.02


def test_every_second_partition_without_a_centre_is_refused(mrd, volume):
    mask = np.zeros((DEPTH, SIZE), bool)
    mask[::2] = True
    with pytest.raises(FileError, match="every second partition and no full centre"):
        read_kspace(mrd(partitions(volume[0], mask), header(DEPTH)))


def test_coils_in_the_place_of_partitions_are_noticed(phantom, tmp_path):
    data = phantom.kspace.transpose(1, 2, 0)
    (tmp_path / "a.cfl").write_bytes(data.tobytes("F"))
    (tmp_path / "a.hdr").write_text(f"# Dimensions\n{SIZE} {SIZE} {COILS}\n")
    with pytest.raises(FileError, match="equally strong, as coils are"):
        read_kspace(tmp_path / "a.cfl")
    assert phantom.error(reconstruct(read_kspace(tmp_path / "a.cfl", axes="yxc"), "zero-filled").image.data) < 0.02


# frames


def cine(phantom, frames=4):
    """Readouts of phases that get brighter; columns are shared out between them, the centre is in all."""
    found = []
    for phase in range(frames):
        columns = np.arange(SIZE)
        own = ((columns + phase) % 3 == 0) | (np.abs(columns - SIZE // 2 + 0.5) < 5)
        found += lines(phantom.kspace * (1 + phase), np.flatnonzero(own), phase=phase)
    return found


def test_phases_are_time_points_each_with_its_own_mask(phantom, mrd):
    path = mrd(cine(phantom), header())
    scan = read_kspace(path)
    assert scan.frames == 4 and scan.mask.shape == (4, 1, SIZE) and scan.metadata["frames"][3] == {"phase": 3}
    result = reconstruct(scan, "sense-tv", strength=0.003)
    assert result.image.axes == "tzyx" and result.image.metadata["t_axis"] == "phase"
    assert phantom.error(result.image.data) < 0.05
    brightness = result.image.data.mean((1, 2, 3))
    np.testing.assert_allclose(brightness / brightness[0], [1, 2, 3, 4], rtol=0.02)
    chosen = reconstruct(read_kspace(path, first={"phase": 2}), "sense-tv", strength=0.003).image
    assert chosen.axes == "zyx"
    np.testing.assert_allclose(chosen.data, result.image.data[2], rtol=1e-4)


def test_repetitions_contrasts_and_slices_keep_their_places_and_averages_their_mean(phantom, mrd):
    readouts = []
    for repetition, contrast, number, average in np.ndindex(2, 2, 3, 2):
        factor = (10 if repetition else 1) * (100 if contrast else 1) * (1 + number) * (1.5 if average else 0.5)
        places = {"repetition": repetition, "contrast": contrast, "slice": number, "average": average}
        readouts += lines(phantom.kspace * factor, **places)
    path = mrd(readouts, header())
    result = reconstruct(read_kspace(path), "zero-filled").image
    assert result.data.shape == (4, 3, SIZE, SIZE) and result.metadata["t_axis"] == "repetition, contrast"
    assert phantom.error(result.data) < 0.02
    expected = np.outer([1, 100, 10, 1000], [1, 2, 3])
    np.testing.assert_allclose(result.data.mean((2, 3)) / result.data[0, 0].mean(), expected, rtol=1e-3)
    second = reconstruct(read_kspace(path, first={"contrast": 1, "average": 1}), "zero-filled").image
    np.testing.assert_allclose(second.data, 1.5 * result.data[[1, 3]], rtol=1e-3)


def test_frames_that_lack_slices_are_left_out_and_named(phantom, mrd):
    readouts = [line for r in range(3) for s in range(2) for line in lines(phantom.kspace, slice=s, repetition=r)]
    scan = read_kspace(mrd(readouts[:-SIZE], header()))
    assert scan.frames == 2 and scan.notes == ("1 of 3 frames lack slices and are left out.",)


def test_time_and_slices_of_bart(phantom, tmp_path):
    data = np.zeros((SIZE, SIZE, 1, COILS, 1, 1, 1, 1, 1, 1, 5, 1, 1, 2), np.complex64)
    plane = phantom.kspace.transpose(1, 2, 0)
    for time, number in np.ndindex(5, 2):
        data[:, :, 0, :, 0, 0, 0, 0, 0, 0, time, 0, 0, number] = plane * (1 + time + 9 * number)
    (tmp_path / "a.cfl").write_bytes(data.tobytes("F"))
    (tmp_path / "a.hdr").write_text(f"# Dimensions\n{' '.join(map(str, data.shape))}\n")
    result = reconstruct(read_kspace(tmp_path / "a.cfl"), "zero-filled").image
    assert result.data.shape == (5, 2, SIZE, SIZE) and result.metadata["t_axis"] == "time"
    assert phantom.error(result.data) < 0.02
    expected = 1 + np.arange(5)[:, None] + 9 * np.arange(2)
    np.testing.assert_allclose(result.data.mean((2, 3)) / result.data[0, 0].mean(), expected, rtol=1e-3)


# noise scans


def noise_scan(samples, coils=COILS, seed=0, **head):
    """A readout of noise that the coils share, and its covariance."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(coils) + 0.5 * np.roll(np.eye(coils), 1, 0) * 1j
    noise = mixing @ (rng.standard_normal((coils, samples)) + 1j * rng.standard_normal((coils, samples)))
    return (noise, {"flags": 1 << 18, **head}), 2 * mixing @ mixing.conj().T


def test_the_noise_scan_is_kept_and_named(phantom, mrd):
    scan, covariance = noise_scan(20000)
    path = mrd([scan, *lines(phantom.kspace)], header())
    kspace = read_kspace(path)
    np.testing.assert_allclose(kspace.noise, covariance, atol=0.1)
    assert kspace.notes == ("Noise scan of 20000 samples: the coils are prewhitened.",)
    np.testing.assert_array_equal(kspace.data[0], phantom.kspace)
    np.testing.assert_allclose(read_kspace(path, conjugate=True).noise, kspace.noise.conj())
    assert kspace.notes[0] in reconstruct(kspace, "zero-filled").record.warnings


def test_noise_of_longer_dwell_times_counts_for_more_in_the_images(phantom, mrd):
    scan, covariance = noise_scan(20000, sample_time_us=8)
    kspace = read_kspace(mrd([scan, *lines(phantom.kspace, sample_time_us=2)], header()))
    np.testing.assert_allclose(kspace.noise, 4 * covariance, atol=0.4)


def test_noise_scans_of_no_use_are_named(phantom, mrd):
    short, _ = noise_scan(40)
    other, _ = noise_scan(500, coils=4)
    silent = (np.where(np.arange(COILS)[:, None] == 2, 0, noise_scan(500)[0][0]), {"flags": 1 << 18})
    for readout, sentence in ((short, "40 samples is too short"), (other, "other coils"), (silent, "has no noise")):
        kspace = read_kspace(mrd([readout, *lines(phantom.kspace)], header()))
        assert kspace.noise is None and sentence in kspace.notes[0]


# trajectories


def test_echo_planar_data_on_a_grid_are_read_with_a_note(phantom, mrd):
    readouts = [
        (data[:, ::-1] if number % 2 else data, counters | {"flags": (number % 2) << 21})
        for number, (data, counters) in enumerate(lines(phantom.kspace))
    ]
    scan = read_kspace(mrd(readouts, header(trajectory="epi")))
    result = reconstruct(scan, "zero-filled")
    assert phantom.error(result.image.data) < 0.02
    assert "ghosts may remain" in " ".join(result.record.warnings)
    between = [(data, counters | {"trajectory_dimensions": 1}) for data, counters in readouts]
    with pytest.raises(FileError, match="do not lie on a grid"):
        read_kspace(mrd(between, header(trajectory="epi")))
