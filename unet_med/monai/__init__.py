"""Everything that MONAI names in a config or an import: ``_target_: unet_med.monai.LoadVolumed``.

A config says ``$import unet_med.monai as um`` and names ``um.Recipe``, ``um.datalist`` or
``_target_: unet_med.monai.EpochHandler``, wherever these are defined, and needs no other package
of ``unet_med`` but ``unet_med.networks``. Names are loaded on first use; importing this package
loads neither torch nor MONAI.

Example:
    >>> from unet_med import monai
    >>> monai.LoadVolumeD is monai.LoadVolumed
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med._lazy import lazy_exports

if TYPE_CHECKING:
    from unet_med.backends import resolve_ensemble, resolve_execution
    from unet_med.batch.datalist import datalist, labeled_datalist, partition_cases, required_option
    from unet_med.bundle import Bundle
    from unet_med.monai import handlers, inferer, metrics, transforms
    from unet_med.monai.handlers import SliceMetricsSaver, WeightsLoader
    from unet_med.monai.inferer import SlicewiseInferer
    from unet_med.monai.metrics import SliceDiceMetric
    from unet_med.monai.transforms import (
        LoadVolume,
        LoadVolumeD,
        LoadVolumed,
        LoadVolumeDict,
        NormalizeVolume,
        NormalizeVolumeD,
        NormalizeVolumed,
        NormalizeVolumeDict,
        ResampleInPlane,
        ResampleInPlaneD,
        ResampleInPlaned,
        ResampleInPlaneDict,
        SaveMask,
        SaveMaskD,
        SaveMaskd,
        SaveMaskDict,
        StackContext,
        StackContextD,
        StackContextd,
        StackContextDict,
    )
    from unet_med.recipe import Recipe
    from unet_med.segmenter import mask_provenance, open_bundles
    from unet_med.training import (
        CaseCounter,
        DeepSupervisionLoss,
        DiceCrossEntropy,
        EpochHandler,
        HandlerReference,
        LearningRateSchedule,
        StepSampler,
        TargetEncoding,
        TensorBoardLog,
        TrainingInferer,
        TrainingPlan,
        WeightAverage,
        build_batches,
        build_optimizer,
        find_budget,
        held_out_data,
        last_held_out_epoch,
        parse_bool,
        prepare_network,
        prepare_output_dir,
        remove_cache,
        run_training,
        tensorboard_folder,
        thread_count,
        validation_data,
        with_deep_supervision,
    )

_LAZY = {
    "Bundle": "unet_med.bundle",
    "CaseCounter": "unet_med.training",
    "DeepSupervisionLoss": "unet_med.training",
    "DiceCrossEntropy": "unet_med.training",
    "EpochHandler": "unet_med.training",
    "HandlerReference": "unet_med.training",
    "LearningRateSchedule": "unet_med.training",
    "LoadVolume": "unet_med.monai.transforms",
    "LoadVolumeD": "unet_med.monai.transforms",
    "LoadVolumeDict": "unet_med.monai.transforms",
    "LoadVolumed": "unet_med.monai.transforms",
    "NormalizeVolume": "unet_med.monai.transforms",
    "NormalizeVolumeD": "unet_med.monai.transforms",
    "NormalizeVolumeDict": "unet_med.monai.transforms",
    "NormalizeVolumed": "unet_med.monai.transforms",
    "Recipe": "unet_med.recipe",
    "ResampleInPlane": "unet_med.monai.transforms",
    "ResampleInPlaneD": "unet_med.monai.transforms",
    "ResampleInPlaneDict": "unet_med.monai.transforms",
    "ResampleInPlaned": "unet_med.monai.transforms",
    "SaveMask": "unet_med.monai.transforms",
    "SaveMaskD": "unet_med.monai.transforms",
    "SaveMaskDict": "unet_med.monai.transforms",
    "SaveMaskd": "unet_med.monai.transforms",
    "SliceDiceMetric": "unet_med.monai.metrics",
    "SliceMetricsSaver": "unet_med.monai.handlers",
    "SlicewiseInferer": "unet_med.monai.inferer",
    "StackContext": "unet_med.monai.transforms",
    "StackContextD": "unet_med.monai.transforms",
    "StackContextDict": "unet_med.monai.transforms",
    "StackContextd": "unet_med.monai.transforms",
    "StepSampler": "unet_med.training",
    "TargetEncoding": "unet_med.training",
    "TensorBoardLog": "unet_med.training",
    "TrainingInferer": "unet_med.training",
    "TrainingPlan": "unet_med.training",
    "WeightAverage": "unet_med.training",
    "WeightsLoader": "unet_med.monai.handlers",
    "build_batches": "unet_med.training",
    "build_optimizer": "unet_med.training",
    "datalist": "unet_med.batch.datalist",
    "find_budget": "unet_med.training",
    "held_out_data": "unet_med.training",
    "labeled_datalist": "unet_med.batch.datalist",
    "last_held_out_epoch": "unet_med.training",
    "mask_provenance": "unet_med.segmenter",
    "open_bundles": "unet_med.segmenter",
    "parse_bool": "unet_med.training",
    "partition_cases": "unet_med.batch.datalist",
    "prepare_network": "unet_med.training",
    "prepare_output_dir": "unet_med.training",
    "remove_cache": "unet_med.training",
    "required_option": "unet_med.batch.datalist",
    "resolve_ensemble": "unet_med.backends",
    "resolve_execution": "unet_med.backends",
    "run_training": "unet_med.training",
    "tensorboard_folder": "unet_med.training",
    "thread_count": "unet_med.training",
    "validation_data": "unet_med.training",
    "with_deep_supervision": "unet_med.training",
    "handlers": "",
    "inferer": "",
    "metrics": "",
    "transforms": "",
}
"""Where each name is defined. Other packages' names stand here, so that a config needs this one."""

COMPONENTS = tuple(name for name, module in _LAZY.items() if module.startswith(f"{__name__}."))
"""Transforms, inferer, metric and handlers: what ``unet_med.monai_plugin`` gives short names."""

__all__ = [
    "COMPONENTS",
    "Bundle",
    "CaseCounter",
    "DeepSupervisionLoss",
    "DiceCrossEntropy",
    "EpochHandler",
    "HandlerReference",
    "LearningRateSchedule",
    "LoadVolume",
    "LoadVolumeD",
    "LoadVolumeDict",
    "LoadVolumed",
    "NormalizeVolume",
    "NormalizeVolumeD",
    "NormalizeVolumeDict",
    "NormalizeVolumed",
    "Recipe",
    "ResampleInPlane",
    "ResampleInPlaneD",
    "ResampleInPlaneDict",
    "ResampleInPlaned",
    "SaveMask",
    "SaveMaskD",
    "SaveMaskDict",
    "SaveMaskd",
    "SliceDiceMetric",
    "SliceMetricsSaver",
    "SlicewiseInferer",
    "StackContext",
    "StackContextD",
    "StackContextDict",
    "StackContextd",
    "StepSampler",
    "TargetEncoding",
    "TensorBoardLog",
    "TrainingInferer",
    "TrainingPlan",
    "WeightAverage",
    "WeightsLoader",
    "build_batches",
    "build_optimizer",
    "datalist",
    "find_budget",
    "handlers",
    "held_out_data",
    "inferer",
    "labeled_datalist",
    "last_held_out_epoch",
    "mask_provenance",
    "metrics",
    "open_bundles",
    "parse_bool",
    "partition_cases",
    "prepare_network",
    "prepare_output_dir",
    "remove_cache",
    "required_option",
    "resolve_ensemble",
    "resolve_execution",
    "run_training",
    "tensorboard_folder",
    "thread_count",
    "transforms",
    "validation_data",
    "with_deep_supervision",
]

__getattr__, __dir__ = lazy_exports(__name__, _LAZY)
