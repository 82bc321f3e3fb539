"""Raw data from files: every form gives the same (slice, coil, y, x); a sentence for what cannot be read."""

import io
import json
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_medseg.errors import FileError, MedsegError, SettingsError, VolumeError
from napari_medseg.io.kspace import is_kspace, read_kspace
from napari_medseg.io.kspace_out import write_reconstruction
from napari_medseg.recon.transforms import centre_crop, ifft2c

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"
FASTMRI = REFERENCE / "fastmri_like"
FORMATS = REFERENCE / "formats"
EXPECTED = json.loads((REFERENCE / "zerofilled.json").read_text())
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{0[0]}</x><y>{0[1]}</y><z>{0[2]}</z></matrixSize>
<fieldOfView_mm><x>64</x><y>24</y><z>8</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{1[0]}</x><y>{1[1]}</y><z>{1[2]}</z></matrixSize>
<fieldOfView_mm><x>32</x><y>24</y><z>8</z></fieldOfView_mm></reconSpace><trajectory>{2}</trajectory>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{4}</maximum><center>{3}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def header(encoding=(16, 6, 1), recon=(8, 6, 1), trajectory="cartesian", centre=3, last=5):
    return HEADER.format(encoding, recon, trajectory, centre, last)


def noise(*shape, seed=0):
    parts = np.random.default_rng(seed).normal(size=(*shape, 2)).astype(np.float32)
    return parts.view(np.complex64)[..., 0]


def everything(kspace):
    return np.stack([kspace.slice(i) for i in range(kspace.slices)])


@pytest.fixture
def h5(tmp_path):
    """A function that writes datasets into an HDF5 file."""

    def write(name="a.h5", **datasets):
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in datasets.items():
                file[key] = value
        return tmp_path / name

    return write


@pytest.fixture
def mrd(tmp_path):
    """A function that writes readouts, each a dict of head fields and `data` (coil, sample), as ISMRMRD does."""
    with h5py.File(FORMATS / "acq17.h5") as file:
        dtype = file["dataset/data"].dtype

    def write(readouts, xml, dtype=dtype):
        table = np.zeros(len(readouts), dtype)
        for row, readout in zip(table, readouts, strict=True):
            head, data = row["head"], readout["data"]
            head["active_channels"], head["number_of_samples"] = data.shape
            head["center_sample"] = data.shape[1] // 2
            for field, value in readout.items():
                if field == "flags":
                    head["flags"] = sum(1 << (flag - 1) for flag in value)
                elif field in head.dtype.names:
                    head[field] = value
                elif field != "data":
                    head["idx"][field] = value
            row["data"], row["traj"] = np.ascontiguousarray(data).view(np.float32).ravel(), np.zeros(0, np.float32)
        with h5py.File(tmp_path / "a.mrd", "w") as file:
            file.create_dataset("dataset/xml", data=[xml], dtype=h5py.string_dtype())
            file.create_dataset("dataset/data", data=table, chunks=(1,))
        return tmp_path / "a.mrd"

    return write


def lines(kspace, **fields):
    """Readouts of k-space (coil, y, x), one per column."""
    return [
        {"data": kspace[..., column], "kspace_encode_step_1": column, **fields} for column in range(kspace.shape[-1])
    ]


# fastMRI


@pytest.mark.parametrize(("name", "kind"), [("file17_sc.h5", "esc"), ("file17_mc.h5", "rss")])
def test_fastmri_file(name, kind):
    kspace = read_kspace(FASTMRI / name)
    expected = EXPECTED[name]
    with h5py.File(FASTMRI / name) as file:
        data, image = file["kspace"][:], file[f"reconstruction_{kind}"][:]
    np.testing.assert_array_equal(everything(kspace), data.reshape(kspace.data.shape))
    np.testing.assert_array_equal(np.stack(list(kspace.reference)), image)
    assert kspace.slices == expected["slices"] and kspace.mask is None and kspace.mask_origin == ""
    assert kspace.acquired == (expected["padding_left"], expected["padding_right"])
    assert kspace.crop == tuple(expected["recon_size"][:2]) == kspace.reference.shape[1:]
    assert kspace.spacing == (4, 144 / 80, 144 / 80)
    assert kspace.metadata["reference"] == kind and kspace.metadata["format"] == "fastMRI"
    for key in ("acquisition", "max", "norm", "patient_id"):
        assert kspace.metadata[key] == expected[key]
    for key in ("encoding_size", "recon_size"):
        assert kspace.metadata[key] == tuple(expected[key])


def test_fastmri_test_file_has_its_mask():
    kspace = read_kspace(FASTMRI / "file17_test.h5")
    with h5py.File(FASTMRI / "file17_test.h5") as file:
        np.testing.assert_array_equal(kspace.mask, file["mask"][:])
    assert kspace.mask_origin == "file" and kspace.reference is None
    for key in ("acceleration", "num_low_frequency", "acquisition"):
        assert kspace.metadata[key] == EXPECTED["file17_test.h5"][key]


def test_zero_filled_image_of_a_slice_is_that_of_fastmri():
    kspace = read_kspace(FASTMRI / "file17_sc.h5")
    with np.load(REFERENCE / "zerofilled.npz") as values:
        mask, expected = values["sc_random_4x_mask"], values["sc_random_4x_zf_raw_slice1"]
    image = np.abs(centre_crop(ifft2c(kspace.slice(1) * mask), kspace.crop))[0]
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_hdf5_is_read_one_slice_at_a_time(monkeypatch):
    sizes, read = [], h5py.Dataset.__getitem__

    def note(dataset, *args, **kwargs):
        part = read(dataset, *args, **kwargs)
        sizes.append(np.size(part))
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", note)
    kspace = read_kspace(FASTMRI / "file17_mc.h5")
    assert kspace.data[1].shape == (4, 120, 92) and kspace.reference[-1].shape == (80, 80)
    assert kspace.data.shape == (2, 4, 120, 92) and kspace.data.dtype == np.complex64
    assert max(sizes) == 4 * 120 * 92
    with pytest.raises(IndexError):
        kspace.data[2]


def test_matlab_file_with_its_block_before_hdf5(tmp_path):
    data = noise(3, 8, 6)
    pairs = np.rec.fromarrays([data.real, data.imag], names="real, imag")
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["kspace"] = pairs
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(128))
    assert is_kspace(tmp_path / "a.mat")
    np.testing.assert_array_equal(read_kspace(tmp_path / "a.mat", axes="cyx").slice(0), data)
    with pytest.raises(VolumeError, match="lists the axes the other way round"):
        read_kspace(tmp_path / "a.mat")


def test_frames_of_an_array_can_be_named(h5, tmp_path):
    data = noise(2, 3, 4, 8, 6)
    np.save(tmp_path / "a.npy", data)
    for path in (tmp_path / "a.npy", h5(kspace=data)):
        kspace = read_kspace(path, axes="tscyx")
        assert (kspace.frames, kspace.slices, kspace.depth) == (2, 6, 3)
        np.testing.assert_array_equal(everything(kspace), data.reshape(6, 4, 8, 6))


def test_more_coils_than_scanners_have_are_told(tmp_path):
    np.save(tmp_path / "a.npy", noise(70, 40, 8))
    with pytest.raises(VolumeError, match=r"70 coils of 40 x 8 .* axes='yxc'"):
        read_kspace(tmp_path / "a.npy", axes="cyx")


def test_nothing_but_kspace_is_needed(h5):
    data = noise(3, 8, 6)
    kspace = read_kspace(h5(kspace=data))
    np.testing.assert_array_equal(everything(kspace), data[:, None])
    assert (kspace.crop, kspace.acquired, kspace.spacing, kspace.mask, kspace.reference) == (None,) * 5


def test_fewer_columns_than_the_image_are_cropped_to_a_square(h5):
    image = np.arange(2 * 12 * 12, dtype=np.float32).reshape(2, 12, 12)
    path = h5(kspace=noise(2, 3, 24, 10), ismrmrd_header=header((24, 10, 1), (12, 12, 1)), reconstruction_rss=image)
    kspace = read_kspace(path)
    assert kspace.crop == (10, 10) and kspace.spacing == (8, 64 / 24, 2.4)
    np.testing.assert_array_equal(kspace.reference[1], image[1, 1:11, 1:11])


def test_without_a_header_the_reference_tells_the_crop(h5):
    kspace = read_kspace(h5(kspace=noise(2, 8, 6), reconstruction_esc=np.ones((2, 4, 4), np.float32)))
    assert kspace.crop == (4, 4)


def test_attributes_that_are_no_single_value_are_left_out(h5):
    path = h5(kspace=noise(2, 8, 6))
    with h5py.File(path, "a") as file:
        file.attrs.update({"max": [1.0, 2.0], "norm": 2.5, "acquisition": np.bytes_(b"AXT2"), "other": 1})
        file.attrs["patient_id"] = file["kspace"].ref
    metadata = dict(read_kspace(path).metadata)
    assert metadata == {"source": str(path), "format": "HDF5", "norm": 2.5, "acquisition": "AXT2"}


# masks that are inferred


@pytest.mark.parametrize("in_memory", [False, True])
def test_zero_columns_give_a_mask(h5, tmp_path, in_memory):
    data = noise(5, 3, 8, 6)
    data[..., [1, 4]] = 0
    if in_memory:
        np.save(tmp_path / "a.npy", data)
    kspace = read_kspace(tmp_path / "a.npy" if in_memory else h5(kspace=data))
    assert kspace.mask_origin == "inferred"
    np.testing.assert_array_equal(kspace.mask, [1, 0, 1, 1, 0, 1])


def test_columns_that_were_never_acquired_are_not_a_mask(h5):
    data = noise(2, 16, 10)
    data[..., [0, 9]] = 0
    xml = header((16, 10, 1), (8, 8, 1), centre=4, last=7)
    kspace = read_kspace(h5(kspace=data, ismrmrd_header=xml))
    assert kspace.acquired == (1, 9) and kspace.mask is None


@pytest.mark.parametrize(("holes", "inferred"), [(0.05, False), (0.4, True)])
def test_scattered_zeros_give_a_mask_when_they_are_many(h5, holes, inferred):
    zero = np.random.default_rng(1).random((30, 20)) < holes
    kspace = read_kspace(h5(kspace=np.where(zero, 0, noise(1, 4, 30, 20))))
    assert (kspace.mask is not None) == inferred
    if inferred:
        np.testing.assert_array_equal(kspace.mask, ~zero)


def test_zeros_only_are_told_when_a_slice_is_read(h5):
    kspace = read_kspace(h5(kspace=np.zeros((1, 8, 6), np.complex64)))
    with pytest.raises(VolumeError, match="only zeros"):
        kspace.slice(0)


# ISMRMRD


def test_ismrmrd_file():
    kspace = read_kspace(FORMATS / "acq17.h5")
    with np.load(FORMATS / "acq17_expected.npz") as expected:
        np.testing.assert_array_equal(everything(kspace), expected["kspace"])
        np.testing.assert_array_equal(np.tile(kspace.mask, (2, 1)), expected["mask"])
    assert kspace.mask_origin == "file" and kspace.crop == (16, 20) and kspace.data[0].shape == (2, 32, 20)


def test_readouts_of_no_image_are_left_out_and_repeated_ones_averaged(mrd):
    data = noise(2, 16, 6)
    readouts = lines(data + 1, average=0) + lines(data - 1, average=1)
    readouts += [{**line, "flags": [flag]} for flag in (19, 23, 24, 26, 27, 28, 20) for line in lines(data + 9)]
    readouts += [{**line, "encoding_space_ref": 1} for line in lines(data + 9)]
    random.Random(0).shuffle(readouts)
    kspace = read_kspace(mrd(readouts, header()))
    np.testing.assert_allclose(kspace.slice(0), data, atol=1e-6)
    assert kspace.mask is None


def test_calibration_fills_lines_that_were_measured_nowhere_else(mrd):
    data = noise(2, 16, 6)
    readouts = lines(data)
    readouts[2]["flags"], readouts[3]["flags"] = [20], [20, 21]
    del readouts[5]
    kspace = read_kspace(mrd(readouts, header()))
    np.testing.assert_array_equal(kspace.slice(0)[..., :5], data[..., :5])
    np.testing.assert_array_equal(kspace.mask, [1, 1, 1, 1, 1, 0])


def test_columns_are_shifted_to_the_centre_and_the_rest_was_not_acquired(mrd):
    data = noise(1, 16, 4)
    kspace = read_kspace(mrd(lines(data), header(centre=2, last=3)))
    assert kspace.acquired == (1, 5) and kspace.mask is None and kspace.spacing == (8, 4, 4)
    np.testing.assert_array_equal(kspace.slice(0)[..., 1:5], data)


def test_samples_are_discarded_and_reversed(mrd):
    data = noise(1, 16, 6)
    readouts = lines(data)
    padding = noise(1, 3)
    readouts[1] |= {"data": np.concatenate([padding, data[..., 1]], 1), "discard_pre": 3}
    readouts[2]["data"] = data[:, ::-1, 2]
    readouts[2]["flags"] = [22]
    for line in (*readouts[:1], *readouts[2:]):
        line |= {"data": np.concatenate([line["data"], padding], 1), "discard_post": 3}
    kspace = read_kspace(mrd(readouts, header()))
    np.testing.assert_array_equal(kspace.slice(0), data)


def test_a_partial_echo_lies_by_its_centre_and_its_missing_rows_are_not_measured(mrd):
    data = noise(1, 16, 6)
    readouts = [line | {"data": line["data"][:, 4:], "center_sample": 4} for line in lines(data)]
    kspace = read_kspace(mrd(readouts, header()))
    np.testing.assert_array_equal(kspace.slice(0), np.where(np.arange(16)[:, None] < 4, 0, data))
    np.testing.assert_array_equal(kspace.mask, np.tile(np.arange(16)[:, None] >= 4, (1, 6)))


def test_repetitions_are_frames_unless_one_is_asked_for(mrd):
    data = noise(3, 1, 16, 6)
    path = mrd([line for n in (2, 0, 1) for line in lines(data[n], repetition=n + 4)], header())
    kspace = read_kspace(path)
    assert kspace.frames == 3 and kspace.metadata["frames"] == [{"repetition": number} for number in (4, 5, 6)]
    np.testing.assert_array_equal(everything(kspace), data)
    chosen = read_kspace(path, first={"repetition": 6})
    np.testing.assert_array_equal(everything(chosen), data[2:])
    assert chosen.frames == 1 and chosen.metadata["taken"] == {"repetition": 6}
    for first in ({"repetition": 7}, {"echo": 1}):
        with pytest.raises(SettingsError):
            read_kspace(path, first=first)


def test_partitions_are_transformed_to_slices(mrd):
    hybrid = noise(6, 2, 16, 6)
    partitions = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(hybrid, axes=0), axis=0, norm="ortho"), axes=0)
    readouts = [line for z in range(6) for line in lines(partitions[z].astype(np.complex64), kspace_encode_step_2=z)]
    xml = header((16, 6, 6), (8, 6, 4))
    kspace = read_kspace(mrd(readouts, xml))
    np.testing.assert_allclose(everything(kspace), hybrid[1:5], atol=1e-5)
    across = read_kspace(mrd(readouts[1:], xml))
    assert across.data.shape == (8, 2, 6, 6) and across.mask.shape == (6, 6) and across.crop == (4, 6)


@pytest.mark.parametrize(
    ("change", "xml", "sentence"),
    [
        ({}, header(trajectory="radial"), "radial trajectory"),
        ({}, header((16, 4, 1)), "outside the matrix"),
        ({}, header((16, 10**9, 1), centre=5 * 10**8), "declares an image"),
        ({}, header((16, "many", 1)), "damaged"),
        ({}, header((16, 0, 1)), "damaged"),
        ({}, "<ismrmrdHeader/>", "no encodedSpace"),
        ({}, "no xml", "damaged"),
        ({}, '<!DOCTYPE a [<!ENTITY b "c">]>' + header(), "document type"),
        ({"discard_pre": 99}, header(), "outside the matrix"),
        ({"active_channels": 9}, header(), "not as long as they declare"),
        ({"active_channels": 60000, "number_of_samples": 60000}, header(), "not as long as they declare"),
        ({"flags": [19]}, header(), "no readouts of an image"),
    ],
)
def test_readouts_that_form_no_image_are_told(mrd, change, xml, sentence):
    readouts = [line | change for line in lines(noise(2, 16, 6))]
    with pytest.raises(FileError, match=sentence):
        read_kspace(mrd(readouts, xml)).slice(0)


def test_readouts_of_different_lengths_are_told(mrd):
    with pytest.raises(FileError, match="differ in coils or samples"):
        read_kspace(mrd([*lines(noise(2, 16, 6)), *lines(noise(2, 12, 6))], header()))


# BART


@pytest.mark.parametrize("suffix", ["cfl", "hdr"])
def test_bart_pair(suffix):
    kspace = read_kspace(FORMATS / f"ksp17.{suffix}")
    expected = np.load(FORMATS / "ksp17_expected.npy")
    np.testing.assert_array_equal(everything(kspace), expected.transpose(2, 3, 0, 1))


@pytest.mark.parametrize(
    ("shape", "axes", "order"),
    [
        ((8, 6), None, "yx"),
        ((8, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5), None, "yxs"),
        ((8, 6, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5), None, "yxcs"),
        ((1, 8, 6, 3), None, "yxc"),
        ((8, 6, 5, 3), "yxsc", "yxsc"),
    ],
)
@pytest.mark.parametrize("form", ["cfl", "ra"])
def test_bart_axes(tmp_path, shape, axes, order, form):
    data = noise(*shape)
    path = bart(tmp_path, data, form)
    expected = np.einsum(f"{order}->{''.join(a for a in 'scyx' if a in order)}", data.squeeze())
    full = [{**dict(zip(order, data.squeeze().shape, strict=True))}.get(axis, 1) for axis in "scyx"]
    np.testing.assert_array_equal(everything(read_kspace(path, axes=axes)), expected.reshape(full))


def bart(folder, data, form):
    path = folder / f"a.{form}"
    if form == "cfl":
        path.write_bytes(data.tobytes("F"))
        path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, data.shape)) + "\n# Command\n\n")
    else:
        words = (0, 4, data.itemsize, data.nbytes, data.ndim, *data.shape)
        path.write_bytes(b"rawarray" + struct.pack(f"<{len(words)}Q", *words) + data.tobytes("F"))
    return path


def test_echoes_are_frames_unless_one_is_asked_for(tmp_path):
    data = noise(8, 6, 1, 3, 1, 2)
    path = bart(tmp_path, data, "cfl")
    kspace = read_kspace(path)
    assert kspace.frames == 2 and kspace.metadata["frames"] == [{"echo": 0}, {"echo": 1}]
    np.testing.assert_array_equal(everything(kspace), data[:, :, 0, :, 0].transpose(3, 2, 0, 1))
    kspace = read_kspace(path, first={"echo": 1})
    np.testing.assert_array_equal(kspace.slice(0), data[:, :, 0, :, 0, 1].transpose(2, 0, 1))
    for first in ({"echo": 2}, {"echo": -1}, {"nothing": 0}):
        with pytest.raises(SettingsError):
            read_kspace(path, first=first)


@pytest.mark.parametrize(
    ("text", "size", "sentence"),
    [
        ("# Dimensions\n8 6 1 3\n", 100, "holds 100 bytes"),
        ("# Dimensions\n8 6 1 3\n", 8 * 6 * 3 * 8 + 8, "header that belongs"),
        ("# Dimensions\n8 6 1000000000000000000 3\n", 100, "holds 100 bytes"),
        ("# Dimensions\n8 -6\n", 384, "none of them empty"),
        ("# Dimensions\n" + "1 " * 40, 8, "1 to 16"),
        ("# Dimensions\neight six\n", 100, "damaged"),
        ("something else", 100, "damaged"),
        ("# Dimensions\n2 2 2 1\n", 65, "holds 65 bytes"),
    ],
)
def test_damaged_bart_pairs_are_told(tmp_path, text, size, sentence):
    (tmp_path / "a.hdr").write_text(text)
    (tmp_path / "a.cfl").write_bytes(bytes(size))
    with pytest.raises(FileError, match=sentence):
        read_kspace(tmp_path / "a.hdr")


def test_half_a_bart_pair_is_told(tmp_path):
    shutil.copy(FORMATS / "ksp17.cfl", tmp_path)
    with pytest.raises(FileError, match=r"needs 'ksp17\.hdr'"):
        read_kspace(tmp_path / "ksp17.cfl")
    assert not is_kspace(tmp_path / "ksp17.cfl")


@pytest.mark.parametrize("word", range(6))
def test_damaged_ra_headers_are_told(tmp_path, word):
    path = bart(tmp_path, noise(8, 6), "ra")
    content = bytearray(path.read_bytes())
    content[8 * word : 8 * word + 8] = struct.pack("<Q", 2**60)
    path.write_bytes(content)
    with pytest.raises(FileError):
        read_kspace(path)


# NumPy


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [(None, (8, 6)), ("syx", (5, 8, 6)), ("cyx", (3, 8, 6)), (None, (5, 3, 8, 6)), ("xycs", (6, 8, 3, 5))],
)
@pytest.mark.parametrize("form", ["complex64", "complex128", "pairs", "integers", "fortran"])
def test_numpy_arrays(tmp_path, suffix, axes, shape, form):
    data = np.round(9 * noise(*shape))
    pairs = np.stack([data.real, data.imag], -1)
    stored = {"pairs": pairs, "integers": pairs.astype(np.int16), "fortran": np.asfortranarray(data)}
    path = tmp_path / f"a.{suffix}"
    array = stored[form] if form in stored else data.astype(form)
    np.save(path, array) if suffix == "npy" else np.savez(path, kspace=array)
    order = axes or {2: "yx", 4: "scyx"}[len(shape)]
    expected = np.einsum(f"{order}->{''.join(a for a in 'scyx' if a in order)}", data)
    kspace = read_kspace(path, axes=axes)
    np.testing.assert_array_equal(everything(kspace), expected.reshape(kspace.data.shape))


@pytest.mark.parametrize("suffix", ["npy", "cfl", "ra"])
def test_arrays_stay_on_disk(tmp_path, suffix):
    if suffix == "npy":
        np.save(tmp_path / "a.npy", noise(5, 3, 8, 6))
    path = tmp_path / "a.npy" if suffix == "npy" else bart(tmp_path, noise(8, 6, 1, 3), suffix)
    array = read_kspace(path).data
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap) and not array.flags.writeable


def test_slices_or_coils_are_asked_for(tmp_path):
    np.save(tmp_path / "a.npy", noise(8, 20, 16))
    with pytest.raises(VolumeError, match="syx for slices, cyx for coils"):
        read_kspace(tmp_path / "a.npy")


@pytest.mark.parametrize("axes", ["ys", "yxz", "yxx", "scy", ""])
def test_impossible_axes_are_told(axes):
    with pytest.raises(SettingsError, match="expected y and x"):
        read_kspace(FASTMRI / "file17_sc.h5", axes=axes)


def test_axes_that_do_not_go_with_the_array_are_told(tmp_path):
    np.save(tmp_path / "a.npy", noise(8, 20, 16))
    with pytest.raises(VolumeError, match="Name each axis"):
        read_kspace(tmp_path / "a.npy", axes="yx")
    with pytest.raises(VolumeError, match="Name each axis"):
        read_kspace(FASTMRI / "file17_sc.h5", axes="scyx")
    with pytest.raises(SettingsError, match="names its axes itself"):
        read_kspace(FORMATS / "acq17.h5", axes="yx")


def test_axes_of_hdf5_can_be_named(h5):
    data = noise(3, 6, 8)
    kspace = read_kspace(h5(kspace=data, mask=np.eye(6, 8) + np.eye(6, 8, 1)), axes="cxy")
    np.testing.assert_array_equal(kspace.slice(0), data.transpose(0, 2, 1))
    assert kspace.mask.shape == (8, 6) and kspace.mask[1, 0]


@pytest.mark.parametrize("shape", [(6,), (8, 6)])
def test_mask_of_an_archive(tmp_path, shape):
    mask = np.random.default_rng(3).random(shape) < 0.5
    np.savez(tmp_path / "a.npz", kspace=noise(3, 8, 6), mask=mask)
    kspace = read_kspace(tmp_path / "a.npz", axes="cyx")
    np.testing.assert_array_equal(kspace.mask, mask)
    assert kspace.mask_origin == "file"


def test_conjugate(tmp_path):
    np.save(tmp_path / "a.npy", noise(8, 6))
    for path in (tmp_path / "a.npy", FASTMRI / "file17_mc.h5", FORMATS / "acq17.h5", FORMATS / "ksp17.cfl"):
        plain, turned = read_kspace(path), read_kspace(path, conjugate=True)
        np.testing.assert_array_equal(everything(turned), everything(plain).conj())


# files that cannot be read


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.ones(7), "one number per column"),
        (np.ones((6, 8)), "one number per column"),
        (np.zeros(6), "at least one 1"),
        (np.full(6, np.nan), "at least one 1"),
        (np.arange(6), "at least one 1"),
        (np.array([b"a"] * 6), "expected 0 and 1"),
    ],
)
def test_masks_that_do_not_fit_are_told(h5, mask, sentence):
    with pytest.raises(VolumeError, match=sentence):
        read_kspace(h5(kspace=noise(3, 8, 6), mask=mask))


@pytest.mark.parametrize(
    ("datasets", "sentence"),
    [
        ({"image": np.zeros(3)}, "neither a dataset 'kspace'.*It holds image"),
        ({}, "It holds nothing"),
        ({"kspace": np.zeros((2, 8, 6))}, "expected complex"),
        ({"kspace": np.zeros((2, 8, 6), "S4")}, "expected complex"),
        ({"kspace": h5py.Empty("c8")}, "is not an array"),
        ({"kspace/nested": noise(2, 8, 6)}, "is not an array"),
        ({"kspace": noise(2, 8, 6), "ismrmrd_header": 5}, "is not text"),
        ({"kspace": noise(2, 8, 6), "ismrmrd_header": "<a"}, "damaged"),
        ({"kspace": noise(2, 8, 6), "ismrmrd_header": "<!DOCTYPE a>" + header()}, "document type"),
        ({"kspace": noise(2, 8, 6), "reconstruction_esc": np.ones((3, 4, 4), "f4")}, "of the 2 slices"),
        ({"dataset/xml": header(), "dataset/data": np.zeros(4)}, "is not a list of ISMRMRD readouts"),
        (
            {"dataset/xml": header(), "dataset/data": np.zeros(4, [("head", "i4"), ("traj", "f4"), ("data", "f4")])},
            "not of ISMRMRD's types",
        ),
    ],
)
def test_hdf5_without_raw_data_is_told(h5, datasets, sentence):
    with pytest.raises(FileError, match=sentence):
        read_kspace(h5(**datasets))


@pytest.mark.parametrize("shape", [(6,), (0, 8, 6), (1, 2, 3, 8, 6)])
def test_kspace_of_another_shape_is_told(h5, shape):
    with pytest.raises(VolumeError):
        read_kspace(h5(kspace=noise(*shape)))


def test_values_that_are_not_finite_are_told(h5):
    data = noise(3, 8, 6)
    data[1, 2, 3] = np.nan
    kspace = read_kspace(h5(kspace=data))
    kspace.slice(0)
    with pytest.raises(VolumeError, match="not finite"):
        kspace.slice(1)


@pytest.mark.parametrize("name", ["kspace", "mask", "reconstruction_rss", "dataset/data"])
def test_small_files_that_declare_terabytes_are_told(h5, name):
    with h5py.File(FORMATS / "acq17.h5") as file:
        record = file["dataset/data"].dtype
    others = {"kspace": {}, "dataset/data": {"dataset/xml": header()}}.get(name, {"kspace": noise(2, 3, 8, 6)})
    kinds = {"mask": ((10**6, 10**6), "u1"), "dataset/data": ((10**11,), record)}
    shape, dtype = kinds.get(name, ((2, 10**6, 10**6), "f4" if name != "kspace" else "c8"))
    path = h5(**others)
    with h5py.File(path, "a") as file:
        big = file.create_dataset(name, shape, dtype, chunks=(1,) * len(shape))
        if dtype != record:
            big[(0,) * len(shape)] = 1
    assert path.stat().st_size < 50_000
    with pytest.raises(FileError, match="declares"):
        read_kspace(path)


@pytest.mark.parametrize("part", ["header", "xml", "traj", "data"])
def test_lengths_that_lie_are_told_before_memory_is_taken(h5, mrd, part):
    fastmri = part == "header"
    path = h5(kspace=noise(2, 8, 6), ismrmrd_header=header()) if fastmri else mrd(lines(noise(2, 16, 6)), header())
    with h5py.File(path) as file:
        found = file[{"header": "ismrmrd_header", "xml": "dataset/xml"}.get(part, "dataset/data")]
        place = found.id.get_offset() if found.chunks is None else found.id.get_chunk_info(0).byte_offset
        place += found.dtype.fields[part][1] if found.dtype.fields else 0
    content = bytearray(path.read_bytes())
    content[place : place + 4] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"declares? more text|not as long as they declare"):
        read_kspace(path)


def test_compressed_readouts_are_told(mrd):
    path = mrd(lines(noise(2, 16, 6)), header())
    with h5py.File(path, "a") as file:
        table = file["dataset/data"][:]
        del file["dataset/data"]
        file.create_dataset("dataset/data", data=table, chunks=(4,), compression="gzip")
    with pytest.raises(FileError, match="h5repack"):
        read_kspace(path)


@pytest.mark.parametrize("chunks", [None, (1,), (4,)])
def test_readouts_can_be_stored_in_any_portions(mrd, chunks):
    measured = noise(2, 16, 6)
    path = mrd(lines(measured), header())
    with h5py.File(path, "a") as file:
        parts = {name: (file["dataset"][name][:], file["dataset"][name].dtype) for name in ("data", "xml")}
        del file["dataset"]
        for name, (data, dtype) in parts.items():
            file.create_dataset(f"dataset/{name}", data=data, dtype=dtype, chunks=chunks, maxshape=chunks and (None,))
    np.testing.assert_array_equal(read_kspace(path).slice(0), measured)


def test_an_archive_that_declares_terabytes_is_told(tmp_path):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<c8", "fortran_order": False, "shape": (10**6,) * 3})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("kspace.npy", content.getvalue() + bytes(64))
    with pytest.raises(FileError, match="declares an image"):
        read_kspace(tmp_path / "a.npz", axes="syx")


@pytest.mark.parametrize("name", ["kspace", "mask", "ismrmrd_header", "reconstruction_esc", "dataset", "dataset/data"])
@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_nothing_outside_the_file_is_read(h5, name, kind):
    secret = h5("secret.h5", kspace=noise(2, 8, 6), x=np.ones(6, "f4"))
    parts = {"kspace": noise(2, 8, 6)} if name in ("mask", "ismrmrd_header", "reconstruction_esc") else {}
    path = h5(**parts, **({"dataset/xml": header()} if name == "dataset/data" else {}))
    with h5py.File(path, "a") as file:
        if kind == "external link":
            file[name] = h5py.ExternalLink(str(secret), "/kspace")
        elif kind == "soft link":
            file[name] = h5py.SoftLink("/elsewhere")
        elif kind == "external storage":
            file.create_dataset(name, (2, 8, 6), "c8", external=[(str(secret), 0, 768)])
        else:
            layout = h5py.VirtualLayout((2, 8, 6), "c8")
            layout[:] = h5py.VirtualSource(str(secret), "kspace", (2, 8, 6))
            file.create_virtual_dataset(name, layout)
    # a 'dataset' that is no group of the file itself is none
    with pytest.raises(FileError, match=r"not followed|neither a dataset 'kspace'"):
        read_kspace(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.npy", np.array([{}, 1], object), "damaged"),
        ("a.npy", np.zeros((8, 6)), "Open images as images"),
        ("a.npy", np.array(["a"]), "Open images as images"),
        ("a.npz", {"a": noise(8, 6), "b": noise(8, 6)}, "Name it 'kspace'"),
        ("a.npz", {"mask": noise(8, 6)}, "Name it 'kspace'"),
        ("a.npz", {"kspace": np.array([{}], object)}, "damaged"),
        ("a.h5", b"", "cannot be read as raw data"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(600), "damaged"),
        ("a.dat", b"VD11" + bytes(600), "convert a scanner's own format"),
        ("meas.dat", struct.pack("<4I", 0, 2, 1000, 1) + bytes(600), "Siemens raw data .* siemens_to_ismrmrd"),
        ("meas.dat", struct.pack("<2I", 90_000, 6) + b"Config\0" + bytes(600), "Siemens raw data"),
        ("P12345.7", bytes(600), "GE raw data .* ge_to_ismrmrd"),
        ("a.lab", bytes(600), "Philips raw data.* philips_to_ismrmrd"),
        ("fid", bytes(600), "Bruker raw data.* bruker_to_ismrmrd"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(600), "save\\(..., '-v7.3'\\)"),
        ("a.npy", b"nothing", "damaged"),
        ("a.npz", b"nothing", "damaged"),
        ("a.ra", b"nothing", "damaged"),
    ],
)
def test_files_of_another_kind_are_told(tmp_path, name, content, sentence):
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(FileError, match=sentence) as caught:
        read_kspace(path)
    assert "\n" not in str(caught.value)
    assert not is_kspace(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(FileError, match="cannot be opened"):
            read_kspace(path)
        assert not is_kspace(path)


def test_a_file_that_changes_is_told(h5):
    path = h5(kspace=noise(3, 8, 6))
    kspace = read_kspace(path)
    h5(kspace=noise(3, 6, 6))
    with pytest.raises(FileError, match="has changed"):
        kspace.slice(0)
    path.unlink()
    with pytest.raises(FileError):
        kspace.slice(0)


@pytest.mark.parametrize(
    "name", ["fastmri_like/file17_test.h5", "formats/acq17.h5", "formats/ksp17.hdr", "a.ra", "a.npz"]
)
def test_damaged_files_give_a_sentence_or_kspace(tmp_path, name):
    source = REFERENCE / name
    if name == "a.ra":
        source = bart(tmp_path, noise(8, 6), "ra")
    elif name == "a.npz":
        source = tmp_path / "a.npz"
        np.savez(source, kspace=noise(2, 2, 8, 6), mask=np.ones(6))
    elif source.suffix == ".hdr":
        shutil.copy(source.with_suffix(".cfl"), tmp_path)
    raw, chance = source.read_bytes(), random.Random(0)
    path = tmp_path / source.name
    variants = [raw[: chance.randrange(len(raw))] for _ in range(10)]
    for _ in range(40):
        content = bytearray(raw)
        for _ in range(4):
            # beyond lie heaps: some flipped bits there make the HDF5 library itself run forever
            content[chance.randrange(min(len(raw), 2400))] = chance.randrange(256)
        variants.append(bytes(content))
    for content in variants:
        path.write_bytes(content)
        try:
            kspace = read_kspace(path)
            assert kspace.slice(0).shape == kspace.data.shape[1:]
        except MedsegError as error:
            assert 20 < len(str(error)) < 500 and "\n" not in str(error)


def test_raw_data_are_recognised(tmp_path):
    np.save(tmp_path / "raw.npy", noise(8, 6))
    np.savez(tmp_path / "raw.npz", kspace=np.zeros((8, 6, 2)), mask=np.ones(6))
    np.save(tmp_path / "image.npy", np.zeros((8, 6)))
    np.savez(tmp_path / "image.npz", image=np.zeros((8, 6)))
    raw = [*FASTMRI.glob("*.h5"), *(FORMATS / name for name in ("acq17.h5", "ksp17.cfl", "ksp17.hdr"))]
    raw += [tmp_path / "raw.npy", tmp_path / "raw.npz", bart(tmp_path, noise(8, 6), "ra")]
    assert all(is_kspace(path) for path in raw)
    assert not any(is_kspace(tmp_path / name) for name in ("image.npy", "image.npz"))


def test_h5py_is_loaded_on_first_use():
    program = "import sys, napari_medseg.io.kspace, napari_medseg.io.kspace_out; print('h5py' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# results


def test_reconstruction_is_written_as_fastmri_wants_it(tmp_path):
    image = np.random.default_rng(0).random((3, 8, 6))
    metrics = {"method": "tv", "nmse": np.float32(0.25), "psnr": [np.inf, 30.5], "seed": np.int64(3)}
    path = write_reconstruction(tmp_path / "a.h5", image, metrics)
    with h5py.File(path) as file:
        assert file["reconstruction"].dtype == np.float32
        np.testing.assert_array_equal(file["reconstruction"][:], image.astype(np.float32))
        assert json.loads(file.attrs["metrics"]) == {"method": "tv", "nmse": 0.25, "psnr": [None, 30.5], "seed": 3}


@pytest.mark.parametrize(
    "image", [noise(3, 8, 6), np.ones((8, 6)), np.full((1, 2, 2), np.nan), np.full((1, 2, 2), 1e60)]
)
def test_images_that_are_no_reconstruction_are_told(tmp_path, image):
    with pytest.raises(VolumeError):
        write_reconstruction(tmp_path / "a.h5", image, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.nii", "missing/a.h5"])
def test_other_places_are_told(tmp_path, name):
    with pytest.raises(FileError):
        write_reconstruction(tmp_path / name, np.ones((1, 2, 2)), {})


def test_a_damaged_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_reconstruction(tmp_path / "a.h5", np.ones((1, 8, 6)), {})
    before, set_item = path.read_bytes(), h5py.Group.__setitem__

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    def wrong(group, name, value):
        set_item(group, name, value * np.float32(1.0001))

    for broken, reason in ((full_disk, "No space left"), (wrong, "differs")):
        monkeypatch.setattr(h5py.Group, "__setitem__", broken)
        with pytest.raises(FileError, match=rf"{reason}.*The earlier file is unchanged"):
            write_reconstruction(path, np.ones((1, 8, 6)), {"n": 1})
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
