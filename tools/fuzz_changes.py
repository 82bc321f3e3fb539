"""How `fuzz.py` damages a file: blindly, and with regard to where a format keeps its numbers, lengths and parts."""

from __future__ import annotations

import gzip
import io as memory
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np

Chance = np.random.Generator
Place = tuple[int, int]
"""Start and length of a field."""

NUMBERS = (
    *(0, 1, 2, 3, -1, -2, 7, 16, 100, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 60000, 10**6, 500_000),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
"""Numbers at which programs go wrong."""

REALS = (np.nan, np.inf, -np.inf, -0.0, 0.0, -1.0, 1e-40, 1e-300, 1e38, 1e300, 1e19)
TEXTS = (
    *("0", "-1", "1e9", "1e400", "nan", "", " ", "\\", "..", "../../etc/passwd", "/dev/zero", "con", "a" * 300),
    *("\x1b[31m", "\x00", "\ud800", "é" * 50, "99999999999999999999", "1\\2\\3", "%s%n", "<!DOCTYPE a>"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], {"a": {}}, "", 0, -1, 1.5, 1e308, 2**31, 2**63, 10**400, float("nan")),
    *(float("inf"), -float("inf"), [None], [1, "a"], list(range(50)), *TEXTS),
)


def change(content: bytes, kind: str, chance: Chance) -> bytes:
    """The content with one to eight faults in it."""
    count = int(chance.choice([1, 1, 1, 1, 2, 2, 3, 8]))
    for _ in range(count):
        own = KINDS[kind] if chance.random() < 0.6 else ()
        ways = own or _BLIND
        way = ways[chance.integers(len(ways))]
        with suppress(Exception):  # what earlier faults left may have no such part
            content = way(content, chance)
    return content


# blind changes


def _place(size: int, chance: Chance) -> int:
    """An offset, more often near the beginning, where headers are."""
    near = min(size, int(chance.choice([64, 256, 1024, 2**62])))
    return int(chance.integers(max(near, 1)))


def _flip_bit(content: bytes, chance: Chance) -> bytes:
    where = _place(len(content), chance)
    return content[:where] + bytes([content[where] ^ 1 << int(chance.integers(8))]) + content[where + 1 :]


def _set_byte(content: bytes, chance: Chance) -> bytes:
    where = _place(len(content), chance)
    return content[:where] + bytes([int(chance.choice([0, 1, 127, 128, 254, 255, 65]))]) + content[where + 1 :]


def _set_number(content: bytes, chance: Chance) -> bytes:
    size = int(chance.choice([1, 2, 4, 8]))
    where = _place(len(content), chance) // size * size
    return _over(content, where, _number(size, chance, len(content)))


def _number(size: int, chance: Chance, length: int) -> bytes:
    """A number of so many bytes, whole or real, in either order."""
    order = "little" if chance.random() < 0.7 else "big"
    if size >= 4 and chance.random() < 0.2:
        real = np.array(REALS[chance.integers(len(REALS))]).astype(f"f{size}")
        return real.tobytes() if order == "little" else real.byteswap().tobytes()
    near = (length, length - 1, length + 1)
    value = int(near[chance.integers(3)]) if chance.random() < 0.1 else int(NUMBERS[chance.integers(len(NUMBERS))])
    return (value % 256**size).to_bytes(size, order)


def _over(content: bytes, where: int, new: bytes) -> bytes:
    return content[:where] + new + content[where + len(new) :]


def _cut(content: bytes, chance: Chance) -> bytes:
    return content[: _place(len(content), chance)]


def _cut_end(content: bytes, chance: Chance) -> bytes:
    return content[: -int(chance.integers(1, 40))]


def _insert(content: bytes, chance: Chance) -> bytes:
    where, size = _place(len(content), chance), int(chance.choice([1, 2, 3, 4, 8, 64]))
    return content[:where] + chance.bytes(size) + content[where:]


def _drop(content: bytes, chance: Chance) -> bytes:
    where, size = _place(len(content), chance), int(chance.choice([1, 2, 4, 8, 64]))
    return content[:where] + content[where + size :]


def _parts(content: bytes, chance: Chance) -> tuple[bytes, bytes, bytes, bytes]:
    """The content in four parts, of which the middle ones are short."""
    cuts = sorted(_place(len(content), chance) for _ in range(3))
    return content[: cuts[0]], content[cuts[0] : cuts[1]], content[cuts[1] : cuts[2]], content[cuts[2] :]


def _swap(content: bytes, chance: Chance) -> bytes:
    first, second, third, fourth = _parts(content, chance)
    return first + third + second + fourth


def _repeat(content: bytes, chance: Chance) -> bytes:
    first, second, third, fourth = _parts(content, chance)
    return first + second * int(chance.choice([2, 3, 20])) + third + fourth


def _fill(content: bytes, chance: Chance) -> bytes:
    first, second, third, fourth = _parts(content, chance)
    return first + bytes([int(chance.choice([0, 255]))]) * len(second) + third + fourth


def _digits(content: bytes, chance: Chance) -> bytes:
    """Write another number where one stands as text: in JSON, XML, headers of NumPy and BART."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    one = found[chance.integers(len(found))]
    value = NUMBERS[chance.integers(len(NUMBERS))] if chance.random() < 0.8 else REALS[chance.integers(len(REALS))]
    text = str(value).encode()
    if chance.random() < 0.5:  # of the same length: what lies behind keeps its place
        text = text[: len(one[0])].rjust(len(one[0]), b"0")
    return content[: one.start()] + text + content[one.end() :]


_BLIND = (_flip_bit, _set_byte, _set_number, _cut, _cut_end, _insert, _drop, _swap, _repeat, _fill, _digits)


# fields of binary formats


def _fields(find: Callable[[bytes], Sequence[Place]]) -> Callable[[bytes, Chance], bytes]:
    """Write another number into a field, or what another field holds."""

    def change_field(content: bytes, chance: Chance) -> bytes:
        places = find(content)
        where, size = places[chance.integers(len(places))]
        alike = [start for start, length in places if length == size]
        if chance.random() < 0.15:
            other = alike[chance.integers(len(alike))]
            return _over(content, where, content[other : other + size])
        return _over(content, where, _number(size, chance, len(content)))

    return change_field


def _nifti(content: bytes) -> list[Place]:
    """dim, datatype, bitpix, pixdim, vox_offset, scl, xyzt_units, codes, quaternion, rows, magic, extension."""
    if content[:2] == b"\x1c\x02":  # 540: NIfTI-2
        return [(0, 4), (12, 2), (14, 2), *((16 + 8 * k, 8) for k in range(46)), (500, 4), (504, 4), (540, 4)]
    shorts = [(start, 2) for start in (*range(40, 56, 2), 68, 70, 72, 74, 120, 252, 254)]
    reals = [(start, 4) for start in (0, *range(76, 120, 4), *range(256, 328, 4))]
    return [*shorts, *reals, (123, 1), (344, 4), (348, 4), (352, 4), (356, 4)]


def _tiff(content: bytes) -> list[Place]:
    """Numbers of all entries of all directories: tag, type, count, value; and where the next directory is."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    number, entry = ("Q", "HHQQ") if big else ("I", "HHII")
    width = struct.calcsize("<" + number)
    (start,) = struct.unpack_from(order + number, content, width if big else 4)
    places = [(width if big else 4, width)]
    for _ in range(20):
        if not 0 < start < len(content):
            break
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, start)
        first = start + (8 if big else 2)
        size = struct.calcsize("<" + entry)
        for place in range(first, first + min(count, 60) * size, size):
            places += [(place, 2), (place + 2, 2), (place + 4, width), (place + 4 + width, width)]
            (value,) = struct.unpack_from(order + number, content, place + 4 + width)
            if 8 <= value < len(content) - 8:  # what lies elsewhere: offsets and sizes of strips
                places += [(value, width), (value + width, width)]
        after = first + count * size
        places.append((after, width))
        (start,) = struct.unpack_from(order + number, content, after)
    return [place for place in places if sum(place) <= len(content)]


def _hdf5(content: bytes) -> list[Place]:
    """Words that are not zero: addresses, lengths, kinds and counts lie at every eighth, fourth or second byte."""
    places = [(at, 8) for at in range(0, len(content) - 8, 8) if content[at : at + 8].strip(b"\0\xff")]
    return [*places, *((at, 2) for at, _ in places), *((at + 4, 4) for at, _ in places)]


def _around_signature(content: bytes, chance: Chance) -> bytes:
    """Change a byte next to one of the marks that begin the parts of an HDF5 file."""
    marks = list(re.finditer(rb"TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|BTHD|FADB|EADB|\x89HDF", content))
    where = marks[chance.integers(len(marks))].end() + int(chance.integers(40))
    size = int(chance.choice([1, 2, 4, 8]))
    return _over(content, where, _number(size, chance, len(content)))


def _ra(content: bytes) -> list[Place]:
    return [(at, 8) for at in range(0, min(len(content), 80), 8)]


# parts of formats that are made of parts


def _dicom_elements(content: bytes) -> list[tuple[int, int, int]]:
    """Start, start of the value and end of every element of a file in explicit little-endian encoding."""
    found, at = [], 132
    while at + 8 <= len(content):
        long = content[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"UC")
        value = at + (12 if long else 8)
        (length,) = struct.unpack_from("<I" if long else "<H", content, at + (8 if long else 6))
        if content[at : at + 4] == b"\xfe\xff\x00\xe0":  # an item
            value, length = at + 8, 0
        end = value if length == 0xFFFFFFFF or content[at + 4 : at + 6] == b"SQ" else value + length
        found.append((at, value, min(end, len(content))))
        at = end
    return found


def _dicom_value(content: bytes, chance: Chance) -> bytes:
    """Another value, with its length corrected or not."""
    elements = _dicom_elements(content)
    start, value, end = elements[chance.integers(len(elements))]
    if chance.random() < 0.4:
        new = TEXTS[chance.integers(len(TEXTS))].encode("utf-8", "replace")
        new += b" " * (len(new) % 2)
    else:
        new = _number(max(int(chance.choice([end - value, 2, 4])) or 2, 1) if end - value <= 8 else 8, chance, end)
    head = content[start:value]
    if value - start == 8 and chance.random() < 0.8:
        head = head[:6] + struct.pack("<H", len(new) % 65536)
    elif value - start == 12 and chance.random() < 0.8:
        head = head[:8] + struct.pack("<I", len(new))
    return content[:start] + head + new + content[end:]


def _dicom_head(content: bytes, chance: Chance) -> bytes:
    """Another tag, type or length."""
    elements = _dicom_elements(content)
    start, value, _ = elements[chance.integers(len(elements))]
    kinds = (b"US", b"SS", b"DS", b"IS", b"SQ", b"OB", b"UN", b"LO", b"UI", b"FD", b"AT", b"ZZ", b"PN", b"CS")
    match int(chance.integers(3)):
        case 0:
            return _over(content, start + 4, kinds[chance.integers(len(kinds))])
        case 1:
            return _over(content, start, _number(2, chance, 0))
        case _:
            size = 2 if value - start == 8 else 4
            return _over(content, value - size, _number(size, chance, len(content)))


def _dicom_order(content: bytes, chance: Chance) -> bytes:
    """Leave an element out, repeat it, or bring it elsewhere."""
    elements = [content[start:end] for start, _, end in _dicom_elements(content)]
    return content[:132] + b"".join(_shuffled(elements, chance))


def _shuffled(parts: list[Any], chance: Chance) -> list[Any]:
    one, other = (int(number) for number in chance.integers(len(parts), size=2))
    match int(chance.integers(3)):
        case 0:
            return parts[:one] + parts[one + 1 :]
        case 1:
            return parts[:one] + [parts[one]] + parts[one:]
        case _:
            parts[one], parts[other] = parts[other], parts[one]
            return parts


def _png(content: bytes, chance: Chance) -> bytes:
    """Change a chunk and correct its check sum; or leave chunks out, repeat or exchange them."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if chance.random() < 0.2:
        chunks = _shuffled(chunks, chance)
    else:
        number = int(chance.integers(len(chunks)))
        name, body = chunks[number]
        inner = zlib.decompress(body) if name == b"IDAT" and chance.random() < 0.5 else None
        way = _BLIND[chance.integers(len(_BLIND))]
        body = way(body, chance) if inner is None else zlib.compress(way(inner, chance))
        chunks[number] = (name, body)
    sums = [struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks]
    packed = [struct.pack(">I", len(b)) + name + b + total for (name, b), total in zip(chunks, sums, strict=True)]
    return content[:8] + b"".join(packed)


def _jpeg(content: bytes, chance: Chance) -> bytes:
    """Change one of the first bytes of a segment: its kind, length, sizes, tables; or exchange segments."""
    starts = [match.start() for match in re.finditer(rb"\xff[\xc0-\xfe]", content)]
    if chance.random() < 0.3:
        parts = [content[a:b] for a, b in pairwise([*starts, len(content)])]
        return content[: starts[0]] + b"".join(_shuffled(parts, chance))
    where = starts[chance.integers(len(starts))] + 1 + int(chance.integers(20))
    return _over(content, where, _number(int(chance.choice([1, 2])), chance, len(content)))


def _inside_gzip(content: bytes, chance: Chance) -> bytes:
    return gzip.compress(_fields(_nifti)(gzip.decompress(content), chance), mtime=0)


def _inside_zip(content: bytes, chance: Chance) -> bytes:
    """Change a part of an archive, or its name, and pack it again."""
    with zipfile.ZipFile(memory.BytesIO(content)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    if chance.random() < 0.2:
        parts = _shuffled(parts, chance)
    else:
        number = int(chance.integers(len(parts)))
        name, body = parts[number]
        way = (*_BLIND, _npy, _npy)[chance.integers(len(_BLIND) + 2)]
        parts[number] = (name, way(body, chance))
    stream = memory.BytesIO()
    method = zipfile.ZIP_DEFLATED if chance.random() < 0.5 else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, body in parts:
            archive.writestr(zipfile.ZipInfo(name), body, method)
    return stream.getvalue()


def _npy(content: bytes, chance: Chance) -> bytes:
    """Another description of the array, of the right length."""
    (length,) = struct.unpack_from("<H", content, 8)
    text = content[10 : 10 + length].decode("latin-1")
    kinds = ("|O", "<c16", "<U4", "<M8[s]", ">f8", "<f2", "|b1", "|V3", "<i8", "<f16", "|S0", "<u2")
    shapes = ("(0,)", "(-1, 2)", "(10**9,)", "(99999999, 99999999)", "()", "(1,)*40", "(2.0, 4)", "('a',)", "None")
    match int(chance.integers(4)):
        case 0:
            text = re.sub(r"'[<>|=]\w+'", repr(kinds[chance.integers(len(kinds))]), text)
        case 1:
            text = re.sub(r"\([^)]*\)", shapes[chance.integers(len(shapes))], text)
        case 2:
            text = text.replace("True" if "True" in text else "False", ("1", "None", "True", "[]")[chance.integers(4)])
        case _:
            return _digits(content[: 10 + length], chance) + content[10 + length :]
    text = text.rstrip().ljust(length - 1) + "\n"
    return content[:8] + struct.pack("<H", len(text)) + text.encode("latin-1") + content[10 + length :]


def _json(content: bytes, chance: Chance) -> bytes:
    """Another value somewhere, a field less, one more, one twice, or very deep lists."""
    whole = json.loads(content)
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            collect(value[key])

    collect(whole)
    holder, key = places[chance.integers(len(places))]
    match int(chance.integers(6)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[TEXTS[chance.integers(len(TEXTS))]] = holder[key]
        case 2:
            other, name = places[chance.integers(len(places))]
            holder[key] = other[name]
        case 3:
            deep = int(chance.choice([10, 500, 20_000]))
            holder[key] = "DEEP"
            return json.dumps(whole).encode().replace(b'"DEEP"', b"[" * deep + b"]" * deep)
        case _:
            holder[key] = VALUES[chance.integers(len(VALUES))]
    return json.dumps(whole).encode()


def _safetensors(content: bytes, chance: Chance) -> bytes:
    """Another header before the tensors."""
    (length,) = struct.unpack_from("<Q", content)
    head = _json(content[8 : 8 + length], chance)
    return struct.pack("<Q", len(head)) + head + content[8 + length :]


KINDS: dict[str, tuple[Callable[[bytes, Chance], bytes], ...]] = {
    "bytes": (),
    "text": (_digits,),
    "json": (_json,),
    "nifti": (_fields(_nifti),),
    "nifti.gz": (_inside_gzip,),
    "tiff": (_fields(_tiff), _fields(_tiff), _digits),
    "png": (_png,),
    "jpeg": (_jpeg,),
    "npy": (_npy,),
    "zip": (_inside_zip,),
    "hdf5": (_fields(_hdf5), _around_signature, _digits),
    "ra": (_fields(_ra),),
    "dicom": (_dicom_value, _dicom_head, _dicom_order),
    "safetensors": (_safetensors, _fields(lambda content: [(0, 8)])),
}
"""What can be done with regard to the parts of a kind of file; blind changes are made of every kind."""

OF_NAMES = {".json": "json", ".hdr": "text", ".cfl": "bytes"}
"""Kinds of the files next to the one that is read, by their endings."""
