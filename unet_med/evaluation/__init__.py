"""Compare predicted masks with references, case by case and slice by slice."""

from __future__ import annotations

from unet_med.evaluation.case import evaluate_case, score_volumes, with_carried_names
from unet_med.evaluation.cohort import CohortScores, assemble_cohort, evaluate_cohort
from unet_med.evaluation.pairing import case_id, pair_cases
from unet_med.evaluation.records import (
    CaseScores,
    CaseStatus,
    EvaluationSettings,
    ExtraPrediction,
    FailedCase,
)

__all__ = [
    "CaseScores",
    "CaseStatus",
    "CohortScores",
    "EvaluationSettings",
    "ExtraPrediction",
    "FailedCase",
    "assemble_cohort",
    "case_id",
    "evaluate_case",
    "evaluate_cohort",
    "pair_cases",
    "score_volumes",
    "with_carried_names",
]
