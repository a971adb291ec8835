"""Warnings about scans that are unlike the training scans."""

from dataclasses import replace

import numpy as np

from unet_med.geometry import Geometry, slice_layout
from unet_med.preprocessing import IntensityStatistics
from unet_med.quality import intensity_warnings, scan_warnings, volume_warnings
from unet_med.recipe import Channel, Fingerprint, NetworkRecipe, Recipe

RECIPE = Recipe(
    "tiny",
    NetworkRecipe(1, 2, (2, 4)),
    (Channel("CT"),),
    {1: "liver"},
    fingerprint=Fingerprint(
        slice_spacing_mm=(1.0, 3.0),
        in_plane_spacing_mm=(0.5, 1.0),
        slice_size_mm=(100.0, 200.0),
        n_slices=(10, 60),
        intensity={"CT": (-1000.0, 1000.0)},
        volumes_ml={"liver": (800.0, 1600.0)},
    ),
)


def of_scan(shape, spacing, recipe=RECIPE):
    geometry = Geometry(shape, np.diag([*spacing, 1.0]))
    return scan_warnings(recipe, geometry, slice_layout(geometry, "axial"))


def test_a_scan_like_the_training_scans_gives_no_warning():
    assert of_scan((150, 140, 30), (1.0, 1.0, 3.1)) == ()


def test_what_is_outside_is_named_with_both_numbers():
    found = of_scan((150, 40, 5), (1.0, 1.2, 6.0))
    assert found == (
        "the distance between slices is 6 mm; in training it was 1 to 3 mm",
        "the spacing in the slice is 1.2 × 1 mm; in training it was 0.5 to 1 mm",
        "the size of a slice is 48 × 150 mm; in training it was 100 to 200 mm",
        "the number of slices is 5; in training it was 10 to 60",
    )


def test_an_empty_fingerprint_checks_nothing():
    assert of_scan((2, 3, 4), (9.0, 9.0, 9.0), replace(RECIPE, fingerprint=Fingerprint())) == ()


def test_values_are_compared_by_percentiles():
    counted = IntensityStatistics()
    counted.add(np.linspace(0, 4000, 10_000, dtype=np.float32).round().reshape(100, 100))
    (found,) = intensity_warnings(RECIPE, [counted])
    assert found.startswith("the values of CT (1st to 99th percentile) are 40 to 3960;")
    usual = IntensityStatistics()
    usual.add(np.linspace(-900, 1100, 10_000, dtype=np.float32).round().reshape(100, 100))
    assert intensity_warnings(RECIPE, [usual]) == ()


def test_volumes_have_a_margin_and_a_cut_organ_is_explained():
    assert volume_warnings(RECIPE.fingerprint, {"liver": 1990.0}) == ()
    (found,) = volume_warnings(RECIPE.fingerprint, {"liver": 300.0}, cut=["liver"])
    assert found.startswith("the volume of liver is 300 ml; in training it was 800 to 1600 ml; it")
    (missing,) = volume_warnings(RECIPE.fingerprint, {})
    assert "is 0 ml" in missing
