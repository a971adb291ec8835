"""Where voxels lie in the patient, and how a volume is cut into slices.

World coordinates are RAS+ millimeters: x grows to the patient's right, y to the front, z to the
head. Array axes are called i, j, k in the file's own order.
"""

from __future__ import annotations

from unet_med.geometry.grid import (
    SAME_GRID_TOLERANCE_MM,
    Geometry,
    corner_displacement_mm,
    grid_difference,
    voxel_sizes_mm,
    world_axes,
)
from unet_med.geometry.layout import (
    SLICE_AXIS_NAMES,
    SliceLayout,
    slice_layout,
    slice_position_mm,
    slice_positions_mm,
)

__all__ = [
    "SAME_GRID_TOLERANCE_MM",
    "SLICE_AXIS_NAMES",
    "Geometry",
    "SliceLayout",
    "corner_displacement_mm",
    "grid_difference",
    "slice_layout",
    "slice_position_mm",
    "slice_positions_mm",
    "voxel_sizes_mm",
    "world_axes",
]
