"""Check, list, encode and box the label values of masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unet_med.errors import LabelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LabelArray = NDArray[np.integer[Any]]


LABEL_TOLERANCE = 1e-3
"""Largest distance of a stored float from the label it stands for; slope and intercept of a
scaled file round by far less, an interpolated mask or a probability map lies further off."""


EXACT_FLOAT32_LABEL = 2**24
"""From here on float32 no longer tells neighboring integers apart: the next one becomes this."""


_TABLE_LIMIT = 2**16
"""Label values below this are looked up in a table, others by bisection."""


def integer_labels(array: NDArray[Any], *, name: str = "the mask") -> LabelArray:
    """Return an array of labels as integers, in the smallest common type if it was float.

    Args:
        array: Label values, any shape; bool, integer or float.
        name: What the array is, for the message.

    Returns:
        The same values as integers; integer input comes back as it is.

    Raises:
        LabelError: A value is NaN, infinite, too large for its type to be exact, or further
            than `LABEL_TOLERANCE` from an integer; or the type is no number.

    Example:
        >>> integer_labels(np.array([0.0, 2.0004])).tolist()
        [0, 2]
    """
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind != "f":
        msg = f"{name} holds {array.dtype} values, labels are integers: write it as integers"
        raise LabelError(msg)
    small = _exact_bytes(array)
    if small is not None:
        return small
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):  # inf - inf; the comparison below is then False
        exact = np.abs(array - rounded) <= LABEL_TOLERANCE
    if not exact.all():
        first = array[~exact].flat[0]
        msg = (
            f"{name} holds {first:.6g}, which is no label: labels are integers "
            f"(within {LABEL_TOLERANCE}); threshold or round the mask first"
        )
        raise LabelError(msg)
    return _as_integers(rounded, name=name)


def downcast_labels(labels: LabelArray) -> LabelArray:
    """Return labels as uint8 if they fit: one byte a voxel is compared and looked up faster."""
    if labels.dtype.itemsize == 1 or labels.size == 0:
        return labels
    bits = int(np.bitwise_or.reduce(labels, axis=None))  # one pass; negative if any value is
    return labels.astype(np.uint8) if 0 <= bits <= np.iinfo(np.uint8).max else labels


def _exact_bytes(array: NDArray[np.floating[Any]]) -> NDArray[np.uint8] | None:
    """Return floats as uint8, or None when one of them is not an integer from 0 to 255."""
    with np.errstate(invalid="ignore"):  # NaN and what is out of range cast to anything
        small = array.astype(np.uint8)
    return small if np.array_equal(small.astype(array.dtype), array) else None


def _as_integers(rounded: NDArray[np.floating[Any]], *, name: str) -> LabelArray:
    low, high = float(rounded.min()), float(rounded.max())
    if max(-low, high) >= EXACT_FLOAT32_LABEL:
        msg = (
            f"{name} holds the value {max(-low, high):.0f}; labels from {EXACT_FLOAT32_LABEL} "
            "on cannot be told apart as floats: use smaller label values"
        )
        raise LabelError(msg)
    if low < 0:
        return rounded.astype(np.int32)
    if high <= np.iinfo(np.uint8).max:
        return rounded.astype(np.uint8)
    return rounded.astype(np.uint16 if high < _TABLE_LIMIT else np.int32)


def unique_labels(labels: LabelArray) -> frozenset[int]:
    """Return every value an integer array holds, 0 included.

    Example:
        >>> sorted(unique_labels(np.array([[0, 7], [7, 2]])))
        [0, 2, 7]
    """
    if labels.size == 0:
        return frozenset()
    if _fits_table(labels):
        return frozenset(np.flatnonzero(np.bincount(labels.ravel(order="K"))).tolist())
    return frozenset(np.unique(labels).tolist())


@dataclass(frozen=True, slots=True)
class LabelEncoder:
    """Encode label values: the first label is 1, the second 2, …, anything else 0.

    Attributes:
        labels: Distinct values, any order, gaps allowed.
    """

    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            msg = f"labels must be distinct, got {list(self.labels)}"
            raise LabelError(msg)

    @classmethod
    def of(cls, labels: Sequence[int]) -> LabelEncoder:
        """Take labels in any integer type."""
        return cls(tuple(int(value) for value in labels))

    @property
    def n_codes(self) -> int:
        """Number of codes, the 0 for everything else included."""
        return len(self.labels) + 1

    def encode(self, values: LabelArray, *, dtype: type[np.unsignedinteger[Any]]) -> LabelArray:
        """Return the code of each value.

        Args:
            values: Label values, any shape.
            dtype: Unsigned type of the codes; must hold ``n_codes``.

        Returns:
            Codes, same shape.
        """
        if not self.labels or values.size == 0:
            return np.zeros(values.shape, dtype)
        if self._are_their_own_codes(values):
            return values.astype(dtype, copy=False)
        if min(self.labels) >= 0 and max(self.labels) < _TABLE_LIMIT and values.min() >= 0:
            return np.take(self._table(dtype), values, mode="clip")
        return self._encode_by_bisection(values).astype(dtype)

    def _are_their_own_codes(self, values: LabelArray) -> bool:
        consecutive = self.labels == tuple(range(1, self.n_codes))
        return consecutive and values.min() >= 0 and values.max() < self.n_codes

    def _table(self, dtype: type[np.unsignedinteger[Any]]) -> LabelArray:
        # One entry more than the largest label: larger values are clipped to it and get code 0.
        table = np.zeros(max(self.labels) + 2, dtype)
        table[list(self.labels)] = np.arange(1, self.n_codes)
        return table

    def _encode_by_bisection(self, values: LabelArray) -> NDArray[np.int64]:
        order = np.argsort(self.labels)
        ordered = np.asarray(self.labels, dtype=np.int64)[order]
        position = np.searchsorted(ordered, values).clip(max=len(ordered) - 1)
        return np.where(ordered[position] == values, order[position] + 1, 0)


def _fits_table(labels: LabelArray) -> bool:
    if labels.dtype.kind == "u" and np.iinfo(labels.dtype).max < _TABLE_LIMIT:
        return True
    return bool(labels.min() >= 0 and labels.max() < _TABLE_LIMIT)


Box = tuple[slice, ...]


def label_boxes(
    prediction: LabelArray, reference: LabelArray, *, labels: Sequence[int]
) -> dict[int, Box]:
    """Return the smallest box that holds a label in both masks.

    Args:
        prediction: Label values, any shape.
        reference: Label values, same shape.
        labels: Distinct values.

    Returns:
        A box per label; a label in neither mask has none.

    Example:
        >>> label_boxes(np.array([0, 7, 0, 0]), np.array([0, 0, 7, 0]), labels=[7, 9])
        {7: (slice(1, 3, None),)}
    """
    codes = LabelEncoder.of(labels)
    dtype = np.uint16 if codes.n_codes <= 1 << 16 else np.uint32
    boxes: dict[int, Box] = {}
    for mask in (prediction, reference):
        found = ndimage.find_objects(codes.encode(mask, dtype=dtype))
        for label, box in zip(codes.labels, found, strict=False):  # it stops at the last found
            if box is not None:
                boxes[label] = union_box([box, boxes.get(label, box)])
    return boxes


def union_box(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around boxes, of which there must be one.

    Example:
        >>> union_box([(slice(1, 3), slice(0, 2)), (slice(2, 6), slice(1, 2))])
        (slice(1, 6, None), slice(0, 2, None))
    """
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
