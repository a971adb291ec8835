from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from unet_med.metrics import ComponentCounts, count_components, label_boxes, union_box


def components_by_loop(mask):
    """Flood fill over all 26 neighbors."""
    left = {tuple(index) for index in np.argwhere(mask).tolist()}
    parts = []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            at = edge.pop()
            part.add(at)
            near = [one for one in left if max(abs(np.subtract(one, at))) <= 1]
            left.difference_update(near)
            edge += near
        parts.append(part)
    return parts


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.bool_, (2, 4, 3, 5)))
def test_counts_are_those_of_a_flood_fill(masks):
    prediction, reference = masks
    parts = components_by_loop(prediction), components_by_loop(reference)
    voxels = [{tuple(index) for index in np.argwhere(mask).tolist()} for mask in masks]
    assert count_components(prediction, reference) == ComponentCounts(
        reference=len(parts[1]),
        prediction=len(parts[0]),
        detected=sum(bool(part & voxels[0]) for part in parts[1]),
        false_positive=sum(not part & voxels[1] for part in parts[0]),
    )


def test_voxels_that_touch_by_a_corner_are_one():
    mask = np.zeros((3, 4, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[2, 3, 0] = True  # two columns away
    assert count_components(mask, mask).reference == 2


def test_one_voxel_in_common_is_enough_and_one_prediction_may_find_several():
    reference = np.zeros((1, 1, 9), bool)
    reference[..., [0, 1, 4, 8]] = True
    prediction = np.zeros_like(reference)
    prediction[..., 1:5] = True
    found = count_components(prediction, reference)
    assert found == ComponentCounts(reference=3, prediction=1, detected=2, false_positive=0)
    assert found.sensitivity == pytest.approx(2 / 3)
    assert np.isnan(count_components(prediction, np.zeros_like(reference)).sensitivity)


def test_simpleitk_counts_as_many():
    sitk = pytest.importorskip("SimpleITK")
    mask = np.random.default_rng(0).random((9, 7, 11)) < 0.08
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    labeled = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))  # fully connected
    assert count_components(mask, mask).reference == labeled.max() > 5


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.uint16, (2, 4, 3, 5), elements={"min_value": 0, "max_value": 9}))
def test_a_box_holds_the_label_of_both_masks_and_no_empty_margin(masks):
    labels = [9, 2, 5]
    boxes = label_boxes(*masks, labels=labels)
    for label in labels:
        where = np.argwhere((masks == label).any(axis=0))
        if not len(where):
            assert label not in boxes
            continue
        expected = zip(where.min(axis=0), where.max(axis=0) + 1, strict=True)
        assert [(side.start, side.stop) for side in boxes[label]] == list(expected)


def test_boxes_of_large_values_and_their_union():
    mask = np.zeros((3, 4), np.int32)
    mask[1, 2], mask[2, 0] = 100_000, 7
    boxes = label_boxes(mask, mask, labels=[7, 100_000])
    assert boxes == {7: (slice(2, 3), slice(0, 1)), 100_000: (slice(1, 2), slice(2, 3))}
    assert union_box(boxes.values()) == (slice(1, 3), slice(0, 3))
