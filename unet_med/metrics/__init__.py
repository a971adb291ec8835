"""Counts and Dice scores as pure NumPy functions."""

from __future__ import annotations

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
from unet_med.metrics.values import label_values, present_values

__all__ = [
    "EmptyPolicy",
    "SliceCounts",
    "SliceState",
    "dice",
    "label_values",
    "present_values",
    "slice_counts",
    "slice_dice_mean",
    "slice_dice_median",
    "slice_states",
    "volume_dice",
]
