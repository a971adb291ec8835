"""Training data and the parts of a training run that MONAI does not have.

Names are loaded on first use: reading and writing a plan needs neither torch nor monai.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unet_med.training.plan import OptimizerPlan, TrainingCase, TrainingPlan

if TYPE_CHECKING:
    from unet_med.training.dataset import SlabDataset, find_pairs
    from unet_med.training.handlers import Averager, EpochSetter, WeightsSaver
    from unet_med.training.schedule import RateSchedule, warmup_cosine
    from unet_med.training.settings import SlabSettings

_LAZY = {
    "Averager": "handlers",
    "EpochSetter": "handlers",
    "RateSchedule": "schedule",
    "SlabDataset": "dataset",
    "SlabSettings": "settings",
    "WeightsSaver": "handlers",
    "find_pairs": "dataset",
    "warmup_cosine": "schedule",
}

__all__ = [
    "Averager",
    "EpochSetter",
    "OptimizerPlan",
    "RateSchedule",
    "SlabDataset",
    "SlabSettings",
    "TrainingCase",
    "TrainingPlan",
    "WeightsSaver",
    "find_pairs",
    "warmup_cosine",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in _LAZY
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
