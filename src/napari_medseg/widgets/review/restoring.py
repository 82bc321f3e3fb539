"""Labels of a session that a crash has ended: read in a thread, with the image that they lie on where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ... import io
from ...errors import MedsegError
from ...progress import Job, Progress
from ...record import voxel_hash
from ...review.journal import Journal
from ...review.opening import resume
from ...review.recovery import Recovered, Unfinished
from ...review.sessions import Session
from ...volume import Volume
from .state import Offer


@dataclass(frozen=True, eq=False)
class Restored:
    """What was read of a session.

    Parameters
    ----------
    journal : Journal
        To go on with.
    found : Recovered
    volume : Volume or None
        Its image, read from its file; None if it is open already, or not known.
    note : str
        Why the labels are restored without an image; empty if they are not.
    """

    journal: Journal
    found: Recovered
    volume: Volume | None = None
    note: str = ""


def restore_job(left: Unfinished, images: Sequence[np.ndarray]) -> Job[Restored]:
    """Read a session, and look for its image: among those that are open, then where its file was.

    Raises
    ------
    MedsegError
        If the session cannot be read; its folder is left alone.
    """
    yield Progress(0, 2)
    journal, found = resume(left.folder)
    try:
        yield Progress(1, 2)
        wanted = found.session.image_hash
        for image in images if wanted else ():
            if voxel_hash(image) == wanted:
                return Restored(journal, found)
        volume, note = _read_image(found.session)
    except BaseException:  # cancelled, too: another time it can be restored
        journal.close()
        raise
    return Restored(journal, found, volume=volume, note=note)


def _read_image(session: Session) -> tuple[Volume | None, str]:
    """The image of a session from its file; None and why not if it is not there or not the same any more."""
    if not session.image:
        return None, ""
    alone = "The labels were restored on their own grid; open the image to see them on it."
    if not session.source:
        return None, f"'{session.image}' was not opened from a file. {alone}"
    path = Path(session.source)
    try:
        volume = io.read(path, lazy=True)
    except MedsegError:
        return None, f"'{path}' is not there any more, or cannot be read. {alone}"
    if session.image_hash and voxel_hash(np.asarray(volume.data)) != session.image_hash:
        return None, f"'{path.name}' holds other voxels now than when the labels were drawn. {alone}"
    return volume, ""


def offer_of(left: Unfinished) -> Offer:
    """What the dock says of a session that can be restored."""
    session = left.session
    when = _time_text(session.created)
    return Offer(session.layer, session.image, left.steps, left.approvals, when, left.damaged)


def _time_text(created: str) -> str:
    """When, in the time of this computer: only the time of today, else the date too."""
    try:
        when = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).astimezone()
    except ValueError:
        return "an earlier session"
    today = datetime.now(UTC).astimezone().date()
    return f"{when:%H:%M}" if when.date() == today else f"{when:%Y-%m-%d %H:%M}"
