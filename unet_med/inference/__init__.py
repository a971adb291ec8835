"""From slices to labels: the stream that every door runs, and MONAI's face of it.

``SlicewiseInferer`` is loaded on first use, since it alone needs torch and monai.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.inference.budget import check_memory, fit_batch
from unet_med.inference.clock import StageClock
from unet_med.inference.ensemble import (
    SharedVolume,
    Strand,
    check_members,
    different_inputs,
    in_step,
    iter_ensemble_logits,
)
from unet_med.inference.labels import label_dtype, labels_from_logits
from unet_med.inference.pipeline import SlicePipeline
from unet_med.inference.postprocessing import PostprocessingReport, postprocess_labels
from unet_med.inference.prefetch import Prefetch
from unet_med.inference.slices import ArraySlices, SliceSource, VolumeSlices, volume_statistics
from unet_med.inference.stream import iter_batches, iter_labels, iter_logits

if TYPE_CHECKING:
    from unet_med.inference.inferer import SlicewiseInferer

__all__ = [
    "ArraySlices",
    "PostprocessingReport",
    "Prefetch",
    "SharedVolume",
    "SlicePipeline",
    "SliceSource",
    "SlicewiseInferer",
    "StageClock",
    "Strand",
    "VolumeSlices",
    "check_members",
    "check_memory",
    "different_inputs",
    "fit_batch",
    "in_step",
    "iter_batches",
    "iter_ensemble_logits",
    "iter_labels",
    "iter_logits",
    "label_dtype",
    "labels_from_logits",
    "postprocess_labels",
    "volume_statistics",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute of any type
    """Load ``SlicewiseInferer`` when somebody asks for it."""
    if name == "SlicewiseInferer":
        from unet_med.inference.inferer import SlicewiseInferer

        return SlicewiseInferer
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
