"""Training data and the parts of a training run that MONAI does not have.

Names are loaded on first use: reading and writing a plan needs neither torch nor monai.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports
from unet_med._parsing import parse_bool
from unet_med.training.plan import OptimizerPlan, TrainingCase, TrainingPlan

if TYPE_CHECKING:
    from unet_med.training.augmentation import AugmentationSettings
    from unet_med.training.data.batch_source import BatchIndex, BatchSource, StepSampler
    from unet_med.training.data.cache import SliceCache
    from unet_med.training.data.held_out import CaseCounter, held_out_data, validation_data
    from unet_med.training.data.patch_sampler import PatchBatches
    from unet_med.training.engine.budget import last_held_out_epoch
    from unet_med.training.engine.builders import (
        TrainingInferer,
        build_batches,
        find_budget,
        prepare_output_dir,
        remove_cache,
        thread_count,
    )
    from unet_med.training.engine.deep_supervision import DeepSupervisionLoss, with_deep_supervision
    from unet_med.training.engine.epochs import EpochHandler, HandlerReference
    from unet_med.training.engine.finalize import run_training
    from unet_med.training.engine.loss import DiceCrossEntropy
    from unet_med.training.engine.optimization import (
        LearningRateSchedule,
        WeightAverage,
        build_optimizer,
        warmup_cosine,
    )
    from unet_med.training.engine.pretrained import prepare_network
    from unet_med.training.engine.run import train_bundle
    from unet_med.training.engine.run_options import RunOptions, TrainingResult
    from unet_med.training.engine.tensorboard_log import TensorBoardLog, tensorboard_folder
    from unet_med.training.target_encoding import TargetEncoding

_LAZY = {
    "AugmentationSettings": "augmentation",
    "BatchIndex": "data.batch_source",
    "BatchSource": "data.batch_source",
    "CaseCounter": "data.held_out",
    "DeepSupervisionLoss": "engine.deep_supervision",
    "DiceCrossEntropy": "engine.loss",
    "EpochHandler": "engine.epochs",
    "HandlerReference": "engine.epochs",
    "LearningRateSchedule": "engine.optimization",
    "PatchBatches": "data.patch_sampler",
    "RunOptions": "engine.run_options",
    "SliceCache": "data.cache",
    "StepSampler": "data.batch_source",
    "TargetEncoding": "target_encoding",
    "TensorBoardLog": "engine.tensorboard_log",
    "TrainingInferer": "engine.builders",
    "TrainingResult": "engine.run_options",
    "WeightAverage": "engine.optimization",
    "build_batches": "engine.builders",
    "build_optimizer": "engine.optimization",
    "find_budget": "engine.builders",
    "held_out_data": "data.held_out",
    "last_held_out_epoch": "engine.budget",
    "prepare_network": "engine.pretrained",
    "prepare_output_dir": "engine.builders",
    "remove_cache": "engine.builders",
    "run_training": "engine.finalize",
    "tensorboard_folder": "engine.tensorboard_log",
    "thread_count": "engine.builders",
    "train_bundle": "engine.run",
    "validation_data": "data.held_out",
    "warmup_cosine": "engine.optimization",
    "with_deep_supervision": "engine.deep_supervision",
}

__all__ = [
    "AugmentationSettings",
    "BatchIndex",
    "BatchSource",
    "CaseCounter",
    "DeepSupervisionLoss",
    "DiceCrossEntropy",
    "EpochHandler",
    "HandlerReference",
    "LearningRateSchedule",
    "OptimizerPlan",
    "PatchBatches",
    "RunOptions",
    "SliceCache",
    "StepSampler",
    "TargetEncoding",
    "TensorBoardLog",
    "TrainingCase",
    "TrainingInferer",
    "TrainingPlan",
    "TrainingResult",
    "WeightAverage",
    "build_batches",
    "build_optimizer",
    "find_budget",
    "held_out_data",
    "last_held_out_epoch",
    "parse_bool",
    "prepare_network",
    "prepare_output_dir",
    "remove_cache",
    "run_training",
    "tensorboard_folder",
    "thread_count",
    "train_bundle",
    "validation_data",
    "warmup_cosine",
    "with_deep_supervision",
]

__getattr__, __dir__ = lazy_exports(__name__, _LAZY)
