"""Count connected components of labels slice by slice, from runs.

A run is a stretch of a row that holds one label. A slice of an anatomy has some hundred runs where
it has ten thousands of pixels, and what touches what is decided at their ends. So areas, overlaps
and components of all labels together cost a few passes over the slice and little more.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Indices = NDArray[np.intp]


class StreamingComponentCounter:
    """Count the components of every label with a few slices in memory at a time.

    Voxels that touch by face, edge or corner are one component, as in the scores
    (`unet_med.metrics.count_components`). Only components that reach the last slice are kept:
    a component that a slice does not go on with is finished, and only counted. Memory is that
    of the slices added at once, however many there are.

    Args:
        n_labels: Number of labels, told apart by their column 0 … n_labels - 1.

    Attributes:
        n_finished: Components of each label that ended before the last slice, (n_labels,).
        largest_finished: Voxels of the largest of them, 0 without any, (n_labels,).

    Example:
        >>> counter = StreamingComponentCounter(n_labels=1)
        >>> labels = np.array([[[1, 0, 1]], [[1, 0, 0]]])
        >>> runs = SliceRuns(labels)
        >>> counter.add(runs, runs.values - 1, n_slices=2)
        >>> counter.count.tolist(), counter.largest.tolist()
        ([2], [2])
    """

    def __init__(self, n_labels: int) -> None:
        self.n_finished: Numbers = np.zeros(n_labels, np.int64)
        self.largest_finished: Numbers = np.zeros(n_labels, np.int64)
        self._sizes: Numbers = np.zeros(0, np.int64)  # of the components in the last slice
        self._columns: Numbers = np.zeros(0, np.int64)  # and their labels
        self._last: Numbers = np.zeros(0, np.int64)  # component of each run of the last slice

    @property
    def count(self) -> Numbers:
        """Return the components of each label so far, (n_labels,)."""
        return self.n_finished + np.bincount(self._columns, minlength=len(self.n_finished))

    @property
    def largest(self) -> Numbers:
        """Return the voxels of each label's largest component so far, 0 if none, (n_labels,)."""
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
        groups, n_groups = _connected(n_runs + n_before, ones, others)
        sizes = np.concatenate([runs.lengths, self._sizes])
        sizes[:n_old] = 0  # they are in the components' sizes
        voxels = np.bincount(groups, sizes, minlength=n_groups).astype(np.int64)
        labels = np.zeros(n_groups, np.int64)
        labels[groups] = np.concatenate([columns, self._columns])
        self._advance(groups[:n_runs][runs.slices == n_slices - 1], voxels, labels)

    def _advance(self, groups: Numbers, voxels: Numbers, labels: Numbers) -> None:
        """Keep the groups that runs of the last slice belong to; the others are finished."""
        alive = np.zeros(len(voxels), bool)
        alive[groups] = True
        self.n_finished += np.bincount(labels[~alive], minlength=len(self.n_finished))
        np.maximum.at(self.largest_finished, labels[~alive], voxels[~alive])
        self._sizes, self._columns = voxels[alive], labels[alive]
        self._last = (np.cumsum(alive) - 1)[groups]


def _connected(n: int, here: Numbers, there: Numbers) -> tuple[Numbers, int]:
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


class SliceRuns:
    """Find the runs of consecutive slices, in reading order, background left out.

    Slices lie one after the other in one row of pixels, each row and each slice followed by
    background, so that every neighbor of a pixel lies at a fixed distance and none is that of
    another row. What lies around all labels is cut off first.

    Args:
        labels: Label values (m, H, W), 0 = background.
        n_joined: How many of the first slices `touching` leaves out; they count as neighbors.
    """

    def __init__(self, labels: NDArray[np.integer], *, n_joined: int = 0) -> None:
        self._shape = labels.shape[1:]
        anywhere = labels.max(axis=0, initial=0) > 0
        self._top, rows = _span(anywhere.any(axis=1))
        self._left, columns = _span(anywhere.any(axis=0))
        labels = labels[:, rows, columns]
        n_slices, height, width = labels.shape
        self.row_step = width + 1
        self.slice_step = (height + 1) * (width + 1)
        self._front = self.slice_step + self.row_step + 1  # nothing lies before the array
        size = n_slices * self.slice_step
        self.pixels = np.zeros(self._front + size + self.row_step + 1, labels.dtype)
        inside = self.pixels[self._front : self._front + size]
        inside.reshape(n_slices, height + 1, width + 1)[:, :height, :width] = labels
        self._changes = np.zeros(self.pixels.shape, bool)
        np.not_equal(self.pixels[1:], self.pixels[:-1], out=self._changes[1:])
        self._unjoined = self._front + n_joined * self.slice_step
        places = np.flatnonzero(self._changes)
        starts = self.pixels.take(places) > 0
        # Every run ends where the next change is: background follows at the latest.
        self.starts: Indices = places[starts]
        self.lengths: Indices = np.diff(places, append=self.pixels.size)[starts]

    @property
    def values(self) -> NDArray[np.integer]:
        """Label value of each run, (n_runs,)."""
        return self.pixels.take(self.starts)

    @cached_property
    def slices(self) -> Indices:
        """Slice of each run, (n_runs,)."""
        return self.slice_of(self.starts)

    def slice_of(self, places: Indices) -> Indices:
        """Return the slice that places in ``pixels`` belong to, same shape."""
        return np.asarray((places - self._front) // self.slice_step)

    def ends(self) -> dict[str, NDArray[np.bool_]]:
        """Return, for each side of the slice, which runs reach it, (n_runs,) bool."""
        height, width = self._shape
        rows, columns = np.divmod((self.starts - self._front) % self.slice_step, self.row_step)
        rows += self._top
        columns += self._left
        return {
            "first row": rows == 0,
            "last row": rows == height - 1,
            "first column": columns == 0,
            "last column": columns + self.lengths == width,
        }

    @cached_property
    def overlaps(self) -> tuple[Indices, Indices]:
        """Where a label goes on from the slice before at the same place.

        First pixel of each stretch, in which neither slice changes, and its length.
        """
        places = self._steady(self.slice_step)
        lengths = np.diff(places, append=self.pixels.size)
        here = self.pixels.take(places)
        same = (here > 0) & (here == self.pixels.take(places - self.slice_step))
        return places[same], lengths[same]

    def touching(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return numbers of runs of one label that touch by face, edge or corner.

        Not all pairs, but enough to join what is one component.
        """
        pairs = [*self._in_the_slice(), *self._between_slices()]
        here, there = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return self._runs_at(here), self._runs_at(there)

    def _in_the_slice(self) -> list[tuple[Indices, Indices]]:
        """Return pairs of pixels of two rows that touch.

        Of two runs one above the other, the first pixel that they share is the start of one of
        them. Where only corners touch, a run starts at one of them.
        """
        row = self.row_step
        places = self._steady(row)
        above, left = places - row, places - 1
        here, up = self.pixels.take(places), self.pixels.take(above)
        below_left, up_left = self.pixels.take(left), self.pixels.take(above - 1)
        same = (here == up) & (here > 0)
        falling = (here == up_left) & (here != up) & (here > 0)
        rising = (below_left == up) & (here != up) & (up > 0)
        return [
            (places[same], above[same]),
            (places[falling], above[falling] - 1),
            (left[rising], above[rising]),
        ]

    def _between_slices(self) -> list[tuple[Indices, Indices]]:
        """Return pairs of pixels of two slices that touch.

        Two that touch by edge or corner count only where neither goes on at its own place in
        the other slice: else that pixel touches both.
        """
        same, _ = self.overlaps
        pairs = [(same, same - self.slice_step)]
        here = self.pixels[self._unjoined :]
        before = self.pixels[self._unjoined - self.slice_step : -self.slice_step]
        places = np.flatnonzero((here != before) & (here > 0)) + self._unjoined
        values = self.pixels.take(places)
        for row in (-self.row_step, 0, self.row_step):
            for column in (-1, 0, 1):
                beside = places + row + column
                if row or column:
                    there = beside - self.slice_step
                    touch = self.pixels.take(there) == values
                    touch &= self.pixels.take(beside) != values
                    pairs.append((places[touch], there[touch]))
        return pairs

    def _steady(self, step: int) -> Indices:
        """Return where pixels, or those a step before them, change."""
        changes = self._changes[self._unjoined :] | self._changes[self._unjoined - step : -step]
        return np.asarray(np.flatnonzero(changes) + self._unjoined)

    def _runs_at(self, places: Indices) -> NDArray[np.int32]:
        """Return the number of the run that each place, none of background, lies in."""
        if not len(self.starts):
            return np.zeros(0, np.int32)
        return np.asarray(self._numbers.take(places - self.starts[0]))

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        """Number of the last run that begins up to each pixel, from the first run's on."""
        reach = np.diff(self.starts, append=self.pixels.size)
        return np.repeat(np.arange(len(reach), dtype=np.int32), reach)


def _span(there: NDArray[np.bool_]) -> tuple[int, slice]:
    """Return where something begins, and from there to where it ends."""
    places = np.flatnonzero(there)
    if not places.size:
        return 0, slice(0, 0)
    return int(places[0]), slice(int(places[0]), int(places[-1]) + 1)
