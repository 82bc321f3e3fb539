"""Models that lie elsewhere: fetched when a person asks for one, and checked against a table that came another way."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import files
from ..errors import FileError, ModelError, SettingsError, short
from ..progress import Progress
from .checkpoint import load
from .importing import check
from .library import check_new_name, models_folder

_SECONDS = 30  # without an answer
_MOST_MB = 4000  # of a file: far more than the largest network takes
_ENDINGS = (".safetensors", ".json")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where the files of a model are.

    Parameters
    ----------
    name : str
        Of the model, as on its card.
    url : str
        Of its weights, ending in ``.safetensors``; the card is at the same address with ``.json``.
    sha256, card_sha256 : str
        Of the two files.
    """

    name: str
    url: str
    sha256: str
    card_sha256: str

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.path.endswith(_ENDINGS[0]):
            raise SettingsError(
                f"The address of '{self.name}' is '{self.url}'; expected one that begins with https:// and ends in "
                f"{_ENDINGS[0]}. Correct the table."
            )
        if not all(_HASH.fullmatch(text) for text in (self.sha256, self.card_sha256)):
            raise SettingsError(f"The hashes of '{self.name}' are not SHA-256 in small letters. Correct the table.")

    def address(self, ending: str) -> str:
        """Of one of the two files."""
        address = urlsplit(self.url)
        return address._replace(path=address.path.removesuffix(_ENDINGS[0]) + ending).geturl()

    def digest(self, ending: str) -> str:
        """SHA-256 of one of the two files."""
        return self.sha256 if ending == _ENDINGS[0] else self.card_sha256


@dataclass(frozen=True)
class Table:
    """Models that can be fetched.

    Parameters
    ----------
    models : tuple of Source
    """

    models: tuple[Source, ...]


class _Bar:
    """What pooch tells of a download, handed on as `Progress` in megabytes."""

    def __init__(self, show: Callable[[Progress], object]):
        self.total = 0
        self._done = 0
        self._show = show

    def update(self, size: int) -> None:
        self._done += size
        done = int(self._done / 1e6)
        total = max(1, round(self.total / 1e6), done)  # not every server says how much it sends
        if total > _MOST_MB:
            raise ModelError(
                f"The file at this address has more than {_MOST_MB} MB, which no model has. Nothing was installed. "
                "Correct the table."
            )
        self._show(Progress(min(total, done), total))

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """The caller closes what it shows."""


def fetch(
    table: Path, name: str, folder: Path | None = None, show: Callable[[Progress], object] = lambda _: None
) -> Path:
    """Install a model that a table names. Nothing is fetched but this model, and only when this is called.

    Parameters
    ----------
    table : pathlib.Path
        JSON of a `Table`.
    name : str
        Of the model.
    folder : pathlib.Path, optional
        Where ``NAME.safetensors`` and ``NAME.json`` lie already: no network is used.
    show : callable
        Is given the progress of the download, in megabytes.

    Returns
    -------
    pathlib.Path
        Its weights file among the models of the user.

    Raises
    ------
    SettingsError
        If the table does not name it, or a model of that name is there.
    ModelError
        If it cannot be fetched, or is not what the table says.
    FileError
        If the table cannot be read, or the model cannot be written.
    """
    source = _source(table, name)
    check_new_name(name)
    with files.scratch() as scratch:
        for ending in _ENDINGS:
            # the names are ours: an address cannot lead out of the folder
            path = scratch / f"{name}{ending}"
            if folder is None:
                _download(source, ending, path, show)
            else:
                _copy(folder / path.name, path)
            if _digest(path) != source.digest(ending):
                raise ModelError(
                    f"'{path.name}' is not the file of the table: its SHA-256 differs. Nothing was installed. Ask "
                    "whoever made the table."
                )
        return _install(scratch / f"{name}{_ENDINGS[0]}")


def _source(table: Path, name: str) -> Source:
    sources = files.load(table, Table).models
    known = {source.name: source for source in sources}
    if sum(source.name == name for source in sources) > 1:
        raise SettingsError(f"'{table.name}' names '{name}' several times. Keep one of them.")
    if name not in known:
        listed = ", ".join(known) or "no model"
        raise SettingsError(f"'{table.name}' does not name '{name}'; it names {listed}. Choose one of these.")
    return known[name]


def _download(source: Source, ending: str, path: Path, show: Callable[[Progress], object]) -> None:
    try:
        import pooch
    except ImportError as error:
        raise ModelError(
            "Fetching models needs the package pooch. Install it with: pip install 'napari-medseg[fetch]', or get both "
            "files another way and name their folder with --from."
        ) from error
    address = source.address(ending)
    pooch.get_logger().setLevel("WARNING")
    downloader: Any = pooch.HTTPDownloader(progressbar=_Bar(show), timeout=_SECONDS)
    try:
        pooch.retrieve(address, None, fname=path.name, path=path.parent, downloader=downloader)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{address}' could not be fetched ({short(error)}). Nothing was installed. Try again, or get both files "
            "another way and name their folder with --from."
        ) from error


def _copy(path: Path, target: Path) -> None:
    files.refuse_special(path)
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise FileError(f"'{path}' cannot be read ({short(error)}). Name the folder that holds it.") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _install(weights: Path) -> Path:
    """Bring the files of a model, which are checked once more, to the models of the user, byte by byte."""
    model = load(weights)
    if model.card.name != weights.stem:
        raise ModelError(
            f"The card of '{weights.stem}' is that of '{model.card.name}'. Nothing was installed. Correct the table."
        )
    check(model)
    target = models_folder() / weights.name
    paths = [(weights.with_suffix(ending), target.with_suffix(ending)) for ending in _ENDINGS]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"'{target.parent}' cannot be made. Set NAPARI_MEDSEG_HOME to another folder.") from error
    # the card first: a model is seen when its weights are there
    files.replace_all(*(files.Change(to, partial(shutil.copyfile, origin)) for origin, to in reversed(paths)))
    return target
