"""Which files are meant: names, folders, globs, DICOM series, k-space, and pairs of labels."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import FileError, SettingsError
from ..files import is_file, is_folder, real
from ..io import formats
from ..io.clutter import is_clutter, is_hidden
from ..io.pairing import is_document, listing, names, pair
from .tasks import Failure

RAW = (".h5", ".hdf5", ".mrd", ".cfl", ".hdr", ".ra")
"""Name endings of raw MR data that images do not have."""

_SURE = (".h5", ".hdf5", ".mrd", ".cfl", ".ra")  # .hdr is also the ending of images of other programs

Kind = Callable[[Path], str]
"""Names the kind of a file; empty if it is not meant."""


def image_kind(file: Path) -> str:
    """The name of the format of a file, empty if it has none.

    A name that promises a format counts: reading it says why it does not hold.
    """
    promised = formats.named(file)
    if promised:
        return promised.name
    try:
        return formats.recognise(file).name
    except FileError:
        return ""


def kspace_kind(file: Path) -> str:
    """``kspace`` for raw MR data, empty for other files; of a BART pair only the samples count."""
    from ..io.kspace import is_kspace

    suffix = file.suffix.lower()
    if suffix == ".hdr" and file.with_suffix(".cfl").is_file():
        return ""
    if suffix in _SURE or is_kspace(file):
        return "kspace"
    return ""


def find_inputs(patterns: Iterable[str], kind: Kind = image_kind) -> tuple[list[Path], list[Failure]]:
    """Files and DICOM folders that `patterns` mean, each once, and the patterns that mean nothing.

    Parameters
    ----------
    patterns : iterable of str
        Files, folders (one DICOM series is one input, otherwise every readable file directly inside), or globs.
    kind : callable
        Says which files of a folder or glob are meant. A file that is named is meant, whatever it is.
    """
    sources: dict[Path, Path] = {}
    failures = []
    for pattern in _without_clutter(patterns):
        paths = _meant(pattern, kind)
        if not paths:
            failures.append(Failure(pattern, _nothing_meant(pattern)))
        for path in paths:
            sources.setdefault(real(path), path)
    return _one_per_series(list(sources.values()), kind), failures


def left_out(patterns: Iterable[str | Path], kind: Kind = image_kind) -> list[str]:
    """What lies in folders that are inputs, or fits a glob, and is not an input: sentences that count and name it.

    Documents, hidden files and what systems leave behind are not worth a sentence.
    """
    found = []
    for pattern in map(str, patterns):
        if os.path.isdir(pattern):
            found += _left_out_of(Path(pattern), kind)
        elif glob.has_magic(pattern) and "**" not in pattern and not os.path.exists(pattern):
            matched = [Path(name) for name in sorted(glob.glob(pattern))]
            others = [path for path in matched if _is_left_out(path, False, set(), kind)]
            if others and len(others) < len(matched):
                found.append(f"'{pattern}' means {_count(others, 'other file')} left out: {names(others)}.")
            for folder in matched:
                found += _left_out_of(folder, kind) if is_folder(folder) else []
    return found


def taken_once(patterns: Iterable[str], kind: Kind = image_kind) -> list[str]:
    """Links to files that `find_inputs` has already, a sentence for each."""
    found = []
    first: dict[Path, Path] = {}
    for pattern in patterns:
        for path in _meant(pattern, kind):
            known = first.setdefault(real(path), path)
            if known.name != path.name:
                found.append(f"'{path.name}' is the same file as '{known.name}' and is taken once.")
    return found


def _left_out_of(folder: Path, kind: Kind) -> list[str]:
    """What lies in a folder and is not an input; nothing if that holds for everything, which is a failure."""
    meant = set(_inside(folder, kind))
    if not meant:
        return []
    found = []
    inside = listing(folder)
    inner = [path for path in inside if path.is_dir() and path not in meant]
    others = [path for path in inside if _is_left_out(path, folder in meant, meant, kind)]
    if inner:
        advice = f"Name them, or give a quoted glob such as '{folder}/*'."
        found.append(f"'{folder}' holds {_count(inner, 'folder')} not searched: {names(inner)}. {advice}")
    if others:
        found.append(f"'{folder}' holds {_count(others, 'other file')} left out: {names(others)}.")
    return found


def _is_left_out(path: Path, is_series: bool, meant: set[Path], kind: Kind) -> bool:
    if path.is_dir() or path in meant or is_document(path) or is_hidden(path):
        return False
    if path.suffix.lower() == ".hdr" and path.with_suffix(".cfl").is_file():
        return False
    found = kind(path) if _is_plain(path) else ""
    return found != formats.DICOM.name if is_series else not found


def _count(paths: list[Path], what: str) -> str:
    return f"{len(paths)} {what} that is" if len(paths) == 1 else f"{len(paths)} {what}s that are"


def find_pairs(prediction: Path, reference: Path) -> tuple[list[tuple[Path, Path]], list[Failure]]:
    """Predictions with their references: two files, or the files of two folders whose names belong together.

    Names are equal but for the ending, or differ by a usual mark such as ``_seg``, see `pairing.pair`.

    Raises
    ------
    SettingsError, FileError
        If one is a file and the other a folder of files, a name occurs twice in a folder, or several files fit one.
    """
    theirs = _by_name(reference)
    ours = _by_name(prediction)
    if (ours is None) != (theirs is None):
        raise SettingsError("Prediction and reference must both be files, or both be folders of files.")
    if ours is None or theirs is None:
        return [(prediction, reference)], []
    sides = ((prediction, ours), (reference, theirs))
    empty = [Failure(str(folder), _nothing_meant(str(folder))) for folder, named in sides if not named]
    found = pair(list(ours.values()), list(theirs.values()), prediction, reference)
    lonely = [*_lonely(found.images, reference), *_lonely(found.labels, prediction)]
    return list(found.pairs), [*empty, *lonely]


def stem(path: Path) -> str:
    """File name without suffix, ``.ome.tif`` being one; a folder's whole name, if it is not a store."""
    if is_folder(path) and not formats.is_store(path):
        return real(path).name
    if path.suffix.lower() in RAW:
        return path.stem
    return formats.stem(path)


def _without_clutter(patterns: Iterable[str]) -> list[str]:
    """`patterns` without what systems leave in folders, which is there only because the shell unfolds ``scans/*``."""
    named = list(patterns)
    return [each for each in named if not is_clutter(Path(each))] or named


def _nothing_meant(pattern: str) -> str:
    """Why a pattern means no file, and what to do."""
    if not os.path.exists(pattern):
        return f"'{pattern}' does not exist. Give files, folders or a quoted glob."
    if not os.path.isdir(pattern) and not glob.has_magic(pattern):
        return f"'{pattern}' is neither a file nor a folder. Give files, folders or a quoted glob."
    if os.path.isdir(pattern) and any(entry.is_dir() for entry in os.scandir(pattern)):
        advice = "Its folders are not searched: name them, or give a quoted glob such as 'FOLDER/*'."
        return f"'{pattern}' holds no file that can be read. {advice}"
    return f"'{pattern}' holds no file that can be read. Give files, folders or a quoted glob."


def _meant(pattern: str, kind: Kind) -> list[Path]:
    path = formats.whole(Path(pattern))
    if is_file(path):
        return [path]
    if is_folder(path):
        return _inside(path, kind)
    found: list[Path] = []
    for name in sorted(_matches(pattern)):
        part = Path(name)
        if part.is_dir():
            found += _inside(part, kind)
        elif _is_plain(part) and kind(part):
            found.append(part)
    return found


def _matches(pattern: str) -> Iterator[str]:
    """What a glob means. ``**`` follows links to folders, but looks into each folder once: links may lead back."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    place = parts.index("**")
    rest = parts[place + 1 :]
    while rest[:1] == ("**",):
        rest = rest[1:]
    for top in glob.iglob(os.path.join(*parts[:place], "")) if place else ["."]:
        for folder in _folders(top):
            if not rest:
                yield folder
            yield from _matches(os.path.join(glob.escape(folder), *(rest or "*")))


def _folders(top: str) -> Iterator[str]:
    """A folder and those below it, hidden ones left out, each once."""
    seen = set()
    for folder, below, _ in os.walk(top, followlinks=True):
        identity = os.path.realpath(folder)
        if identity in seen:
            below.clear()
            continue
        seen.add(identity)
        yield folder
        below[:] = sorted(name for name in below if not name.startswith("."))


def _is_plain(path: Path) -> bool:
    """Whether reading a path ends: pipes and devices are left out, broken links are not, reading says what is wrong."""
    return path.is_file() or not path.exists()


def _inside(folder: Path, kind: Kind = image_kind) -> list[Path]:
    """What a folder stands for: itself if it is an image or a DICOM series, otherwise its readable files."""
    if formats.recognise(folder) is not formats.DICOM:
        return [folder]
    try:
        files = [file for file in listing(folder) if _is_plain(file) or formats.is_store(file)]
    except FileError:
        return []
    kinds = {file: kind(file) for file in files}
    slices = [file for file, found in kinds.items() if found == formats.DICOM.name]
    if slices and len(_one_per_series(slices, kind)) == 1:
        return [folder]
    return [file for file, found in kinds.items() if found]


def _one_per_series(files: list[Path], kind: Kind) -> list[Path]:
    """`files` without DICOM files of a series that another one stands for."""
    slices = [file for file in files if file.is_file() and kind(file) == formats.DICOM.name]
    if len(slices) < 2:
        return files
    from ..io.dicom import one_per_series

    try:
        kept = set(one_per_series(slices))
    except FileError:
        # reading the first one says what is wrong
        kept = {slices[0]}
    return [file for file in files if file in kept or file not in slices]


def _by_name(folder: Path) -> dict[str, Path] | None:
    """Readable files of a folder by their stems; None for a file or a DICOM series."""
    if not os.path.exists(folder):
        raise FileError(f"'{folder}' does not exist. Check the path.")
    files = _inside(folder) if is_folder(folder) else [folder]
    if files == [folder]:
        return None
    named = {stem(path).casefold(): path for path in files}
    if len(named) < len(files):
        raise SettingsError(f"'{folder}' holds several files of one name that differ in suffix only. Keep one of each.")
    return named


def _lonely(paths: Iterable[Path], folder: Path) -> list[Failure]:
    """Files without a partner in `folder`."""
    return [Failure(str(path), f"'{path.name}' has no file of the same name in '{folder}'.") for path in paths]
