"""Errors whose text is written for the person at the screen: what was found, what is expected, what to do.

Names and texts out of files end up in such sentences. `escaped` and `readable` make them harmless for terminals and
forms; the text of every error of ours has passed through them.
"""

import unicodedata

_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of letters, ends of lines and paragraphs
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_LONGEST = 900  # characters of a sentence
_END = 200  # characters at the end of a sentence that say what to do


class MedsegError(Exception):
    """Bad data or settings; the message is one or two plain sentences."""

    def __str__(self) -> str:
        return readable(super().__str__())


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
    text = lines[0].strip(" .") if lines else type(error).__name__
    quote = text[:1]
    if quote in ("'", '"') and text.endswith(quote) and text.count(quote) == 2:
        text = text.strip(quote)
    return escaped(text if len(text) <= 100 else text[:97] + "...")


def escaped(text: str, *, lines: bool = False) -> str:
    """`text` without characters that steer a terminal or turn the direction of writing; they are written out.

    Parameters
    ----------
    text : str
    lines : bool
        Whether ends of lines, and tabs, stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_seen(letter, lines) else _written_out(letter) for letter in text)


def readable(text: str, longest: int = _LONGEST) -> str:
    """`text` as one line without control characters; of what is too long, the middle is left out."""
    end = min(_END, longest // 2)
    if len(text) > longest:
        text = f"{text[: longest - end]} ... {text[-end:]}"
    return escaped(text)


def _written_out(letter: str) -> str:
    """A letter as JSON and Python write it."""
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(letter, f"\\u{ord(letter):04x}")


def _is_seen(letter: str, lines: bool) -> bool:
    if lines and letter in "\n\t":
        return True
    return unicodedata.category(letter) not in _UNSEEN and letter not in _TURNING
