"""Flag slices that a reader should look at, with the reasons in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.quality.score import AREA_JUMP, area_ratio, gaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from unet_med.quality.label_statistics import LabelStatistics

    Table = NDArray[np.float64]

HIGH_ENTROPY = 0.4
"""Mean entropy from which the network is called unsure."""

LOW_NEIGHBOR_DICE = 0.6
"""Dice with the neighbors below which a slice is called unlike them."""

LOW_EXPECTED_DICE = 0.8
"""Expected Dice below which it is named as a reason."""

_DIGITS = 4


@dataclass(frozen=True)
class QualityFlag:
    """Name one slice and label to look at, with the reasons.

    Attributes:
        slice: Index along the slice axis, in the file's own order.
        position_mm: Where it lies, as in slices.csv.
        label: Label value.
        label_name: Its name.
        score: The slice's score.
        reasons: In words, at least one.

    Example:
        >>> flag = QualityFlag(12, 36.0, 1, "liver", 0.41, ("expected Dice 0.52",))
        >>> flag.as_dict()["reasons"]
        ['expected Dice 0.52']
    """

    slice: int
    position_mm: float
    label: int
    label_name: str
    score: float
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "slice": self.slice,
            "position_mm": round(self.position_mm, _DIGITS),
            "label": self.label,
            "label_name": self.label_name,
            "score": round(self.score, _DIGITS),
            "reasons": list(self.reasons),
        }


def quality_flags(
    statistics: LabelStatistics,
    tables: Mapping[str, Table],
    *,
    names: Mapping[int, str],
    positions_mm: Sequence[float],
    review_below: float,
) -> tuple[QualityFlag, ...]:
    """List the slices to be looked at, worst first.

    Args:
        statistics: Sums of all slices.
        tables: From `score_tables`.
        names: Label value to name, in the tables' order.
        positions_mm: Where each slice lies.
        review_below: Slices with a lower score are listed.
    """
    found = []
    for column, (label, name) in enumerate(names.items()):
        explained = _Reasons(statistics, tables, column)
        for index in np.flatnonzero(tables["score"][:, column] < review_below).tolist():
            score = float(tables["score"][index, column])
            reasons = tuple(explained.reasons(index)) or (f"score {score:.2f}",)
            found.append(QualityFlag(index, positions_mm[index], label, name, score, reasons))
    return tuple(sorted(found, key=lambda flag: (flag.score, flag.slice, flag.label)))


class _Reasons:
    """Put what speaks against slices of one label into words."""

    def __init__(
        self, statistics: LabelStatistics, tables: Mapping[str, Table], column: int
    ) -> None:
        self._area = statistics.area[:, column]
        self._mass = statistics.probability_sum[:, column]
        self._tables = {name: table[:, column] for name, table in tables.items()}
        self._gaps = gaps(self._area, statistics.shared[:, column])
        self._ratios = area_ratio(self._area)
        self._usual = np.median(self._area[self._area > 0]) if self._area.any() else 0.0

    def reasons(self, index: int) -> Iterator[str]:
        """Yield what speaks against a slice, the clearest first."""
        if self._gaps[index]:
            before = np.flatnonzero(self._area[:index])[-1]
            after = index + np.flatnonzero(self._area[index:])[0]
            yield f"missing here, but present in slices {before} and {after}"
            return
        expected = self._tables["expected_dice"][index]
        if expected < LOW_EXPECTED_DICE:
            yield f"expected Dice {expected:.2f}"
        entropy = self._tables["entropy"][index]
        if entropy > HIGH_ENTROPY:
            yield f"the network is unsure (entropy {entropy:.2f} of 1)"
        neighbor = self._tables["neighbor_dice"][index]
        if neighbor < LOW_NEIGHBOR_DICE:
            yield f"unlike both neighboring slices (Dice {neighbor:.2f})"
        ratio = self._ratios[index]
        if not 1.0 / AREA_JUMP <= ratio <= AREA_JUMP:
            yield f"area {ratio:.1f} times that of the slices around"
