from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import VolumeError
from unet_med.preprocessing import IntensityStatistics, Normalization, normalize


def count(volume):
    statistics = IntensityStatistics()
    for index in range(volume.shape[2]):
        statistics.add(volume[:, :, index])
    return statistics


VOLUME = np.random.default_rng(0).gamma(2.0, 300.0, (9, 7, 5)).astype(np.float32)


def test_zscore_is_mean_zero_deviation_one():
    mapped = normalize(VOLUME, Normalization("zscore"), count(VOLUME))
    assert mapped.dtype == np.float32
    np.testing.assert_allclose([mapped.mean(), mapped.std()], [0, 1], atol=1e-5)


def test_zscore_of_a_region_clips():
    rule = Normalization("zscore", "above_mean", low=-1.0, high=2.0)
    bright = VOLUME[VOLUME.mean() < VOLUME]
    expected = np.clip((VOLUME - bright.mean()) / bright.std(), -1, 2)
    np.testing.assert_allclose(normalize(VOLUME, rule, count(VOLUME)), expected, atol=2e-2)


def test_percentile_maps_to_zero_one():
    rule = Normalization("percentile", low=1.0, high=99.0)
    mapped = normalize(VOLUME, rule, count(VOLUME))
    assert mapped.min() == 0
    assert mapped.max() == 1
    assert 0.2 < np.median(mapped) < 0.5


def test_fixed_does_not_look_at_the_scan():
    rule = Normalization("fixed", low=-100.0, high=400.0, mean=50.0, std=80.0)
    expected = (np.clip(VOLUME, -100, 400) - 50) / 80
    np.testing.assert_allclose(normalize(VOLUME, rule, count(VOLUME)), expected, atol=1e-5)
    part = normalize(VOLUME[2:4], rule, count(VOLUME * 3))
    np.testing.assert_array_equal(part, normalize(VOLUME, rule, count(VOLUME))[2:4])


def test_a_slab_is_normalized_as_the_whole():
    statistics = count(VOLUME)
    whole = normalize(VOLUME, Normalization(), statistics)
    np.testing.assert_array_equal(
        normalize(VOLUME[..., 2:3], Normalization(), statistics), whole[..., 2:3]
    )


def test_nonfinite_voxels_become_the_smallest_value():
    volume = VOLUME.copy()
    volume[1, 2, 3], volume[0, 0, 0] = np.nan, np.inf
    mapped = normalize(volume, Normalization(), count(volume))
    assert np.isfinite(mapped).all()
    assert mapped[1, 2, 3] == mapped[0, 0, 0] == mapped.min()


def test_the_input_is_left_alone():
    before = VOLUME.copy()
    normalize(VOLUME, Normalization(), count(VOLUME))
    np.testing.assert_array_equal(VOLUME, before)


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "minmax"},
        {"region": "brain"},
        {"low": 2.0, "high": 1.0},
        {"method": "percentile"},
        {"method": "percentile", "low": 1.0, "high": 101.0},
        {"method": "fixed", "mean": 1.0},
        {"method": "fixed", "mean": 1.0, "std": 0.0},
    ],
)
def test_rules_that_cannot_work_are_refused(arguments):
    with pytest.raises(ValueError, match="normalization"):
        Normalization(**arguments)


def test_a_region_of_equal_voxels_is_refused():
    volume = np.zeros((4, 3, 2), np.float32)
    volume[0, 0, 0] = 5
    with pytest.raises(VolumeError, match="region 'nonzero'"):
        normalize(volume, Normalization("zscore", "nonzero"), count(volume))
