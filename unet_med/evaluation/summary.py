"""The summary of a cohort: what was scored, how, and every score per label over cases."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med import __version__
from unet_med.evaluation.aggregate import BOOTSTRAP_SEED, aggregate
from unet_med.evaluation.conventions import conventions
from unet_med.evaluation.measures import Better, Measure, case_measures
from unet_med.evaluation.records import CaseStatus
from unet_med.metrics import SliceState

if TYPE_CHECKING:
    from unet_med.evaluation.cohort import CohortScores
    from unet_med.evaluation.records import CaseScores, EvaluationSettings
    from unet_med.evaluation.settings import LabelKey

SCHEMA = "unet_med.evaluation"
SCHEMA_VERSION = 2

WORST_CASES = 5


def summarize(cohort: CohortScores) -> dict[str, Any]:
    """Return summary.json's content; numbers without a value are None."""
    settings = cohort.settings
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "unet_med": __version__,
        "command": cohort.command,
        "conventions": conventions(settings),
        "settings": _settings(settings),
        "cases": {
            "scored": _with_status(cohort, CaseStatus.SCORED),
            "missing": _with_status(cohort, CaseStatus.MISSING),
            "failed": [{"case": one.case, "error": one.error} for one in cohort.failed],
            "extra": [{"case": one.case, "nearest": list(one.nearest)} for one in cohort.extra],
            "foreign_labels": [
                {"case": case, "values": list(values)} for case, values in cohort.foreign.items()
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
        "metrics": "all" if metrics.shapes else "counts",
        "tolerance_mm": metrics.tolerance_mm,
        "label_tolerances_mm": {str(k): v for k, v in metrics.label_tolerances_mm.items()},
        "regions": {region.name: list(region.values) for region in metrics.regions},
        "bootstrap_seed": BOOTSTRAP_SEED,
    }


def _with_status(cohort: CohortScores, status: CaseStatus) -> list[str]:
    return [case.case for case in cohort.scored if case.status is status]


def _label_summaries(cohort: CohortScores) -> list[dict[str, Any]]:
    empty = cohort.settings.empty
    scored = [one for one in case_measures(cohort.settings.metrics) if one.better is not None]
    tables = {
        measure: np.array([measure.of(case, empty) for case in cohort.scored], dtype=np.float64)
        for measure in scored
    }
    return [
        _label_summary(
            cohort, label, scores={measure: table[:, column] for measure, table in tables.items()}
        )
        for column, label in enumerate(cohort.labels)
    ]


def _label_summary(
    cohort: CohortScores, label: LabelKey, *, scores: dict[Measure, np.ndarray[Any, Any]]
) -> dict[str, Any]:
    states = Counter(_state(case, label) for case in cohort.scored)
    held = np.array([_state(case, label) is not SliceState.BOTH_EMPTY for case in cohort.scored])
    empty = cohort.settings.empty
    return {
        "label": label,
        "name": cohort.label_names.get(label, ""),
        "n": int(held.sum()),
        **{f"n_{state}": states[state] for state in SliceState},
        **{measure.column(empty): aggregate(values[held]) for measure, values in scores.items()},
        "worst_cases": {
            measure.column(empty): _worst(measure, values, cohort=cohort)
            for measure, values in scores.items()
            if measure.name in ("volume_dice", "hd95_mm")
        },
    }


def _state(case: CaseScores, label: LabelKey) -> SliceState:
    """Return which masks of a case hold the label."""
    tp, fp, fn = (int(total[case.labels.index(label)]) for total in case.counts.sums())
    if tp + fn:
        return SliceState.BOTH if tp + fp else SliceState.PREDICTION_EMPTY
    return SliceState.REFERENCE_EMPTY if fp else SliceState.BOTH_EMPTY


def _worst(
    measure: Measure, values: np.ndarray[Any, Any], *, cohort: CohortScores
) -> list[dict[str, Any]]:
    """Return the worst cases, worst first; a perfect one is none of them."""
    higher = measure.better is Better.HIGHER
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
