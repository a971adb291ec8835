"""From slices to labels: the stream that every interface runs."""

from __future__ import annotations

from unet_med.inference.ensemble import (
    EnsembleMember,
    SharedVolume,
    check_members,
    group_by_input,
    iter_ensemble_logits,
    with_common_step,
)
from unet_med.inference.logits import labels_from_logits, smallest_label_dtype
from unet_med.inference.memory_budget import check_memory, fit_batch
from unet_med.inference.pipeline import SlicePipeline
from unet_med.inference.postprocessing import PostprocessingReport, postprocess_labels
from unet_med.inference.prefetch import Prefetch
from unet_med.inference.profiling import StageTimer
from unet_med.inference.slices import ArraySlices, SliceSource, VolumeSlices, volume_statistics
from unet_med.inference.stream import iter_batches, iter_labels, iter_logits

__all__ = [
    "ArraySlices",
    "EnsembleMember",
    "PostprocessingReport",
    "Prefetch",
    "SharedVolume",
    "SlicePipeline",
    "SliceSource",
    "StageTimer",
    "VolumeSlices",
    "check_members",
    "check_memory",
    "fit_batch",
    "group_by_input",
    "iter_batches",
    "iter_ensemble_logits",
    "iter_labels",
    "iter_logits",
    "labels_from_logits",
    "postprocess_labels",
    "smallest_label_dtype",
    "volume_statistics",
    "with_common_step",
]
