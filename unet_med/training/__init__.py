"""Training data and the parts of a training run that MONAI does not have.

Names are loaded on first use: reading and writing a plan needs neither torch nor monai.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unet_med._switch import is_on
from unet_med.training.plan import OptimizerPlan, TrainingCase, TrainingPlan

if TYPE_CHECKING:
    from unet_med.training.averaging import WeightAverage
    from unet_med.training.batches import SliceBatches, StepSampler
    from unet_med.training.cache import SliceCache
    from unet_med.training.codes import LabelCodes
    from unet_med.training.dataset import SlabDraws
    from unet_med.training.ending import run_training
    from unet_med.training.loss import DiceCrossEntropy
    from unet_med.training.optimizers import build_optimizer
    from unet_med.training.pace import last_apart
    from unet_med.training.parts import (
        TrainingInferer,
        find_pace,
        open_batches,
        place_network,
        prepare_folder,
        remove_cache,
        threads_of,
    )
    from unet_med.training.rounds import Attached, Rounds
    from unet_med.training.run import RunOptions, TrainingResult
    from unet_med.training.schedule import RateSchedule, warmup_cosine
    from unet_med.training.scoring import CaseCounter, validation_data
    from unet_med.training.settings import SlabSettings
    from unet_med.training.slab_batches import SlabBatches
    from unet_med.training.start import train_bundle
    from unet_med.training.supervision import DeepSupervisionLoss, supervised
    from unet_med.training.tensorboard import TensorBoardLog, tensorboard_folder
    from unet_med.training.unseen import unseen_data

_LAZY = {
    "Attached": "rounds",
    "CaseCounter": "scoring",
    "DeepSupervisionLoss": "supervision",
    "DiceCrossEntropy": "loss",
    "LabelCodes": "codes",
    "RateSchedule": "schedule",
    "Rounds": "rounds",
    "RunOptions": "run",
    "SlabBatches": "slab_batches",
    "SlabDraws": "dataset",
    "SlabSettings": "settings",
    "SliceBatches": "batches",
    "SliceCache": "cache",
    "StepSampler": "batches",
    "TensorBoardLog": "tensorboard",
    "TrainingInferer": "parts",
    "TrainingResult": "run",
    "WeightAverage": "averaging",
    "build_optimizer": "optimizers",
    "find_pace": "parts",
    "last_apart": "pace",
    "open_batches": "parts",
    "place_network": "parts",
    "prepare_folder": "parts",
    "remove_cache": "parts",
    "run_training": "ending",
    "supervised": "supervision",
    "tensorboard_folder": "tensorboard",
    "threads_of": "parts",
    "train_bundle": "start",
    "unseen_data": "unseen",
    "validation_data": "scoring",
    "warmup_cosine": "schedule",
}

__all__ = [
    "Attached",
    "CaseCounter",
    "DeepSupervisionLoss",
    "DiceCrossEntropy",
    "LabelCodes",
    "OptimizerPlan",
    "RateSchedule",
    "Rounds",
    "RunOptions",
    "SlabBatches",
    "SlabDraws",
    "SlabSettings",
    "SliceBatches",
    "SliceCache",
    "StepSampler",
    "TensorBoardLog",
    "TrainingCase",
    "TrainingInferer",
    "TrainingPlan",
    "TrainingResult",
    "WeightAverage",
    "build_optimizer",
    "find_pace",
    "is_on",
    "last_apart",
    "open_batches",
    "place_network",
    "prepare_folder",
    "remove_cache",
    "run_training",
    "supervised",
    "tensorboard_folder",
    "threads_of",
    "train_bundle",
    "unseen_data",
    "validation_data",
    "warmup_cosine",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in _LAZY
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
