"""The only place that compares an image with the card of a model, before a run: what is worth knowing, what is doubted.

None of it refuses a run. What lies outside of what a model was trained on is a doubt: forms ask once, and results say
so. How the limits of the statistics were chosen, and how often they are wrong, is in ``docs/models.md``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..directions import is_along_axes, is_from_scanner
from ..models import ModelCard
from ..models.appearance import Appearance, measure
from ..models.library import bundled_cards
from ..volume import Volume
from .settings import OUTSIDE
from .slices import Slices, label_shape

_PLACES = (0.35, 0.5, 0.65)  # of a stack, where slices are looked at
_FAR_PIXELS = 1.5  # times the largest pixel of the card, or a part of the smallest, that is doubted
_FAT = -50  # values of CT begin here, down to -100 and -1000 for air; images of standard scores stay above
_AIR = -900
_SAYS_NOTHING = ("OT", "SC")  # modalities: other, and screen captures
_ALIKE = {"SM": ("SM", "GM", "XC")}
"""Modalities of the same kind: microscopes and cameras."""
_COARSE = 0.05  # mm of a pixel that is larger than several cells
_LOCALIZER = re.compile(
    r"(?<![a-z])(loc|locali[sz]ers?|(aah?)?scout|survey|topogram|3[- ]?plane)(?![a-z])", re.IGNORECASE
)
_ALONG_BODY = math.cos(math.radians(15))  # of slices whose normal is that close to an axis of the body
_BODY_PLANES = ("sagittal", "coronal", "axial")  # by the axis that they lie across
_UNSPECIFIC = ("", "WHOLEBODY", "OTHER", "UNKNOWN", "TORSO", "BODY")  # body parts that say nothing


@dataclass(frozen=True)
class Findings:
    """What comparing an image with a card gave, in sentences.

    Parameters
    ----------
    remarks : tuple of str
        Worth knowing.
    doubts : tuple of str
        What lies far outside of what the model was trained on.
    """

    remarks: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """All of them, doubts as such first."""
        return (*(OUTSIDE + text for text in self.doubts), *self.remarks)


class Sample:
    """An image of which a few slices from its middle are read and measured once, for however many cards.

    Parameters
    ----------
    volume : Volume
    source : Slices
        Of the image.
    """

    def __init__(self, volume: Volume, source: Slices):
        self.volume = volume
        self._source = source

    @cached_property
    def planes(self) -> list[np.ndarray]:
        """Slices (y, x) or (y, x, 3)."""
        return [self._source.read_one(number) for number in middle_slices(self.volume)]

    @cached_property
    def measures(self) -> list[np.ndarray]:
        """What `appearance.measure` finds in those that show something."""
        return [found for found in map(measure, self.planes) if found is not None]


def compare(volume: Volume, card: ModelCard, source: Slices, *, context: bool = False, along: str = "") -> Findings:
    """Compare an image with what the model of `card` was trained on; see `judge`."""
    return judge(Sample(volume, source), card, context=context, along=along)


def judge(sample: Sample, card: ModelCard, *, context: bool = False, along: str = "") -> Findings:
    """Compare an image with what the model of `card` was trained on; nothing is read that the card says nothing about.

    Parameters
    ----------
    sample : Sample
    card : ModelCard
    context : bool
        Whether the model uses neighbouring slices.
    along : str
        The axis on which it finds them; empty if on none.
    """
    volume = sample.volume
    doubts = [
        far_pixels(volume, card),
        coarse_pixels(volume, card),
        view(volume, card),
        localizer(volume, card),
        plane(volume, card),
        modality(volume, card),
        body_part(volume, card),
        colour(volume, card),
        negative_values(sample, card),
    ]
    if not any(doubts):
        # the rest says more plainly what is wrong
        doubts.append(appearance(sample, card))
    remarks = [
        neighbours(volume, card, along) if context else "",
        pixels(volume, card, context=context),
        slices(volume, card),
        geometry(volume),
    ]
    return Findings(tuple(filter(None, remarks)), tuple(filter(None, doubts)))


def middle_slices(volume: Volume) -> list[int]:
    """Numbers of a few slices around the middle of a stack, counted over all axes before y and x."""
    lead = label_shape(volume)[:-2]
    if not lead:
        return [0]
    middle = [count // 2 for count in lead[:-1]]
    places = sorted({int(lead[-1] * share) for share in _PLACES})
    return [int(np.ravel_multi_index((*middle, place), lead)) for place in places]


# ---- what is doubted ----


def modality(volume: Volume, card: ModelCard) -> str:
    """Another modality, as DICOM names it."""
    found = volume.metadata.get("modality")
    alike = _ALIKE.get(card.dicom_modality, (card.dicom_modality,))
    if not found or not card.dicom_modality or found in (*alike, *_SAYS_NOTHING):
        return ""
    return f"The image is {found}; {card.name} was trained on {card.dicom_modality}."


def body_part(volume: Volume, card: ModelCard) -> str:
    """Another part of the body, as DICOM names it."""
    found = str(volume.metadata.get("body_part", "")).upper().replace(" ", "")
    if not card.body_parts or found in _UNSPECIFIC or found in card.body_parts:
        return ""
    return f"The file says that it shows {found}; {card.name} was trained on {card.modality}."


def colour(volume: Volume, card: ModelCard) -> str:
    """Colours, where the scanner makes none."""
    if not card.dicom_modality or _is_microscopy(card) or not volume.axes.endswith("c"):
        return ""
    return f"The image is in colour; {card.name} was trained on grey {card.dicom_modality} images."


def negative_values(sample: Sample, card: ModelCard) -> str:
    """Values as of CT."""
    if not card.dicom_modality or card.dicom_modality == "CT":
        return ""
    lowest = min(float(np.where(np.isfinite(plane), plane, 0).min()) for plane in sample.planes)
    # what a camera saw less a background may be negative too
    if lowest > (_AIR if _is_microscopy(card) else _FAT):
        return ""
    return f"The image has values down to {lowest:.6g}, as CT does; {card.name} was trained on {card.modality}."


def view(volume: Volume, card: ModelCard) -> str:
    """A slice that shows much more, or much less."""
    if card.view_mm is None or not volume.has_spacing:
        return ""
    low, high = card.view_mm
    sides = [mm * count for mm, count in zip(volume.spacing[-2:], label_shape(volume)[-2:], strict=True)]
    if low <= min(sides) and max(sides) <= high:
        return ""
    seen = " x ".join(f"{mm:.3g}" for mm in sides)
    expected = f"{low:g} to {high:g}" if low else f"at most {high:g}"
    return f"A slice is {seen} mm; {card.name} was made for sides of {expected} mm."


def far_pixels(volume: Volume, card: ModelCard) -> str:
    """Pixels of quite another size."""
    if not card.spacing_mm or not volume.has_spacing:
        return ""
    low, high = card.spacing_mm
    if all(low / _FAR_PIXELS <= mm <= high * _FAR_PIXELS for mm in volume.spacing[-2:]):
        return ""
    return _pixels_sentence(volume, card)


def coarse_pixels(volume: Volume, card: ModelCard) -> str:
    """Pixels of a scanner, in a file of its kind, for a model of microscopy: cells are smaller than they are."""
    if not _is_microscopy(card) or not _is_coarse(volume):
        return ""
    return (
        f"Pixels are {_pixel_size(volume)} mm; {card.name} was made for microscopes, with pixels below {_COARSE:g} mm."
    )


def localizer(volume: Volume, card: ModelCard) -> str:
    """A quick overview on which the scan was planned, as its DICOM tags say."""
    if _is_microscopy(card) or not card.dicom_modality:
        return ""
    described = str(volume.metadata.get("series_description", ""))
    if not volume.metadata.get("localizer") and not _LOCALIZER.search(described):
        return ""
    named = f" ('{described}')" if described else ""
    return f"The series is a localizer{named}; {card.name} was made for the slices that are planned on it."


def plane(volume: Volume, card: ModelCard) -> str:
    """Slices along the axes of the body for a model of oblique ones; only DICOM files say reliably how they lie."""
    if not card.oblique or volume.metadata.get("format") != "DICOM" or volume.metadata.get("has_place") is False:
        return ""
    across = volume.affine[:3, 2] / np.linalg.norm(volume.affine[:3, 2])
    axis = int(np.abs(across).argmax())
    if abs(across[axis]) < _ALONG_BODY:
        return ""
    return f"The slices are {_BODY_PLANES[axis]}; {card.name} was trained on slices oblique to the body."


def appearance(sample: Sample, card: ModelCard) -> str:
    """Grey values and texture unlike those of the training images, in most of the slices that were looked at."""
    own = card.appearance
    if own is None:
        return ""
    kinds = other_kinds(card, sample.volume)
    verdicts = [_verdict(each, own, kinds) for each in sample.measures]
    doubted = [verdict for verdict in verdicts if verdict is not None]
    if 2 * len(doubted) <= len(verdicts):
        return ""
    likeness = Counter(doubted).most_common(1)[0][0]
    if likeness:
        return f"It looks more like {likeness} than like {card.modality}, on which {card.name} was trained."
    return f"Its grey values and texture are unlike those of {card.modality}, on which {card.name} was trained."


def other_kinds(card: ModelCard, volume: Volume) -> dict[str, Appearance]:
    """What the bundled models of other groups were trained on, by its name, as far as a volume can be such an image."""
    found = {}
    for other in bundled_cards():
        if other.appearance is None or other.group == card.group or other.appearance == card.appearance:
            continue
        if not (_is_microscopy(other) and _is_coarse(volume)):
            found[other.modality] = other.appearance
    return found


def _verdict(measures: np.ndarray, own: Appearance, kinds: dict[str, Appearance]) -> str | None:
    """What a slice looks like instead: a kind, or an empty text for none that is known; None if it is not doubted."""
    mine = own.likelihood(measures)
    likelier = {name: kind for name, kind in kinds.items() if kind.likelihood(measures) - mine > own.margin}
    near = [name for name, kind in likelier.items() if kind.distance(measures) <= kind.limit]
    if near:
        return near[0]
    return "" if likelier or own.distance(measures) > own.limit else None


# ---- what is worth knowing ----


def neighbours(volume: Volume, card: ModelCard, along: str) -> str:
    """No neighbouring slices for a model that uses them."""
    if along and volume.data.shape[volume.axes.index(along)] > 1:
        return ""
    return f"{card.name} also uses the slices before and after; here it does without them."


def pixels(volume: Volume, card: ModelCard, *, context: bool) -> str:
    """Pixels of another size than in training, or of none that is known."""
    if card.spacing_mm and volume.has_spacing:
        low, high = card.spacing_mm
        inside = all(low <= mm <= high for mm in volume.spacing[-2:])
        return "" if inside or far_pixels(volume, card) else _pixels_sentence(volume, card)
    if card.preprocess.assumed_spacing:
        return f"The pixel size is not known; {card.name} assumes {card.preprocess.assumed_spacing:g} mm."
    if "z" in volume.axes and not context:
        return f"{card.name} was trained on single images; a stack is segmented slice by slice."
    return ""


def slices(volume: Volume, card: ModelCard) -> str:
    """Many more slices than the stacks of the training images have."""
    if card.most_slices is None or "z" not in volume.axes:
        return ""
    count = volume.data.shape[volume.axes.index("z")]
    if count <= card.most_slices:
        return ""
    return f"The stack has {count} slices; {card.name} was made for stacks of at most {card.most_slices}."


def geometry(volume: Volume) -> str:
    """What the labels of this grid lose in a file."""
    if volume.spatial_axes != "zyx" or is_along_axes(volume):
        return ""
    from ..io import nifti

    return nifti.notice(volume)


def _pixels_sentence(volume: Volume, card: ModelCard) -> str:
    low, high = card.spacing_mm or (0.0, 0.0)
    return f"Pixels are {_pixel_size(volume)} mm; {card.name} was trained for {low:g} to {high:g} mm."


def _pixel_size(volume: Volume) -> str:
    return " x ".join(f"{mm:.3g}" for mm in volume.spacing[-2:])


def _is_coarse(volume: Volume) -> bool:
    """Whether the pixels, in a file of a scanner, are larger than several cells."""
    if volume.metadata.get("modality") in _ALIKE["SM"]:
        return False
    return is_from_scanner(volume) and volume.has_spacing and min(volume.spacing[-2:]) >= _COARSE


def _is_microscopy(card: ModelCard) -> bool:
    return card.dicom_modality == "SM"
