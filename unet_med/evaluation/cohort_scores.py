"""Keep the scores of a cohort: rows of the tables, summary over cases, worst cases."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._html import html_table
from unet_med._version import __version__
from unet_med.evaluation.metric_columns import Better, MetricColumn
from unet_med.evaluation.scores import (
    CaseScores,
    CaseStatus,
    ExtraPrediction,
    FailedCase,
    labels_text,
)
from unet_med.evaluation.statistics import BOOTSTRAP_SEED, aggregate
from unet_med.evaluation.tables import (
    CASES_FILE,
    SLICES_FILE,
    SUMMARY_FILE,
    TableRow,
    case_columns,
    case_rows,
    failed_rows,
    slice_columns,
    slice_rows,
    write_summary,
    write_table,
)
from unet_med.metrics import SliceState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from unet_med.evaluation.scores import LabelKey
    from unet_med.evaluation.settings import EvaluationSettings


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CohortScores:
    """Hold the scores of all cases, each with the same labels.

    A notebook shows one row per label.

    Attributes:
        scored: Cases with counts, missing predictions included, by case id.
        failed: Cases that could not be compared, by case id.
        extra: Predictions without a reference.
        labels: Label values, ascending or as the settings give them, then regions.
        label_names: Names by value, of regions by key.
        settings: What decided the tables.
        command: The command line that asked for them, for the summary.

    Example:
        >>> from unet_med.evaluation import EvaluationSettings, assemble_cohort, score_volumes
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> cohort = assemble_cohort([score_volumes(mask, mask)], settings=EvaluationSettings())
        >>> cohort
        CohortScores(1 case scored, 0 failed, 0 extra; labels: 1)
        >>> cohort.cases[0]["volume_dice"], cohort.slices[0]["tp"]
        (1.0, 6)
    """

    scored: tuple[CaseScores, ...]
    failed: tuple[FailedCase, ...]
    extra: tuple[ExtraPrediction, ...]
    labels: tuple[LabelKey, ...]
    label_names: Mapping[LabelKey, str]
    settings: EvaluationSettings
    command: str | None = None

    def __repr__(self) -> str:
        n_scored, plural = len(self.scored), "s" * (len(self.scored) != 1)
        counts = f"{n_scored} case{plural} scored, {len(self.failed)} failed"
        return f"CohortScores({counts}, {len(self.extra)} extra; {labels_text(self.labels)})"

    def _repr_html_(self) -> str:
        metrics = [
            metric.column(self.settings.empty)
            for metric in self.settings.metric_columns
            if metric.better is not None
        ]
        rows = (
            [one["label"], one["name"], one["n"], *(one[metric]["mean"] for metric in metrics)]
            for one in self.summary["labels"]
        )
        header = ["label", "name", "cases", *(f"{metric}, mean" for metric in metrics)]
        return html_table(repr(self), header, rows)

    @property
    def slices(self) -> list[TableRow]:
        """Return the rows of slices.csv: one per case, label and slice."""
        return list(self._slice_rows())

    @property
    def cases(self) -> list[TableRow]:
        """Return the rows of cases.csv: one per case and label, failed cases included."""
        settings, names = self.settings, self.label_names
        rows = [row for case in self.scored for row in case_rows(case, names, settings=settings)]
        for case in self.failed:
            rows += failed_rows(case, self.labels, names=names, settings=settings)
        return sorted(rows, key=lambda row: str(row["case"]))

    @property
    def summary(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        return summarize(self)

    @property
    def unexpected_labels(self) -> dict[str, tuple[int, ...]]:
        """List label values of predictions that no reference holds and nobody named, by case.

        They are scored like any other label. Empty when the labels to score were chosen.
        """
        if self.settings.labels is not None:
            return {}
        known = set(self.settings.label_names)
        for case in self.scored:
            known |= case.reference_values | set(case.label_names)
        for region in self.settings.metrics.regions:
            known |= set(region.values)
        found = {
            case.case: tuple(sorted((case.prediction_values or frozenset()) - known))
            for case in self.scored
        }
        return {case: values for case, values in found.items() if values}

    @property
    def exit_code(self) -> int:
        """Return 0 when every reference was scored against a prediction, else 1.

        It is 1 too when label names were given and a prediction holds labels outside of them.
        """
        missing = any(case.status is CaseStatus.MISSING for case in self.scored)
        outside = bool(self.settings.label_names and self.unexpected_labels)
        return 1 if missing or self.failed or outside else 0

    def worst_slices(self, count: int) -> list[TableRow]:
        """Return the slices with the lowest Dice; of equal ones, those with more wrong voxels."""
        scored = (row for row in self._slice_rows() if row["dice"] is not None)
        return heapq.nsmallest(count, scored, key=lambda row: (row["dice"], -row["fp"] - row["fn"]))

    def write(self, output: Path) -> None:
        """Write slices.csv, cases.csv and summary.json into a folder.

        Raises:
            OutputError: A file cannot be written.
        """
        columns = slice_columns(self.settings.metrics)
        write_table(output / SLICES_FILE, columns, rows=self._slice_rows())
        write_table(output / CASES_FILE, case_columns(self.settings), rows=self.cases)
        write_summary(output / SUMMARY_FILE, self.summary)

    def _slice_rows(self) -> Iterator[TableRow]:
        for case in self.scored:
            yield from slice_rows(case, self.label_names)


SCHEMA = "unet_med.evaluation"


SCHEMA_VERSION = 3


WORST_CASES = 5


def summarize(cohort: CohortScores) -> dict[str, Any]:
    """Return summary.json's content; numbers without a value are None."""
    settings = cohort.settings
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "unet_med": __version__,
        "command": cohort.command,
        "metric_notes": settings.metric_notes,
        "settings": _settings(settings),
        "cases": {
            "scored": _with_status(cohort, CaseStatus.SCORED),
            "missing": _with_status(cohort, CaseStatus.MISSING),
            "failed": [{"case": one.case, "error": one.error} for one in cohort.failed],
            "extra": [{"case": one.case, "nearest": list(one.nearest)} for one in cohort.extra],
            "unexpected_labels": [
                {"case": case, "values": list(values)}
                for case, values in cohort.unexpected_labels.items()
            ],
        },
        "slice_axes": dict(sorted(Counter(case.slice_axis for case in cohort.scored).items())),
        "labels": _label_summaries(cohort),
    }


def _settings(settings: EvaluationSettings) -> dict[str, Any]:
    metrics = settings.metrics
    return {
        "slice_axis": settings.slice_axis,
        "empty": str(settings.empty),
        "labels": None if settings.labels is None else list(settings.labels),
        "metrics": "all" if metrics.surface_metrics else "counts",
        "tolerance_mm": metrics.tolerance_mm,
        "label_tolerances_mm": {str(k): v for k, v in metrics.label_tolerances_mm.items()},
        "regions": {region.name: list(region.values) for region in metrics.regions},
        "bootstrap_seed": BOOTSTRAP_SEED,
    }


def _with_status(cohort: CohortScores, status: CaseStatus) -> list[str]:
    return [case.case for case in cohort.scored if case.status is status]


def _label_summaries(cohort: CohortScores) -> list[dict[str, Any]]:
    empty = cohort.settings.empty
    scored = [one for one in cohort.settings.metric_columns if one.better is not None]
    tables = {
        metric: np.array([metric.of(case, empty) for case in cohort.scored], dtype=np.float64)
        for metric in scored
    }
    return [
        _label_summary(
            cohort, label, scores={metric: table[:, column] for metric, table in tables.items()}
        )
        for column, label in enumerate(cohort.labels)
    ]


def _label_summary(
    cohort: CohortScores, label: LabelKey, *, scores: dict[MetricColumn, np.ndarray[Any, Any]]
) -> dict[str, Any]:
    states = Counter(_state(case, label) for case in cohort.scored)
    held = np.array([_state(case, label) is not SliceState.BOTH_EMPTY for case in cohort.scored])
    empty = cohort.settings.empty
    return {
        "label": label,
        "name": cohort.label_names.get(label, ""),
        "n": int(held.sum()),
        **{f"n_{state}": states[state] for state in SliceState},
        **{metric.column(empty): aggregate(values[held]) for metric, values in scores.items()},
        "worst_cases": {
            metric.column(empty): _worst(metric, values, cohort=cohort)
            for metric, values in scores.items()
            if metric.name in ("volume_dice", "hd95_mm")
        },
    }


def _state(case: CaseScores, label: LabelKey) -> SliceState:
    """Return which masks of a case hold the label."""
    tp, fp, fn = (int(total[case.labels.index(label)]) for total in case.counts.sums())
    if tp + fn:
        return SliceState.BOTH if tp + fp else SliceState.PREDICTION_EMPTY
    return SliceState.REFERENCE_EMPTY if fp else SliceState.BOTH_EMPTY


def _worst(
    metric: MetricColumn, values: np.ndarray[Any, Any], *, cohort: CohortScores
) -> list[dict[str, Any]]:
    """Return the worst cases, worst first; a perfect one is none of them."""
    higher = metric.better is Better.HIGHER
    perfect = 1.0 if higher else 0.0
    found = [
        (float(value), case.case)
        for value, case in zip(values, cohort.scored, strict=True)
        if not np.isnan(value) and value != perfect
    ]
    found.sort(key=lambda one: (one[0] if higher else -one[0], one[1]))
    return [
        {"case": case, "value": value, "infinite": bool(np.isinf(value))}
        for value, case in found[:WORST_CASES]
    ]
