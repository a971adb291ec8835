"""Evaluate predicted masks against references, case by case and slice by slice."""

from __future__ import annotations

from unet_med.evaluation.case import evaluate_case, score_volumes, with_file_label_names
from unet_med.evaluation.cohort import assemble_cohort, compare_cohorts, evaluate_cohort
from unet_med.evaluation.cohort_scores import CohortScores
from unet_med.evaluation.comparison import Comparison
from unet_med.evaluation.metric_columns import Better, MetricColumn
from unet_med.evaluation.pairing import pair_cases
from unet_med.evaluation.scores import (
    DEFAULT_TOLERANCE_MM,
    CaseScores,
    CaseStatus,
    ExtraPrediction,
    FailedCase,
    LabelRegion,
    MetricSettings,
    SurfaceMetrics,
)
from unet_med.evaluation.settings import EvaluationSettings

__all__ = [
    "DEFAULT_TOLERANCE_MM",
    "Better",
    "CaseScores",
    "CaseStatus",
    "CohortScores",
    "Comparison",
    "EvaluationSettings",
    "ExtraPrediction",
    "FailedCase",
    "LabelRegion",
    "MetricColumn",
    "MetricSettings",
    "SurfaceMetrics",
    "assemble_cohort",
    "compare_cohorts",
    "evaluate_case",
    "evaluate_cohort",
    "pair_cases",
    "score_volumes",
    "with_file_label_names",
]
