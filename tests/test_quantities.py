"""Numbers for people: rounded, but never to nothing."""

import math

import pytest

from napari_medseg.quantities import area, extent, rounded, suited, volume


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (12.345, 2, "12.35"),
        (0, 2, "0.00"),
        (0.026, 2, "0.03"),
        (0.0026, 2, "0.0026"),
        (-0.000123, 1, "-0.00012"),
        (1.4e-12, 2, "1.4e-12"),
        (math.inf, 2, "inf"),
        (math.nan, 2, "nan"),
        (1e9, 0, "1000000000"),
    ],
)
def test_small_numbers_are_not_rounded_to_nothing(value, decimals, text):
    assert rounded(value, decimals) == text


@pytest.mark.parametrize(
    ("mm2", "text"), [(0, "0.0 mm2"), (812.34, "812.3 mm2"), (0.0112, "11200.0 um2"), (3e-8, "0.030 um2")]
)
def test_areas_in_the_unit_that_suits_them(mm2, text):
    assert area(mm2) == text


@pytest.mark.parametrize(
    ("mm3", "text"),
    [(0, "0.00 ml"), (4321, "4.32 ml"), (12.5, "12.50 mm3"), (0.0021, "0.0021 mm3"), (3.3e-6, "3300.00 um3")],
)
def test_volumes_in_the_unit_that_suits_them(mm3, text):
    assert volume(mm3) == text


def test_extent_of_a_class_without_a_voxel_size_is_its_voxels():
    assert extent({"voxels": 1}) == "1 voxel"
    assert extent({"voxels": 3, "volume_mm3": 3e-9}) == "3.00 um3"


@pytest.mark.parametrize(
    ("unit", "values", "shown"),
    [
        ("ml", [4, 0.02, math.nan], ("ml", 1)),
        ("ml", [0, 0], ("ml", 1)),
        ("ml", [6.4e-14], ("um3", 1e12)),
        ("mm2", [1.1e-5, math.inf], ("um2", 1e6)),
        ("mm", [1e-4, 0], ("um", 1e3)),
        ("px", [1e-9], ("px", 1)),
    ],
)
def test_columns_have_the_unit_that_suits_their_largest_value(unit, values, shown):
    assert suited(unit, values) == shown
