"""Connected components of a mask that passes by slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

_TOUCHING = np.ones((3, 3), int)  # by edge or corner in the plane
_AROUND = tuple((row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1))
_TABLE = 1 << 20
"""Pairs up to which a table of all of them is quicker than sorting those that occur."""


class ComponentCount:
    """Counts the components of one mask, one slice in memory at a time.

    Voxels that touch by face, edge or corner are one component, as in the scores
    (`unet_med.metrics.count_components`). Only components that reach the last slice are kept:
    a component that a slice does not go on with is finished, and only counted. Memory is that
    of a slice, however many slices there are.

    Attributes:
        n_finished: Components that ended before the last slice.
        largest_finished: Voxels of the largest of them, 0 without any.
    """

    def __init__(self) -> None:
        self.n_finished = 0
        self.largest_finished = 0
        self._sizes: Numbers = np.zeros(0, np.int64)  # of the components in the last slice
        self._last: Numbers | None = None  # component of each pixel, from 1 on, 0 = none

    @property
    def count(self) -> int:
        """Components so far."""
        return self.n_finished + len(self._sizes)

    @property
    def largest(self) -> int:
        """Voxels of the largest component so far, 0 without any."""
        return max(self.largest_finished, int(self._sizes.max(initial=0)))

    def add(self, mask: NDArray[np.bool_]) -> None:
        """Add the next slice (H, W), bool."""
        found, n_pieces = ndimage.label(mask, structure=_TOUCHING)
        pieces = np.asarray(found, np.int64)
        n_before = len(self._sizes)
        sizes = np.append(self._sizes, np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:])
        if self._last is not None and n_before and n_pieces:
            pairs = _touching_pairs(self._last, pieces)
        else:
            pairs = np.zeros((2, 0), np.int64)
        n_nodes = n_before + n_pieces
        ends = (pairs[0] - 1, n_before + pairs[1] - 1)
        graph = sparse.coo_array((np.ones(pairs.shape[1], bool), ends), shape=(n_nodes, n_nodes))
        n_groups, groups = csgraph.connected_components(graph, directed=False)
        voxels = np.zeros(n_groups, np.int64)
        np.add.at(voxels, groups, sizes)
        self._go_on(groups[n_before:], voxels, pieces)

    def _go_on(self, groups: NDArray[np.int32], voxels: Numbers, pieces: Numbers) -> None:
        """Keep the groups that the new pieces belong to; the others are finished."""
        alive = np.zeros(len(voxels), bool)
        alive[groups] = True
        self.n_finished += int(np.count_nonzero(~alive))
        self.largest_finished = max(self.largest_finished, int(voxels[~alive].max(initial=0)))
        numbers = np.cumsum(alive)  # from 1 on
        self._sizes = voxels[alive]
        self._last = np.append(0, numbers[groups])[pieces]


def _touching_pairs(last: Numbers, current: Numbers) -> Numbers:
    """Return pairs of numbers > 0 of two neighbouring slices that touch, (2, n), each once.

    Where both slices hold the mask at one place, that pair is found there. A pixel that touches
    a component of the other slice only beside its own place has nothing at its own place there;
    otherwise the pixel there belongs to the same component and gives the pair.
    """
    present = current > 0
    above = present & (last > 0)
    rows, columns = np.nonzero(present & (last == 0))
    padded, beside_of = np.pad(last, 1), current[rows, columns]
    beside = [padded[rows + row, columns + column] for row, column in _AROUND]
    first = np.concatenate([last[above], *beside])
    second = np.concatenate([current[above], *[beside_of] * len(_AROUND)])
    base = int(current.max()) + 1
    codes = (first * base + second)[first > 0]
    if (int(last.max()) + 1) * base > _TABLE:
        return np.stack(np.divmod(np.unique(codes), base))
    occurs = np.zeros((int(last.max()) + 1) * base, bool)
    occurs[codes] = True
    return np.stack(np.divmod(np.flatnonzero(occurs), base))
