"""Compute the quality score: expected Dice, certainty, and agreement with the neighbors."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.quality.label_statistics import LabelStatistics

    Table = NDArray[np.float64]
    Column = NDArray[np.float64]
    BoolColumn = NDArray[np.bool_]

NEIGHBOR_MM = 1.0
"""Distance between slices up to which neighbors are compared as they are.

Slices further apart differ more by nature: of what they differ by, the share of this distance
counts. The score was measured at 1 mm (docs/quality.md).
"""


SCORE_WEIGHTS = (4, 2, 1)
"""Weights of expected Dice, certainty and neighbors in the score's geometric mean.

Chosen on training templates with planted faults: ``benchmarks/quality.py --fit … --compare``.
"""


def score_tables(statistics: LabelStatistics, slice_mm: float) -> dict[str, Table]:
    """Return ``score``, ``expected_dice``, ``entropy`` and ``neighbor_dice``, as in `Quality`.

    The score is the geometric mean, weighted by `SCORE_WEIGHTS`, of three numbers in 0 … 1: the
    expected Dice, the certainty 1 - entropy, and the Dice with the more similar neighbor,
    brought to `NEIGHBOR_MM`. Each fails in its own way: a network can be sure and wrong; noise
    makes neighbors differ. A slice inside a gap has score 0.

    Args:
        statistics: Sums of all slices.
        slice_mm: Distance between slices.
    """
    present = (statistics.predicted > 0) & (statistics.area > 0)
    expected = np.where(
        present,
        expected_dice(statistics.predicted, statistics.expected_tp, statistics.probability_sum),
        np.nan,
    )
    entropy = np.where(present, statistics.entropy / np.maximum(statistics.predicted, 1.0), np.nan)
    columns = list(zip(statistics.area.T, statistics.shared.T, strict=True))
    neighbor = np.stack([neighbor_dice(*column) for column in columns], axis=1)
    missing = np.stack([gaps(*column) for column in columns], axis=1)
    near = 1.0 - (1.0 - neighbor) * min(1.0, NEIGHBOR_MM / slice_mm)
    score = geometric_mean((expected, np.clip(1.0 - entropy, 0.0, 1.0), near), SCORE_WEIGHTS)
    return {
        "score": np.where(missing, 0.0, score),
        "expected_dice": expected,
        "entropy": entropy,
        "neighbor_dice": neighbor,
    }


def expected_dice(predicted: Table, expected_tp: Table, probability_sum: Table) -> Table:
    """Return the Dice that the probabilities lead to expect, same shape; NaN without voxels.

    With S the voxels given to a label and p_x its probability at voxel x, the truth has
    Σ_x p_x voxels in expectation, and Σ_{x in S} p_x of S are right. Dice is
    ``2 · right / (|S| + truth)``, and the ratio of the expectations

        ``2 · Σ_{x in S} p_x / (|S| + Σ_x p_x)``

    is its expectation up to terms of the size of the denominator's relative variance, which is
    below ``1 / |S|`` for independent voxels. It is right only as far as the probabilities are.

    Source:
        Borges, Pacheco, Silva, Soft Dice Confidence: a near-optimal confidence estimator for
        selective prediction in semantic segmentation, arXiv 2402.10665, which bounds the
        distance to the best possible estimate.

    Example:
        >>> expected_dice(np.array([10.0]), np.array([9.0]), np.array([14.0])).tolist()
        [0.75]
    """
    total = np.maximum(predicted + probability_sum, np.finfo(float).tiny)
    return np.where(predicted > 0, 2.0 * expected_tp / total, np.nan)


def geometric_mean(numbers: Sequence[Table], weights: Sequence[int]) -> Table:
    """Return the weighted geometric mean of arrays, same shape.

    Example:
        >>> geometric_mean([np.array([0.25]), np.array([1.0])], [1, 1]).tolist()
        [0.5]
    """
    powers = [number**weight for number, weight in zip(numbers, weights, strict=True)]
    return np.asarray(np.prod(powers, axis=0) ** (1.0 / sum(weights)))


GAP_MIN_DICE = 0.3
"""Dice between the slices on both sides of a gap from which they show one thing: parts of one
organ overlap, two lesions one above the other hardly do."""


GAP_MIN_AREA = 0.1
"""Share of a label's usual area; a gap next to smaller areas is the end of something thin."""


AREA_WINDOW = 5
"""Slices looked at on each side when an area is compared with its neighbors'."""


AREA_JUMP = 1.5
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


def gaps(area: Column, shared: Column) -> BoolColumn:
    """Return which slices lack the label inside something that goes on behind them, (n,) bool.

    A gap counts where the slices on both its sides overlap like parts of one thing
    (`GAP_MIN_DICE`) and neither is small for this label (`GAP_MIN_AREA`).
    """
    found = np.zeros(len(area), bool)
    present = np.flatnonzero(area > 0)
    if not present.size:
        return found
    usual = float(np.median(area[present]))
    for before, after in pairwise(present.tolist()):
        overlap = 2.0 * shared[after] / (area[before] + area[after])
        large = min(area[before], area[after]) >= GAP_MIN_AREA * usual
        if after - before > 1 and overlap >= GAP_MIN_DICE and large:
            found[before + 1 : after] = True
    return found


def area_ratio(area: Column) -> Column:
    """Return how far each area lies beyond its neighbors', (n,).

    The neighbors' area on each side is the median of those of the next `AREA_WINDOW` slices that
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
        before = _median(area[max(0, index - AREA_WINDOW) : index])
        after = _median(area[index + 1 : index + 1 + AREA_WINDOW])
        low, high = min(before, after), max(before, after)
        if low:
            ratios[index] = area[index] / np.clip(area[index], low, high)
    return ratios


def _median(areas: Column) -> float:
    present = [area for area in areas.tolist() if area > 0]
    return median(present) if present else 0.0
