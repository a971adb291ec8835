"""Plans: from a checked data set to a recipe and a training plan, each decision with its reason."""

from __future__ import annotations

from unet_med.training.planning.planner import (
    PlannedTraining,
    make_plan,
    plan_training,
    training_case,
)
from unet_med.training.planning.settings import DEFAULT_MINUTES, PlanSettings, SourceData
from unet_med.training.planning.split import split_into_folds

__all__ = [
    "DEFAULT_MINUTES",
    "PlanSettings",
    "PlannedTraining",
    "SourceData",
    "make_plan",
    "plan_training",
    "split_into_folds",
    "training_case",
]
