"""Files whose reading would not end, or not within a minute, are refused at once."""

import os
import socket
import struct
import zipfile

import h5py
import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from napari_medseg.errors import FileError
from napari_medseg.files import read_json
from napari_medseg.io import dicom_declared, dicom_frames, read, tiff_pages
from napari_medseg.io.codestreams import declared_size
from napari_medseg.io.contributions import get_reader
from napari_medseg.io.kspace import is_kspace, read_kspace
from napari_medseg.models import read_checkpoint
from napari_medseg.models.card import ModelCard, save_card
from napari_medseg.models.checkpoint import load
from napari_medseg.preprocess import Preprocess
from napari_medseg.recon.sampling import load_mask
from napari_medseg.training.data.sources import npz_arrays

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")


def paged_tiff(pages, back_to=None, unlike=(), below=0):
    """Bytes of a TIFF with small pages: the last leads back to one of them, some differ, pages lie below the first."""
    places = [8 + number * 134 for number in range(pages)]
    parts = [b"II*\0" + struct.pack("<I", places[0])]
    for number in range(pages):
        width = 2 if number in unlike else 1
        tags = [(256, 3, 1, width), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
        tags += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, width), (330, 4, below if number == 0 else 0, 8)]
        following = places[number + 1] if number + 1 < pages else 0 if back_to is None else places[back_to]
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        parts.append(struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + bytes(8))
    return b"".join(parts)


@pytest.mark.parametrize(("pages", "back_to"), [(1, 0), (5, 2), (150, 0)])
def test_pages_that_lead_back_are_refused(tmp_path, pages, back_to):
    path = tmp_path / "a.tif"
    path.write_bytes(paged_tiff(pages, back_to))
    with pytest.raises(FileError, match="lead back"):
        read(path)


def test_pages_are_counted_with_those_below_them(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(paged_tiff(3, below=4))
    assert tiff_pages.count(path) == 7
    tifffile.imwrite(path, np.zeros((5, 2, 2), np.uint8), bigtiff=True, metadata=None)
    assert tiff_pages.count(path) == 5


@pytest.mark.parametrize("content", [{"pages": 7}, {"pages": 2, "below": 9}], ids=["pages", "below"])
def test_more_pages_than_can_be_read_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.setattr(tiff_pages, "MOST_PAGES", 6)
    path = tmp_path / "a.tif"
    path.write_bytes(paged_tiff(**content))
    with pytest.raises(FileError, match="more than 6 pages"):
        read(path)


def test_many_pages_that_differ_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_pages, "_MOST_UNLIKE", 9)
    path = tmp_path / "a.tif"
    path.write_bytes(paged_tiff(10, unlike=(1,)))
    with pytest.raises(FileError, match="10 pages that differ"):
        read(path)
    path.write_bytes(paged_tiff(10))
    assert read(path).data.shape == (10, 1, 1)


def ome(name="", planes=2, more=""):
    """A description of planes that lie in the file `name`."""
    uuid = f'<UUID FileName="{name}">urn:uuid:1</UUID>' if name else ""
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="4" SizeY="4" '
        f'SizeZ="{planes}" SizeC="1" SizeT="1"><TiffData IFD="0" FirstZ="0" PlaneCount="2">{uuid}</TiffData>{more}'
        "</Pixels></Image></OME>"
    )


def save_ome(path, description):
    tifffile.imwrite(path, np.zeros((1, 4, 4), np.uint8), description=description, metadata=None)


@pytest.mark.parametrize("name", ["../b.tif", "sub/../../b.tif", "{outside}", "link.tif"])
def test_an_ome_tiff_names_no_file_outside_its_folder(tmp_path, name):
    outside, folder = tmp_path / "b.tif", tmp_path / "a"
    (folder / "sub").mkdir(parents=True)
    tifffile.imwrite(outside, np.full((2, 4, 4), 7, np.uint8), metadata=None)
    (folder / "link.tif").symlink_to(outside)
    save_ome(folder / "a.ome.tif", ome(name.format(outside=outside)))
    with pytest.raises(FileError, match="outside its own folder"):
        read(folder / "a.ome.tif")


def test_an_ome_tiff_may_name_a_file_in_its_folder(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", np.full((2, 4, 4), 7, np.uint8), metadata=None)
    save_ome(tmp_path / "a.ome.tif", ome("b.tif"))
    assert (read(tmp_path / "a.ome.tif").data == 7).all()


def test_the_pages_of_other_files_are_followed_too(tmp_path):
    (tmp_path / "b.tif").write_bytes(paged_tiff(120, 3))
    save_ome(tmp_path / "a.ome.tif", ome("b.tif"))
    with pytest.raises(FileError, match=r"'b\.tif' lead back"):
        read(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(
    "more",
    [
        '<TiffData PlaneCount="999999999"/>',
        '<TiffData PlaneCount="60000"/>' * 2,
        '<ModuloAlongZ Start="0" End="1e9" Step="1"/>',
    ],
    ids=["one block", "many blocks", "a modulo"],
)
def test_endless_planes_of_an_ome_tiff_are_refused(tmp_path, more):
    save_ome(tmp_path / "a.ome.tif", ome(more=more))
    with pytest.raises(FileError, match="counts"):
        read(tmp_path / "a.ome.tif")


def damaged_heap(path, part, **options):
    """An HDF5 file with texts as attribute and dataset, and a heap without lengths: HDF5 2.0 never returns from it."""
    with h5py.File(path, "w", **options) as file:
        file["kspace"] = np.ones((2, 1, 4, 6), np.complex64)
        file.attrs["acquisition"] = "hello"
        file["ismrmrd_header"] = "<a/>" * 20
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    free = first + 16 + 8 + 16 + 80
    entry = {"free": free, "first": first}[part]
    content[entry : entry + 16] = bytes(16)
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["free", "first"])
@pytest.mark.parametrize("options", [{}, {"libver": "latest"}], ids=["old", "new"])
def test_a_heap_that_leads_back_to_itself_is_refused(tmp_path, part, options):
    path = tmp_path / "a.h5"
    damaged_heap(path, part, **options)
    with pytest.raises(FileError, match="leads nowhere"):
        read_kspace(path)


def test_samples_that_look_like_a_heap_are_read(tmp_path):
    path = tmp_path / "a.h5"
    samples = np.frombuffer(b"GCOL\0\0\0\0" * 24, np.complex64).reshape(1, 1, 4, 6)
    with h5py.File(path, "w") as file:
        file["kspace"] = samples
    assert np.array_equal(read_kspace(path).data[0], samples[0])


READERS = {
    "a.tif": read,
    "a.nii.gz": read,
    "a.dcm": read,
    "a": read,
    "a.h5": read_kspace,
    "a.npy": read_kspace,
    "a.json": read_json,
    "a.pt": read_checkpoint,
    "mask.npy": load_mask,
}


@pipes
@pytest.mark.parametrize("name", READERS)
def test_pipes_are_not_waited_for(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(FileError, match="named pipe"):
        READERS[name](path)
    assert not is_kspace(path)


@pipes
def test_a_pipe_in_place_of_weights_is_not_waited_for(tmp_path):
    path = tmp_path / "a.safetensors"
    save_card(path, ModelCard("a", "litenext", Preprocess(), ()))
    os.mkfifo(path)
    with pytest.raises(FileError, match="named pipe"):
        load(path)


@pipes
def test_pipes_in_a_folder_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "a.dcm")
    assert get_reader(str(tmp_path)) is None
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    os.mkfifo(tmp_path / "b.npy.json")
    assert read(tmp_path / "b.npy").data.shape == (2, 2)


def test_sockets_and_devices_are_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("a.nii")
        with pytest.raises(FileError, match="socket"):
            read("a.nii")
    (tmp_path / "b.json").symlink_to(os.devnull)
    with pytest.raises(FileError, match="device"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("count", [2**31, 2**31 - 1, 10**6])
def test_more_frames_than_a_file_can_hold_are_refused(slice_file, count):
    path = slice_file("a.dcm", NumberOfFrames=count)
    with pytest.raises(FileError, match=r"frames|voxels"):
        read(path)


def test_frames_of_one_description_are_read_at_once(slice_file, monkeypatch):
    """One of many thousand frames takes as long as one of few: what they share is looked up once."""
    asked = []
    monkeypatch.setattr(dicom_frames, "found_in", lambda *args: asked.append(args) or ())
    path = slice_file("a.dcm", NumberOfFrames=50, PixelData=bytes(50 * 4 * 5 * 2))
    assert len(dicom_frames.frames_of(path)) == 50 and len(asked) == 2
    assert [frame.order[-1] for frame in dicom_frames.frames_of(path)] == list(range(50))


CODES = {"j2k": (JPEG2000Lossless, "jpeg2k_encode"), "jpg": (JPEGBaseline8Bit, "jpeg8_encode")}
CODES["jls"] = (JPEGLSLossless, "jpegls_encode")


def grown(kind, side=60_000):
    """A compressed picture of 16 x 16 pixels that declares to be larger."""
    options = {"codecformat": "J2K", "level": 0} if kind == "j2k" else {}
    data = bytearray(getattr(imagecodecs, CODES[kind][1])(np.zeros((16, 16), np.uint8), **options))
    if kind == "j2k":
        struct.pack_into(">II", data, data.index(b"\xff\x51") + 6, side, side)
        return bytes(data)
    marker = b"\xff\xc0" if kind == "jpg" else b"\xff\xf7"
    struct.pack_into(">HH", data, data.index(marker) + 5, side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", CODES)
def test_frames_larger_than_the_file_says_are_not_unpacked(slice_file, kind):
    elements = {"Rows": 16, "Columns": 16, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = slice_file("a.dcm", **elements)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([grown(kind)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = CODES[kind][0]
    dataset.save_as(path)
    with pytest.raises(FileError, match="60000 x 60000 pixels is said to have 16 x 16"):
        read(path)


@pytest.mark.parametrize("kind", ["jpg", "j2k"])
def test_tiles_larger_than_the_file_says_are_not_unpacked(tmp_path, kind):
    path = tmp_path / "a.tif"
    compression = {"jpg": 7, "j2k": 34712}[kind]
    tile = grown(kind)
    tifffile.imwrite(
        path, iter([tile]), shape=(16, 16), dtype=np.uint8, tile=(16, 16), compression=compression, metadata=None
    )
    with pytest.raises(FileError, match="declares another size"):
        read(path)


@pytest.mark.parametrize("kind", CODES)
def test_sizes_of_compressed_pictures_are_found(kind):
    assert declared_size(grown(kind, 300)) == (300, 300)
    assert declared_size(grown(kind)[:20]) is None and declared_size(b"") is None and declared_size(b"\xff\xd8") is None


def test_arrays_larger_than_their_file_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, kspace=np.zeros((2, 2, 2), np.complex64))
    with zipfile.ZipFile(path) as archive:
        content = archive.read("kspace.npy")
    header = b"{'descr': '<c8', 'fortran_order': False, 'shape': (99999,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kspace.npy", content[:10] + header + content[128:])
    with pytest.raises(FileError, match="cut short"):
        read_kspace(path)
    with pytest.raises(FileError, match="cut short"):
        npz_arrays(path, {"kspace"})


def test_a_deflated_file_is_unpacked_only_if_there_is_room(slice_file, monkeypatch):
    path = slice_file("a.dcm", Rows=64, Columns=64, PixelData=bytes(2 * 64 * 64))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 4096 and read(path).data.shape == (64, 64)
    monkeypatch.setattr(dicom_declared, "free_bytes", lambda: 8192)
    with pytest.raises(FileError, match="would unpack to more"):
        read(path)
