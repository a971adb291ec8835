"""Temperatures that are known because the truth is drawn from them."""

import numpy as np
import pytest
from scipy import special

from unet_med.errors import InputError
from unet_med.quality import (
    VoxelSample,
    fit_temperature,
    label_indices,
    label_probabilities,
    negative_log_likelihood,
    reliability,
)


def draw(temperature, *, n=40_000, k=4, seed=0):
    """Logits, and truths drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 4, (n, k)).astype(np.float32)
    chance = special.softmax(logits / temperature, axis=1)
    truth = (random.random((n, 1)) > np.cumsum(chance, axis=1)).sum(axis=1)
    return logits, np.minimum(truth, k - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_drew_the_truth_is_found(temperature):
    logits, truth = draw(temperature)
    found = fit_temperature(logits, truth, activation="softmax")
    assert found == pytest.approx(temperature, rel=0.03)
    before = reliability(logits, truth, activation="softmax", temperature=1.0).error
    after = reliability(logits, truth, activation="softmax", temperature=found).error
    assert after < 0.01
    assert temperature == 1.0 or before > 3 * after


@pytest.mark.parametrize("k", [1, 3])
def test_sigmoid_outputs_have_a_temperature_too(k):
    random = np.random.default_rng(1)
    logits = random.normal(0, 4, (40_000, k)).astype(np.float32)
    there = random.random(logits.shape) < special.expit(logits / 2.0)
    truth = np.where(there, np.arange(1, k + 1), 0).max(axis=1)
    found = fit_temperature(logits, truth, activation="sigmoid")
    assert found == pytest.approx(2.0, rel=0.04)


def test_the_fit_is_the_minimum_of_the_likelihood():
    logits, truth = draw(3.0, n=5000)

    def loss(temperature):
        return negative_log_likelihood(logits, truth, activation="softmax", temperature=temperature)

    found = fit_temperature(logits, truth, activation="softmax")
    assert loss(found) < min(loss(found * 0.97), loss(found * 1.03))
    chance = special.softmax(logits.astype(np.float64), axis=1)
    assert loss(1.0) == pytest.approx(-np.log(chance[np.arange(5000), truth]).mean(), rel=1e-5)


def test_reliability_is_counted_as_by_hand():
    logits, truth = draw(1.0, n=500, k=3)
    table = reliability(logits, truth, activation="softmax", temperature=1.7)
    chance = special.softmax(logits / 1.7, axis=1)
    for label in (1, 2):
        apart = total = 0.0
        for b in range(10):
            inside = (chance[:, label] >= max(b / 10, 0.01)) & (chance[:, label] < (b + 1) / 10)
            found, expected = (truth[inside] == label).sum(), chance[inside, label].sum()
            assert table.voxels[label - 1, b] == inside.sum()
            assert table.found[label - 1, b] == found
            assert table.expected[label - 1, b] == pytest.approx(expected, rel=1e-4)
            apart, total = apart + abs(found - expected), total + inside.sum()
        assert table.errors[label - 1] == pytest.approx(apart / total, rel=1e-4)


def test_no_label_depends_on_the_temperature():
    logits = np.random.default_rng(0).normal(0, 3, (1, 5, 20, 20)).astype(np.float32)
    likely = [
        label_probabilities(logits, activation="softmax", temperature=t) for t in (0.3, 1.0, 9.0)
    ]
    assert all((one.argmax(1) == logits.argmax(1)).all() for one in likely)


def test_a_sample_is_bounded_seeded_and_pairs_logits_with_their_truth():
    def sample():
        kept = VoxelSample(6, max_voxels=60)
        for _ in range(2):
            reference = np.random.default_rng(0).choice([0, 5, 7], (3, 8, 9))
            logits = np.stack([reference == 0, reference == 7, reference == 5], axis=1)
            kept.add(logits.astype(np.float32), reference, (7, 5))
        return kept

    kept = sample()
    assert kept.logits.shape == (60, 3)
    assert (kept.logits.argmax(axis=1) == kept.truth).all()
    assert set(kept.truth.tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(kept.truth, sample().truth)


def test_foreign_values_are_background():
    assert label_indices(np.array([3, 0, 200]), [200]).tolist() == [0, 0, 1]


def test_no_voxel_is_an_error():
    with pytest.raises(InputError, match="N > 0"):
        fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, int), activation="softmax")
