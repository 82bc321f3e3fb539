"""Coded names of what a class is, as other programs understand them: SNOMED CT and its like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import readable

SNOMED = "SCT"
"""How DICOM calls SNOMED CT."""

_LONGEST_SHORT = 64  # characters of a scheme or a value; DICOM has 16, or the longer form
_LONGEST_MEANING = 64


@dataclass(frozen=True)
class Code:
    """One term of a coding scheme.

    Parameters
    ----------
    scheme : str
        ``SCT`` for SNOMED CT, ``DCM``, ``FMA``, or ``99`` and a name for a private one.
    value : str
        As in that scheme, for example ``10200004``.
    meaning : str
        In words, for example ``Liver``; control characters are written out, and what is too long is cut.
    """

    scheme: str
    value: str
    meaning: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", readable(self.scheme, _LONGEST_SHORT))
        object.__setattr__(self, "value", readable(self.value, _LONGEST_SHORT))
        object.__setattr__(self, "meaning", readable(self.meaning, _LONGEST_MEANING)[:_LONGEST_MEANING])


@dataclass(frozen=True)
class Coding:
    """What a class is.

    Parameters
    ----------
    kind : Code
        What it is, for example ``Liver``.
    category : Code
        Of which sort that is, for example `ANATOMY`.
    modifier : Code, optional
        Which part or side of it, for example ``Left``.
    """

    kind: Code
    category: Code
    modifier: Code | None = None


ANATOMY = Code(SNOMED, "91723000", "Anatomical Structure")
_TISSUE = Code(SNOMED, "85756007", "Tissue")

TISSUE = Coding(_TISSUE, _TISSUE)
"""What a class of an unknown name is."""

_ABNORMAL = Code(SNOMED, "49755003", "Morphologically Abnormal Structure")
_CATEGORIES = {"Neoplasm": _ABNORMAL, "Lesion": _ABNORMAL}

_PARTS = {
    "left": Code(SNOMED, "7771000", "Left"),
    "right": Code(SNOMED, "24028007", "Right"),
    "anterior": Code(SNOMED, "255549009", "Anterior"),
    "posterior": Code(SNOMED, "255551008", "Posterior"),
}
_LEFT_VENTRICLE = Code(SNOMED, "87878005", "Left ventricle")
_RIGHT_VENTRICLE = Code(SNOMED, "53085002", "Right ventricle")
_MYOCARDIUM = Code(SNOMED, "49848007", "Left Ventricle Myocardium")
_NUCLEUS = Code(SNOMED, "84640000", "Nucleus")
_NEOPLASM = Code(SNOMED, "108369006", "Neoplasm")
_KINDS = {
    "left ventricle": _LEFT_VENTRICLE,
    "left ventricular cavity": _LEFT_VENTRICLE,
    "left ventricle cavity": _LEFT_VENTRICLE,
    "left ventricular myocardium": _MYOCARDIUM,
    "left ventricle myocardium": _MYOCARDIUM,
    "right ventricle": _RIGHT_VENTRICLE,
    "right ventricular cavity": _RIGHT_VENTRICLE,
    "right ventricle cavity": _RIGHT_VENTRICLE,
    "heart": Code(SNOMED, "80891009", "Heart"),
    "aorta": Code(SNOMED, "15825003", "Aorta"),
    "hippocampus": Code(SNOMED, "5366008", "Hippocampus"),
    "brain": Code(SNOMED, "12738006", "Brain"),
    "liver": Code(SNOMED, "10200004", "Liver"),
    "spleen": Code(SNOMED, "78961009", "Spleen"),
    "kidney": Code(SNOMED, "64033007", "Kidney"),
    "pancreas": Code(SNOMED, "15776009", "Pancreas"),
    "gallbladder": Code(SNOMED, "28231008", "Gallbladder"),
    "esophagus": Code(SNOMED, "32849002", "Esophagus"),
    "bladder": Code(SNOMED, "89837001", "Bladder"),
    "urinary bladder": Code(SNOMED, "89837001", "Bladder"),
    "prostate": Code(SNOMED, "41216001", "Prostate"),
    "lung": Code(SNOMED, "39607008", "Lung"),
    "lymph node": Code(SNOMED, "59441001", "Lymph Node"),
    "bone": Code(SNOMED, "272673000", "Bone"),
    "cell nucleus": _NUCLEUS,
    "nucleus": _NUCLEUS,
    "cell": Code(SNOMED, "4421005", "Cell"),
    "tumor": _NEOPLASM,
    "tumour": _NEOPLASM,
    "lesion": Code(SNOMED, "52988006", "Lesion"),
}


def of_name(name: str) -> Coding:
    """The coding of a class that has none of its own, from its name; `TISSUE` where the name is not known.

    Parameters
    ----------
    name : str
        In English, with or without a side or part: ``left kidney``, ``Kidney_right``, ``anterior hippocampus``.
    """
    words = re.findall(r"[^\W_]+", name.casefold())
    kind = _KINDS.get(" ".join(words))
    if kind is not None:
        return Coding(kind, _CATEGORIES.get(kind.meaning, ANATOMY))
    parts = [word for word in words if word in _PARTS]
    rest = " ".join(word for word in words if word not in _PARTS)
    kind = _KINDS.get(rest)
    if kind is None or len(parts) != 1:
        return TISSUE
    return Coding(kind, _CATEGORIES.get(kind.meaning, ANATOMY), _PARTS[parts[0]])
