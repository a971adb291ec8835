"""Which slices of a case to look at."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class RankedSlice:
    """One slice and its scores.

    Attributes:
        index: Position along the slice axis in the reference file's own order.
        position_mm: World coordinate along the slice axis.
        dice: Dice per label value; only labels that prediction or reference holds.
        n_wrong: False positives and false negatives over all labels.
    """

    index: int
    position_mm: float
    dice: Mapping[int, float]
    n_wrong: int

    @property
    def mean_dice(self) -> float:
        """Mean over the labels present."""
        return statistics.fmean(self.dice.values())


def rank_slices(rows: Iterable[Mapping[str, Any]]) -> list[RankedSlice]:
    """Sort the slices of one case from worst to best mean Dice over the labels present.

    Slices without any label are left out, and so are regions, which join labels. Of equal slices
    the one with more wrong voxels comes first. The worst is the first of the list, the median the
    one in its middle.

    Args:
        rows: Rows of slices.csv of one case.
    """
    by_slice: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["dice"] is not None and isinstance(row["label"], int):  # regions have names
            by_slice[row["slice"]].append(row)
    ranked = [
        RankedSlice(
            index=index,
            position_mm=float(found[0]["position_mm"]),
            dice={row["label"]: float(row["dice"]) for row in found},
            n_wrong=sum(row["fp"] + row["fn"] for row in found),
        )
        for index, found in by_slice.items()
    ]
    return sorted(ranked, key=lambda one: (one.mean_dice, -one.n_wrong, one.index))
