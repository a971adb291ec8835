from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unet_med.errors import VolumeError
from unet_med.preprocessing import IntensityStatistics


def count(volume):
    statistics = IntensityStatistics()
    for index in range(volume.shape[2]):
        statistics.add(volume[:, :, index].astype(np.float32))
    return statistics


def assert_region(region, voxels):
    exact = voxels.astype(np.float64)
    np.testing.assert_allclose(region.mean, exact.mean(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(region.std, exact.std(), rtol=1e-7)
    assert region.n_voxels == voxels.size


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_integers_are_counted_exactly(dtype):
    rng = np.random.default_rng(1)
    volume = rng.integers(0, min(np.iinfo(dtype).max, 5000), (7, 5, 4)).astype(dtype)
    statistics = count(volume)
    assert_region(statistics.region("all"), volume)
    assert_region(statistics.region("above_mean"), volume[volume > volume.mean()])
    assert_region(statistics.region("nonzero"), volume[volume != 0])
    assert statistics.region("all").minimum == volume.min()
    assert statistics.region("all").maximum == volume.max()


def test_floats_keep_mean_and_deviation_to_float64():
    volume = np.random.default_rng(2).normal(100, 30, (7, 5, 4)).astype(np.float32)
    assert_region(count(volume).region("all"), volume)


def test_float_percentiles_are_within_a_bin():
    volume = np.random.default_rng(3).gamma(2.0, 50.0, (40, 30, 10)).astype(np.float32)
    for percent in (1, 50, 99.5):
        expected = np.percentile(volume, percent)
        np.testing.assert_allclose(count(volume).percentile(percent), expected, rtol=1 / 128)


def test_a_volume_with_some_whole_number_planes_is_one_histogram():
    volume = np.random.default_rng(4).normal(0, 500, (6, 5, 4)).astype(np.float32)
    volume[..., 1:3] = np.rint(volume[..., 1:3])
    assert_region(count(volume).region("all"), volume)


def test_large_integers_do_not_overflow():
    volume = np.array([[[0, 1 << 24], [70000, -70000]]], np.float32)
    assert_region(count(volume).region("all"), volume)


def test_nonfinite_voxels_are_left_out_and_counted():
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    volume[0, 0, 0], volume[1, 2, 3], volume[1, 0, 1] = np.nan, np.inf, -np.inf
    statistics = count(volume)
    assert statistics.n_nonfinite == 3
    assert_region(statistics.region("all"), volume[np.isfinite(volume)])


def test_what_is_counted_later_counts_too():
    rng = np.random.default_rng(2)
    volume = rng.normal(100, 20, (5, 6, 3)).astype(np.float32)
    volume[..., 0] = np.rint(volume[..., 0])
    statistics, other = IntensityStatistics(), IntensityStatistics()
    for index in (0, 1):
        statistics.add(volume[..., index])
        assert_region(statistics.region("all"), volume[..., : index + 1])
        assert statistics.percentile(100) == statistics.region("all").maximum
    other.add(volume[..., 2])
    statistics.join(other)
    assert_region(statistics.region("all"), volume)


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, -1234.567, 1e-30])
def test_equal_voxels_are_refused(value):
    with pytest.raises(VolumeError, match="all finite voxels"):
        count(np.full((3, 4, 5), value, np.float32)).region("all")


@pytest.mark.parametrize("values", [(1000.25, 1000.5), (-1000.5, -1000.25), (1.0, 1.001)])
def test_values_too_close_to_find_a_region_are_refused(values):
    """Floats of one bin: none of it can be said to lie above the mean."""
    statistics = IntensityStatistics()
    statistics.add(np.resize(np.float32(values), (4, 5)))
    assert statistics.region("all").std > 0
    with pytest.raises(VolumeError, match="too close together to tell the region 'above_mean'"):
        statistics.region("above_mean")


def test_no_finite_voxel_is_refused():
    with pytest.raises(VolumeError, match="no finite voxel"):
        count(np.full((3, 4, 5), np.nan, np.float32)).region("all")


@given(
    hnp.arrays(
        np.float32,
        (3, 2, 4),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    )
)
def test_mean_and_deviation_agree_with_numpy(volume):
    statistics = count(volume)
    if np.ptp(volume) == 0:
        with pytest.raises(VolumeError):
            statistics.region("all")
        return
    exact = volume.astype(np.float64)
    region = statistics.region("all")
    scale = float(np.abs(exact).max())
    np.testing.assert_allclose(region.mean, exact.mean(), rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(region.std, exact.std(), rtol=1e-4, atol=2e-6 * scale)


@pytest.mark.parametrize("step", [1.0, 0.25])
def test_joined_statistics_are_those_of_all_voxels(step):
    rng = np.random.default_rng(3)
    parts = [(rng.integers(-8, 8, (5, 7)) * step).astype(np.float32) for _ in range(3)]
    parts.append(np.array([[np.nan, 0.0]], np.float32))
    joined, whole = IntensityStatistics(), IntensityStatistics()
    for part in parts:
        one = IntensityStatistics()
        one.add(part)
        joined.join(one)
        whole.add(part)
    values = np.concatenate([part[np.isfinite(part)] for part in parts])
    assert joined.region("all") == whole.region("all")
    assert joined.region("all").mean == pytest.approx(values.mean())
    assert (joined.n_voxels, joined.n_nonfinite) == (values.size, 1)
    assert joined.n_zero == (values == 0).sum()
