"""What a person should know about a data set before a network learns from it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from ...image_values import like_labels
from ...label_values import number_objects
from ...preprocess import Preprocess
from ...volume import LabelClass
from .reading import entries
from .sources import Entry, Source

_NAMED = 4  # cases that are named one by one
_APART = 2.0  # voxel sizes that differ more are worth a sentence


_STRANGE = (
    ("not_finite", "Values that are not finite"),
    ("constant", "A single grey value"),
    ("label_like", "Values of a label image, not of a scan,"),
)


@dataclass(frozen=True)
class Finding:
    """One sentence about a data set, and whether it is a warning."""

    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"Warning: {self.text}" if self.warning else self.text


@dataclass(frozen=True)
class Facts:
    """What is kept of an entry that was read.

    Parameters
    ----------
    split, case : str
    slices : int
        All of them.
    labelled, empty : int
        Slices that are labelled, wholly or in part, and those of them without any object.
    values : frozenset of int
        Labels other than the background and the one to ignore.
    numbered : bool
        Whether the labels are numbers of objects, all of one class.
    ignored, voxels : int
    spacing : tuple of float or None
        Voxel size in mm.
    constant, not_finite : int
        Slices that hold a single grey value, or any that is not a finite number.
    digest : bytes
        Equal for equal images; empty for an image of a single grey value.
    remarks : tuple of str
    divided : bool
        See `Entry`.
    objects : bool
        Whether the labels seem to number objects one by one.
    label_like : int
        Slices that hold a few whole numbers only, as label images do.
    """

    split: str
    case: str
    slices: int
    labelled: int
    empty: int
    values: frozenset[float]
    numbered: bool
    ignored: int
    voxels: int
    spacing: tuple[float, ...] | None
    constant: int
    not_finite: int
    digest: bytes
    remarks: tuple[str, ...]
    divided: bool
    objects: bool = False
    label_like: int = 0


def inspect(entry: Entry, split: str) -> Facts:
    """Look at one entry."""
    image, labels, ignored = entry.image, entry.labels, entry.ignored()
    colours = image.ndim > labels.ndim
    slices = image.reshape(-1, *image.shape[-3 if colours else -2 :])
    finite = [np.isfinite(one) for one in slices]
    constant = sum(not known.any() or np.ptp(one[known]) == 0 for one, known in zip(slices, finite, strict=True))
    known = ~ignored.reshape(-1, *labels.shape[-2:])
    objects = (labels.reshape(known.shape) != 0) & known
    labelled = known.any((1, 2))
    values = frozenset(np.unique(labels.reshape(known.shape)[objects]).tolist())
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return Facts(
        split,
        entry.case,
        slices=len(slices),
        labelled=int(labelled.sum()),
        empty=int((labelled & ~objects.any((1, 2))).sum()),
        values=values,
        numbered=entry.objects is not None and np.array_equal(entry.objects, labels),
        ignored=int(ignored.sum()),
        voxels=ignored.size,
        spacing=entry.spacing,
        constant=constant,
        not_finite=sum(not known.all() for known in finite),
        digest=b"" if constant == len(slices) else digest,
        remarks=entry.remarks,
        divided=entry.divided,
        objects=len(values) > 1 and number_objects(np.where(ignored, 0, labels)),
        label_like=0 if colours else sum(map(like_labels, slices)),
    )


def findings(
    sources: Mapping[str, Iterable[Source]],
    root: Path,
    classes: Sequence[LabelClass],
    preprocess: Preprocess,
    spacing_mm: tuple[float, float] | None = None,
) -> list[Finding]:
    """Read everything once, one entry at a time, and report on it.

    Parameters
    ----------
    sources : mapping of str to iterable of Source
        By split, for example ``train``.
    root : pathlib.Path
        Folder that relative paths start from.
    classes, preprocess, spacing_mm
        See `report`.

    Raises
    ------
    FileError, SettingsError
        If a source cannot be read.
    """
    facts = [
        inspect(entry, split) for split, parts in sources.items() for source in parts for entry in entries(source, root)
    ]
    return report(facts, classes, preprocess, spacing_mm)


def report(
    facts: Sequence[Facts],
    classes: Sequence[LabelClass],
    preprocess: Preprocess,
    spacing_mm: tuple[float, float] | None = None,
) -> list[Finding]:
    """Sentences about all splits together, first what there is, then what may be wrong.

    Parameters
    ----------
    facts : sequence of Facts
    classes : sequence of LabelClass
        What is to be learnt; none if nothing is labelled.
    preprocess : Preprocess
    spacing_mm : (float, float) or None
        Pixel sizes in mm that the model is meant for.
    """
    splits = {split: [f for f in facts if f.split == split] for split in dict.fromkeys(f.split for f in facts)}
    found = [Finding(_content(split, part, bool(classes))) for split, part in splits.items()]
    for split, part in splits.items():
        found += _images(split, part)
        if classes:
            found += _labels(split, part, classes)
    return [*found, *_spacings(facts, preprocess, spacing_mm), *_leaks(facts)]


def _content(split: str, facts: list[Facts], labelled: bool) -> str:
    cases, slices = len({f.case for f in facts}), sum(f.slices for f in facts)
    text = f"{split}: {_count(cases, 'case')}, {_count(slices, 'slice')}"
    if not labelled:
        return f"{text}."
    known, ignored = sum(f.labelled for f in facts), sum(f.ignored for f in facts)
    text += f", {_count(sum(f.empty for f in facts), 'slice')} without any object"
    if known < slices:
        text += f", {_count(slices - known, 'slice')} without labels"
    if ignored:
        text += f"; {100 * ignored / sum(f.voxels for f in facts):.3g} % of all voxels are ignored"
    return f"{text}."


def _images(split: str, facts: list[Facts]) -> list[Finding]:
    found = []
    for name, meaning in _STRANGE:
        if part := [f for f in facts if getattr(f, name)]:
            count = sum(getattr(f, name) for f in part)
            found.append(f"{meaning} in {_count(count, 'slice')} of {split} ({_cases(part)}).")
    by_remark: dict[str, list[Facts]] = defaultdict(list)
    for one in facts:
        for remark in one.remarks:
            by_remark[remark].append(one)
    found += [f"In {split}, {remark} ({_cases(part)}). Check the pairs." for remark, part in by_remark.items()]
    return [Finding(text, warning=True) for text in found]


def _labels(split: str, facts: list[Facts], classes: Sequence[LabelClass]) -> list[Finding]:
    values = frozenset().union(*(f.values for f in facts if not f.numbered))
    if len(classes) == 1:
        found = [] if any(f.values for f in facts) else [_never(split, classes[0])]
        text = f"The labels {_listed(values)} of {split} all count as '{classes[0].name}'"
        if len(values) > 1 and all(f.objects for f in facts if len(f.values) > 1):
            found.append(Finding(f"{text}: they number objects one by one."))
        elif len(values) > 1:
            found.append(Finding(f"{text}. If one of them means 'not known', name it in 'ignore'.", warning=True))
        return found
    found = [_never(split, row) for row in classes if row.id not in values]
    known = {row.id for row in classes}
    if outside := [f for f in facts if f.values - known]:
        text = f"The labels {_listed(values - known)} of {split} do not belong to any class ({_cases(outside)}). "
        found.append(Finding(f"{text}Renumber them, add the classes, or name the label to ignore.", warning=True))
    return found


def _never(split: str, row: LabelClass) -> Finding:
    lost = "it cannot be learnt" if split == "train" else "nothing can be said about it there"
    return Finding(f"The class '{row.name}' never occurs in {split}: {lost}.", warning=True)


def _spacings(facts: Sequence[Facts], preprocess: Preprocess, spacing_mm: tuple[float, float] | None) -> list[Finding]:
    found = []
    pixels = [(max(f.spacing[-2:]), f) for f in facts if f.spacing]
    gaps = [(f.spacing[0], f) for f in facts if f.spacing and len(f.spacing) > 2]
    for name, sizes in (("Pixel sizes", pixels), ("Distances between slices", gaps)):
        if not sizes:
            continue
        low, finest = min(sizes, key=itemgetter(0))
        high, coarsest = max(sizes, key=itemgetter(0))
        if high > _APART * low:
            ends = f"{low:.3g} mm in '{finest.case}' to {high:.3g} mm in '{coarsest.case}'"
            found.append(Finding(f"{name} reach from {ends}.", warning=True))
    unknown = [f for f in facts if not f.spacing]
    if unknown and preprocess.spacing and preprocess.size is None:
        instead = preprocess.assumed_spacing
        then = f"{instead:.3g} mm are assumed" if instead else f"no resampling to {preprocess.spacing:.3g} mm"
        text = f"Pixel size not known in {_count(len(unknown), 'image')} ({_cases(unknown)}): {then}."
        found.append(Finding(text, warning=not instead))
    if spacing_mm:
        low, high = spacing_mm
        if outside := [f for size, f in pixels if not low <= size <= high]:
            text = f"Pixels outside of the {low:.3g} to {high:.3g} mm that the model is meant for"
            text += f" in {_count(len(outside), 'image')} ({_cases(outside)})."
            found.append(Finding(text, warning=True))
    return found


def _leaks(facts: Sequence[Facts]) -> list[Finding]:
    """Cases, and images under different names, that are in several splits though nobody held slices of them back."""
    facts = [f for f in facts if not f.divided]
    shared = _in_several(facts, lambda f: f.case)
    known = {f.case for f in shared}
    copies = [f for f in _in_several(facts, lambda f: f.digest) if f.case not in known]
    found = []
    for part, what in ((shared, "The same case"), (copies, "Equal images under different names")):
        if part:
            splits = " and ".join(sorted({f.split for f in part}))
            found.append(f"{what} in {splits} ({_cases(part)}): figures measured on training data mean nothing.")
    return [Finding(f"{text} Keep all images of a case in one split.", warning=True) for text in found]


def _in_several(facts: Sequence[Facts], key: Callable[[Facts], object]) -> list[Facts]:
    splits: dict[object, set[str]] = defaultdict(set)
    for one in facts:
        if key(one):
            splits[key(one)].add(one.split)
    return [one for one in facts if key(one) and len(splits[key(one)]) > 1]


def _listed(values: Iterable[float]) -> str:
    numbers = [f"{value:g}" for value in sorted(values)]
    return ", ".join([*numbers[:_NAMED], "..."] if len(numbers) > _NAMED else numbers)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _cases(facts: Iterable[Facts]) -> str:
    names = list(dict.fromkeys(f.case for f in facts))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'case' if len(names) == 1 else 'cases'} {', '.join(names[:_NAMED])}{more}"
