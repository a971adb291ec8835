from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import LabelError
from unet_med.evaluation import score_volumes
from unet_med.evaluation.cohort import check_label_values, label_groups
from unet_med.volumes import from_array


def case_of(predicted, true):
    """A case whose masks hold these values."""
    masks = [np.zeros((1, 4, 3), np.uint8) for _ in range(2)]
    for mask, values in zip(masks, (predicted, true), strict=True):
        mask.flat[: len(values)] = sorted(values)
    return score_volumes(*(from_array(mask, np.eye(4)) for mask in masks))


@pytest.mark.parametrize(
    ("predicted", "true", "known"),
    [
        ({1, 2, 3}, {1, 2}, []),  # false positives of a label that this reference lacks
        ({1}, {1, 2}, []),
        (set(), {1}, []),  # a miss
        ({1}, set(), []),  # false positives
        ({2}, {1}, [{1, 2}]),  # a miss and a false alarm, with labels that belong together
        ({2}, {1}, [{1, 3}, {3, 2}]),  # connected by a third
        ({1}, set(), [{1, 2}]),
    ],
)
def test_labels_that_can_mean_the_same_are_scored(predicted, true, known):
    check_label_values(case_of(predicted, true), label_groups([true, *known]))


@pytest.mark.parametrize(
    ("predicted", "true", "known", "sets"),
    [
        ({255}, {1}, [], r"\{0, 255\}, the reference holds \{0, 1\}"),
        ({1}, {255}, [], r"\{0, 1\}, the reference holds \{0, 255\}"),
        ({1}, {255}, [{1}], r"\{0, 1\}, the reference holds \{0, 255\}"),
        ({255}, set(), [{1, 2}], r"\{0, 255\}, the references hold \{0, 1, 2\}"),
        ({10, 20}, {1, 2}, [{10, 20}], r"\{0, 10, 20\}, the reference holds \{0, 1, 2\}"),
    ],
)
def test_labels_that_share_nothing_are_an_error_with_both_sets(predicted, true, known, sets):
    with pytest.raises(LabelError, match=sets + r": they share none; .*--labels"):
        check_label_values(case_of(predicted, true), label_groups([true, *known]))


def test_the_order_in_which_groups_come_does_not_matter():
    groups = [{1, 2}, {5, 6}, {2, 5}, {9}]
    merged = {frozenset({1, 2, 5, 6}), frozenset({9})}
    assert set(label_groups(groups)) == set(label_groups(groups[::-1])) == merged
