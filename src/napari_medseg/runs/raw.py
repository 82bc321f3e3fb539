"""The raw data of a task: read or simulated, under its mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import io
from ..errors import FileError, SettingsError
from ..io import formats
from ..io.kspace import is_kspace, read_kspace
from ..kspace import KSpace
from ..recon.masked import sampled
from ..recon.sampling import load_mask
from ..recon.settings import Sampling
from ..recon.simulate import scan
from .tasks import Task


def kspace_of(task: Task) -> KSpace:
    """The k-space of a task under its mask.

    Settings: ``sampling``, those of `Sampling`, or ``mask_file``, or neither; ``axes``, ``conjugate``, ``simulate``,
    and if some frames are to be taken ``first``.

    Raises
    ------
    MedsegError
        If it cannot be read or simulated, or the mask does not fit.
    """
    settings = task.settings
    sampling = Sampling(**settings["sampling"]) if settings["sampling"] else None
    mask = load_mask(Path(settings["mask_file"])) if settings["mask_file"] else None
    if settings["simulate"]:
        if settings.get("first"):
            raise SettingsError("--first chooses a frame of raw data; with --simulate there are none. Leave it out.")
        return sampled(scan(io.read(task.source, axes=settings["axes"])), sampling, mask)
    _refuse_image(task.source, settings["axes"])
    first = settings.get("first") or None
    kspace = read_kspace(task.source, axes=settings["axes"], conjugate=settings["conjugate"], first=first)
    return sampled(kspace, sampling, mask)


def reading(task: Task) -> dict[str, Any]:
    """How the input of a task is read, as far as it decides about the result and no hash shows it."""
    settings = {name: task.settings[name] for name in ("axes", "conjugate")}
    return settings | ({"first": task.settings["first"]} if task.settings.get("first") else {})


def _refuse_image(path: Path, axes: str | None) -> None:
    """Make sure that a file is not an image in place of k-space.

    Raises
    ------
    SettingsError
        If it is one.
    """
    if axes is None and path.exists() and not is_kspace(path) and _is_image(path):
        raise SettingsError(f"'{path.name}' is an image, not k-space. Add --simulate to simulate its k-space.")


def _is_image(path: Path) -> bool:
    try:
        return not formats.recognise(path).kspace
    except FileError:
        return False
