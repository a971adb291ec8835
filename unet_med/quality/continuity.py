"""What neighboring slices say about each other: no probabilities, labels only."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Flags = NDArray[np.bool_]

SAME_THING = 0.3
"""Dice between the slices on both sides of a gap from which they show one thing: parts of one
organ overlap, two lesions one above the other hardly do."""

SMALL = 0.1
"""Share of a label's usual area; a gap next to smaller areas is the end of something thin."""

WINDOW = 5
"""Slices looked at on each side when an area is compared with its neighbors'."""

JUMP = 1.5
"""Factor by which an area may lie beyond its neighbors' before it is called a jump."""


def neighbor_dice(area: Column, shared: Column) -> Column:
    """Return the Dice of each slice's mask with the more similar of its two neighbors'.

    The more similar one, because the neighbors of a single bad slice are themselves fine.

    Args:
        area: Voxels of the label per slice, (n,).
        shared: Voxels shared with the last slice before that has the label, (n,).

    Returns:
        (n,) in [0, 1]; NaN where the slice has no voxel; 0 where neither neighbor has one. A
        scan of one slice gives 1: nothing speaks against it.

    Example:
        >>> neighbor_dice(np.array([4.0, 6.0, 0.0]), np.array([0.0, 4.0, 0.0])).tolist()
        [0.8, 0.8, nan]
    """
    if len(area) == 1:
        return np.where(area > 0, 1.0, np.nan)
    total = area[1:] + area[:-1]
    adjacent = (area[1:] > 0) & (area[:-1] > 0)
    pairs = np.where(adjacent, 2.0 * shared[1:] / np.maximum(total, 1.0), 0.0)
    best = np.maximum(np.append(pairs, 0.0), np.insert(pairs, 0, 0.0))
    return np.where(area > 0, best, np.nan)


def gaps(area: Column, shared: Column) -> Flags:
    """Return which slices lack the label inside something that goes on behind them, (n,) bool.

    A gap counts where the slices on both its sides overlap like parts of one thing
    (`SAME_THING`) and neither is small for this label (`SMALL`).
    """
    found = np.zeros(len(area), bool)
    present = np.flatnonzero(area > 0)
    if not present.size:
        return found
    usual = float(np.median(area[present]))
    for before, after in pairwise(present.tolist()):
        overlap = 2.0 * shared[after] / (area[before] + area[after])
        large = min(area[before], area[after]) >= SMALL * usual
        if after - before > 1 and overlap >= SAME_THING and large:
            found[before + 1 : after] = True
    return found


def area_ratio(area: Column) -> Column:
    """Return how far each area lies beyond its neighbors', (n,).

    The neighbors' area on each side is the median of those of the next `WINDOW` slices that
    have the label. An area between the two sides' is as it should be, 1; above both, the ratio
    to the larger, > 1; below both, the ratio to the smaller, < 1. Where one side has no
    neighbors, at the end of an organ or of the scan, any area may be right.

    Returns:
        Ratios > 0; 1 also where the slice has no voxel or no neighbor.

    Example:
        >>> area_ratio(np.array([100.0, 110, 40, 120, 130])).round(2).tolist()
        [1.0, 1.0, 0.38, 1.0, 1.0]
    """
    ratios = np.ones(len(area))
    for index in np.flatnonzero(area > 0):
        before = _median(area[max(0, index - WINDOW) : index])
        after = _median(area[index + 1 : index + 1 + WINDOW])
        low, high = min(before, after), max(before, after)
        if low:
            ratios[index] = area[index] / np.clip(area[index], low, high)
    return ratios


def _median(areas: Column) -> float:
    present = [area for area in areas.tolist() if area > 0]
    return median(present) if present else 0.0
