"""Connected components of labels that pass by slice by slice, joined by union-find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOUCHING = np.ones((3, 3), int)  # by edge or corner in the plane
_AROUND = tuple((row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1))


class ComponentCount:
    """Counts the components of one mask, one slice in memory at a time.

    Voxels that touch by face, edge or corner are one component, as in the scores
    (`unet_med.metrics.count_components`). Memory grows with the number of pieces, not of voxels.

    Source:
        Union-find with path halving: Tarjan, van Leeuwen, Worst-case analysis of set union
        algorithms, J. ACM 1984.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._voxels: list[int] = []
        self._last: NDArray[np.int64] | None = None  # number of each pixel's piece, 0 = none

    def add(self, mask: NDArray[np.bool_]) -> None:
        """Add the next slice (H, W), bool."""
        pieces, count = ndimage.label(mask, structure=_TOUCHING)
        if not count:
            self._last = None
            return
        base = len(self._parents)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        self._parents += range(base, base + count)
        self._voxels += sizes.tolist()
        numbered = np.where(pieces > 0, pieces + base, 0)
        if self._last is not None:
            for one, other in _touching_pairs(self._last, numbered):
                self._join(one - 1, other - 1)
        self._last = numbered

    def sizes(self) -> list[int]:
        """Return the voxels of each component, largest first."""
        roots = (n for n, parent in enumerate(self._parents) if n == parent)
        return sorted((self._voxels[root] for root in roots), reverse=True)

    def _root(self, piece: int) -> int:
        parents = self._parents
        while parents[piece] != piece:
            parents[piece] = parents[parents[piece]]
            piece = parents[piece]
        return piece

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first != second:
            self._parents[second] = first
            self._voxels[first] += self._voxels[second]


def _touching_pairs(last: NDArray[np.int64], current: NDArray[np.int64]) -> set[tuple[int, ...]]:
    """Return pairs of pieces (n > 0) of two neighbouring slices that touch.

    Where both slices hold the mask at one place, that pair is found there. A pixel that touches
    a piece of the other slice only beside its own place has nothing at its own place there;
    otherwise the pixel there belongs to the same piece and gives the pair.
    """
    present = current > 0
    above = present & (last > 0)
    pairs = [_unique_pairs(last[above], current[above])]
    rows, columns = np.nonzero(present & (last == 0))
    padded = np.pad(last, 1)
    pieces = current[rows, columns]
    for row, column in _AROUND:
        beside = padded[rows + row, columns + column]
        pairs.append(_unique_pairs(beside[beside > 0], pieces[beside > 0]))
    return {tuple(pair) for found in pairs for pair in found}


def _unique_pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> list[list[Any]]:
    if not first.size:
        return []
    codes = np.unique(first * (int(second.max()) + 1) + second)
    return [list(divmod(int(code), int(second.max()) + 1)) for code in codes]
