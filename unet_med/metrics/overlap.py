"""Compute overlap metrics from counts: Dice, IoU, precision, recall, volume error.

A slice without the label in either mask counts as an `EmptyPolicy` says.

Source:
    L. R. Dice, Measures of the amount of ecologic association between species, Ecology 1945:
    2·tp / (2·tp + fp + fn).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from unet_med.metrics.counts import SliceCounts

Scores = NDArray[np.float64]


class EmptyPolicy(StrEnum):
    """Choose what a slice without the label in either mask counts for in a mean over slices.

    Example:
        >>> [str(policy) for policy in EmptyPolicy]
        ['skip', 'one', 'zero']
    """

    SKIP = "skip"
    """It is left out."""
    ONE = "one"
    """It counts as 1: rightly empty."""
    ZERO = "zero"
    """It counts as 0."""


class SliceState(StrEnum):
    """Say which of the two masks holds the label in a slice.

    Example:
        >>> str(SliceState.PREDICTION_EMPTY)
        'prediction_empty'
    """

    BOTH_EMPTY = "both_empty"
    REFERENCE_EMPTY = "reference_empty"
    PREDICTION_EMPTY = "prediction_empty"
    BOTH = "both"


def dice(
    tp: NDArray[Any],
    fp: NDArray[Any],
    fn: NDArray[Any],
    *,
    both_empty: EmptyPolicy = EmptyPolicy.SKIP,
) -> Scores:
    """Return Dice per entry.

    Args:
        tp: True positive counts, any shape.
        fp: False positive counts, same shape.
        fn: False negative counts, same shape.
        both_empty: The value where all three are 0; ``SKIP`` gives NaN.

    Returns:
        Values in [0, 1], or NaN, same shape.

    Example:
        >>> dice(np.array([3, 0]), np.array([1, 0]), np.array([1, 0])).tolist()
        [0.75, nan]
    """
    overlap = 2 * np.asarray(tp)
    total = overlap + fp + fn
    filled = overlap / np.maximum(total, 1)
    return np.where(total == 0, _value_of_empty(both_empty), filled)


def volume_dice(counts: SliceCounts) -> Scores:
    """Return the Dice of the volume from counts summed over its slices, shape (n_labels,).

    NaN where the label is in neither mask. It does not depend on the slice axis.

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> volume_dice(counts).tolist()
        [0.8]
    """
    tp, fp, fn = counts.sums()
    return dice(tp, fp, fn)


def slice_states(counts: SliceCounts) -> NDArray[np.object_]:
    """Return the `SliceState` per slice and label, shape (n_slices, n_labels).

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> [str(state) for state in slice_states(counts)[:, 0]]
        ['both', 'reference_empty']
    """
    in_prediction = counts.tp + counts.fp > 0
    in_reference = counts.tp + counts.fn > 0
    states = np.full(counts.tp.shape, SliceState.BOTH_EMPTY, dtype=object)
    states[in_prediction & ~in_reference] = SliceState.REFERENCE_EMPTY
    states[~in_prediction & in_reference] = SliceState.PREDICTION_EMPTY
    states[in_prediction & in_reference] = SliceState.BOTH
    return states


def slice_dice_mean(counts: SliceCounts, policy: EmptyPolicy) -> Scores:
    """Return the mean over slices of their Dice, shape (n_labels,); NaN if no slice counts.

    Args:
        counts: Counts per slice and label.
        policy: The value of a slice without the label in either mask.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> slice_dice_mean(counts, EmptyPolicy.SKIP).tolist()
        [0.5]
    """
    return _over_slices(counts, policy, np.mean)


def slice_dice_median(counts: SliceCounts, policy: EmptyPolicy) -> Scores:
    """Return the median over slices of their Dice, shape (n_labels,); NaN if no slice counts.

    Args:
        counts: Counts per slice and label.
        policy: The value of a slice without the label in either mask.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> slice_dice_median(counts, EmptyPolicy.SKIP).tolist()
        [0.5]
    """
    return _over_slices(counts, policy, np.median)


def _over_slices(
    counts: SliceCounts, policy: EmptyPolicy, reduce: Callable[[Scores], np.floating[Any]]
) -> Scores:
    scores = dice(counts.tp, counts.fp, counts.fn, both_empty=policy)
    columns = (column[~np.isnan(column)] for column in scores.T)
    return np.array([reduce(column) if column.size else np.nan for column in columns])


def _value_of_empty(policy: EmptyPolicy) -> float:
    match policy:
        case EmptyPolicy.SKIP:
            return float("nan")
        case EmptyPolicy.ONE:
            return 1.0
        case EmptyPolicy.ZERO:
            return 0.0


def volume_iou(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fp + fn) of the volume, shape (n_labels,); NaN where in neither mask.

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> volume_iou(counts).round(3).tolist()
        [0.667]
    """
    tp, fp, fn = counts.sums()
    return _ratio(tp, tp + fp + fn)


def volume_precision(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fp) of the volume, shape (n_labels,); NaN where nothing is predicted.

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> volume_precision(counts).round(3).tolist()
        [0.667]
    """
    tp, fp, _ = counts.sums()
    return _ratio(tp, tp + fp)


def volume_recall(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fn) of the volume, shape (n_labels,); NaN where the reference is empty.

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> volume_recall(counts).tolist()
        [1.0]
    """
    tp, _, fn = counts.sums()
    return _ratio(tp, tp + fn)


def relative_volume_error(counts: SliceCounts) -> Scores:
    """Return (prediction − reference) / reference in voxels, shape (n_labels,).

    Positive: too much was predicted. NaN where the reference is empty.

    Args:
        counts: Counts per slice and label.

    Example:
        >>> from unet_med.metrics import slice_counts
        >>> prediction, reference = np.array([[5, 5], [5, 0]]), np.array([[5, 5], [0, 0]])
        >>> counts = slice_counts(prediction, reference, labels=[5])
        >>> relative_volume_error(counts).tolist()
        [0.5]
    """
    tp, fp, fn = counts.sums()
    return _ratio(fp - fn, tp + fn)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    return np.where(whole == 0, np.nan, part / np.maximum(whole, 1))
