"""The columns of slices.csv and cases.csv.

A new score per case and label is one more `Measure` in `CASE_MEASURES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.evaluation.records import CaseScores, CaseStatus, FailedCase
from unet_med.metrics import (
    EmptyPolicy,
    SliceState,
    dice,
    slice_dice_mean,
    slice_dice_median,
    slice_states,
    volume_dice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Row = dict[str, Any]

SLICE_COLUMNS = (
    "case", "label", "label_name", "slice", "position_mm", "tp", "fp", "fn", "dice", "state",
)  # fmt: skip

_POSITION_DIGITS = 6  # of a millimetre: hides the last bits of affine arithmetic


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of cases.csv that is computed from the counts.

    Attributes:
        name: Column name; ``{empty}`` stands for the policy the values follow.
        of: Function of the case and the policy; values per label, shape (n_labels,).
    """

    name: str
    of: Callable[[CaseScores, EmptyPolicy], NDArray[Any]]

    def column(self, policy: EmptyPolicy) -> str:
        """Return the column's name under a policy."""
        return self.name.format(empty=policy)


def _in_state(state: SliceState) -> Callable[[CaseScores, EmptyPolicy], NDArray[Any]]:
    def count(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.asarray((slice_states(case.counts) == state).sum(axis=0))

    return count


CASE_MEASURES: tuple[Measure, ...] = (
    Measure("tp", lambda case, _: case.counts.tp.sum(axis=0)),
    Measure("fp", lambda case, _: case.counts.fp.sum(axis=0)),
    Measure("fn", lambda case, _: case.counts.fn.sum(axis=0)),
    Measure("volume_dice", lambda case, _: volume_dice(case.counts)),
    Measure(
        "reference_ml",
        lambda case, _: (case.counts.tp + case.counts.fn).sum(axis=0) * case.voxel_ml,
    ),
    Measure(
        "prediction_ml",
        lambda case, _: (case.counts.tp + case.counts.fp).sum(axis=0) * case.voxel_ml,
    ),
    *(Measure(f"n_{state}", _in_state(state)) for state in SliceState),
    Measure("slice_dice_mean_{empty}", lambda case, empty: slice_dice_mean(case.counts, empty)),
    Measure("slice_dice_median_{empty}", lambda case, empty: slice_dice_median(case.counts, empty)),
)


def case_columns(policy: EmptyPolicy) -> tuple[str, ...]:
    """Return the columns of cases.csv."""
    measured = (measure.column(policy) for measure in CASE_MEASURES)
    return ("case", "status", "label", "label_name", "slice_axis", "n_slices", *measured, "error")


def slice_rows(case: CaseScores, names: Mapping[int, str]) -> Iterator[Row]:
    """Yield the rows of slices.csv of a case: label by label, slices in the file's order."""
    counts = case.counts
    scores = dice(counts.tp, counts.fp, fn=counts.fn)
    states = slice_states(counts)
    for column, label in enumerate(case.labels):
        for index, position in enumerate(case.positions_mm):
            yield {
                "case": case.case,
                "label": label,
                "label_name": names.get(label, ""),
                "slice": index,
                "position_mm": round(float(position), _POSITION_DIGITS),
                "tp": int(counts.tp[index, column]),
                "fp": int(counts.fp[index, column]),
                "fn": int(counts.fn[index, column]),
                "dice": _plain(scores[index, column]),
                "state": str(states[index, column]),
            }


def case_rows(case: CaseScores, names: Mapping[int, str], *, empty: EmptyPolicy) -> Iterator[Row]:
    """Yield the rows of cases.csv of a case, one per label."""
    measured = {measure.column(empty): measure.of(case, empty) for measure in CASE_MEASURES}
    for column, label in enumerate(case.labels):
        yield {
            "case": case.case,
            "status": str(case.status),
            "label": label,
            "label_name": names.get(label, ""),
            "slice_axis": case.slice_axis,
            "n_slices": case.counts.n_slices,
            **{name: _plain(values[column]) for name, values in measured.items()},
            "error": None,
        }


def failed_rows(
    failed: FailedCase, labels: Sequence[int], *, names: Mapping[int, str], empty: EmptyPolicy
) -> Iterator[Row]:
    """Yield rows of cases.csv without scores; one with an empty label when no label is known."""
    blank: list[int | None] = [None]
    for label in labels or blank:
        yield {
            **dict.fromkeys(case_columns(empty)),
            "case": failed.case,
            "status": str(CaseStatus.FAILED),
            "label": label,
            "label_name": "" if label is None else names.get(label, ""),
            "error": failed.error,
        }


def _plain(value: Any) -> int | float | None:  # noqa: ANN401 - any NumPy number
    """Return a Python number; NaN, which means there is no value, becomes None."""
    number = value.item()
    return None if isinstance(number, float) and math.isnan(number) else number
