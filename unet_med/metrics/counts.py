"""Count true positive, false positive and false negative voxels per slice and label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unet_med.errors import GeometryError
from unet_med.metrics.labels import LabelArray, LabelEncoder, downcast_labels, integer_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

Counts = NDArray[np.int64]
Overlap = tuple[Counts, Counts, Counts]

FEW_LABELS = 12
"""Up to here comparing with each label is faster than one table of pairs.

Measured on 512 × 512 voxels: six comparing passes a label take 0.1 ms, the table 1.8 ms.
"""


N_AXES = 2
"""Axes of counts: slice and label."""


BYTES = 256
BYTE_PAIRS = BYTES * BYTES


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SliceCounts:
    """Hold voxel counts, one row per slice, one column per label.

    Attributes:
        tp: In the label in both masks, shape (n_slices, n_labels), int64.
        fp: In the label in the prediction only, same shape.
        fn: In the label in the reference only, same shape.

    Raises:
        ValueError: The shapes differ or have not two axes.

    Example:
        >>> counts = SliceCounts.zeros(n_slices=40, n_labels=2)
        >>> counts
        SliceCounts(n_slices=40, n_labels=2)
        >>> [total.tolist() for total in counts.sums()]
        [[0, 0], [0, 0], [0, 0]]
    """

    tp: Counts
    fp: Counts
    fn: Counts

    def __post_init__(self) -> None:
        shapes = {self.tp.shape, self.fp.shape, self.fn.shape}
        if len(shapes) > 1 or self.tp.ndim != N_AXES:
            msg = (
                "counts need three arrays of one shape (n_slices, n_labels), "
                f"got {self.tp.shape}, {self.fp.shape}, {self.fn.shape}"
            )
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"SliceCounts(n_slices={self.n_slices}, n_labels={self.n_labels})"

    @classmethod
    def zeros(cls, n_slices: int, n_labels: int) -> SliceCounts:
        """Return counts of nothing."""
        tp, fp, fn = np.zeros((3, n_slices, n_labels), np.int64)
        return cls(tp, fp, fn)

    @property
    def n_slices(self) -> int:
        """Return the number of rows."""
        return int(self.tp.shape[0])

    @property
    def n_labels(self) -> int:
        """Return the number of columns."""
        return int(self.tp.shape[1])

    def __add__(self, other: SliceCounts) -> SliceCounts:
        """Add counts of the same slices and labels, taken from different voxels."""
        return SliceCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def sums(self) -> tuple[Counts, Counts, Counts]:
        """Sum over the slices: tp, fp, fn of the volume, shape (n_labels,) each."""
        return self.tp.sum(axis=0), self.fp.sum(axis=0), self.fn.sum(axis=0)


def slice_counts(
    prediction: NDArray[Any], reference: NDArray[Any], *, labels: Sequence[int]
) -> SliceCounts:
    """Count the overlap of two label arrays, slice by slice, in one pass.

    A slice with a few labels is compared with each of them, one with many costs one
    ``bincount`` of the pairs (predicted label, reference label). Working memory is that of one
    slice.

    Args:
        prediction: Label values, shape (n_slices, H, W) or (n_slices, …).
        reference: Label values, same shape.
        labels: Distinct values to count, any order, gaps allowed; others are background.

    Returns:
        Counts, columns in the order of ``labels``.

    Raises:
        GeometryError: The shapes differ.
        LabelError: A value is no label, or ``labels`` repeats one.

    Example:
        >>> counts = slice_counts(np.array([[0, 5, 5]]), np.array([[0, 0, 5]]), labels=[5])
        >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()
        ([[1]], [[1]], [[0]])
    """
    if prediction.shape != reference.shape:
        msg = (
            f"prediction and reference differ in shape: {prediction.shape} and "
            f"{reference.shape}; bring them onto one grid first"
        )
        raise GeometryError(msg)
    codes = LabelEncoder.of(labels)
    counts = SliceCounts.zeros(prediction.shape[0], len(codes.labels))
    for index, (predicted, true) in enumerate(zip(prediction, reference, strict=True)):
        both, in_prediction, in_reference = _overlap(
            integer_labels(predicted, name="the prediction"),
            integer_labels(true, name="the reference"),
            codes,
        )
        counts.tp[index] = both
        counts.fp[index] = in_prediction - both
        counts.fn[index] = in_reference - both
    return counts


def _overlap(predicted: LabelArray, true: LabelArray, codes: LabelEncoder) -> Overlap:
    """Return voxels per label in both, in the prediction, in the reference."""
    if len(codes.labels) <= FEW_LABELS:
        return _overlap_by_comparison(predicted, true, codes.labels)
    predicted, true = downcast_labels(predicted), downcast_labels(true)
    bytes_only = predicted.dtype == true.dtype == np.uint8
    if bytes_only and codes.labels != tuple(range(1, codes.n_codes)) and true.size >= BYTE_PAIRS:
        return _overlap_of_bytes(predicted, true, codes.labels)
    n = codes.n_codes
    dtype: type[np.unsignedinteger[Any]] = np.uint16 if n * n <= 1 << 16 else np.uint32
    rows, columns = codes.encode(predicted, dtype=dtype), codes.encode(true, dtype=dtype)
    if n * n > max(rows.size, n):
        return _overlap_of_many_labels(rows.ravel(), columns.ravel(), n)
    pairs = rows * dtype(n)
    pairs += columns
    table = np.bincount(pairs.ravel(order="K"), minlength=n * n).reshape(n, n)
    return table.diagonal()[1:], table.sum(axis=1)[1:], table.sum(axis=0)[1:]


def _overlap_by_comparison(
    predicted: LabelArray, true: LabelArray, labels: tuple[int, ...]
) -> Overlap:
    """The same by comparing with each label, which takes a few labels the least time."""
    small = (downcast_labels(predicted), downcast_labels(true))
    equal = small[0] == small[1]
    mask = np.empty_like(equal)
    counts = np.zeros((3, len(labels)), np.int64)
    for column, label in enumerate(labels):
        np.equal(small[0], label, out=mask)
        counts[1, column] = np.count_nonzero(mask)
        mask &= equal
        counts[0, column] = np.count_nonzero(mask)
        np.equal(small[1], label, out=mask)
        counts[2, column] = np.count_nonzero(mask)
    return counts[0], counts[1], counts[2]


def _overlap_of_bytes(predicted: LabelArray, true: LabelArray, labels: tuple[int, ...]) -> Overlap:
    """The same from a table of all pairs of bytes: label values with gaps need no codes."""
    pairs = predicted.astype(np.uint16)
    pairs *= BYTES
    pairs += true
    table = np.bincount(pairs.ravel(order="K"), minlength=BYTE_PAIRS).reshape(BYTES, BYTES)
    values = np.asarray(labels)
    known = (values >= 0) & (values < BYTES)
    counts = np.zeros((3, len(labels)), np.int64)
    at = values[known]
    counts[:, known] = table.diagonal()[at], table.sum(axis=1)[at], table.sum(axis=0)[at]
    return counts[0], counts[1], counts[2]


def _overlap_of_many_labels(rows: LabelArray, columns: LabelArray, n: int) -> Overlap:
    """The same where a table of all pairs would be larger than the slice."""
    both = np.bincount(rows[rows == columns], minlength=n)
    in_prediction = np.bincount(rows, minlength=n)
    in_reference = np.bincount(columns, minlength=n)
    return both[1:], in_prediction[1:], in_reference[1:]
