"""Probabilities against SciPy, and against painting every possible set of regions."""

from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from unet_med.inference import labels_from_logits
from unet_med.quality import label_probabilities, probabilities_and_entropy


def make_logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softmax_is_scipys_of_divided_logits(temperature):
    logits = make_logits(2, 5, 3, 4)
    likely = label_probabilities(logits, activation="softmax", temperature=temperature)
    np.testing.assert_allclose(likely, special.softmax(logits / temperature, axis=1), atol=1e-6)


def test_one_output_is_a_sigmoid_whatever_the_activation():
    logits = make_logits(2, 1, 3, 4)
    for activation in ("softmax", "sigmoid"):
        likely = label_probabilities(logits, activation=activation)
        np.testing.assert_allclose(likely[:, 1], special.expit(logits[:, 0]), atol=1e-6)
        np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-6)


def test_regions_are_painted_as_labels_are():
    logits = make_logits(1, 3, 2, 5)
    chance = special.expit(logits.astype(np.float64))
    expected = np.zeros((1, 4, 2, 5))
    for there in product((False, True), repeat=3):
        drawn = np.array(there)[None, :, None, None]
        weight = np.where(drawn, chance, 1 - chance).prod(axis=1)
        painted = labels_from_logits(
            np.where(drawn, 1.0, -1.0).astype(np.float32), (1, 2, 3), activation="sigmoid"
        )
        expected[:, int(painted[0, 0, 0])] += weight
    likely = label_probabilities(logits, activation="sigmoid")
    np.testing.assert_allclose(likely, expected, atol=1e-6)


def test_large_logits_neither_overflow_nor_lose_the_sum():
    logits = np.array([[800.0, -800.0, 0.0], [-1e30, 1e30, 5.0]], np.float32)[:, :, None, None]
    for activation in ("softmax", "sigmoid"):
        likely = label_probabilities(logits, activation=activation)
        np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("n_outputs", [1, 2, 4])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_entropy_is_scipys_as_a_share_of_the_largest(activation, n_outputs, temperature):
    logits = make_logits(2, n_outputs, 13, 15)
    likely, flag = probabilities_and_entropy(logits, activation=activation, temperature=temperature)
    alone = label_probabilities(logits, activation=activation, temperature=temperature)
    np.testing.assert_array_equal(likely, alone)
    exact = label_probabilities(
        logits.astype(np.float64), activation=activation, temperature=temperature
    )
    expected = stats.entropy(exact, axis=1) / np.log(exact.shape[1])
    np.testing.assert_allclose(flag, expected, atol=1e-6)
    assert flag.dtype == np.float32
    assert flag.min() >= 0
    assert flag.max() <= 1


def test_entropy_of_the_certain_and_of_the_undecided():
    huge = np.array([[1e38, -1e30], [-200.0, 400.0]], np.float32)[:, :, None, None]
    for activation in ("softmax", "sigmoid"):
        likely, flag = probabilities_and_entropy(huge, activation=activation, temperature=0.5)
        np.testing.assert_array_equal(likely.round(6), likely.round())
        np.testing.assert_allclose(flag, 0, atol=1e-12)
    even = np.full((1, 3, 1, 2), 7.0, np.float32)
    assert probabilities_and_entropy(even, activation="softmax")[1] == pytest.approx(1)
    even = np.log([[1.0], [0.5]], dtype=np.float32)[None, :, :, None]  # a third each
    assert probabilities_and_entropy(even, activation="sigmoid")[1] == pytest.approx(1)
