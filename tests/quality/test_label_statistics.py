"""Sums per slice against the obvious way, and the expected Dice against drawing truths."""

import numpy as np
import pytest
from scipy import ndimage, stats

from unet_med.quality import expected_dice, label_probabilities
from unet_med.quality.label_statistics import LabelStatisticsCollector


def drawn_dice(likely, mask, *, n=400, seed=0):
    """Mean Dice of a mask with truths drawn voxel by voxel."""
    random = np.random.default_rng(seed)
    truths = random.random((n, *likely.shape)) < likely
    expected_tp = (truths & mask).sum(axis=(1, 2))
    return float(np.mean(2 * expected_tp / (mask.sum() + truths.sum(axis=(1, 2)))))


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


def slow_sums(logits, labels, values, *, activation, temperature):
    """Every sum slice by slice and label by label, in float64, as `LabelStatistics` defines it."""
    likely = label_probabilities(
        logits.astype(np.float64), activation=activation, temperature=temperature
    )
    flag = stats.entropy(likely, axis=1) / np.log(likely.shape[1])
    names = ("predicted", "expected_tp", "probability_sum", "entropy", "area", "shared")
    sums = {name: np.zeros((len(labels), len(values))) for name in names}
    for at in np.ndindex(len(labels), len(values)):
        index, column = at
        mask = labels[index] == values[column]
        chance = likely[index, column + 1]
        sums["predicted"][at] = sums["area"][at] = mask.sum()
        sums["expected_tp"][at], sums["probability_sum"][at] = chance[mask].sum(), chance.sum()
        sums["entropy"][at] = flag[index][mask].sum()
        earlier = [j for j in range(index) if (labels[j] == values[column]).any()]
        if earlier:
            sums["shared"][at] = (mask & (labels[earlier[-1]] == values[column])).sum()
    return sums


def tallied(logits, labels, values, *, step=1, activation="softmax", temperature=1.0):
    collector = LabelStatisticsCollector(
        len(labels), values, activation=activation, temperature=temperature
    )
    for start in range(0, len(labels), step):
        part = slice(start, start + step)
        collector.add_logits(start, logits[part], labels[part])
        collector.add_labels(start, labels[part])
    return collector


def slow_sides(labels, value):
    masks = labels == value
    edges = {
        "first row": masks[:, 0],
        "last row": masks[:, -1],
        "first column": masks[:, :, 0],
        "last column": masks[:, :, -1],
    }
    return {side for side, edge in edges.items() if edge.any()}


@pytest.mark.parametrize("step", [1, 3, 8])
@pytest.mark.parametrize("values", [(9, 4), (300, 70_000), (2, 1)])
@pytest.mark.parametrize(("activation", "n_outputs"), [("softmax", 3), ("sigmoid", 2)])
def test_sums_are_those_of_the_slow_way(activation, n_outputs, values, step):
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (8, n_outputs, 6, 7)).astype(np.float32)
    labels = random.choice([0, *values], (8, 6, 7), p=[0.5, 0.2, 0.3]).astype(np.uint32)
    labels[2:4][labels[2:4] == values[1]] = 0  # missing in two slices
    labels[5] = 0
    how = {"activation": activation, "temperature": 2.0}
    collector = tallied(logits, labels, values, step=step, **how)
    for name, expected in slow_sums(logits, labels, values, **how).items():
        np.testing.assert_allclose(
            getattr(collector.statistics, name), expected, rtol=2e-6, err_msg=name
        )


@pytest.mark.parametrize("step", [1, 4])
def test_smooth_labels_of_a_slice_of_ordinary_size(step):
    noise = np.random.default_rng(0).normal(size=(6, 4, 130, 97))
    logits = (90 * ndimage.gaussian_filter(noise, (1, 0, 5, 5))).astype(np.float32)
    logits[:, 0, :20] = logits[:, 0, :, 80:] = 40  # background around
    labels = np.argmax(logits, axis=1).astype(np.uint8)
    labels[2][labels[2] == 3] = 0
    collector = tallied(logits, labels, (1, 2, 3), step=step)
    expected = slow_sums(logits, labels, (1, 2, 3), activation="softmax", temperature=1.0)
    for name, sums in expected.items():
        np.testing.assert_allclose(
            getattr(collector.statistics, name), sums, rtol=2e-6, err_msg=name
        )
    assert collector.sides == tuple(slow_sides(labels, value) for value in (1, 2, 3))


def test_sides_of_the_slice_are_named():
    labels = np.zeros((1, 4, 5), np.uint8)
    labels[0, 3, 2] = labels[0, 1, 0] = 1
    collector = LabelStatisticsCollector(1, (1, 2), activation="softmax", temperature=1.0)
    collector.add_labels(0, labels)
    assert collector.sides == ({"last row", "first column"}, set())
