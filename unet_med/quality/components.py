"""Connected components of labels that pass by slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.quality.runs import SliceRuns

    Numbers = NDArray[np.int64]


class ComponentCount:
    """Counts the components of every label, a few slices in memory at a time.

    Voxels that touch by face, edge or corner are one component, as in the scores
    (`unet_med.metrics.count_components`). Only components that reach the last slice are kept:
    a component that a slice does not go on with is finished, and only counted. Memory is that
    of the slices added at once, however many there are.

    Args:
        n_labels: Number of labels, told apart by their column 0 … n_labels - 1.

    Attributes:
        n_finished: Components of each label that ended before the last slice, (n_labels,).
        largest_finished: Voxels of the largest of them, 0 without any, (n_labels,).
    """

    def __init__(self, n_labels: int) -> None:
        self.n_finished: Numbers = np.zeros(n_labels, np.int64)
        self.largest_finished: Numbers = np.zeros(n_labels, np.int64)
        self._sizes: Numbers = np.zeros(0, np.int64)  # of the components in the last slice
        self._columns: Numbers = np.zeros(0, np.int64)  # and their labels
        self._last: Numbers = np.zeros(0, np.int64)  # component of each run of the last slice

    @property
    def count(self) -> Numbers:
        """Components of each label so far, (n_labels,)."""
        return self.n_finished + np.bincount(self._columns, minlength=len(self.n_finished))

    @property
    def largest(self) -> Numbers:
        """Voxels of the largest component of each label so far, 0 without any, (n_labels,)."""
        largest = self.largest_finished.copy()
        np.maximum.at(largest, self._columns, self._sizes)
        return largest

    def add(self, runs: SliceRuns, columns: NDArray[np.intp], n_slices: int) -> None:
        """Add slices.

        Args:
            runs: Of the last slice added before, if there was one, and of the new ones.
            columns: Column of each run's label, (n_runs,).
            n_slices: How many slices there are, the old one included.
        """
        n_old, n_runs, n_before = len(self._last), len(columns), len(self._sizes)
        here, there = runs.touching()
        ones = np.concatenate([here.astype(np.int64), np.arange(n_old)])
        others = np.concatenate([there.astype(np.int64), n_runs + self._last])
        groups, n_groups = _joined(n_runs + n_before, ones, others)
        sizes = np.concatenate([runs.lengths, self._sizes])
        sizes[:n_old] = 0  # they are in the components' sizes
        voxels = np.bincount(groups, sizes, minlength=n_groups).astype(np.int64)
        labels = np.zeros(n_groups, np.int64)
        labels[groups] = np.concatenate([columns, self._columns])
        self._go_on(groups[:n_runs][runs.slices == n_slices - 1], voxels, labels)

    def _go_on(self, groups: Numbers, voxels: Numbers, labels: Numbers) -> None:
        """Keep the groups that runs of the last slice belong to; the others are finished."""
        alive = np.zeros(len(voxels), bool)
        alive[groups] = True
        self.n_finished += np.bincount(labels[~alive], minlength=len(self.n_finished))
        np.maximum.at(self.largest_finished, labels[~alive], voxels[~alive])
        self._sizes, self._columns = voxels[alive], labels[alive]
        self._last = (np.cumsum(alive) - 1)[groups]


def _joined(n: int, here: Numbers, there: Numbers) -> tuple[Numbers, int]:
    """Return the group of each of n nodes, (n,), and how many groups the edges leave.

    Union-find for all edges at once: every root that touches a smaller one is hung below the
    smallest, and paths are cut short, until no edge joins two roots. SciPy has it, too, and takes
    longer to load than a scan of few slices to segment.
    """
    roots = np.arange(n)
    while True:
        ends = np.stack([roots[here], roots[there]])
        low, high = ends.min(axis=0), ends.max(axis=0)
        apart = low != high
        if not apart.any():
            break
        here, there = here[apart], there[apart]
        np.minimum.at(roots, high[apart], low[apart])
        while not np.array_equal(shorter := roots[roots], roots):
            roots = shorter
    numbers = np.cumsum(roots == np.arange(n)) - 1
    return numbers[roots], int(numbers[-1]) + 1 if n else 0
