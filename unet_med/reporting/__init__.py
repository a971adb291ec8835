"""Pictures of what a network did."""

from __future__ import annotations

from unet_med.reporting.overlay import write_overlay
from unet_med.reporting.ranking import RankedSlice, rank_slices
from unet_med.reporting.scene import CaseFiles, SliceScene, load_scene

__all__ = [
    "CaseFiles",
    "RankedSlice",
    "SliceScene",
    "load_scene",
    "rank_slices",
    "write_overlay",
]
