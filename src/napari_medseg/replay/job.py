"""Replay a session: each step again, until one is not what it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError, MedsegError, reason
from ..progress import Job, Progress, within
from ..runs.outputs import make_folder
from . import lines
from .stage import DifferenceError
from .steps import Output, Replay


@dataclass(frozen=True)
class Replayed:
    """What came of a session.

    Parameters
    ----------
    steps : int
        That were done again and gave what they gave.
    of : int
        In the session.
    outputs : tuple of Output
        Files that were saved.
    difference : str
        Where the first difference is, in a sentence; empty if there is none.
    notes : tuple of str
        What else to know, in sentences.
    """

    steps: int
    of: int
    outputs: tuple[Output, ...] = ()
    difference: str = ""
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every step gave what it gave."""
        return not self.difference


def replay_job(
    session: Path, folder: Path, inputs: Sequence[Path] = (), tolerance: float = 0.0, *, retrain: bool = False
) -> Job[Replayed]:
    """Repeat a session without a window, and compare everything with what it says.

    Parameters
    ----------
    session : pathlib.Path
        A file that ends in ``.medseg.jsonl``.
    folder : pathlib.Path
        Where the files that the session saved are written again; new or empty.
    inputs : sequence of pathlib.Path
        Folders in which, and below which, opened files are looked for; by default the folder of the session.
    tolerance : float
        Share of the voxels that a segmentation may label otherwise than in the session.
    retrain : bool
        Train models again that were fine-tuned in the session, in place of taking them from those of the user.

    Yields
    ------
    Progress
        `partial` is the step under way, in words.

    Returns
    -------
    Replayed

    Raises
    ------
    MedsegError
        If the session cannot be read, or a step cannot be done; the sentence names the step.
    """
    found = lines.read(session)
    _refuse_full(folder)
    make_folder(folder)
    replay = Replay(session, folder, tuple(inputs) or (session.absolute().parent,), tolerance, retrain)
    replay.notes += [found.note] if found.note else []
    if retrain and all(line.do != "fine-tune" for line in found.lines):
        replay.notes.append("No model was fine-tuned in this session: --retrain has nothing to do.")
    done = 0
    difference = ""
    for line in found.lines:
        yield Progress(done, len(found.lines), line.title)
        try:
            yield from within(replay.step_job(line), done, len(found.lines))
        except DifferenceError as error:
            difference = f"{line.title}: {error}"
            break
        except MedsegError as error:
            raise FileError(f"{line.title}: {error}") from error
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            why = f"its line does not hold what this step needs ({reason(error)}). Restore the session file, or report "
            why += "this as a bug if nobody has edited it."
            raise FileError(f"{line.title}: {why}") from error
        done += 1
    return Replayed(done, len(found.lines), tuple(replay.outputs), difference, tuple(replay.notes))


def _refuse_full(folder: Path) -> None:
    """Make sure that a replay replaces nothing."""
    if folder.is_dir() and any(folder.iterdir()):
        raise FileError(f"The folder '{folder}' is not empty. Choose a new one, so that nothing is replaced.")
