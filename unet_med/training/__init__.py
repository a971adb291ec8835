"""Training data and the parts of a training run that MONAI does not have."""

from __future__ import annotations

from unet_med.training.dataset import SlabDataset, find_pairs
from unet_med.training.handlers import Averager, EpochSetter, WeightsSaver
from unet_med.training.schedule import RateSchedule, warmup_cosine
from unet_med.training.settings import SlabSettings

__all__ = [
    "Averager",
    "EpochSetter",
    "RateSchedule",
    "SlabDataset",
    "SlabSettings",
    "WeightsSaver",
    "find_pairs",
    "warmup_cosine",
]
