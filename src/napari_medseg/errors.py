"""Errors whose text is written for the person at the screen: what was found, what is expected, what to do."""


class MedsegError(Exception):
    """Bad data or settings; the message is one or two plain sentences."""


class VolumeError(MedsegError):
    """An image does not have the axes, values or geometry that a step needs."""


class FileError(MedsegError):
    """A file cannot be read or written as asked."""


class SettingsError(MedsegError, ValueError):
    """An option has a value that does not exist or does not fit."""


class ModelError(MedsegError):
    """A model or its weights file cannot be used."""


class JobError(MedsegError):
    """A long-running job failed for a reason outside the program, such as exhausted memory."""


def reason(error: BaseException) -> str:
    """Why something failed, in the words of the system where it has some."""
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or short(cause)


def short(error: BaseException) -> str:
    """The first line of an error text, cut to a readable length."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip(" .'\"") if lines else type(error).__name__
    return text if len(text) <= 100 else text[:97] + "..."
