from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from unet_med.preprocessing import InPlaneResampler, pad_to_multiple


def test_without_a_target_nothing_is_touched():
    slices = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    resampler = InPlaneResampler((5, 7), (2.0, 0.7), None)
    assert resampler.to_network(slices) is slices
    assert resampler.to_native(slices) is slices


def test_one_percent_off_is_left_alone():
    assert InPlaneResampler((50, 70), (1.009, 0.991), 1.0).network_shape == (50, 70)
    assert InPlaneResampler((50, 70), (1.1, 0.5), 1.0).network_shape == (55, 35)


def test_enlarging_is_linear_interpolation():
    """The oracle is SciPy's linear interpolation at the same positions."""
    plane = np.random.default_rng(1).normal(size=(6, 9)).astype(np.float32)
    resampler = InPlaneResampler((6, 9), (2.0, 3.0), 1.0)
    rows = (np.arange(12) + 0.5) / 2 - 0.5
    columns = (np.arange(27) + 0.5) / 3 - 0.5
    expected = ndimage.map_coordinates(
        plane, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    np.testing.assert_allclose(resampler.to_network(plane), expected, atol=1e-5)


def test_shrinking_averages_what_it_covers():
    checks = np.indices((40, 40)).sum(0).astype(np.float32) % 2
    shrunk = InPlaneResampler((40, 40), (0.25, 0.25), 1.0).to_network(checks)
    assert shrunk.shape == (10, 10)
    np.testing.assert_allclose(shrunk[1:-1, 1:-1], 0.5, atol=1e-6)  # edges repeat a pixel


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    spacing=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)),
    value=st.floats(-100, 100),
)
def test_a_constant_stays_constant_there_and_back(rows, columns, spacing, value):
    resampler = InPlaneResampler((rows, columns), spacing, 1.0)
    plane = np.full((1, 2, rows, columns), value, np.float32)
    there = resampler.to_network(plane)
    np.testing.assert_allclose(there, value, rtol=1e-5, atol=1e-5)
    back = resampler.to_native(there)
    assert back.shape == plane.shape
    np.testing.assert_allclose(back, value, rtol=1e-5, atol=1e-5)


def test_positions_stay_where_they_are():
    """The center of mass in mm does not move, so nothing is shifted by half a pixel."""
    plane = np.zeros((30, 40), np.float32)
    plane[11, 23] = 1
    resampler = InPlaneResampler((30, 40), (2.0, 1.5), 1.0)
    smooth = resampler.to_network(plane)
    center = np.array(ndimage.center_of_mass(smooth)) + 0.5
    np.testing.assert_allclose(center, [11.5 * 2.0, 23.5 * 1.5], atol=0.05)  # half a pixel is 0.5


def test_slices_do_not_depend_on_each_other():
    slices = np.random.default_rng(2).normal(size=(5, 2, 17, 13)).astype(np.float32)
    resampler = InPlaneResampler((17, 13), (0.7, 1.9), 1.0)
    alone = np.concatenate([resampler.to_network(slices[n : n + 1]) for n in range(5)])
    np.testing.assert_array_equal(resampler.to_network(slices), alone)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 30), (32, 1)])
def test_padding_twice_is_padding_once(shape):
    slices = np.random.default_rng(3).normal(size=(2, 1, *shape)).astype(np.float32)
    padded = pad_to_multiple(slices, 16)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert pad_to_multiple(padded, 16) is padded
    np.testing.assert_array_equal(padded[..., : shape[0], : shape[1]], slices)
    assert np.count_nonzero(padded) == np.count_nonzero(slices)
