"""The columns and rows of slices.csv and cases.csv."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from unet_med.evaluation.measures import case_measures
from unet_med.evaluation.records import CaseScores, CaseStatus, EvaluationSettings, FailedCase
from unet_med.metrics import dice, slice_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unet_med.evaluation.settings import LabelKey, MetricSettings

Row = dict[str, Any]

SLICE_COLUMNS = (
    "case", "label", "label_name", "slice", "position_mm", "tp", "fp", "fn", "dice", "state",
    "reference_mm2", "prediction_mm2",
)  # fmt: skip

SLICE_SHAPE_COLUMNS = ("hd95_mm",)

_DIGITS = 6  # of a millimeter: hides the last bits of affine arithmetic


def slice_columns(metrics: MetricSettings) -> tuple[str, ...]:
    """Return the columns of slices.csv."""
    return SLICE_COLUMNS + SLICE_SHAPE_COLUMNS if metrics.shapes else SLICE_COLUMNS


def case_columns(settings: EvaluationSettings) -> tuple[str, ...]:
    """Return the columns of cases.csv."""
    measured = (one.column(settings.empty) for one in case_measures(settings.metrics))
    return ("case", "status", "label", "label_name", "slice_axis", "n_slices", *measured, "error")


def slice_rows(case: CaseScores, names: Mapping[LabelKey, str]) -> Iterator[Row]:
    """Yield the rows of slices.csv of a case: label by label, slices in the file's order."""
    counts = case.counts
    scores = dice(counts.tp, counts.fp, fn=counts.fn)
    states = slice_states(counts)
    for column, label in enumerate(case.labels):
        distances = case.shape_of(label).slice_hd95_mm if case.metrics.shapes else None
        for index, position in enumerate(case.positions_mm):
            tp, fp, fn = (int(one[index, column]) for one in (counts.tp, counts.fp, counts.fn))
            row: Row = {
                "case": case.case,
                "label": label,
                "label_name": names.get(label, ""),
                "slice": index,
                "position_mm": round(float(position), _DIGITS),
                "tp": tp,
                "fp": fp,
                "fn": fn,
                "dice": plain(scores[index, column]),
                "state": str(states[index, column]),
                "reference_mm2": round((tp + fn) * case.pixel_mm2, _DIGITS),
                "prediction_mm2": round((tp + fp) * case.pixel_mm2, _DIGITS),
            }
            if distances is not None:
                row["hd95_mm"] = plain(distances[index])
            yield row


def case_rows(
    case: CaseScores, names: Mapping[LabelKey, str], *, settings: EvaluationSettings
) -> Iterator[Row]:
    """Yield the rows of cases.csv of a case, one per label."""
    empty = settings.empty
    measured = {one.column(empty): one.of(case, empty) for one in case_measures(settings.metrics)}
    for column, label in enumerate(case.labels):
        yield {
            "case": case.case,
            "status": str(case.status),
            "label": label,
            "label_name": names.get(label, ""),
            "slice_axis": case.slice_axis,
            "n_slices": case.counts.n_slices,
            **{name: plain(values[column]) for name, values in measured.items()},
            "error": None,
        }


def failed_rows(
    failed: FailedCase,
    labels: Sequence[LabelKey],
    *,
    names: Mapping[LabelKey, str],
    settings: EvaluationSettings,
) -> Iterator[Row]:
    """Yield rows of cases.csv without scores; one with an empty label when no label is known."""
    blank: list[LabelKey | None] = [None]
    for label in labels or blank:
        yield {
            **dict.fromkeys(case_columns(settings)),
            "case": failed.case,
            "status": str(CaseStatus.FAILED),
            "label": label,
            "label_name": "" if label is None else names.get(label, ""),
            "error": failed.error,
        }


def plain(value: Any) -> int | float | None:  # noqa: ANN401 - any NumPy number
    """Return a Python number; NaN, which means there is no value, becomes None."""
    number = value.item()
    return None if isinstance(number, float) and math.isnan(number) else number
