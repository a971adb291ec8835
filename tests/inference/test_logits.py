"""Labels of logits; the mean of probabilities as logits, against SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from unet_med.errors import WeightsError
from unet_med.inference import labels_from_logits, smallest_label_dtype
from unet_med.inference.logits import MeanProbability

LOGITS = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)


def test_softmax_is_argmax_with_the_recipes_values():
    labels = labels_from_logits(LOGITS, (7, 2, 300), activation="softmax")
    assert labels.dtype == np.uint16
    table = {0: 0, 1: 7, 2: 2, 3: 300}
    for n, i, j in np.ndindex(3, 5, 6):
        assert labels[n, i, j] == table[int(np.argmax(LOGITS[n, :, i, j]))]


def test_one_output_is_a_label_where_the_logit_is_positive():
    logits = np.array([[[[-1.0, 0.0, 1e-6]]]], np.float32)
    labels = labels_from_logits(logits, (5,), activation="softmax")
    assert labels.tolist() == [[[0, 0, 5]]]
    np.testing.assert_array_equal(labels, labels_from_logits(logits, (5,), activation="sigmoid"))


def test_sigmoid_paints_later_regions_over_earlier_ones():
    logits = np.array([[[[1.0, 1.0, -1.0, -1.0]], [[-1.0, 1.0, 1.0, -1.0]]]], np.float32)
    labels = labels_from_logits(logits, (3, 1), activation="sigmoid")
    assert labels.tolist() == [[[3, 1, 1, 0]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(bad):
    logits = LOGITS.copy()
    logits[0, 0, 0, 0] = bad
    with pytest.raises(WeightsError, match="NaN or infinite"):
        labels_from_logits(logits, (1, 2, 3), activation="softmax")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((1,), "uint8"),
        ((255,), "uint8"),
        ((256,), "uint16"),
        ((1, 70_000), "uint32"),
        ((), "uint8"),
    ],
)
def test_the_smallest_unsigned_type_is_used(values, dtype):
    assert smallest_label_dtype(values) == np.dtype(dtype)


def logits_of(count, *, channels=4, scale=4.0):
    rng = np.random.default_rng(0)
    return [rng.normal(0, scale, (3, channels, 5, 7)).astype(np.float32) for _ in range(count)]


def mean_of(parts, activation):
    mean = MeanProbability(activation)
    for part in parts:
        mean.add(part)
    return mean.logits()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_softmax_is_the_mean_of_probabilities(count):
    parts = logits_of(count)
    before = [part.copy() for part in parts]
    result = mean_of(parts, "softmax")
    expected = np.mean([softmax(part.astype(np.float64), axis=1) for part in parts], axis=0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(softmax(result, axis=1), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(result), expected, rtol=1e-5)
    np.testing.assert_array_equal(parts, before)


@pytest.mark.parametrize(("activation", "channels"), [("sigmoid", 3), ("softmax", 1)])
def test_sigmoid_is_the_mean_of_probabilities(activation, channels):
    parts = logits_of(3, channels=channels)
    expected = np.mean([expit(part.astype(np.float64)) for part in parts], axis=0)
    result = mean_of(parts, activation)
    np.testing.assert_allclose(result, logit(expected), rtol=1e-4, atol=1e-5)
    sure = abs(expected - 0.5) > 1e-6
    np.testing.assert_array_equal((result > 0)[sure], (expected > 0.5)[sure])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_far_logits_stay_finite_and_keep_their_side(activation):
    part = np.zeros((1, 3, 1, 2), np.float32)
    part[0, :, 0, 0] = (900.0, -900.0, 0.0)
    part[0, :, 0, 1] = (-3e38, 3e37, -5.0)
    with np.errstate(all="raise", under="ignore"):
        result = mean_of([part, part], activation)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result.argmax(1), part.argmax(1))
    if activation == "sigmoid":
        np.testing.assert_array_equal(np.sign(result), np.sign(part))


def test_nothing_depends_on_what_is_computed_together():
    parts = logits_of(3, channels=25)
    together = mean_of(parts, "softmax")
    for n in range(3):
        alone = mean_of([part[n : n + 1, :, 2:3, 4:5] for part in parts], "softmax")
        np.testing.assert_array_equal(alone, together[n : n + 1, :, 2:3, 4:5])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_damaged_logits_are_refused(activation, value):
    part = np.zeros((1, 2, 2, 2), np.float32)
    part[0, 1, 1, 1] = value
    with pytest.raises(WeightsError, match="NaN or infinite"):
        MeanProbability(activation).add(part)
