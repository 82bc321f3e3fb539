"""What is doubted before a run: no sample with its own model, every sample with a model for something else."""

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg import io, models, samples
from napari_medseg.models import ModelCard
from napari_medseg.models.library import bundled_cards
from napari_medseg.preprocess import Preprocess
from napari_medseg.segmentation import guard
from napari_medseg.segmentation.settings import OUTSIDE
from napari_medseg.segmentation.slices import Slices
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "x", "#ff0000"),)
PLAIN = ModelCard("plain", "litenext", Preprocess(), CLASSES, modality="cardiac MR")
CARDS = {card.name: card for card in bundled_cards() if card.appearance is not None}
HEART = "sunnybrook_SC-HF-I-01_ED.nii.gz"
NUCLEI = [
    "dsb2018_fluorescence_05040e2e.png",
    "dsb2018_fluorescence_06c77933.png",
    "dsb2018_stained_0121d675.png",
    "dsb2018_stained_0bf33d3d.png",
]


def doubts(volume, card):
    return guard.compare(volume, card, Slices(volume, None)).doubts


def without_words(volume):
    """The same as an array of a file that says nothing: only grey values and texture are left."""
    return replace(volume, affine=np.eye(4), metadata={"has_spacing": False})


def head():
    """Zero-filled image of the head whose k-space is bundled."""
    kspace = np.load(samples.path("brain8_poisson8x.npz"))["kspace"]
    centred = np.fft.ifftshift(kspace, axes=(-2, -1))
    coils = np.fft.fftshift(np.fft.ifft2(centred), axes=(-2, -1))
    image = np.sqrt((np.abs(coils) ** 2).sum(-3))
    return Volume(image.reshape(-1, *image.shape[-2:]), "zyx", metadata={"has_spacing": False})


def trunk_in_ct():
    """A disc of soft tissue in air, in Hounsfield units."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    inside = np.hypot(x, 1.3 * y) < 0.8
    values = np.where(inside, 40, -1000) + np.random.default_rng(0).normal(0, 15, inside.shape)
    return Volume(np.stack([values] * 3).astype(np.int16), "zyx", np.diag([3.0, 3, 3, 1]))


IMAGES = {
    "heart": lambda: io.read(samples.path(HEART)),
    "heart as DICOM": lambda: io.read(samples.path("sunnybrook_sax_ED")),
    "heart, unknown pixels": lambda: without_words(io.read(samples.path(HEART))),
    "head": head,
    "CT": trunk_in_ct,
    **{name: lambda name=name: io.read(samples.path(name)) for name in NUCLEI},
}


def group_of(title):
    return "heart" if title.startswith("heart") else "nuclei" if title.startswith("dsb") else "nothing"


@pytest.mark.parametrize("title", IMAGES)
def test_samples_are_doubted_with_every_model_but_their_own(title):
    volume = IMAGES[title]()
    for name, card in CARDS.items():
        found = doubts(volume, card)
        assert bool(found) != (group_of(title) in name.split("-")), f"{name}: {found}"
    assert {card.group for card in CARDS.values()} == {"", "heart", "hippocampus", "nuclei"}


@pytest.mark.parametrize("change", ["turned", "transposed", "128 px", "160 px", "brighter", "one slice"])
def test_hearts_as_people_have_them_are_not_doubted(change):
    heart = without_words(io.read(samples.path(HEART)))
    z, y, x = heart.data.shape
    changed = {
        "turned": lambda a: np.rot90(a, 1, (1, 2)),
        "transposed": lambda a: a.transpose(0, 2, 1),
        "128 px": lambda a: a[:, y // 2 - 64 : y // 2 + 64, x // 2 - 64 : x // 2 + 64],
        "160 px": lambda a: a[:, y // 2 - 80 : y // 2 + 80, x // 2 - 80 : x // 2 + 80],
        "brighter": lambda a: (a / a.max()) ** 0.75,
        "one slice": lambda a: a[z // 2 : z // 2 + 1],
    }[change]
    volume = replace(heart, data=np.ascontiguousarray(changed(heart.data)))
    assert doubts(volume, CARDS["litenext-heart"]) == ()


def test_no_scan_with_pixels_of_a_millimetre_is_held_for_microscopy():
    cine = io.read(samples.path("sunnybrook_SC-HF-I-01_cine.nii.gz"))
    phase = replace(cine, data=cine.data[0], axes="zyx")  # a crop of the heart without its surroundings
    (text,) = doubts(phase, CARDS["litenext-heart"])
    assert text.startswith("Its grey values and texture are unlike those of cardiac cine MR")
    (text,) = doubts(without_words(phase), CARDS["litenext-heart"])
    assert "microscopy" in text


def test_what_an_image_looks_like_is_named():
    (text,) = doubts(io.read(samples.path(NUCLEI[1])), CARDS["lstm-sa-heart"])[-1:]
    assert "in colour" in text or "microscopy" in text
    (text,) = doubts(IMAGES["heart, unknown pixels"](), CARDS["litenext-nuclei"])
    assert text.startswith("It looks more like cardiac cine MR") and "litenext-nuclei was trained" in text


def image(shape=(4, 32, 32), spacing=1.5, low=0.0, **metadata):
    data = np.random.default_rng(0).random(shape) + low
    return Volume(data, "zyx", np.diag([spacing, spacing, 8, 1.0]), metadata=metadata)


@pytest.mark.parametrize(
    ("card", "volume", "sentence"),
    [
        ({"dicom_modality": "MR"}, image(modality="CT"), "The image is CT; plain was trained on MR."),
        ({"dicom_modality": "MR"}, image(modality="MR"), ""),
        ({"dicom_modality": "MR"}, image(modality="OT"), ""),
        ({"dicom_modality": "SM"}, image(modality="GM"), ""),
        ({"dicom_modality": "SM"}, image(modality="MR"), "The image is MR"),
        ({}, image(modality="MR"), ""),
        ({"body_parts": ("HEART", "CHEST")}, image(body_part="HEAD"), "The file says that it shows HEAD; plain was tr"),
        ({"body_parts": ("HEART", "CHEST")}, image(body_part="chest "), ""),
        ({"body_parts": ("HEART", "CHEST")}, image(body_part="WHOLEBODY"), ""),
        ({"body_parts": ("HEART", "CHEST")}, image(), ""),
        ({"dicom_modality": "MR"}, image(low=-1000), "The image has values down to -1000, as CT does; plain was trai"),
        ({"dicom_modality": "MR"}, image(low=-4), ""),
        ({"dicom_modality": "CT"}, image(low=-1000), ""),
        ({"dicom_modality": "SM"}, image(low=-200), ""),
        ({"view_mm": (100.0, 400.0)}, image(), "A slice is 48 x 48 mm; plain was made for sides of 100 to 400 mm."),
        ({"view_mm": (0.0, 40.0)}, image(), "A slice is 48 x 48 mm; plain was made for sides of at most 40 mm."),
        ({"view_mm": (40.0, 50.0)}, image(), ""),
        ({"view_mm": (100.0, 400.0)}, image(has_spacing=False), ""),
        ({"spacing_mm": (0.5, 0.9)}, image(), "Pixels are 1.5 x 1.5 mm; plain was trained for 0.5 to 0.9 mm."),
        ({"spacing_mm": (0.5, 1.2)}, image(), ""),
        ({"dicom_modality": "SM"}, image(format="NIfTI"), "Pixels are 1.5 x 1.5 mm; plain was made for microscopes"),
        (
            {"dicom_modality": "SM"},
            image(spacing=0.06, format="MetaImage"),
            "Pixels are 0.06 x 0.06 mm; plain was made",
        ),
        ({"dicom_modality": "SM"}, image(spacing=0.01, format="NIfTI"), ""),
        ({"dicom_modality": "SM"}, image(spacing=0.3, format="TIFF"), ""),
        ({"dicom_modality": "SM"}, image(format="DICOM", modality="SM"), ""),
        ({"dicom_modality": "SM"}, image(format="NIfTI", has_spacing=False), ""),
        ({"dicom_modality": "MR"}, image(format="NIfTI"), ""),
        (
            {"dicom_modality": "MR"},
            image(localizer=True),
            "The series is a localizer; plain was made for the slices that",
        ),
        (
            {"dicom_modality": "MR"},
            image(series_description="3PL LOC"),
            "The series is a localizer ('3PL LOC'); plain was",
        ),
        ({"dicom_modality": "MR"}, image(series_description="loc_tra"), "The series is a localizer"),
        ({"dicom_modality": "MR"}, image(series_description="AAHScout_MPR"), "The series is a localizer"),
        ({"dicom_modality": "MR"}, image(series_description="local shim cine"), ""),
        ({"dicom_modality": "MR"}, image(series_description="cine_sa allocated"), ""),
        ({"dicom_modality": "SM"}, image(series_description="survey"), ""),
        (
            {"oblique": True},
            image(format="DICOM"),
            "The slices are axial; plain was trained on slices oblique to the body",
        ),
        ({"oblique": True}, image(format="DICOM", has_place=False), ""),
        ({"oblique": True}, image(format="NIfTI"), ""),
        ({}, image(format="DICOM"), ""),
    ],
)
def test_each_doubt_and_its_sentence(card, volume, sentence):
    found = doubts(volume, replace(PLAIN, **card))
    assert [text[: len(sentence)] for text in found] == ([sentence] if sentence else [])


def test_remarks_are_not_doubts():
    card = replace(PLAIN, spacing_mm=(0.5, 1.2), most_slices=3)
    found = guard.compare(image(), card, Slices(image(), None))
    assert found.doubts == () and found.warnings == found.remarks
    pixels, slices = found.remarks
    assert "1.5 x 1.5 mm" in pixels and slices == "The stack has 4 slices; plain was made for stacks of at most 3."
    outside = guard.compare(image(modality="CT"), replace(card, dicom_modality="MR"), Slices(image(), None)).warnings
    assert outside[0] == f"{OUTSIDE}The image is CT; plain was trained on MR."


def test_middle_slices_of_stacks_and_time_series():
    assert guard.middle_slices(Volume(np.zeros((4, 4)), "yx")) == [0]
    assert guard.middle_slices(Volume(np.zeros((1, 4, 4)), "zyx")) == [0]
    assert guard.middle_slices(Volume(np.zeros((20, 4, 4)), "zyx")) == [7, 10, 13]
    assert guard.middle_slices(Volume(np.zeros((5, 20, 4, 4)), "tzyx")) == [47, 50, 53]


def test_lazy_arrays_are_read_in_few_places():
    read = []

    class Lazy:
        shape, dtype, ndim = (30, 32, 32), np.dtype(np.int16), 3

        def __getitem__(self, index):
            read.append(index)
            return np.arange(32 * 32, dtype=np.int16).reshape(32, 32)

    volume = Volume(Lazy(), "zyx")
    doubts(volume, CARDS["litenext-heart"])
    assert read == [(10,), (15,), (19,)]
    read.clear()
    doubts(volume, PLAIN)
    assert read == []


def test_images_without_anything_to_see_are_not_doubted_for_their_looks():
    empty = Volume(np.zeros((5, 64, 64), np.int16), "zyx", metadata={"has_spacing": False})
    assert doubts(empty, CARDS["litenext-heart"]) == ()


def test_the_doubt_is_in_the_plan_and_in_the_record():
    from napari_medseg.segmentation import segment
    from napari_medseg.segmentation.inference import InferenceSettings, plan

    model = models.load(models.find("litenext-heart"))
    ct = trunk_in_ct()
    (doubt,) = plan(ct, model, InferenceSettings(), trial=False).doubts
    found = segment(replace(ct, data=ct.data[:1]), model)
    assert f"{OUTSIDE}{doubt}" in found.record.warnings and "as CT does" in doubt


@pytest.mark.parametrize(
    ("normal", "named"),
    [((0, 0, 1), "axial"), ((0.2, 0, -1), "axial"), ((0, 1, 0.1), "coronal"), ((-1, 0.1, 0.1), "sagittal")],
)
def test_slices_along_the_body_are_named_for_a_model_of_oblique_ones(normal, named):
    assert f"The slices are {named};" in guard.plane(across(normal), replace(PLAIN, oblique=True))


@pytest.mark.parametrize("normal", [(0.67, -0.67, 0.32), (0.5, 0, 1), (0, 0.3, 1)])
def test_oblique_slices_are_not_doubted(normal):
    assert guard.plane(across(normal), replace(PLAIN, oblique=True)) == ""


def across(normal):
    """Slices across a direction, from a DICOM file."""
    direction = np.array(normal) / np.linalg.norm(normal)
    row = np.cross(direction, [0.3, 0.5, 0.8])
    row /= np.linalg.norm(row)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row, np.cross(direction, row), 8 * direction])
    return Volume(np.zeros((3, 4, 5)), "zyx", affine, metadata={"format": "DICOM"})
