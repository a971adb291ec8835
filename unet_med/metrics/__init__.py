"""Counts, overlap scores, surface distances and components as pure NumPy functions."""

from __future__ import annotations

from unet_med.metrics.boxes import Box, label_boxes, union_box
from unet_med.metrics.components import ComponentCounts, count_components
from unet_med.metrics.counts import SliceCounts, slice_counts
from unet_med.metrics.dice import (
    EmptyPolicy,
    SliceState,
    dice,
    slice_dice_mean,
    slice_dice_median,
    slice_states,
    volume_dice,
)
from unet_med.metrics.overlap import (
    relative_volume_error,
    volume_iou,
    volume_precision,
    volume_recall,
)
from unet_med.metrics.surface import SurfaceDistances, slice_hd95_mm, surface_distances
from unet_med.metrics.values import label_values, present_values

__all__ = [
    "Box",
    "ComponentCounts",
    "EmptyPolicy",
    "SliceCounts",
    "SliceState",
    "SurfaceDistances",
    "count_components",
    "dice",
    "label_boxes",
    "label_values",
    "present_values",
    "relative_volume_error",
    "slice_counts",
    "slice_dice_mean",
    "slice_dice_median",
    "slice_hd95_mm",
    "slice_states",
    "surface_distances",
    "union_box",
    "volume_dice",
    "volume_iou",
    "volume_precision",
    "volume_recall",
]
