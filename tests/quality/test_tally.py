"""Sums per slice against the obvious way, and the expected Dice against drawing truths."""

import numpy as np
import pytest

from unet_med.quality import entropy, expected_dice, label_probabilities
from unet_med.quality.tally import Tallying


def drawn_dice(likely, mask, *, n=400, seed=0):
    """Mean Dice of a mask with truths drawn voxel by voxel."""
    random = np.random.default_rng(seed)
    truths = random.random((n, *likely.shape)) < likely
    hits = (truths & mask).sum(axis=(1, 2))
    return float(np.mean(2 * hits / (mask.sum() + truths.sum(axis=(1, 2)))))


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_expected_dice_is_the_mean_over_drawn_truths(sharpness):
    rows, columns = np.mgrid[:30, :24]
    distance = 8 - np.hypot(rows - 15, columns - 12)
    likely = 1 / (1 + np.exp(-sharpness * distance))
    mask = likely > 0.5
    expected = expected_dice(*map(np.float64, (mask.sum(), likely[mask].sum(), likely.sum())))
    assert expected == pytest.approx(drawn_dice(likely, mask), abs=0.005)


def test_a_mask_larger_than_its_probabilities_expects_less():
    likely = np.full((10, 10), 0.2)
    mask = np.ones((10, 10), bool)
    expected = expected_dice(np.float64(100), np.float64(20), np.float64(20))
    assert expected == pytest.approx(drawn_dice(likely, mask), abs=0.01)


def test_without_voxels_there_is_no_expected_dice():
    assert np.isnan(expected_dice(np.zeros(1), np.zeros(1), np.array([3.0])))


def test_sums_are_those_of_the_slow_way():
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (5, 3, 6, 7)).astype(np.float32)
    values = (9, 4)
    labels = random.choice([0, 4, 9], (5, 6, 7), p=[0.5, 0.2, 0.3]).astype(np.uint8)
    labels[2][labels[2] == 4] = 0  # label 4 is missing in one slice
    tallying = Tallying(5, values, activation="softmax", temperature=2.0)
    for index in range(5):
        tallying.add_logits(index, logits[index], labels[index])
        tallying.add_labels(index, labels[index])
    likely = label_probabilities(logits, activation="softmax", temperature=2.0)
    doubt, tally = entropy(likely), tallying.tally
    for column, value in enumerate(values):
        for index in range(5):
            mask = labels[index] == value
            chance = likely[index, column + 1]
            earlier = [j for j in range(index) if (labels[j] == value).any()]
            shared = (mask & (labels[earlier[-1]] == value)).sum() if earlier else 0
            expected = (mask.sum(), chance[mask].sum(), chance.sum(), doubt[index][mask].sum())
            got = [table[index, column] for table in (tally.given, tally.hits, tally.mass)]
            np.testing.assert_allclose([*got, tally.entropy[index, column]], expected, rtol=1e-5)
            assert tally.shared[index, column] == shared
            assert tally.area[index, column] == mask.sum()


def test_sides_of_the_slice_are_named():
    labels = np.zeros((1, 4, 5), np.uint8)
    labels[0, 3, 2] = labels[0, 1, 0] = 1
    tallying = Tallying(1, (1, 2), activation="softmax", temperature=1.0)
    tallying.add_labels(0, labels[0])
    assert tallying.sides == ({"last row", "first column"}, set())
