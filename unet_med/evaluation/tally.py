"""What grows while two masks are read together: counts, and the voxels that shapes need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import LabelError
from unet_med.metrics import SliceCounts, present_values, slice_counts
from unet_med.metrics.values import narrowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.evaluation.settings import LabelKey, Region
    from unet_med.metrics.values import LabelArray

MAX_LABELS = 2000
"""More different values than this make no mask; whole-brain parcellations have a few hundred."""


class Tally:
    """Counts that grow by one column whenever a new label turns up."""

    def __init__(self, n_slices: int, *, regions: Sequence[Region] = ()) -> None:
        self.n_slices = n_slices
        self.regions = tuple(regions)
        self.counts: dict[LabelKey, NDArray[np.int64]] = {}
        self.prediction_values: set[int] = set()
        self.reference_values: set[int] = set()

    @property
    def labels(self) -> tuple[int, ...]:
        """Values other than 0 seen so far, ascending."""
        return tuple(sorted((self.prediction_values | self.reference_values) - {0}))

    def add(self, predicted: LabelArray, true: LabelArray, *, rows: slice) -> None:
        """Add voxels (n, H, W) of the slices ``rows``."""
        in_prediction, in_reference = present_values(predicted), present_values(true)
        self.prediction_values |= in_prediction
        self.reference_values |= in_reference
        self._check_number()
        labels = sorted((in_prediction | in_reference) - {0})
        self._grow(labels, slice_counts(predicted, true, labels=labels), rows=rows)
        for region in self.regions:
            if not set(labels).isdisjoint(region.values):
                masks = (np.isin(one, region.values) for one in (predicted, true))
                self._grow([region.key], slice_counts(*masks, labels=[1]), rows=rows)

    def slice_counts(self, labels: Sequence[LabelKey]) -> SliceCounts:
        """Return the counts of labels and regions, 0 for those that never turned up."""
        counts = SliceCounts.zeros(self.n_slices, len(labels))
        for column, label in enumerate(labels):
            if label in self.counts:
                total = self.counts[label]
                counts.tp[:, column], counts.fp[:, column], counts.fn[:, column] = total
        return counts

    def _grow(self, labels: Sequence[LabelKey], counts: SliceCounts, *, rows: slice) -> None:
        for column, label in enumerate(labels):
            total = self.counts.setdefault(label, np.zeros((3, self.n_slices), np.int64))
            total[0, rows] += counts.tp[:, column]
            total[1, rows] += counts.fp[:, column]
            total[2, rows] += counts.fn[:, column]

    def _check_number(self) -> None:
        held = {"prediction": self.prediction_values, "reference": self.reference_values}
        for name, values in held.items():
            if len(values) > MAX_LABELS:
                msg = (
                    f"the {name} holds more than {MAX_LABELS} different values: it looks like a "
                    "scan, not a mask; give the mask"
                )
                raise LabelError(msg)


class Gatherer:
    """Keeps the labels of both masks within the box that holds any, in 1, 2 or 4 bytes a voxel."""

    def __init__(self) -> None:
        self._parts: list[tuple[tuple[int, int, int], LabelArray, LabelArray]] = []

    def add(self, predicted: LabelArray, true: LabelArray, *, start: int) -> None:
        """Add planes (i, j, n) that begin at plane ``start``."""
        labeled = (predicted != 0) | (true != 0)
        box = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            held = np.flatnonzero(labeled.any(axis=others))
            if held.size == 0:
                return
            box.append(slice(int(held[0]), int(held[-1]) + 1))
        offset = (box[0].start, box[1].start, box[2].start + start)
        crops = [np.array(narrowed(one[tuple(box)])) for one in (predicted, true)]
        self._parts.append((offset, crops[0], crops[1]))

    def take(self) -> tuple[tuple[int, int, int], LabelArray, LabelArray] | None:
        """Return the first index of the box and both masks within it, and forget them.

        None when neither mask holds a label.
        """
        if not self._parts:
            return None
        offsets = np.array([offset for offset, _, _ in self._parts])
        ends = offsets + [true.shape for _, _, true in self._parts]
        first, shape = offsets.min(axis=0), ends.max(axis=0) - offsets.min(axis=0)
        dtype = np.result_type(*(one.dtype for _, *masks in self._parts for one in masks))
        both = tuple(np.zeros(shape, dtype) for _ in range(2))
        while self._parts:
            offset, *masks = self._parts.pop()
            where = tuple(
                slice(at - low, at - low + size)
                for at, low, size in zip(offset, first, masks[0].shape, strict=True)
            )
            for whole, part in zip(both, masks, strict=True):
                whole[where] = part
        start = (int(first[0]), int(first[1]), int(first[2]))
        return start, both[0], both[1]
