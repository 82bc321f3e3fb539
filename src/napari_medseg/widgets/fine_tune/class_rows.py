"""The classes that are painted or known to the model: what can be learnt, and what is said of it before a training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import SettingsError
from ...label_values import are_whole
from ...training.comparison import held_back
from ...volume import LabelClass
from .slices import slices_text

if TYPE_CHECKING:
    from ...models import ModelCard
    from ...training.data.survey import Survey

_MANY_NUMBERS = 10  # more of them without names count objects
_OBJECTS = 2  # more of them do, where the model finds objects of one class
_LONG = 24  # characters that a cell may take
_MOST = 254  # classes that fit into 8 bits next to the background and what is ignored


@dataclass(frozen=True)
class ClassRow:
    """A class that is painted, or that the model knows.

    Parameters
    ----------
    first : str
        What it was called before the person renamed it.
    name, colour : str
    labels : tuple of int
        Its numbers in the layers; empty if it is on no reviewed slice.
    known : bool
        Whether the model to begin with finds it.
    learn : bool
        Whether the new model is to find it. What is painted and not learnt does not count.
    """

    first: str
    name: str
    colour: str
    labels: tuple[int, ...]
    known: bool
    learn: bool = True

    @property
    def key(self) -> tuple[str, bool]:
        """What tells it from the others: its first name, and whether it is painted."""
        return self.first, bool(self.labels)


@dataclass(frozen=True)
class Painted:
    """A label on reviewed slices of a layer, and the name and colour that it has there.

    Labels that number objects are one class: those after the first are in `more`.
    """

    label: int
    name: str
    colour: str
    more: tuple[int, ...] = ()


def count_objects(numbers: int, shown: int, regions: int, card: ModelCard | None) -> bool:
    """Whether labels without names count objects one by one, which are all of one class.

    Parameters
    ----------
    numbers : int
        Different labels on reviewed slices.
    shown, regions : int
        Labels, and connected regions of equal labels, slice by slice.
    card : ModelCard, optional
        Of the model to begin with.
    """
    known = len(card.classes) if card else 0
    fewest = _OBJECTS if card is not None and card.objects and known == 1 else _MANY_NUMBERS
    return numbers > max(fewest, known) and are_whole(shown, regions)


def object_name(card: ModelCard | None) -> str:
    """What objects are called that are numbered one by one."""
    if card is not None and len(card.classes) == 1:
        return card.classes[0].name
    return "object"


def class_rows(
    painted: Sequence[Painted],
    card: ModelCard | None,
    renamed: Mapping[str, str],
    dropped: Collection[tuple[str, bool]],
) -> list[ClassRow]:
    """The classes of the model to begin with, then those that are new.

    Parameters
    ----------
    painted : sequence of Painted
        In all layers.
    card : ModelCard, optional
        Of the model.
    renamed : mapping of str to str
        What the person calls a class that is painted, by its first name.
    dropped : collection of (str, bool)
        Keys of the rows that are not to be learnt.
    """
    theirs = {row.name: row.colour for row in card.classes} if card else {}
    rows: dict[str, ClassRow] = {}
    for mine in painted:
        name = renamed.get(mine.name, mine.name)
        labels = {mine.label, *mine.more}
        if mine.name in rows:
            labels.update(rows[mine.name].labels)
        colour = theirs.get(name) or mine.colour
        rows[mine.name] = ClassRow(mine.name, name, colour, tuple(sorted(labels)), known=name in theirs)
    found = list(rows.values())
    names = {row.name for row in found}
    found += [ClassRow(name, name, theirs[name], (), known=True) for name in theirs if name not in names]
    order = list(theirs)
    found.sort(key=lambda row: order.index(row.name) if row.known else len(order))
    return [replace(row, learn=row.key not in dropped) for row in found]


def folder_classes(survey: Survey | None, card: ModelCard | None) -> tuple[LabelClass, ...]:
    """The classes of a folder. Those that have no names are the model's, if it finds as many, or objects of one kind.

    Parameters
    ----------
    survey : Survey, optional
        What the folder holds, if that is known.
    card : ModelCard, optional
        Of the model to begin with.
    """
    if survey is None:
        return ()
    if survey.named or card is None:
        return survey.classes
    objects = card.objects and len(card.classes) == 1
    return card.classes if objects or len(card.classes) == len(survey.classes) else survey.classes


def dataset_rows(classes: Sequence[LabelClass], card: ModelCard | None) -> list[ClassRow]:
    """The classes that a data set brings along."""
    known = {row.name for row in card.classes} if card else set()
    found = []
    for row in classes:
        found.append(ClassRow(row.name, row.name, row.colour, (row.id,), known=row.name in known))
    return found


def final_classes(rows: Sequence[ClassRow]) -> tuple[LabelClass, ...]:
    """The classes to learn, numbered from 1; one called background is not among them.

    Raises
    ------
    SettingsError
        If there are none, or one has no name.
    """
    learnt = [row for row in rows if row.learn and row.name != "background"]
    if not learnt or not all(row.name for row in learnt):
        raise SettingsError("There is no class to learn. Paint some labels, name them, and tick what to learn.")
    colours = {row.name: row.colour for row in reversed(learnt)}
    names = list(dict.fromkeys(row.name for row in learnt))
    if len(names) > _MOST:
        raise SettingsError(
            f"The labels hold more than {_MOST} numbers, and a model can learn at most {_MOST} classes. If they number "
            "objects, tick that all of them are one class; else erase some."
        )
    return tuple(LabelClass(number, name, colours[name]) for number, name in enumerate(names, start=1))


def labels_text(labels: Sequence[int]) -> str:
    """The numbers of a class, short."""
    text = slices_text(labels)
    return text if len(text) <= _LONG else f"{len(labels)} numbers"


def numbered_text(layer: str, count: int, name: str) -> str:
    """What is made of the numbers of objects; `name` is that of their class, empty if they are learnt one by one."""
    if not name:
        return f"⚠ The {count} labels of '{layer}' seem to number objects; each would be learnt as a class of its own."
    return (
        f"The {count} labels of '{layer}' number objects one by one: all of them are learnt as {name}. Untick "
        "'Numbered objects are one class' if they are classes."
    )


def plan_text(
    rows: Sequence[ClassRow],
    reviewed: Mapping[str, int],
    empty: Sequence[int],
    left_out: Sequence[int],
    notes: Sequence[str] = (),
) -> str:
    """What is going to be learnt, and what to be warned of.

    Parameters
    ----------
    rows : sequence of ClassRow
    reviewed : mapping of str to int
        Number of slices of all layers that count, by their state: approved, edited, or drawn in this session.
    empty, left_out : sequence of int
        Slices of the chosen layer that are reviewed and hold no label, and that hold labels and are not reviewed.
    notes : sequence of str
        What else is to be known of labels and images.
    """
    if not sum(reviewed.values()):
        return ""
    lines = [_held_text(reviewed), *filter(None, notes)]
    if empty:
        lines.append(f"No label on {slices_text(empty)}: the model learns that nothing is there.")
    if left_out:
        lines.append(f"Labels on {slices_text(left_out)} are not reviewed and do not count.")
    absent = [row.name for row in rows if row.learn and not row.labels]
    if absent:
        lines.append(
            f"⚠ {', '.join(absent)}: on no reviewed slice, so the model would learn that it is never there. Paint it, "
            "or untick it."
        )
    return "\n".join(lines)


def _held_text(reviewed: Mapping[str, int]) -> str:
    count = sum(reviewed.values())
    states = [f"{number} {state}" for state, number in sorted(reviewed.items()) if number]
    why = f" ({', '.join(states)})"
    if count == 1:
        return (
            f"1 reviewed slice{why}: none can be held back to measure what the model is worth. Review a second one, or "
            "another image."
        )
    held = len(held_back(range(count)))
    verb = "is" if held == 1 else "are"
    return f"{count} reviewed slices{why}; {held} of them {verb} held back to measure."
