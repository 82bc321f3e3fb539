"""Damaged arrays, raw data, settings and models for `make_damaged.py`."""

from __future__ import annotations

import io as memory
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fuzz_seeds
import numpy as np
from damaged_files import INF, NAN, Files, Row, first, over
from fuzz_seeds import HEADER

# arrays


def _array(text: str, body: bytes = b"\0" * 40, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode("latin-1") + body


_ARRAYS = {
    "pickled objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }",
    "complex voxels": "{'descr': '<c8', 'fortran_order': False, 'shape': (1, 4), }",
    "texts": "{'descr': '<U1', 'fortran_order': False, 'shape': (2, 4), }",
    "times": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1, 4), }",
    "several values per voxel": "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1, 4), }",
    "negative axis": "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 4), }",
    "axis of no voxels": "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4), }",
    "no axes": "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
    "forty axes": "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)*40, }",
    "declares 10**24 voxels": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000000000000), }",
    "axis is a fraction": "{'descr': '|u1', 'fortran_order': False, 'shape': (2.5, 4), }",
    "axis beyond 64 bits": "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999, 1), }",
    "type that does not exist": "{'descr': '<q7', 'fortran_order': False, 'shape': (2, 4), }",
    "key is missing": "{'descr': '|u1', 'shape': (2, 4), }",
    "code in place of the header": "__import__('os').getpid()",
    "header is not closed": "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4",
}


def npy(folder: Path) -> Iterator[Row]:
    for name, text in _ARRAYS.items():
        yield name, {"a.npy": _array(text)}
    sound = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4), }"
    yield "version that does not exist", {"a.npy": _array(sound, version=b"\x09\0")}
    yield "header longer than the file", {"a.npy": over(_array(sound), 8, "<H", 65535)}
    yield "pickle in place of an array", {"a.npy": pickle.dumps({"a": 1}, 2)}


def _zip(**members: bytes) -> bytes:
    stream = memory.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name + ".npy"), body, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def npz(folder: Path) -> Iterator[Row]:
    sound = _array("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), }")
    yield "no arrays", {"a.npz": _zip()}
    yield "none is clearly the image", {"a.npz": _zip(one=sound, two=sound)}
    yield "pickled objects", {"a.npz": _zip(image=_array(_ARRAYS["pickled objects"]))}
    yield "declares 10**24 voxels", {"a.npz": _zip(image=_array(_ARRAYS["declares 10**24 voxels"]))}
    yield "more voxels than stored", {"a.npz": _zip(image=sound.replace(b"(5, 8)", b"(9, 8)"))}
    yield "member is a text", {"a.npz": _zip(image=b"a text")}
    yield "notes are not notes", {"a.npz": _zip(image=sound, napari_medseg=sound)}
    yield "labels of another size", {"a.npz": _zip(image=sound, label=sound.replace(b"(5, 8)", b"(4, 8)"))}
    whole = _zip(image=sound)
    yield "member is encrypted", {"a.npz": over(over(whole, 6, "<H", 1), whole.index(b"PK\1\2") + 8, "<H", 1)}
    yield "check sum is wrong", {"a.npz": over(over(whole, 14, "<I", 1), whole.index(b"PK\1\2") + 16, "<I", 1)}
    yield "unknown compression", {"a.npz": over(over(whole, 8, "<H", 99), whole.index(b"PK\1\2") + 10, "<H", 99)}
    yield "list of members is missing", {"a.npz": whole[: whole.index(b"PK\1\2")]}


_SIDE: dict[str, Any] = {
    "shape of another array": {"shape": [9, 9]},
    "voxels of another array": {"crc32": 1},
    "of another file": {"for": "b.npy"},
    "affine of NaN": {"affine": [[NAN] * 4] * 4},
    "singular affine": {"affine": [[0] * 4] * 4},
    "affine of text": {"affine": "none"},
    "affine of another size": {"affine": [[1, 0], [0, 1]]},
    "axes that do not exist": {"axes": "abc"},
    "too few axes": {"axes": "yx"},
    "axes are a number": {"axes": 7},
    "class without a name": {"classes": [{"id": 1}]},
    "class number beyond 64 bits": {"classes": [{"id": 10**30, "name": "a", "colour": "#ffffff"}]},
    "colour that does not exist": {"classes": [{"id": 1, "name": "a", "colour": "red"}]},
    "name with control characters": {"classes": [{"id": 1, "name": "\x1b[2J", "colour": "#ffffff"}]},
    "record is a list": {"record": [1, 2]},
    "reviewed slices are text": {"record": {"what": "segment", "reviewed": ["a"]}},
}


def side_file(folder: Path) -> Iterator[Row]:
    sound = first(fuzz_seeds.side_file(folder))
    content = json.loads(sound["a.npy.json"])
    for inner in content.values():
        del inner["record"]
    for name, values in _SIDE.items():
        text = json.dumps({key: {**inner, **values} for key, inner in content.items()})
        yield name, {**sound, "a.npy.json": text.encode()}
    for name, text in {"list": b"[1]", "Latin-1": b'{"a": "\xe9"}', "deep lists": b"[" * 1500, "empty": b""}.items():
        yield name, {**sound, "a.npy.json": text}


def record(folder: Path) -> Iterator[Row]:
    sound = json.loads(first(fuzz_seeds.record(folder))["a.json"])
    for name, values in {
        "inputs are a text": {"inputs": "a.nii"},
        "shape of an input is a text": {"inputs": [{"role": "image", "shape": "2x3"}]},
        "affine of NaN": {"inputs": [{"role": "image", "affine": [[NAN] * 4] * 4}]},
        "settings are a list": {"settings": [1]},
        "models are numbers": {"models": [1, 2]},
        "seconds are a text": {"seconds": "long"},
        "kind is a number": {"what": 7},
    }.items():
        content = {key: {"record": {**inner["record"], **values}} for key, inner in sound.items()}
        yield name, {"a.json": json.dumps(content).encode()}


# raw data


def fastmri(folder: Path) -> Iterator[Row]:
    import h5py

    parts: dict[str, dict[str, Any]] = {
        "real numbers": {"kspace": np.ones((2, 4, 4))},
        "five axes": {"kspace": np.ones((1, 1, 1, 4, 4), np.complex64)},
        "no k-space": {"image": np.ones((4, 4), np.float32)},
        "k-space is a text": {"kspace": np.bytes_("none")},
        "mask of another length": {"mask": np.ones(9)},
        "mask of zeros": {"mask": np.zeros(4)},
        "header is a number": {"ismrmrd_header": 5},
        "header is not XML": {"ismrmrd_header": np.bytes_("<a")},
        "header with a document type": {"ismrmrd_header": np.bytes_("<!DOCTYPE a>" + HEADER[21:])},
        "header with sizes of 0": {"ismrmrd_header": np.bytes_(HEADER.replace("<x>4</x>", "<x>0</x>"))},
        "header with fields of view of NaN": {"ismrmrd_header": np.bytes_(HEADER.replace("<x>32</x>", "<x>nan</x>"))},
        "link out of the file": {"kspace": h5py.ExternalLink("other.h5", "/kspace")},
        "link that leads nowhere": {"kspace": h5py.SoftLink("/nothing")},
        "reference of other slices": {"reconstruction_esc": np.ones((5, 2, 2), np.float32)},
        "values that are not finite": {"kspace": np.full((1, 4, 4), NAN, np.complex64)},
    }
    for number, (name, members) in enumerate(parts.items()):
        path = folder / f"part-{number}.h5"
        with h5py.File(path, "w", libver="latest", meta_block_size=1) as file:
            for key, value in {"kspace": np.ones((1, 4, 4), np.complex64), **members}.items():
                if name != "no k-space" or key != "kspace":
                    file[key] = value
        yield name, {"a.h5": path.read_bytes()}
    with h5py.File(folder / "never.h5", "w", libver="latest", meta_block_size=1) as file:
        file.create_dataset("kspace", (10**5, 10**5, 100), np.complex64, chunks=(1, 64, 64))
    yield "declares 8 TB that were never written", {"a.h5": (folder / "never.h5").read_bytes()}
    with h5py.File(folder / "text.h5", "w", libver="latest", meta_block_size=1) as file:
        file["kspace"] = np.ones((1, 4, 4), np.complex64)
        file["ismrmrd_header"] = HEADER[:80]
    whole = (folder / "text.h5").read_bytes()
    heap = whole.index(b"GCOL")
    yield "heap of 2**62 bytes", {"a.h5": over(whole, heap + 8, "<Q", 2**62)}
    yield "text in the heap without a length", {"a.h5": over(whole, heap + 24, "<Q", 0)}


def bart(folder: Path) -> Iterator[Row]:
    _, single = (seed.files for seed in fuzz_seeds.bart(folder))
    pair = {"a.hdr": b"# Dimensions\n2 3 1 2\n", "a.cfl": fuzz_seeds.kspace(2, 3, 1, 2).tobytes()}
    for name, text in {
        "sizes are words": b"# Dimensions\na b\n",
        "negative axis": b"# Dimensions\n-2 3 1 2\n",
        "axis of 0": b"# Dimensions\n2 3 0 2\n",
        "seventeen axes": b"# Dimensions\n2 3 1 2" + b" 1" * 13 + b"\n",
        "more than the data": b"# Dimensions\n2 3 1 20\n",
        "beyond 64 bits": b"# Dimensions\n4294967296 4294967296 4 2\n",
        "no sizes": b"# Dimensions\n",
        "another text": b"hello\n2 3 1 2\n",
    }.items():
        yield name, {**pair, "a.hdr": text}
    yield "data are missing", {"a.hdr": pair["a.hdr"]}
    yield "data are cut short", {**pair, "a.cfl": pair["a.cfl"][:-3]}
    whole = single["b.ra"]
    for name, at, number in (("flags", 8, 1), ("whole numbers", 16, 1), ("size", 32, 7), ("axes", 40, 2**40)):
        yield f"single file: {name}", {"b.ra": over(whole, at, "<Q", number)}
    yield "single file: axis beyond 64 bits", {"b.ra": over(whole, 48, "<2Q", 2**62, 2**62)}


def raw_numpy(folder: Path) -> Iterator[Row]:
    yield "real numbers", {"a.npy": _array("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), }")}
    yield "pickled objects", {"a.npy": _array(_ARRAYS["pickled objects"])}
    yield "three axes without names", {"a.npy": fuzz_seeds.saved(fuzz_seeds.kspace(2, 3, 4))}
    sound, mask = fuzz_seeds.saved(fuzz_seeds.kspace(3, 4)), fuzz_seeds.saved(np.ones(9, np.uint8))
    yield "mask of another length", {"a.npz": _zip(kspace=sound, mask=mask)}
    yield "mask of 7", {"a.npz": _zip(kspace=sound, mask=fuzz_seeds.saved(np.full(4, 7)))}
    yield "none is clearly k-space", {"a.npz": _zip(one=sound, two=sound)}
    huge = _array("{'descr': '<c8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000000), }")
    yield "declares 8 * 10**18 bytes", {"a.npz": _zip(kspace=huge)}


# settings and models


def settings(folder: Path) -> Iterator[Row]:
    sound = {
        "name": "a",
        "architecture": "litenext",
        "classes": [{"id": 1, "name": "a", "colour": "#ffffff"}],
        "phases": [{"until": 1.0, "size": 64, "batch": 1}],
        "train": [{"path": "a"}],
        "val": [{"path": "a"}],
        "steps": 5,
    }
    for name, values in {
        "nothing wrong": {},
        "unknown option": {"stepz": 1},
        "steps are a text": {"steps": "five"},
        "steps are a fraction": {"steps": 1.5},
        "negative steps": {"steps": -1},
        "seed beyond 64 bits": {"seed": 10**30},
        "learning rate of NaN": {"learning_rate": NAN},
        "learning rate of infinity": {"learning_rate": INF},
        "phases that do not end": {"phases": [{"until": 0.5, "size": 64, "batch": 1}]},
        "size of a phase": {"phases": [{"until": 1.0, "size": 63, "batch": 1}]},
        "classes without 1": {"classes": [{"id": 2, "name": "a", "colour": "#ffffff"}]},
        "name is a path": {"name": "../a"},
        "architecture that does not exist": {"architecture": "net"},
        "kind that does not exist": {"kind": "sorcery"},
        "like itself": {"like": "a"},
        "like a path": {"like": "../a"},
        "like a name of 400 letters": {"like": "a" * 400},
        "like a list": {"like": [[]]},
        "text is an object": {"data": {"a": {}}},
    }.items():
        yield name, {"a.json": json.dumps(sound | values).encode()}
    texts = {"list": b"[1]", "not JSON": b"{'a': 1}", "Latin-1": b'{"a": "\xe9"}', "deep": b"[" * 1500}
    for name, text in texts.items():
        yield name, {"a.json": text}


def fine_tune(folder: Path) -> Iterator[Row]:
    sound = json.loads(first(fuzz_seeds.fine_tune(folder))["a.json"])
    for name, values in {
        "base is a number": {"base": 7},
        "class without a colour": {"classes": [{"id": 1, "name": "a"}]},
        "slices are text": {"annotated": [{"image": "a", "labels": "b", "reviewed": ["1"]}]},
        "label that is ignored is a fraction": {"ignore": 0.5},
        "seconds are infinite": {"seconds": INF},
        "unknown option": {"secs": 1},
    }.items():
        yield name, {"a.json": json.dumps(sound | values).encode()}


def dataset(folder: Path) -> Iterator[Row]:
    files = first(fuzz_seeds.dataset(folder))
    sound = json.loads(files["dataset.json"])
    for name, values in {
        "image outside the folder": {"image": "../a.nii"},
        "absolute path": {"image": "/etc/passwd"},
        "image that is not there": {"image": "c.nii"},
        "name of 400 letters": {"image": "a" * 400},
        "part that does not exist": {"split": "exam"},
        "negative slice": {"held_back": [-1]},
        "size of 0": {"spacing": [0, 1]},
        "size of infinity": {"spacing": [INF, 1]},
        "case without a name": {"case": ""},
        "unknown field": {"colour": 1},
    }.items():
        changed = sound | {"cases": [sound["cases"][0] | values]}
        yield name, {**files, "dataset.json": json.dumps(changed).encode()}


def _weights(head: Any, body: bytes = b"\0" * 24) -> bytes:
    text = json.dumps(head).encode() if not isinstance(head, bytes) else head
    return struct.pack("<Q", len(text)) + text + body


def model(folder: Path) -> Iterator[Row]:
    whole = json.loads(first(fuzz_seeds.model(folder))["tiny.json"])
    card = {name: whole[name] for name in ("name", "architecture", "preprocess", "classes", "sha256")}
    tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    sound = _weights({"a": tensor})

    def files(weights: bytes = sound, **values: Any) -> Files:
        changed = {"tiny.safetensors": weights, "tiny.json": json.dumps(card | values).encode()}
        fuzz_seeds.new_hash(changed)
        return changed

    yield "weights of another network", files()
    for name, weights in {
        "header longer than the file": over(sound, 0, "<Q", 2**40),
        "header is not JSON": _weights(b"{'a'}"),
        "unknown type": _weights({"a": tensor | {"dtype": "F33"}}),
        "tensor beyond the end": _weights({"a": tensor | {"data_offsets": [0, 2**40]}}),
        "shape that does not fit": _weights({"a": tensor | {"shape": [2**40, 3]}}),
        "negative shape": _weights({"a": tensor | {"shape": [-2, 3]}}),
        "tensors that overlap": _weights({"a": tensor, "b": tensor}),
    }.items():
        yield name, files(weights)
    for name, values in {
        "architecture that does not exist": {"architecture": "net"},
        "classes are a text": {"classes": "all"},
        "certainty is a text": {"certainty": "high"},
        "turns is a number": {"turns": 1},
        "options are a list": {"options": [1]},
        "option that does not exist": {"options": {"depth": 10**9}},
        "unknown field": {"licence_of": "a"},
        "figures are infinite": {"metrics": {"dice": INF}},
    }.items():
        yield f"card: {name}", files(**values)
    yield "card of other weights", {**files(), "tiny.json": json.dumps(card | {"sha256": "0" * 64}).encode()}
    yield "no card", {"tiny.safetensors": sound}


def checkpoint(folder: Path) -> Iterator[Row]:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("code of a file ran",))

    import torch

    torch.save({"a": Code()}, folder / "code.pt")
    yield "code", {"a.pt": (folder / "code.pt").read_bytes()}
    yield "code in a plain pickle", {"a.pt": pickle.dumps(Code(), 2)}
    torch.save([torch.ones(2)], folder / "list.pt")
    yield "list in place of weights", {"a.pt": (folder / "list.pt").read_bytes()}
    _, old = fuzz_seeds.checkpoint(folder)
    yield "type of a number is damaged", {"b.pt": old.files["b.pt"].replace(b"NNNJ", b"N\x80NJ", 1)}
    yield "safetensors without an end", {"a.pt": _weights({"a": {}})[:-30]}
    yield "a picture", {"a.pt": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}


def replay(folder: Path) -> Iterator[Row]:
    image = fuzz_seeds.saved(np.zeros((2, 4, 5), np.uint8))
    yield "no labels", {"a.npz": _zip(image=image, case=fuzz_seeds.saved(np.array(["a", "b"])))}
    yield "pickled objects", {"a.npz": _zip(image=_array(_ARRAYS["pickled objects"]), label=image, case=image)}
    yield "member is a text", {"a.npz": _zip(image=b"a text", label=image, case=image)}


def mask(folder: Path) -> Iterator[Row]:
    for name, array in {
        "three axes": np.ones((2, 2, 2)),
        "complex": np.ones(4, "c8"),
        "texts": np.array(["a"]),
    }.items():
        yield name, {"a.npy": fuzz_seeds.saved(array)}
    yield "header is not closed", {"a.npy": _array(_ARRAYS["header is not closed"])}
    yield "axis beyond 64 bits", {"a.npy": _array(_ARRAYS["axis beyond 64 bits"])}
    yield "pickled objects", {"a.npy": _array(_ARRAYS["pickled objects"])}
