"""Sums per slice and label, from which every score without a reference follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.quality.components import ComponentCount
from unet_med.quality.probabilities import entropy, label_probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Table = NDArray[np.float64]

_SIDES = ("first row", "last row", "first column", "last column")


@dataclass(frozen=True)
class SliceTally:
    """Sums over each slice's voxels; arrays (n_slices, n_labels) float64.

    Attributes:
        given: Voxels that the network gave to the label.
        hits: Sum of the label's probability over them: how many are expected to be right.
        mass: Sum of the label's probability over the slice: how many voxels are expected to be
            the label in truth.
        entropy: Sum of the entropy, in 0 … 1, over the voxels given to the label.
        area: Voxels of the label in the mask, after any post-processing.
        shared: Voxels of the mask's label that it also has at the same place in the last slice
            before this one that holds the label at all.
    """

    given: Table
    hits: Table
    mass: Table
    entropy: Table
    area: Table
    shared: Table

    @classmethod
    def zeros(cls, n_slices: int, n_labels: int) -> SliceTally:
        """Sums of nothing."""
        return cls(*np.zeros((6, n_slices, n_labels)))


def expected_dice(given: Table, hits: Table, mass: Table) -> Table:
    """Return the Dice that the probabilities lead to expect, same shape; NaN without voxels.

    With S the voxels given to a label and p_x its probability at voxel x, the truth has
    Σ_x p_x voxels in expectation, and Σ_{x in S} p_x of S are right. Dice is
    2 · right / (|S| + truth), and the ratio of the expectations

        2 · Σ_{x in S} p_x / (|S| + Σ_x p_x)

    is its expectation up to terms of the size of the denominator's relative variance, which is
    below 1 / |S| for independent voxels. It is right only as far as the probabilities are.

    Source:
        Borges, Pacheco, Silva, Soft Dice Confidence: a near-optimal confidence estimator for
        selective prediction in semantic segmentation, arXiv 2402.10665, which bounds the
        distance to the best possible estimate.

    Example:
        >>> expected_dice(np.array([10.0]), np.array([9.0]), np.array([14.0])).tolist()
        [0.75]
    """
    total = np.maximum(given + mass, np.finfo(float).tiny)
    return np.where(given > 0, 2.0 * hits / total, np.nan)


class Tallying:
    """Fills a `SliceTally` and counts components as slices pass by, one after the other.

    Memory: one mask per label, and one slice's probabilities at a time.

    Args:
        n_slices: Slices of the scan.
        values: Label values in the recipe's order.
        activation: ``softmax`` or ``sigmoid``.
        temperature: Divides the logits.
    """

    def __init__(
        self, n_slices: int, values: Sequence[int], *, activation: str, temperature: float
    ) -> None:
        self.tally = SliceTally.zeros(n_slices, len(values))
        self.components = tuple(ComponentCount() for _ in values)
        self.sides: tuple[set[str], ...] = tuple(set() for _ in values)
        self._values = tuple(values)
        self._activation = activation
        self._temperature = temperature
        self._last: list[NDArray[np.bool_] | None] = [None for _ in values]

    def add_logits(
        self, index: int, logits: NDArray[np.float32], labels: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Count what the network says about one slice.

        Args:
            index: Its index.
            logits: (K, H, W) float32.
            labels: Label values (H, W) that follow from them.

        Returns:
            Probabilities (1 + L, H, W), background first, and entropy (H, W) in 0 … 1.
        """
        likely = label_probabilities(
            logits[None], activation=self._activation, temperature=self._temperature
        )
        sums = self.tally
        sums.mass[index] = likely[0, 1:].sum(axis=(1, 2), dtype=np.float64)
        doubt = entropy(likely)[0]
        for column, value in enumerate(self._values):
            mask = labels == value
            sums.given[index, column] = np.count_nonzero(mask)
            if sums.given[index, column]:
                sums.hits[index, column] = likely[0, column + 1][mask].sum(dtype=np.float64)
                sums.entropy[index, column] = doubt[mask].sum(dtype=np.float64)
        return likely[0], doubt

    def add_labels(self, index: int, labels: NDArray[np.integer]) -> None:
        """Count what one slice of the mask tells by itself and beside its neighbour.

        Args:
            index: Its index; every slice comes once, in order.
            labels: Label values (H, W), as they are written.
        """
        for column, value in enumerate(self._values):
            mask = labels == value
            self.components[column].add(mask)
            area = int(np.count_nonzero(mask))
            if not area:
                continue
            self.tally.area[index, column] = area
            last = self._last[column]
            if last is not None:
                self.tally.shared[index, column] = np.count_nonzero(mask & last)
            self._last[column] = mask
            edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
            self.sides[column].update(
                side for side, edge in zip(_SIDES, edges, strict=True) if edge.any()
            )
