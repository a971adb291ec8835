"""Make the rows of slices.csv and cases.csv; write files whole or not at all."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path, write_json
from unet_med.errors import OutputError
from unet_med.evaluation.scores import CaseScores, CaseStatus, FailedCase
from unet_med.metrics import dice, slice_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from unet_med.evaluation.scores import LabelKey, MetricSettings
    from unet_med.evaluation.settings import EvaluationSettings

TableRow = dict[str, Any]


SLICE_COLUMNS = (
    "case", "label", "label_name", "slice", "position_mm", "tp", "fp", "fn", "dice", "state",
    "reference_area_mm2", "prediction_area_mm2",
)  # fmt: skip


SLICE_SURFACE_COLUMNS = ("hd95_mm",)


_DIGITS = 6  # of a millimeter: hides the last bits of affine arithmetic


def slice_columns(metrics: MetricSettings) -> tuple[str, ...]:
    """Return the columns of slices.csv."""
    return SLICE_COLUMNS + SLICE_SURFACE_COLUMNS if metrics.surface_metrics else SLICE_COLUMNS


def case_columns(settings: EvaluationSettings) -> tuple[str, ...]:
    """Return the columns of cases.csv."""
    measured = (one.column(settings.empty) for one in settings.metric_columns)
    return ("case", "status", "label", "label_name", "slice_axis", "n_slices", *measured, "error")


def slice_rows(case: CaseScores, names: Mapping[LabelKey, str]) -> Iterator[TableRow]:
    """Yield the rows of slices.csv of a case: label by label, slices in the file's order."""
    counts = case.counts
    scores = dice(counts.tp, counts.fp, counts.fn)
    states = slice_states(counts)
    for column, label in enumerate(case.labels):
        distances = (
            case.surface_metrics_of(label).slice_hd95_mm if case.metrics.surface_metrics else None
        )
        for index, position in enumerate(case.positions_mm):
            tp, fp, fn = (int(one[index, column]) for one in (counts.tp, counts.fp, counts.fn))
            row: TableRow = {
                "case": case.case,
                "label": label,
                "label_name": names.get(label, ""),
                "slice": index,
                "position_mm": round(float(position), _DIGITS),
                "tp": tp,
                "fp": fp,
                "fn": fn,
                "dice": python_number(scores[index, column]),
                "state": str(states[index, column]),
                "reference_area_mm2": round((tp + fn) * case.pixel_mm2, _DIGITS),
                "prediction_area_mm2": round((tp + fp) * case.pixel_mm2, _DIGITS),
            }
            if distances is not None:
                row["hd95_mm"] = python_number(distances[index])
            yield row


def case_rows(
    case: CaseScores, names: Mapping[LabelKey, str], *, settings: EvaluationSettings
) -> Iterator[TableRow]:
    """Yield the rows of cases.csv of a case, one per label."""
    empty = settings.empty
    measured = {one.column(empty): one.of(case, empty) for one in settings.metric_columns}
    for column, label in enumerate(case.labels):
        yield {
            "case": case.case,
            "status": str(case.status),
            "label": label,
            "label_name": names.get(label, ""),
            "slice_axis": case.slice_axis,
            "n_slices": case.counts.n_slices,
            **{name: python_number(values[column]) for name, values in measured.items()},
            "error": None,
        }


def failed_rows(
    failed: FailedCase,
    labels: Sequence[LabelKey],
    *,
    names: Mapping[LabelKey, str],
    settings: EvaluationSettings,
) -> Iterator[TableRow]:
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


def python_number(value: Any) -> int | float | None:  # noqa: ANN401 - any NumPy number
    """Return a Python number; NaN, which means there is no value, becomes None."""
    number = value.item()
    return None if isinstance(number, float) and math.isnan(number) else number


SLICES_FILE = "slices.csv"


CASES_FILE = "cases.csv"


SUMMARY_FILE = "summary.json"


def make_folder(path: Path) -> None:
    """Create a folder and those above it.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"cannot make the folder {path}: {exc.strerror or exc}; choose another --output"
        raise OutputError(msg) from exc


def write_table(path: Path, columns: Sequence[str], *, rows: Iterable[TableRow]) -> None:
    """Write rows as CSV (UTF-8, one header line); None is an empty field, infinity is ``inf``.

    Raises:
        OutputError: The file cannot be written.
    """
    with (
        atomic_path(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write the summary as JSON; numbers that JSON lacks are null.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, without_nan(summary))


def without_nan(content: Any) -> Any:  # noqa: ANN401 - anything json can hold
    """Return JSON content with null for NaN and infinity.

    Example:
        >>> without_nan({"a": [1.5, float("nan")], "b": "nan"})
        {'a': [1.5, None], 'b': 'nan'}
    """
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
