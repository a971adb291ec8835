"""One score per slice and label, of three things that say how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.quality.continuity import gaps, neighbor_dice
from unet_med.quality.tally import expected_dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from unet_med.quality.tally import SliceTally

    Table = NDArray[np.float64]

NEIGHBOR_MM = 1.0
"""Distance between slices up to which neighbors are compared as they are.

Slices further apart differ more by nature: of what they differ by, the share of this distance
counts. The score was measured at 1 mm (docs/quality.md).
"""


WEIGHTS = (4, 2, 1)
"""Weights of expected Dice, certainty and neighbors in the score's geometric mean.

Chosen on training templates with planted faults: ``benchmarks/quality.py --fit … --compare``.
"""


def score_tables(tally: SliceTally, slice_mm: float) -> dict[str, Table]:
    """Return ``score``, ``expected_dice``, ``entropy`` and ``neighbor_dice``, as in `Quality`.

    The score is the geometric mean, weighted by `WEIGHTS`, of three numbers in 0 … 1: the expected
    Dice, the certainty 1 - entropy, and the Dice with the more similar neighbor, brought to
    `NEIGHBOR_MM`. Each fails in its own way: a network can be sure and wrong; noise makes
    neighbors differ. A slice inside a gap has score 0.

    Args:
        tally: Sums of all slices.
        slice_mm: Distance between slices.
    """
    present = (tally.given > 0) & (tally.area > 0)
    expected = np.where(present, expected_dice(tally.given, tally.hits, tally.mass), np.nan)
    entropy = np.where(present, tally.entropy / np.maximum(tally.given, 1.0), np.nan)
    columns = list(zip(tally.area.T, tally.shared.T, strict=True))
    neighbor = np.stack([neighbor_dice(*column) for column in columns], axis=1)
    missing = np.stack([gaps(*column) for column in columns], axis=1)
    near = 1.0 - (1.0 - neighbor) * min(1.0, NEIGHBOR_MM / slice_mm)
    score = geometric_mean((expected, np.clip(1.0 - entropy, 0.0, 1.0), near), WEIGHTS)
    return {
        "score": np.where(missing, 0.0, score),
        "expected_dice": expected,
        "entropy": entropy,
        "neighbor_dice": neighbor,
    }


def geometric_mean(numbers: Sequence[Table], weights: Sequence[int]) -> Table:
    """Return the weighted geometric mean of arrays, same shape.

    Example:
        >>> geometric_mean([np.array([0.25]), np.array([1.0])], [1, 1]).tolist()
        [0.5]
    """
    powers = [number**weight for number, weight in zip(numbers, weights, strict=True)]
    return np.asarray(np.prod(powers, axis=0) ** (1.0 / sum(weights)))
