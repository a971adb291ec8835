"""Dice, IoU, precision, recall and volume error from counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unet_med.metrics import (
    EmptyPolicy,
    SliceCounts,
    SliceState,
    dice,
    relative_volume_error,
    slice_counts,
    slice_dice_mean,
    slice_dice_median,
    slice_states,
    volume_dice,
    volume_iou,
    volume_precision,
    volume_recall,
)

MASKS = hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))


def dice_by_sets(prediction, reference, label):
    p = {tuple(at) for at in np.argwhere(prediction == label)}
    r = {tuple(at) for at in np.argwhere(reference == label)}
    return 2 * len(p & r) / (len(p) + len(r)) if p or r else np.nan


def one_label(tp, fp, fn):
    return SliceCounts(*(np.array(column, np.int64)[:, None] for column in (tp, fp, fn)))


@given(MASKS, MASKS)
def test_volume_dice_is_that_of_sets_symmetric_and_within_0_and_1(prediction, reference):
    labels = [1, 2, 3]
    scores = volume_dice(slice_counts(prediction, reference, labels=labels))
    expected = [dice_by_sets(prediction, reference, label) for label in labels]
    np.testing.assert_allclose(scores, expected, rtol=1e-15)
    swapped = volume_dice(slice_counts(reference, prediction, labels=labels))
    np.testing.assert_array_equal(scores, swapped)
    known = scores[~np.isnan(scores)]
    assert ((known >= 0) & (known <= 1)).all()


@given(MASKS, MASKS)
def test_volume_dice_is_the_mean_of_slices_weighted_by_their_sizes(prediction, reference):
    counts = slice_counts(prediction, reference, labels=[1])
    weights = 2 * counts.tp + counts.fp + counts.fn
    scores = dice(counts.tp, counts.fp, counts.fn, both_empty=EmptyPolicy.ZERO)
    total = weights.sum()
    expected = (scores * weights).sum() / total if total else np.nan
    np.testing.assert_allclose(volume_dice(counts), [expected], rtol=1e-12)


@pytest.mark.parametrize(
    ("policy", "value"),
    [(EmptyPolicy.SKIP, np.nan), (EmptyPolicy.ONE, 1.0), (EmptyPolicy.ZERO, 0.0)],
)
def test_an_empty_slice_has_the_named_value(policy, value):
    empty = np.array([0])
    np.testing.assert_array_equal(dice(empty, empty, empty, both_empty=policy), [value])


@pytest.mark.parametrize(
    ("policy", "mean", "median"),
    [
        # Slices: both empty, false positives only, half right (2·1 / (2 + 1 + 1)), perfect.
        (EmptyPolicy.SKIP, (0 + 0.5 + 1) / 3, 0.5),
        (EmptyPolicy.ONE, (1 + 0 + 0.5 + 1) / 4, 0.75),
        (EmptyPolicy.ZERO, (0 + 0 + 0.5 + 1) / 4, 0.25),
    ],
)
def test_means_over_slices_follow_their_policy(policy, mean, median):
    counts = one_label(tp=[0, 0, 1, 6], fp=[0, 9, 1, 0], fn=[0, 0, 1, 0])
    np.testing.assert_allclose(slice_dice_mean(counts, policy), [mean])
    np.testing.assert_allclose(slice_dice_median(counts, policy), [median])
    np.testing.assert_allclose(volume_dice(counts), [14 / (14 + 10 + 1)])


def test_a_mean_over_no_slice_is_unknown_not_zero():
    counts = one_label(tp=[0, 0], fp=[0, 0], fn=[0, 0])
    assert np.isnan(slice_dice_mean(counts, EmptyPolicy.SKIP)).all()
    assert np.isnan(volume_dice(counts)).all()


def test_states_name_the_empty_mask():
    counts = one_label(tp=[0, 0, 0, 0, 3], fp=[0, 2, 0, 2, 0], fn=[0, 0, 2, 2, 0])
    assert slice_states(counts)[:, 0].tolist() == [
        SliceState.BOTH_EMPTY,
        SliceState.REFERENCE_EMPTY,
        SliceState.PREDICTION_EMPTY,
        SliceState.BOTH,
        SliceState.BOTH,
    ]


def test_policies_and_states_are_written_as_words():
    assert [f"{policy}" for policy in EmptyPolicy] == ["skip", "one", "zero"]
    assert f"{SliceState.REFERENCE_EMPTY}" == "reference_empty"


def test_large_counts_do_not_wrap():
    # 5 · 10⁹ voxels: twice that does not fit 32 bits.
    big = np.array([5_000_000_000], np.int64)
    np.testing.assert_allclose(dice(big, big, big), [0.5])


ALL = (volume_iou, volume_precision, volume_recall, relative_volume_error)


def test_simpleitk_agrees_label_by_label():
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(0)
    prediction, reference = rng.choice(np.array([0, 1, 4], np.uint8), size=(2, 5, 7, 6))
    measure = sitk.LabelOverlapMeasuresImageFilter()
    images = [sitk.GetImageFromArray(mask) for mask in (prediction, reference)]
    measure.Execute(images[1], images[0])  # source is the reference, target the prediction
    counts = slice_counts(prediction, reference, labels=[1, 4])
    for column, label in enumerate((1, 4)):
        assert volume_iou(counts)[column] == pytest.approx(measure.GetJaccardCoefficient(label))
        p, r = prediction == label, reference == label
        assert volume_precision(counts)[column] == pytest.approx((p & r).sum() / p.sum())
        assert volume_recall(counts)[column] == pytest.approx((p & r).sum() / r.sum())
        error = (p.sum() - r.sum()) / r.sum()
        assert relative_volume_error(counts)[column] == pytest.approx(error)


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "expected"),
    [
        (0, 0, 0, [np.nan, np.nan, np.nan, np.nan]),
        (0, 3, 0, [0, 0, np.nan, np.nan]),  # the reference is empty
        (0, 0, 3, [0, np.nan, 0, -1]),  # a miss
        (4, 0, 0, [1, 1, 1, 0]),
        (2, 4, 2, [0.25, 2 / 6, 0.5, 0.5]),
    ],
)
def test_what_empty_masks_give(tp, fp, fn, expected):
    counts = SliceCounts(*(np.array([[value], [0]]) for value in (tp, fp, fn)))
    np.testing.assert_allclose([score(counts)[0] for score in ALL], expected)
