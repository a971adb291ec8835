"""Compute counts, overlap metrics, surface distances and components of masks with NumPy."""

from __future__ import annotations

from unet_med.metrics.components import ComponentCounts, count_components, label_components
from unet_med.metrics.counts import SliceCounts, slice_counts
from unet_med.metrics.labels import Box, integer_labels, label_boxes, union_box, unique_labels
from unet_med.metrics.overlap import (
    EmptyPolicy,
    SliceState,
    dice,
    relative_volume_error,
    slice_dice_mean,
    slice_dice_median,
    slice_states,
    volume_dice,
    volume_iou,
    volume_precision,
    volume_recall,
)
from unet_med.metrics.surface import SurfaceDistances, slice_hd95_mm, surface_distances

__all__ = [
    "Box",
    "ComponentCounts",
    "EmptyPolicy",
    "SliceCounts",
    "SliceState",
    "SurfaceDistances",
    "count_components",
    "dice",
    "integer_labels",
    "label_boxes",
    "label_components",
    "relative_volume_error",
    "slice_counts",
    "slice_dice_mean",
    "slice_dice_median",
    "slice_hd95_mm",
    "slice_states",
    "surface_distances",
    "union_box",
    "unique_labels",
    "volume_dice",
    "volume_iou",
    "volume_precision",
    "volume_recall",
]
