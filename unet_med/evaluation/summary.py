"""The summary of a cohort: what was scored, how, and the volume Dice per label."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med import __version__
from unet_med.evaluation.records import CaseStatus
from unet_med.metrics import EmptyPolicy, volume_dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.evaluation.cohort import CohortScores
    from unet_med.evaluation.records import CaseScores

SCHEMA = "unet_med.evaluation"
SCHEMA_VERSION = 1

_EMPTY_WORDS = {
    EmptyPolicy.SKIP: "is left out",
    EmptyPolicy.ONE: "counts as 1",
    EmptyPolicy.ZERO: "counts as 0",
}


def summarise(cohort: CohortScores) -> dict[str, Any]:
    """Return summary.json's content; numbers without a value are None."""
    settings = cohort.settings
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "unet_med": __version__,
        "conventions": _conventions(settings.empty),
        "settings": {
            "slice_axis": settings.slice_axis,
            "empty": str(settings.empty),
            "labels": None if settings.labels is None else list(settings.labels),
        },
        "cases": {
            "scored": _with_status(cohort, CaseStatus.SCORED),
            "missing": _with_status(cohort, CaseStatus.MISSING),
            "failed": [{"case": one.case, "error": one.error} for one in cohort.failed],
            "extra": [{"case": one.case, "nearest": list(one.nearest)} for one in cohort.extra],
        },
        "slice_axes": dict(sorted(Counter(case.slice_axis for case in cohort.scored).items())),
        "labels": [
            _label_summary(cohort.scored, label=label, name=cohort.label_names.get(label, ""))
            for label in cohort.labels
        ],
    }


def _with_status(cohort: CohortScores, status: CaseStatus) -> list[str]:
    return [case.case for case in cohort.scored if case.status is status]


def _label_summary(cases: Sequence[CaseScores], *, label: int, name: str) -> dict[str, Any]:
    scores = [float(volume_dice(case.counts)[case.labels.index(label)]) for case in cases]
    known = [score for score in scores if not np.isnan(score)]
    return {
        "label": label,
        "name": name,
        "n": len(known),
        "n_both_empty": len(scores) - len(known),
        "volume_dice": {
            "mean": statistics.fmean(known) if known else None,
            "median": statistics.median(known) if known else None,
            "std": statistics.stdev(known) if len(known) > 1 else None,
            "min": min(known, default=None),
        },
    }


def _conventions(empty: EmptyPolicy) -> dict[str, str]:
    return {
        "volume_dice": "2·tp / (2·tp + fp + fn) from the counts summed over all slices of a case; "
        "null where the label is in neither mask",
        "slice_dice": "the same per slice; empty in slices.csv where the label is in neither mask",
        "slice_means": f"a slice without the label in either mask {_EMPTY_WORDS[empty]} "
        f"(columns that end in _{empty})",
        "label_summary": "over the n cases that hold the label in one of the masks, missing "
        "predictions included; std is the sample standard deviation",
        "missing": "a case without a prediction scores 0 for each label of its reference",
        "extra": "a prediction without a reference is listed, not scored",
        "failed": "a case that could not be compared is listed with the reason, not scored",
        "slice": "0-based index along the slice axis in the reference file's own array order",
        "position_mm": "RAS+ coordinate of the slice's centre along the slice axis",
    }
