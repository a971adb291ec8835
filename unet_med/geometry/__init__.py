"""Place voxels in the patient, and cut volumes into slices.

World coordinates are RAS+ millimeters: x grows to the patient's right, y to the front, z to the
head. Array axes are called i, j, k in the file's own order.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unet_med.geometry.axes import (
    ANATOMICAL_AXES,
    AXIS_ENDS,
    SLICE_AXIS_NAMES,
    SLICE_ORIENTATIONS,
    AnatomicalAxis,
    SliceAxis,
    in_plane_axes,
)

if TYPE_CHECKING:
    from unet_med.geometry.grid import (
        SAME_GRID_TOLERANCE_MM,
        Geometry,
        corner_displacement_mm,
        grid_difference,
        voxel_sizes_mm,
        world_axes,
    )
    from unet_med.geometry.layout import (
        SliceLayout,
        slice_layout,
        slice_position_mm,
        slice_positions_mm,
    )

_LAZY = {  # names whose modules load NumPy
    "SAME_GRID_TOLERANCE_MM": "grid",
    "Geometry": "grid",
    "SliceLayout": "layout",
    "corner_displacement_mm": "grid",
    "grid_difference": "grid",
    "slice_layout": "layout",
    "slice_position_mm": "layout",
    "slice_positions_mm": "layout",
    "voxel_sizes_mm": "grid",
    "world_axes": "grid",
}

__all__ = [
    "ANATOMICAL_AXES",
    "AXIS_ENDS",
    "SAME_GRID_TOLERANCE_MM",
    "SLICE_AXIS_NAMES",
    "SLICE_ORIENTATIONS",
    "AnatomicalAxis",
    "Geometry",
    "SliceAxis",
    "SliceLayout",
    "corner_displacement_mm",
    "grid_difference",
    "in_plane_axes",
    "slice_layout",
    "slice_position_mm",
    "slice_positions_mm",
    "voxel_sizes_mm",
    "world_axes",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names in _LAZY
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
