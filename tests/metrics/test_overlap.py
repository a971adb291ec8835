from __future__ import annotations

import numpy as np
import pytest

from unet_med.metrics import (
    SliceCounts,
    relative_volume_error,
    slice_counts,
    volume_iou,
    volume_precision,
    volume_recall,
)

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
