from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unet_med.inference.sliding_window import (
    importance_map,
    iter_windows,
    sliding_window_inference,
    window_starts,
)
from unet_med.recipe.sliding_window import SlidingWindow


@given(
    length=st.integers(1, 60),
    size=st.integers(1, 20),
    overlap=st.floats(0, 0.95),
)
def test_windows_cover_everything_and_stay_inside(length, size, overlap):
    size = min(size, length)
    starts = window_starts(length, size, overlap)
    covered = np.zeros(length, int)
    for start in starts:
        assert 0 <= start <= length - size
        covered[start : start + size] += 1
    assert covered.min() >= 1
    assert starts == sorted(set(starts))


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.8]),
    mode=st.sampled_from(["gaussian", "constant"]),
    batch=st.integers(1, 5),
)
def test_blending_returns_a_constant_field(rows, columns, size, overlap, mode, batch):
    settings = SlidingWindow(size, overlap, max_pixels=0, mode=mode)
    slices = np.full((2, 1, rows, columns), 7, np.float32)
    logits = sliding_window_inference(slices, lambda x: x * 3, settings=settings, batch_size=batch)
    assert logits.shape == slices.shape
    np.testing.assert_allclose(logits, 21, rtol=1e-5)


def test_a_local_predictor_has_no_seams():
    """A pixel-wise predictor gives the same windowed as whole."""
    slices = np.random.default_rng(0).normal(size=(3, 2, 33, 21)).astype(np.float32)
    settings = SlidingWindow((16, 8), 0.5, max_pixels=0)
    windowed = sliding_window_inference(slices, lambda x: x**2, settings=settings, batch_size=4)
    np.testing.assert_allclose(windowed, slices**2, rtol=1e-4, atol=1e-6)


def test_the_result_does_not_depend_on_the_batch():
    slices = np.random.default_rng(1).normal(size=(3, 1, 20, 30)).astype(np.float32)
    settings = SlidingWindow((8, 16), 0.5, max_pixels=0)
    results = [
        sliding_window_inference(
            slices, lambda x: np.cumsum(x, axis=-1), settings=settings, batch_size=batch
        )
        for batch in (1, 4, 100)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_predictor_output_is_not_changed():
    kept = []

    def predict(batch):
        kept.append((batch, batch.copy()))
        return batch

    slices = np.random.default_rng(2).normal(size=(1, 1, 12, 12)).astype(np.float32)
    sliding_window_inference(
        slices, predict, settings=SlidingWindow((8, 8), 0.5, max_pixels=0), batch_size=1
    )
    for given_out, before in kept:
        np.testing.assert_array_equal(given_out, before)


def test_weights_are_symmetric_positive_and_peak_at_one():
    weights = importance_map((9, 14), "gaussian")
    np.testing.assert_allclose(weights, weights[::-1, ::-1], rtol=1e-5)
    assert weights.min() >= 1e-3 * 0.999
    np.testing.assert_allclose(weights.max(), 1, rtol=1e-5)
    assert (importance_map((3, 4), "constant") == 1).all()


def test_only_slices_above_the_budget_are_cut():
    settings = SlidingWindow(max_pixels=600 * 500)
    assert not settings.is_needed((600, 500))
    assert settings.is_needed((600, 501))
    assert len(list(iter_windows((100, 120), SlidingWindow((512, 512))))) == 1


def test_slices_that_fit_into_one_window_are_not_blended():
    settings = SlidingWindow((512, 256), max_pixels=0)
    assert not settings.is_needed((512, 256))
    assert settings.is_needed((1, 257))
    assert settings.is_needed((513, 1))


@pytest.mark.parametrize(
    "arguments", [{"size": (0, 4)}, {"overlap": 1.0}, {"overlap": -0.1}, {"mode": "hann"}]
)
def test_impossible_rules_are_refused(arguments):
    with pytest.raises(ValueError, match="window"):
        SlidingWindow(**arguments)
