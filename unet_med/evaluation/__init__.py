"""Compare predicted masks with references, case by case and slice by slice."""

from __future__ import annotations

from unet_med.evaluation.against import compare_cohorts
from unet_med.evaluation.case import evaluate_case, score_volumes, with_carried_names
from unet_med.evaluation.cohort import CohortScores, assemble_cohort, evaluate_cohort
from unet_med.evaluation.comparison import Comparison
from unet_med.evaluation.pairing import case_id, pair_cases
from unet_med.evaluation.records import (
    CaseScores,
    CaseStatus,
    EvaluationSettings,
    ExtraPrediction,
    FailedCase,
    LabelShape,
)
from unet_med.evaluation.settings import MetricSettings, Region

__all__ = [
    "CaseScores",
    "CaseStatus",
    "CohortScores",
    "Comparison",
    "EvaluationSettings",
    "ExtraPrediction",
    "FailedCase",
    "LabelShape",
    "MetricSettings",
    "Region",
    "assemble_cohort",
    "case_id",
    "compare_cohorts",
    "evaluate_case",
    "evaluate_cohort",
    "pair_cases",
    "score_volumes",
    "with_carried_names",
]
