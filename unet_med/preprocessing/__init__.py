"""Pure steps between a scan's voxels and what the network sees."""

from __future__ import annotations

from unet_med.preprocessing.context import Context, context_indices, stack_context
from unet_med.preprocessing.normalize import Normalization, normalize
from unet_med.preprocessing.spatial import InPlaneResampler, pad_to_multiple
from unet_med.preprocessing.statistics import IntensityStatistics, RegionStatistics

__all__ = [
    "Context",
    "InPlaneResampler",
    "IntensityStatistics",
    "Normalization",
    "RegionStatistics",
    "context_indices",
    "normalize",
    "pad_to_multiple",
    "stack_context",
]
