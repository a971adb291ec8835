"""Report an evaluation: scores against references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.evaluation.tables import case_rows, python_number
from unet_med.metrics import SliceState, dice, slice_states, volume_dice
from unet_med.reporting.report_data import (
    MAX_REVIEW_SLICES,
    CaseEntry,
    CasePage,
    Curve,
    LabelSeries,
    Problem,
    Report,
    ReportColumn,
    ReportRow,
    WorstSlice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.evaluation import CaseScores, CohortScores, EvaluationSettings, MetricColumn

_FIRST = (
    "volume_dice", "hd95_mm", "surface_dice", "assd_mm", "volume_error_ml",
    "slice_dice_mean_{empty}",
)  # fmt: skip
_COUNTED = ("tp", "fp", "fn", "n_")  # columns of cases.csv that are no reading for people

_STATE_WORDS = {
    SliceState.PREDICTION_EMPTY: "missed",
    SliceState.REFERENCE_EMPTY: "false alarm",
    SliceState.BOTH: "",
}


def evaluation_report(
    cohort: CohortScores, *, not_shown: Mapping[str, str] | None = None
) -> Report:
    """Return the report of a cohort.

    Args:
        cohort: All scores.
        not_shown: Why a case has no pictures, by case.
    """
    settings = cohort.settings
    by_id = {case.case: case for case in cohort.scored}
    rows = tuple(
        ReportRow(case.case, row["label"], row)
        for case in cohort.scored
        for row in case_rows(case, cohort.label_names, settings=settings)
    )
    not_shown = not_shown or {}
    cases = [
        CaseEntry(case.case, str(case.status), not_shown.get(case.case, ""))
        for case in cohort.scored
    ] + [CaseEntry(case.case, "failed", case.error) for case in cohort.failed]
    columns = _columns(cohort)
    kept = [column.name for column in columns]
    return Report(
        title="Evaluation, slice by slice",
        kind="evaluation",
        labels=tuple((label, cohort.label_names.get(label, "")) for label in cohort.labels),
        columns=columns,
        rows=tuple(
            ReportRow(row.case, row.label, {name: row.values[name] for name in kept})
            for row in rows
        )
        + tuple(ReportRow(case.case, None, {}) for case in cohort.failed),
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        page_of=lambda case: case_page(by_id[case], cohort),
        problems=_problems(cohort),
        metric_notes=tuple(settings.metric_notes.items()),
        provenance=_provenance(cohort),
    )


def case_page(case: CaseScores, cohort: CohortScores) -> CasePage:
    """Return what a page says about one case."""
    scores = dice(case.counts.tp, case.counts.fp, case.counts.fn)
    curves = [Curve("Dice", _series(case, scores))]
    predicted = (case.counts.tp + case.counts.fp) * case.pixel_mm2
    true = (case.counts.tp + case.counts.fn) * case.pixel_mm2
    area = "area in mm² (wide pale line: reference)"
    curves.append(Curve(area, _series(case, predicted, true), digits=1, high=None))
    volumes = zip(case.labels, volume_dice(case.counts), strict=True)
    missing = case.prediction_values is None
    return CasePage(
        curves=tuple(curves),
        worst=_worst(case, scores, cohort=cohort),
        volume_title="volume Dice",
        volume_values={label: python_number(value) for label, value in volumes},
        facts=(("slices", f"{case.slice_axis}, counted in the order of the reference's file"),),
        notes=("There is no prediction: every voxel of the reference is missed.",)
        if missing
        else (),
    )


def _columns(cohort: CohortScores) -> tuple[ReportColumn, ...]:
    metrics = [m for m in cohort.settings.metric_columns if not m.name.startswith(_COUNTED)]
    metrics.sort(key=lambda m: _FIRST.index(m.name) if m.name in _FIRST else len(_FIRST))
    return tuple(_column(metric, cohort.settings) for metric in metrics)


def _column(metric: MetricColumn, settings: EvaluationSettings) -> ReportColumn:
    name = metric.column(settings.empty)
    follows_policy = name != metric.name
    return ReportColumn(
        name=name,
        title=metric.title.format(empty=settings.empty) or name.replace("_", " "),
        better=str(metric.better or ""),
        digits=0 if metric.name.endswith("components") else 3 if metric.limits else 2,
        limits=metric.limits,
        help=settings.metric_notes["slice_means"] if follows_policy else metric.note,
    )


def _series(
    case: CaseScores, values: np.ndarray[Any, Any], reference: np.ndarray[Any, Any] | None = None
) -> tuple[LabelSeries, ...]:
    return tuple(
        LabelSeries(
            label,
            [python_number(value) for value in values[:, column]],
            None if reference is None else [python_number(value) for value in reference[:, column]],
        )
        for column, label in enumerate(case.labels)
    )


def _worst(
    case: CaseScores, scores: np.ndarray[Any, Any], *, cohort: CohortScores
) -> tuple[WorstSlice, ...]:
    """Return the slices with the lowest Dice of a label; of equal ones, more wrong voxels first."""
    wrong = case.counts.fp + case.counts.fn
    states = slice_states(case.counts)
    plain_labels = [n for n, label in enumerate(case.labels) if isinstance(label, int)]
    found = [
        (scores[index, column], -wrong[index, column], index, column)
        for index, column in np.argwhere(scores < 1).tolist()
        if column in plain_labels
    ]
    worst: dict[int, WorstSlice] = {}
    for score, minus_wrong, index, column in sorted(found):
        if index not in worst:
            label = case.labels[column]
            name = cohort.label_names.get(label) or f"label {label}"
            state = _STATE_WORDS.get(SliceState(states[index, column]), "")
            words = [f"Dice {score:.3f}", state, f"{-minus_wrong} voxels wrong"]
            worst[index] = WorstSlice(index, f"{name}: " + ", ".join(filter(None, words)))
        if len(worst) == MAX_REVIEW_SLICES:
            break
    return tuple(worst.values())


def _problems(cohort: CohortScores) -> tuple[Problem, ...]:
    failed = tuple(f"{case.case}: {case.error}" for case in cohort.failed)
    missing = tuple(case.case for case in cohort.scored if case.prediction_values is None)
    extra = tuple(
        one.case + (f" (near: {', '.join(one.nearest)})" if one.nearest else "")
        for one in cohort.extra
    )
    unexpected = tuple(
        f"{case}: label {', '.join(map(str, values))}"
        for case, values in cohort.unexpected_labels.items()
    )
    problems = (
        Problem("failed", f"Failed: {len(failed)}, not comparable and without a score", failed),
        Problem(
            "missing",
            f"Without a prediction: {len(missing)}, each label scores 0, distances are infinite",
            missing,
        ),
        Problem("failed", "Labels that no reference holds and nobody named", unexpected),
        Problem("extra", f"Predictions without a reference: {len(extra)}, not scored", extra),
    )
    return tuple(problem for problem in problems if problem.items)


def _provenance(cohort: CohortScores) -> tuple[tuple[str, str], ...]:
    from unet_med._version import __version__

    settings = cohort.summary["settings"]
    shown = ", ".join(f"{name} {value}" for name, value in settings.items() if value)
    return (
        ("program", f"unet_med {__version__}"),
        ("command", cohort.command or "none was given"),
        ("settings", shown),
        ("cases", f"{len(cohort.scored)} scored, {len(cohort.failed)} failed"),
        ("tables", "slices.csv, cases.csv and summary.json in the folder of this page"),
    )
