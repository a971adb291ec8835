from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import LabelError
from unet_med.metrics import integer_labels, unique_labels
from unet_med.metrics.labels import EXACT_FLOAT32_LABEL, LABEL_TOLERANCE


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_near_integers_are_labels(dtype):
    stored = np.array([0.0, 1.0004, 1.9996, -0.0004, 3.0], dtype)
    taken = integer_labels(stored)
    assert taken.dtype.kind in "iu"
    assert taken.tolist() == [0, 1, 2, 0, 3]


@pytest.mark.parametrize("bad", [0.5, 1 + 2 * LABEL_TOLERANCE, np.nan, np.inf, -np.inf])
def test_other_floats_are_refused(bad):
    with pytest.raises(LabelError, match=r"my mask holds .*threshold or round"):
        integer_labels(np.array([0.0, 1.0, bad]), name="my mask")


def test_floats_too_large_to_be_exact_are_refused():
    fine = np.array([EXACT_FLOAT32_LABEL - 1], np.float32)
    assert integer_labels(fine).tolist() == [EXACT_FLOAT32_LABEL - 1]
    for value in (EXACT_FLOAT32_LABEL, EXACT_FLOAT32_LABEL + 1, -EXACT_FLOAT32_LABEL - 1, 2**25):
        with pytest.raises(LabelError, match="smaller label values"):
            integer_labels(np.array([value]).astype(np.float32))


def test_integers_stay_as_they_are():
    labels = np.array([-5, 3], np.int16)
    assert integer_labels(labels) is labels


def test_types_that_are_no_numbers_are_refused():
    with pytest.raises(LabelError, match="complex"):
        integer_labels(np.array([1j]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_present_values_are_the_unique_ones(dtype):
    rng = np.random.default_rng(0)
    pool = np.array([0, 3, 100] if dtype == np.uint8 else [0, 3, 300, 32767]).astype(dtype)
    labels = rng.choice(pool, size=(7, 5))
    assert unique_labels(labels) == set(np.unique(labels).tolist())


def test_present_values_may_be_negative_huge_or_none():
    assert unique_labels(np.array([-4, 10**12])) == {-4, 10**12}
    assert unique_labels(np.zeros((0, 3), np.uint8)) == set()
