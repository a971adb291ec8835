"""Other scores from the counts of a volume: IoU, precision, recall, volume error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from unet_med.metrics.counts import SliceCounts

Scores = NDArray[np.float64]


def volume_iou(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fp + fn) of the volume, shape (n_labels,); NaN where in neither mask."""
    tp, fp, fn = counts.sums()
    return _ratio(tp, tp + fp + fn)


def volume_precision(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fp) of the volume, shape (n_labels,); NaN where nothing is predicted."""
    tp, fp, _ = counts.sums()
    return _ratio(tp, tp + fp)


def volume_recall(counts: SliceCounts) -> Scores:
    """Return tp / (tp + fn) of the volume, shape (n_labels,); NaN where the reference is empty."""
    tp, _, fn = counts.sums()
    return _ratio(tp, tp + fn)


def relative_volume_error(counts: SliceCounts) -> Scores:
    """Return (prediction − reference) / reference in voxels, shape (n_labels,).

    Positive: too much was predicted. NaN where the reference is empty.
    """
    tp, fp, fn = counts.sums()
    return _ratio(fp - fn, tp + fn)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    return np.where(whole == 0, np.nan, part / np.maximum(whole, 1))
