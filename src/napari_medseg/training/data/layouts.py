"""Published data sets as their authors laid them out: one function per layout that finds the cases."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import FileError, SettingsError
from ...io import images, read
from ...io.checks import check_size, damaged
from ...io.kspace import read_kspace
from ...io.pairing import listing, names
from ...recon.transforms import centre_crop, ifft2c, rss
from . import pairs, sunnybrook
from .pairs import Part, content
from .sources import Case, Entry, Source, npz_arrays, read_pair, unlabelled

_PICTURES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff")
_ISIC_TASKS = ("part1", "task1", "task1-2")
_ACDC_NAME = re.compile(
    r"case_(?P<case>\d+)_(?:slice(?P<slice_phase>ED|ES)_(?P<index>\d+)|volume_(?P<phase>ED|ES))\.npz"
)


def acdc(folder: Path, source: Source) -> Iterator[Case]:
    """ACDC as the authors of MT-UNet and LSTM-SA prepared it: slices to train and validate on, volumes to test on.

    ``lists_ACDC/train.txt`` names ``train/case_001_sliceED_0.npz`` and so on, ``test.txt`` names
    ``test/case_002_volume_ED.npz``, each with the arrays ``img`` and ``label`` (1 right ventricle, 2 myocardium, 3 left
    ventricle). The order of the slices is that of their numbers, not that of the list. The voxel size is not known.
    """
    split = {"val": "valid"}.get(source.split, source.split)
    if split not in ("train", "valid", "test"):
        raise SettingsError(f"ACDC needs a split, train, val or test; the source has '{source.split}'.")
    for line in _text(folder / "lists_ACDC" / f"{split}.txt").split():
        found = _ACDC_NAME.fullmatch(line)
        if not found:
            raise FileError(
                f"'{line}' in the list {split}.txt is not a file name of ACDC, such as case_001_sliceED_0.npz or "
                "case_002_volume_ED.npz. Correct the list."
            )
        path = folder / split / line
        phase = found["slice_phase"] or found["phase"]
        yield Case(found["case"], phase, partial(_read_acdc, path, found), (path,))


def _read_acdc(path: Path, found: re.Match[str]) -> Entry:
    if not path.is_file():
        raise FileError(f"'{path}' is missing, although the list of its split names it. Copy it, or correct the list.")
    arrays = npz_arrays(path, {"img", "label"})
    case, phase, index = found["case"], found["slice_phase"], found["index"]
    stack = (case, phase) if phase else None
    return Entry(arrays["img"], arrays["label"], case, name=str(path), stack=stack, frame=int(index or 0))


def image_mask(folder: Path, source: Source) -> Iterator[Case]:
    """Pictures in ``images`` and their masks in ``masks``: of the same name, or with ``_segmentation`` or ``_mask``."""
    _no_split(source, "image-mask")
    yield from _pictures(folder / "images", folder / "masks")


def isic(folder: Path, source: Source) -> Iterator[Case]:
    """ISIC 2016 to 2018: ``..Training_Input`` or ``.._Data`` next to ``..Training_GroundTruth``, and so for each split.

    ``ISIC_0000000.jpg`` belongs to ``ISIC_0000000_segmentation.png``. The masks are those of Part 1 (2016 and 2017) or
    Task 1 (2018).
    """
    parts = {"train": ["Training"], "val": ["Validation"], "test": ["Test"], "": ["Training", "Validation", "Test"]}
    if source.split not in parts:
        raise SettingsError(f"ISIC has the splits train, val and test; the source has '{source.split}'.")
    found = False
    for name in parts[source.split]:
        inputs = _isic_folder(folder, name, ("input", "data"))
        truths = _isic_folder(folder, name, ("groundtruth",))
        if inputs and truths:
            found = True
            yield from _pictures(inputs, truths)
    if not found:
        raise FileError(
            f"'{folder}' does not hold ISIC's folders for the split '{source.split or 'any'}', such as "
            "ISIC2018_Task1-2_Training_Input and ISIC2018_Task1_Training_GroundTruth, or ISIC-2017_Training_Data and "
            "ISIC-2017_Training_Part1_GroundTruth. Choose the folder above them."
        )


def _isic_folder(folder: Path, split: str, endings: tuple[str, ...]) -> Path | None:
    """The folder of a split whose name ends so, of the part or task that is about segmentation; None without one."""
    found = []
    for path in listing(folder):
        words = path.name.lower().split("_")
        task = next((word for word in words if word.startswith(("part", "task"))), "task1")
        fits = split.lower() in words and words[-1] in endings and task in _ISIC_TASKS
        if fits and path.is_dir():
            found.append(path)
    if len(found) > 1:
        raise FileError(
            f"'{folder}' holds several folders of ISIC for the split {split}: {names(found)}. The years share "
            "images: leave one of them."
        )
    return found[0] if found else None


def _pictures(images_folder: Path, masks_folder: Path) -> Iterator[Case]:
    """Pairs by name, in these folders or in the only ones in them, as archives are unpacked."""
    part = Part("", _unwrapped(images_folder), _unwrapped(masks_folder))
    yield from pairs.cases(part, reader=images.read, name=lambda path: path.stem)


def _unwrapped(folder: Path) -> Path:
    inside = listing(folder)
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _picture(image: Path, mask: Path, case: str = "", group: str = "", *, numbered: bool = False) -> Case:
    name = case or image.stem

    def read_it() -> Entry:
        entry = read_pair(image, mask, name, reader=images.read)
        return replace(entry, objects=entry.labels if numbered else None)

    return Case(name, group, read_it, (image, mask))


def glas(folder: Path, source: Source) -> Iterator[Case]:
    """GlaS (Warwick-QU): ``train_1.bmp`` and ``train_1_anno.bmp`` with numbered glands, ``testA_..``, ``testB_..``.

    Cases are patients where ``Grade.csv`` names them: some have images in several splits. Groups are ``train``,
    ``testA`` and ``testB``.
    """
    begins = {"train": ("train",), "test": ("testA", "testB"), "": ("train", "testA", "testB")}.get(source.split)
    if begins is None:
        raise SettingsError(f"GlaS has the splits train and test; the source has '{source.split}'.")
    patients = _glas_patients(folder / "Grade.csv")
    pictures = {path.stem: path for path in _pictures_in(folder)}
    if not any(stem.endswith("_anno") for stem in pictures):
        raise FileError(f"'{folder}' holds no labels like train_1_anno.bmp. Choose the folder of GlaS.")
    for stem, path in pictures.items():
        if stem.endswith("_anno") or (group := stem.split("_")[0]) not in begins:
            continue
        if f"{stem}_anno" not in pictures:
            raise FileError(f"'{path.name}' has no labels '{stem}_anno.bmp' in '{folder}'.")
        yield _picture(path, pictures[f"{stem}_anno"], patients.get(stem, stem), group, numbered=True)


def _glas_patients(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    rows = csv.reader(_text(path).splitlines(), skipinitialspace=True)
    return {row[0].strip(): f"patient {row[1].strip()}" for row in rows if len(row) > 1 and row[1].strip().isdigit()}


def ph2(folder: Path, source: Source) -> Iterator[Case]:
    """PH2: ``IMD003/IMD003_Dermoscopic_Image/IMD003.bmp`` and ``IMD003/IMD003_lesion/IMD003_lesion.bmp``."""
    _no_split(source, "ph2")
    parts = [path for path in listing(folder) if re.fullmatch(r"IMD\d+", path.name)]
    if not parts:
        raise FileError(f"'{folder}' holds no folder like IMD003. Choose the folder 'PH2 Dataset images'.")
    for part in parts:
        name = part.name
        image, mask = part / f"{name}_Dermoscopic_Image" / f"{name}.bmp", part / f"{name}_lesion" / f"{name}_lesion.bmp"
        if missing := [path for path in (image, mask) if not path.is_file()]:
            raise FileError(f"'{missing[0]}' is missing. Copy PH2 again from its source.")
        yield _picture(image, mask)


def dsb2018(folder: Path, source: Source) -> Iterator[Case]:
    """Stage 1 of the Data Science Bowl 2018: ``ID/images/ID.png`` and one file per nucleus in ``ID/masks``.

    `folder` is ``stage1_train`` or the one above it. Where nuclei overlap the later one wins.
    """
    _no_split(source, "dsb2018")
    inner = folder / "stage1_train"
    for part in (path for path in listing(inner if inner.is_dir() else folder) if path.is_dir()):
        image = part / "images" / f"{part.name}.png"
        masks = part / "masks"
        if not image.is_file() or not masks.is_dir():
            raise FileError(f"'{part}' does not hold images/{part.name}.png and the folder masks/, as in stage 1.")
        yield Case(part.name, "", partial(_read_nuclei, image, masks), (image, *_pictures_in(masks)))


def _read_nuclei(path: Path, masks: Path) -> Entry:
    image = np.asarray(read(path).data)
    numbers = np.zeros(image.shape[:2], np.uint16)
    for number, mask_path in enumerate(_pictures_in(masks), start=1):
        mask = read_pair(mask_path, mask_path, path.stem).labels
        if mask.shape != numbers.shape:
            raise FileError(f"'{mask_path.name}' has {mask.shape} pixels, its image {numbers.shape}. Copy it again.")
        numbers[mask > 0] = number
    return Entry(image, (numbers > 0).astype(np.uint8), path.stem, name=str(path), objects=numbers)


def lits(folder: Path, source: Source) -> Iterator[Case]:
    """LiTS: ``volume-0.nii`` and ``segmentation-0.nii`` (1 liver, 2 tumour), in one folder or in folders of batches."""
    _no_split(source, "lits")
    volumes = _lits_files(folder, "volume")
    labels = _lits_files(folder, "segmentation")
    if not volumes:
        raise FileError(f"'{folder}' holds no file like volume-0.nii. Choose the folder of LiTS.")
    for number, image in sorted(volumes.items()):
        if number not in labels:
            raise FileError(f"'{image.name}' has no labels 'segmentation-{number}.nii'. Copy them next to it.")
        case = f"volume-{number}"
        yield Case(case, "", partial(read_pair, image, labels[number], case), (image, labels[number]))


def _lits_files(folder: Path, kind: str) -> dict[int, Path]:
    """The files of a kind by their numbers."""
    found: dict[int, Path] = {}
    for path in content(folder).items:
        match = re.fullmatch(rf"{kind}-(\d+)\.nii(\.gz)?", path.name.lower())
        if match and int(match[1]) in found:
            other = found[int(match[1])]
            raise FileError(f"'{path}' and '{other}' have the same number. Leave one of them in '{folder}'.")
        if match:
            found[int(match[1])] = path
    return found


def fastmri(folder: Path, source: Source) -> Iterator[Case]:
    """fastMRI: the ``.h5`` files of a folder as magnitude images without labels, to learn reconstruction from.

    The stored images are taken (``reconstruction_rss``, of one coil ``reconstruction_esc``); where there are none, or
    with `Source.image` ``kspace``, the root of the sum of squares of the transformed k-space, cropped.
    """
    _no_split(source, "fastmri")
    files = [path for path in listing(folder) if path.suffix.lower() == ".h5"]
    if not files:
        raise FileError(f"'{folder}' holds no .h5 files. Choose the folder with the files of one split.")
    for path in files:
        yield Case(path.stem, "", partial(_read_fastmri, path, source.image == "kspace"), (path,))


def _read_fastmri(path: Path, from_kspace: bool) -> Entry:
    kspace = read_kspace(path)
    size = kspace.crop or kspace.matrix
    check_size(path, (kspace.slices, *size), 4)
    if kspace.reference is not None and not from_kspace:
        volume = np.stack([kspace.reference[z] for z in range(kspace.slices)]).astype(np.float32)
    elif kspace.mask is not None:
        raise FileError(f"'{path.name}' is undersampled and holds no image of the full data. Leave it out.")
    else:
        slices = (centre_crop(rss(ifft2c(kspace.slice(z)), 0), size) for z in range(kspace.slices))
        volume = np.stack([image.astype(np.float32) for image in slices])
    return Entry(volume, unlabelled(volume.shape), path.stem, name=str(path), spacing=kspace.spacing)


def _no_split(source: Source, layout: str) -> None:
    if source.split:
        raise SettingsError(
            f"The layout '{layout}' has no splits. Choose its cases by 'select', all images of a patient together."
        )


def _pictures_in(folder: Path) -> list[Path]:
    return [path for path in listing(folder) if path.suffix.lower() in _PICTURES]


def _text(path: Path) -> str:
    with damaged(path):
        check_size(path, (max(path.stat().st_size, 1),), 1)
        return path.read_text(encoding="utf-8-sig")


LAYOUTS: dict[str, Callable[[Path, Source], Iterator[Case]]] = {
    "acdc": acdc,
    "image-mask": image_mask,
    "isic": isic,
    "glas": glas,
    "ph2": ph2,
    "dsb2018": dsb2018,
    "sunnybrook": sunnybrook.cases,
    "lits": lits,
    "fastmri": fastmri,
}
"""Name of a layout, and what finds the cases in its folder."""
