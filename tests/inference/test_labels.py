from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import WeightsError
from unet_med.inference import label_dtype, labels_from_logits

LOGITS = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)


def test_softmax_is_argmax_with_the_recipes_values():
    labels = labels_from_logits(LOGITS, (7, 2, 300), activation="softmax")
    assert labels.dtype == np.uint16
    table = {0: 0, 1: 7, 2: 2, 3: 300}
    for n, i, j in np.ndindex(3, 5, 6):
        assert labels[n, i, j] == table[int(np.argmax(LOGITS[n, :, i, j]))]


def test_one_output_is_a_label_where_the_logit_is_positive():
    logits = np.array([[[[-1.0, 0.0, 1e-6]]]], np.float32)
    labels = labels_from_logits(logits, (5,), activation="softmax")
    assert labels.tolist() == [[[0, 0, 5]]]
    np.testing.assert_array_equal(labels, labels_from_logits(logits, (5,), activation="sigmoid"))


def test_sigmoid_paints_later_regions_over_earlier_ones():
    logits = np.array([[[[1.0, 1.0, -1.0, -1.0]], [[-1.0, 1.0, 1.0, -1.0]]]], np.float32)
    labels = labels_from_logits(logits, (3, 1), activation="sigmoid")
    assert labels.tolist() == [[[3, 1, 1, 0]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(bad):
    logits = LOGITS.copy()
    logits[0, 0, 0, 0] = bad
    with pytest.raises(WeightsError, match="NaN or infinite"):
        labels_from_logits(logits, (1, 2, 3), activation="softmax")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((1,), "uint8"),
        ((255,), "uint8"),
        ((256,), "uint16"),
        ((1, 70_000), "uint32"),
        ((), "uint8"),
    ],
)
def test_the_smallest_unsigned_type_is_used(values, dtype):
    assert label_dtype(values) == np.dtype(dtype)
