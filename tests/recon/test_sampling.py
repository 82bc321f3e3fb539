"""Masks against those that fastMRI and the Conditional Swin U-Net drew bit for bit, and what must hold."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from napari_medseg.errors import SettingsError
from napari_medseg.recon import sampling
from napari_medseg.recon.settings import Sampling

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"
CASES = json.loads((REFERENCE / "masks.json").read_text())["cases"]
COLUMN_KINDS = [kind for kind in sampling.KINDS if kind != "poisson"]


@pytest.fixture(scope="module")
def drawn():
    with np.load(REFERENCE / "masks.npz", allow_pickle=False) as file:
        return dict(file)


def draw(case, stream):
    return sampling.draw_mask(
        stream,
        case["kind"],
        case["shape"][-2],
        case["accelerations"],
        case["center_fractions"],
        case["offset"],
        combine=case["allow_any_combination"],
    )


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_masks_of_fastmri(kind, drawn):
    cases = [case for case in CASES if case["kind"] == kind and "error" not in case]
    streams = {}
    for case in cases:
        seed = case["call_seed"]
        if seed is None:  # three calls in a row
            stream = streams.setdefault("unseeded", np.random.RandomState(case["constructor_seed"]))
        else:
            stream = np.random.RandomState(seed)
        mask = draw(case, stream)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, drawn[f"mask_{case['id']:03}"].astype(bool), err_msg=str(case))
        assert sampling.effective_acceleration(mask) == pytest.approx(case["effective_acceleration"])
        start, stop = sampling.centre_lines(mask)
        assert stop - start >= case["num_low_frequencies"]
    assert len(cases) > 30


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=lambda case: f"case {case['id']}")
def test_where_fastmri_fails_there_is_a_sentence(case):
    if len(case["shape"]) < 2:
        with pytest.raises(SettingsError, match="expected rows and columns"):
            Sampling(case["kind"]).mask(tuple(case["shape"]))
    else:
        with pytest.raises(SettingsError, match="use fewer centre lines"):
            draw(case, np.random.RandomState(case["call_seed"]))


def test_one_pair_of_a_seed_is_the_plain_mask(drawn):
    name = "file1000630.h5"
    case = next(c for c in CASES if c["call_seed"] == [*map(ord, name)] and c["kind"] == "equispaced_fraction")
    (acceleration,), (fraction,), rows_columns = case["accelerations"], case["center_fractions"], case["shape"][:2]
    mask = drawn[f"mask_{case['id']:03}"]
    seed = sampling.file_seed(f"folder/{name}")
    np.testing.assert_array_equal(
        sampling.sampling_mask(case["kind"], rows_columns[1], acceleration, fraction, seed), mask
    )
    options = Sampling(case["kind"], acceleration, fraction)
    np.testing.assert_array_equal(options.mask(rows_columns, name), mask)


def test_centre_heavy_masks():
    with np.load(REFERENCE / "center_heavy_masks.npz", allow_pickle=False) as file:
        for key in file.files:
            width, acceleration, ratio = map(float, re.findall(r"[\d.]+", key))
            mask = sampling.sampling_mask("center_heavy", int(width), acceleration, ratio)
            np.testing.assert_array_equal(mask, file[key].astype(bool), err_msg=key)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_exact_acceleration_and_a_full_centre(kind):
    mask = Sampling(kind, 5, 0.1, seed=3).mask((60, 81))
    assert np.count_nonzero(mask) == round(mask.size / 5)
    centre = mask if kind == "gaussian" else mask[27:33].all(0)
    start, stop = sampling.centre_lines(centre)
    assert start <= len(centre) // 2 and stop - start >= 8


@pytest.mark.parametrize("kind", sampling.KINDS)
def test_seeds(kind):
    def mask(seed, name=""):
        return Sampling(kind, 4, 0.04, seed).mask((24, 100), name)

    np.testing.assert_array_equal(mask(5, "a.h5"), mask(5, "b.h5"))
    np.testing.assert_array_equal(mask(None, "a.h5"), mask(None, "x/a.h5"))
    np.testing.assert_array_equal(mask(None), mask(0))
    if kind != "center_heavy":
        assert len({mask(seed).tobytes() for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("shape", "acceleration", "calibration"),
    [((128, 128), 4, (12, 12)), ((128, 128), 8, (12, 12)), ((160, 96), 6, (16, 16)), ((95, 96), 4, (0, 0))],
)
def test_poisson_disc(shape, acceleration, calibration):
    mask = sampling.poisson_mask(shape, acceleration, calibration, seed=17)
    assert mask.shape == shape and mask.dtype == bool
    assert sampling.effective_acceleration(mask) == pytest.approx(acceleration, abs=0.1)
    block = tuple(
        slice((n - lines + 1) // 2, (n + lines + 1) // 2) for n, lines in zip(shape, calibration, strict=True)
    )
    assert mask[block].all()
    points = np.argwhere(mask)
    distance = np.linalg.norm((points - np.array(shape) // 2) / np.array(shape) * 2, axis=1)
    assert distance.max() <= 1
    density = np.histogram(distance, np.linspace(0, 1, 6))[0] / np.arange(1, 10, 2)  # per area of the ring
    assert (np.diff(density) < 0).all()
    # independent draws of the same density leave far more direct neighbours
    outer = points[distance > 0.8]
    neighbours = KDTree(points).query(outer, k=2)[0][:, 1]
    assert (neighbours <= 1).mean() < 0.15 and neighbours.min() >= 1


def test_poisson_disc_that_cannot_be():
    with pytest.raises(SettingsError, match=r"at least; 1\.2 was asked for"):
        sampling.poisson_mask((40, 40), 1.2)
    with pytest.raises(SettingsError, match="use fewer centre lines"):
        sampling.poisson_mask((40, 40), 4, (20, 20))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "spiral"}, "choose one of random, equispaced, .*, poisson"),
        ({"acceleration": 0.5}, "acceleration is 0.5; expected a number from 1 up"),
        ({"acceleration": float("nan")}, "acceleration is nan"),
        ({"acceleration": 1e300}, "expected a number from 1 up to 1000000"),
        ({"center_fraction": 1.1}, "share from 0 to 1"),
        ({"offset": -1}, "offset of the mask is -1"),
        ({"seed": -1}, "seed is -1; expected a whole number"),
    ],
)
def test_impossible_options(options, text):
    with pytest.raises(SettingsError, match=text):
        Sampling(**options)
    if options.get("kind") is None:
        plain = {"kind": "random", "width": 64, "acceleration": 4, "center_fraction": 0.08, **options}
        with pytest.raises(SettingsError, match=text):
            sampling.sampling_mask(**plain)


def test_options_that_only_a_kind_cannot_take():
    for kind in COLUMN_KINDS:  # whatever comes: a mask or a sentence
        for width, acceleration, fraction in [(1, 1, 1), (2, 8, 0), (9, 2.5, 0.5), (30, 30, 0.04), (17, 1, 0.3)]:
            try:
                mask = sampling.sampling_mask(kind, width, acceleration, fraction, 1, offset=20)
            except SettingsError:
                continue
            assert mask.shape == (width,) and mask.any()
    with pytest.raises(SettingsError, match="whole acceleration"):
        sampling.sampling_mask("equispaced", 64, 2.5, 0.08)
    with pytest.raises(SettingsError, match="none of the 64 columns"):
        sampling.sampling_mask("center_heavy", 64, 100, 0.8)
    with pytest.raises(SettingsError, match="choose one of random"):
        sampling.sampling_mask("poisson", 64, 4, 0.08)
    with pytest.raises(SettingsError, match="one fraction for each acceleration"):
        sampling.draw_mask(np.random.RandomState(0), "random", 64, [4, 8], [0.08])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([1, 0, 1, 1, 1, 0, 1], (2, 5)),
        ([1, 1, 1, 1], (0, 4)),
        ([1, 1, 0, 1], (2, 2)),
        ([0, 1, 1], (1, 3)),
        ([0, 0, 0], (1, 1)),
    ],
)
def test_centre_lines(columns, expected):
    assert sampling.centre_lines(np.array(columns, bool)) == sampling.centre_lines(np.array(columns)) == expected


def test_effective_acceleration():
    columns = np.array([False, True, False, True])
    assert sampling.effective_acceleration(columns) == 2
