"""Pure steps between a scan's voxels and what the network sees."""

from __future__ import annotations

from unet_med.preprocessing.context import Context, context_indices, stack_context
from unet_med.preprocessing.normalise import Normalisation, normalise
from unet_med.preprocessing.pad import pad_to_multiple
from unet_med.preprocessing.resample import InPlaneResampler
from unet_med.preprocessing.statistics import IntensityStatistics, RegionStatistics

__all__ = [
    "Context",
    "InPlaneResampler",
    "IntensityStatistics",
    "Normalisation",
    "RegionStatistics",
    "context_indices",
    "normalise",
    "pad_to_multiple",
    "stack_context",
]
