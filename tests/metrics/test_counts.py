from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unet_med.errors import GeometryError, LabelError
from unet_med.metrics import SliceCounts, slice_counts
from unet_med.metrics.counts import FEW_LABELS

VALUES = [0, 1, 2, 3, 7, 47, 254, 255, 256, 1000, 65535, 65536, 70_000, -1, -300]
DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64]


def counts_by_sets(prediction, reference, labels):
    """The slow oracle: sets of voxel positions."""
    rows = []
    for predicted, true in zip(prediction, reference, strict=True):
        row = []
        for label in labels:
            p = {tuple(at) for at in np.argwhere(predicted == label)}
            r = {tuple(at) for at in np.argwhere(true == label)}
            row.append((len(p & r), len(p - r), len(r - p)))
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(prediction), len(labels), 3)


def stacked(counts):
    return np.stack([counts.tp, counts.fp, counts.fn], axis=-1)


@st.composite
def mask_pairs(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    fitting = [
        v for v in VALUES if dtype.kind == "f" or np.iinfo(dtype).min <= v <= np.iinfo(dtype).max
    ]
    pool = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=6, unique=True))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5))
    masks = hnp.arrays(dtype, shape, elements=st.sampled_from(pool))
    labels = draw(st.lists(st.sampled_from(VALUES), max_size=6, unique=True))
    if draw(st.booleans()):  # too many to compare one by one
        labels += range(5000, 5000 + FEW_LABELS)
    return draw(masks), draw(masks), labels


@given(mask_pairs())
def test_counts_equal_sets_of_voxels(pair):
    prediction, reference, labels = pair
    counts = slice_counts(prediction, reference, labels=labels)
    np.testing.assert_array_equal(stacked(counts), counts_by_sets(prediction, reference, labels))


@pytest.mark.parametrize("n_labels", [FEW_LABELS, FEW_LABELS + 1, 60])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_consecutive_labels_are_their_own_codes(n_labels, dtype):
    rng = np.random.default_rng(n_labels)
    prediction, reference = rng.integers(0, n_labels + 1, (2, 2, 70, 71)).astype(dtype)
    labels = list(range(1, n_labels + 1))
    counts = slice_counts(prediction, reference, labels=labels)
    for column, label in enumerate(labels):
        p, r = prediction == label, reference == label
        np.testing.assert_array_equal(counts.tp[:, column], (p & r).sum(axis=(1, 2)))
        np.testing.assert_array_equal(counts.fp[:, column], (p & ~r).sum(axis=(1, 2)))
        np.testing.assert_array_equal(counts.fn[:, column], (~p & r).sum(axis=(1, 2)))


@pytest.mark.parametrize("n_labels", [1, 4, 14, 15, 16, 40, 120, 254, 255, 256, 300])
def test_every_table_width_counts_the_same(n_labels):
    """Pairs of codes fit uint8, uint16, or a table of all pairs is larger than the slice."""
    rng = np.random.default_rng(n_labels)
    labels = rng.permutation(np.arange(1, 900))[:n_labels].tolist()
    pool = np.array([0, *labels, 899])
    prediction, reference = rng.choice(pool, size=(2, 2, 40, 41))
    expected = [
        [
            ((p == v) & (r == v)).sum(),
            ((p == v) & (r != v)).sum(),
            ((p != v) & (r == v)).sum(),
        ]
        for p, r in zip(prediction, reference, strict=True)
        for v in labels
    ]
    counts = slice_counts(prediction, reference, labels=labels)
    np.testing.assert_array_equal(stacked(counts).reshape(-1, 3), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.int8])
def test_many_labels_with_gaps_count_on_large_slices(dtype):
    rng = np.random.default_rng(0)
    values = np.arange(1, 127, 7) if dtype is np.int8 else np.arange(3, 256, 12)
    pool = [0, *values, *([-1] if dtype in (np.int8, np.int16) else [])]
    prediction, reference = rng.choice(np.array(pool, dtype), size=(2, 2, 260, 261))
    labels = [300, *values[::-1].tolist(), 255 if dtype is np.int8 else 2, -7]
    counts = slice_counts(prediction, reference.swapaxes(1, 2).copy().swapaxes(1, 2), labels=labels)
    for column, label in enumerate(labels):
        p, r = prediction == label, reference == label
        np.testing.assert_array_equal(counts.tp[:, column], (p & r).sum(axis=(1, 2)))
        np.testing.assert_array_equal(counts.fp[:, column], (p & ~r).sum(axis=(1, 2)))
        np.testing.assert_array_equal(counts.fn[:, column], (~p & r).sum(axis=(1, 2)))


@given(mask_pairs(), st.permutations([0, 1, 2]))
def test_slices_sum_to_the_volume_along_any_axis(pair, axes):
    prediction, reference, labels = pair
    along_first = slice_counts(prediction, reference, labels=labels)
    along_other = slice_counts(prediction.transpose(axes), reference.transpose(axes), labels=labels)
    np.testing.assert_array_equal(along_first.sums(), along_other.sums())


@given(mask_pairs())
def test_swapping_the_masks_swaps_fp_and_fn(pair):
    prediction, reference, labels = pair
    there = slice_counts(prediction, reference, labels=labels)
    back = slice_counts(reference, prediction, labels=labels)
    np.testing.assert_array_equal(there.tp, back.tp)
    np.testing.assert_array_equal(there.fp, back.fn)
    np.testing.assert_array_equal(there.fn, back.fp)


def test_columns_follow_the_order_of_the_labels():
    mask = np.array([[1, 2, 2, 9, 9, 9]])
    counts = slice_counts(mask, mask, labels=[9, 1, 2])
    assert counts.tp.tolist() == [[3, 1, 2]]


def test_added_counts_of_two_halves_are_the_counts_of_the_whole():
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 4, (2, 3, 5, 8))
    whole = slice_counts(prediction, reference, labels=[1, 2, 3])
    left = slice_counts(prediction[..., :3], reference[..., :3], labels=[1, 2, 3])
    right = slice_counts(prediction[..., 3:], reference[..., 3:], labels=[1, 2, 3])
    np.testing.assert_array_equal(stacked(left + right), stacked(whole))


def test_booleans_and_big_endian_and_strided_views_count():
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 2, (2, 4, 6, 5)).astype(">i2")
    expected = stacked(slice_counts(prediction.copy(), reference.copy(), labels=[1]))
    flipped = stacked(slice_counts(prediction[::-1], reference[::-1], labels=[1]))
    np.testing.assert_array_equal(flipped[::-1], expected)
    as_bool = slice_counts(prediction.astype(bool), reference.astype(bool), labels=[1])
    np.testing.assert_array_equal(stacked(as_bool), expected)


def test_working_memory_is_that_of_a_slice():
    shape = (64, 128, 128)
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 5, (2, *shape), dtype=np.int64)
    tracemalloc.start()
    slice_counts(prediction, reference, labels=[1, 2, 3, 4])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    slice_bytes = 128 * 128 * 8
    assert peak < 6 * slice_bytes < prediction.nbytes / 10


def test_shapes_must_agree():
    with pytest.raises(GeometryError, match=r"\(1, 2, 3\) and \(1, 3, 2\)"):
        slice_counts(np.zeros((1, 2, 3), int), np.zeros((1, 3, 2), int), labels=[1])


def test_a_label_given_twice_is_refused():
    mask = np.zeros((1, 2, 3), int)
    with pytest.raises(LabelError, match=r"distinct, got \[1, 2, 1\]"):
        slice_counts(mask, mask, labels=[1, 2, 1])


def test_a_float_that_is_no_label_names_the_mask():
    labels, probabilities = np.zeros((1, 2, 3)), np.full((1, 2, 3), 0.25)
    with pytest.raises(LabelError, match=r"the prediction holds 0\.25"):
        slice_counts(probabilities, labels, labels=[1])
    with pytest.raises(LabelError, match=r"the reference holds 0\.25"):
        slice_counts(labels, probabilities, labels=[1])


def test_counts_of_unequal_shape_are_no_counts():
    tp = np.zeros((2, 3), np.int64)
    with pytest.raises(ValueError, match="one shape"):
        SliceCounts(tp, tp, tp[:1])
