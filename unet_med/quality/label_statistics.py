"""Collect sums per slice and label, from which every score without a reference follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.quality.connected_components import SliceRuns, StreamingComponentCounter
from unet_med.quality.probabilities import probabilities_and_entropy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Table = NDArray[np.float64]

_LARGEST_IN_TABLE = 1 << 16
"""Label value up to which a table says which column it is: half a megabyte."""


@dataclass(frozen=True)
class LabelStatistics:
    """Hold sums over each slice's voxels; arrays (n_slices, n_labels) float64.

    Attributes:
        predicted: Voxels that the network gave to the label.
        expected_tp: Sum of the label's probability over them: how many are expected to be right.
        probability_sum: Sum of the label's probability over the slice: how many voxels are
            expected to be the label in truth.
        entropy: Sum of the entropy, in 0 … 1, over the voxels given to the label.
        area: Voxels of the label in the mask, after any post-processing.
        shared: Voxels of the mask's label that it also has at the same place in the last slice
            before this one that holds the label at all.
    """

    predicted: Table
    expected_tp: Table
    probability_sum: Table
    entropy: Table
    area: Table
    shared: Table

    @classmethod
    def zeros(cls, n_slices: int, n_labels: int) -> LabelStatistics:
        """Return sums of nothing."""
        return cls(*np.zeros((6, n_slices, n_labels)))


class LabelStatisticsCollector:
    """Fill a `LabelStatistics` and count components as slices pass by, one after the other.

    Memory: one mask per label, and the probabilities of the voxels given at once.

    Args:
        n_slices: Slices of the scan.
        values: Label values in the recipe's order.
        activation: ``softmax`` or ``sigmoid``.
        temperature: Divides the logits.
    """

    def __init__(
        self, n_slices: int, values: Sequence[int], *, activation: str, temperature: float
    ) -> None:
        self.statistics = LabelStatistics.zeros(n_slices, len(values))
        self.components = StreamingComponentCounter(len(values))
        self.sides: tuple[set[str], ...] = tuple(set() for _ in values)
        self._values = tuple(values)
        self._order = np.argsort(values)
        self._table = _column_table(values) if max(values) <= _LARGEST_IN_TABLE else None
        self._activation = activation
        self._temperature = temperature
        self._previous: NDArray[np.integer] | None = None
        self._last: dict[int, NDArray[np.bool_]] = {}  # of labels not in the previous slice

    def add_logits(
        self, start: int, logits: NDArray[np.float32], labels: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Count what the network says about slices, or about some of their rows.

        Args:
            start: Index of the first.
            logits: (n, K, H, W) float32; every voxel comes once.
            labels: Label values (n, H, W) that follow from them.

        Returns:
            Probabilities (n, 1 + L, H, W), background first, and entropy (n, H, W) in 0 … 1.
        """
        probabilities, entropy = probabilities_and_entropy(
            logits, activation=self._activation, temperature=self._temperature
        )
        part, sums = slice(start, start + len(labels)), self.statistics
        n_slices, n_labels, n_voxels = len(labels), len(self._values), labels[0].size
        sums.probability_sum[part] += probabilities.reshape(n_slices, n_labels + 1, -1)[:, 1:].sum(
            axis=-1
        )
        there = labels.reshape(n_slices, -1) != 0
        voxels = np.flatnonzero(there)
        slices = np.repeat(np.arange(n_slices), np.count_nonzero(there, axis=1))
        columns = self._columns(labels.ravel().take(voxels))
        # From a voxel's place among the labels to that of its label among the probabilities.
        steps = np.arange(n_slices)[:, None] * n_labels + np.arange(n_labels) + 1
        groups = slices * n_labels + columns
        chances = probabilities.ravel().take(voxels + (steps * n_voxels).ravel().take(groups))
        sums.predicted[part] += self._by_group(n_slices, groups)
        sums.expected_tp[part] += self._by_group(n_slices, groups, chances)
        sums.entropy[part] += self._by_group(n_slices, groups, entropy.ravel().take(voxels))
        return probabilities, entropy

    def add_labels(self, start: int, labels: NDArray[np.integer]) -> None:
        """Count what slices of the mask tell by themselves and beside their neighbors.

        Args:
            start: Index of the first; every slice comes once, in order.
            labels: Label values (n, H, W), as they are written.
        """
        n_known = 0 if self._previous is None else 1
        known = labels[:0] if self._previous is None else self._previous[None]
        stack = np.concatenate([known, labels])
        part = slice(start, start + len(labels))
        runs = SliceRuns(stack, n_joined=n_known)
        columns = self._columns(runs.values)
        n_labels, n_stack = len(self._values), len(stack)
        area = self._by_group(n_stack, runs.slices * n_labels + columns, runs.lengths)
        self.statistics.area[part] = area[n_known:]
        places, lengths = runs.overlaps
        groups = runs.slice_of(places) * n_labels + self._columns(runs.pixels[places])
        shared = self._by_group(n_stack, groups, lengths)
        self.statistics.shared[part] = shared[n_known:]
        self._add_after_gaps(start - n_known, stack, area > 0)
        for side, there in runs.ends().items():
            for column in np.unique(columns[there]).tolist():
                self.sides[column].add(side)
        self.components.add(runs, columns, len(stack))
        self._previous = stack[-1]

    def _add_after_gaps(
        self, start: int, stack: NDArray[np.integer], present: NDArray[np.bool_]
    ) -> None:
        """Compare slices with the last one before that holds a label, where slices lie between.

        Args:
            start: Index of the stack's first slice.
            stack: Label values (m, H, W).
            present: Which labels each slice holds, (m, n_labels).
        """
        for index, column in np.argwhere(present[1:] != present[:-1]).tolist():
            value = self._values[column]
            if present[index, column]:
                self._last[column] = stack[index] == value
            elif column in self._last:
                shared = (stack[index + 1] == value) & self._last.pop(column)
                self.statistics.shared[start + index + 1, column] = np.count_nonzero(shared)

    def _columns(self, values: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the column of each label value, same shape."""
        if self._table is not None:
            return self._table.take(values)
        ordered = np.array(self._values, values.dtype)[self._order]
        return self._order.take(np.searchsorted(ordered, values))

    def _by_group(
        self,
        n_slices: int,
        groups: NDArray[np.intp],
        weights: NDArray[np.generic] | None = None,
    ) -> Table:
        """Return sums of weights, or how many there are, per slice and label.

        Args:
            n_slices: Number of slices.
            groups: slice · n_labels + column, (n,).
            weights: (n,).
        """
        n_labels = len(self._values)
        sums = np.bincount(groups, weights, minlength=n_slices * n_labels)
        return sums.reshape(n_slices, n_labels).astype(np.float64)


def _column_table(values: Sequence[int]) -> NDArray[np.intp]:
    """Return a table from label value to column."""
    table = np.zeros(max(values) + 1, np.intp)
    table[list(values)] = np.arange(len(values))
    return table
