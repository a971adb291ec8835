"""Plans: from a checked data set to a recipe and a training plan, each decision with its reason."""

from __future__ import annotations

from unet_med.planning.assemble import Planned, make_plan, plan_training, training_case
from unet_med.planning.settings import DEFAULT_MINUTES, PlanSettings, Source
from unet_med.planning.split import share_into_folds

__all__ = [
    "DEFAULT_MINUTES",
    "PlanSettings",
    "Planned",
    "Source",
    "make_plan",
    "plan_training",
    "share_into_folds",
    "training_case",
]
