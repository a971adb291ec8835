"""Name the anatomical axes: the one table of the world axes and of slices stacked along them.

World coordinates are RAS+: axis 0 grows to the right, 1 to the front (anterior), 2 to the head
(superior). This module loads nothing, so that the command line can show the names.
"""

from __future__ import annotations

from typing import Literal, get_args

AnatomicalAxis = Literal["left-right", "anterior-posterior", "inferior-superior"]
"""Name of a world axis."""

SliceAxis = Literal["axial", "coronal", "sagittal", "thickest"]
"""Name of the axis that slices are stacked along; ``thickest`` depends on the scan."""

ANATOMICAL_AXES: tuple[AnatomicalAxis, ...] = get_args(AnatomicalAxis)
"""World axes 0, 1 and 2 by name."""

AXIS_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters at the two ends of world axes 0, 1 and 2, in increasing order."""

SLICE_ORIENTATIONS = ("sagittal", "coronal", "axial")
"""Name of slices that are stacked along world axis 0, 1 and 2."""

SLICE_AXIS_NAMES: tuple[SliceAxis, ...] = get_args(SliceAxis)
"""Names that `slice_layout` takes."""


def in_plane_axes(orientation: str) -> tuple[AnatomicalAxis, AnatomicalAxis]:
    """Return the anatomical axes of the rows and the columns of slices.

    Args:
        orientation: One of `SLICE_ORIENTATIONS`.

    Returns:
        The axis along rows (H) and the one along columns (W), as `SliceLayout` has them.

    Example:
        >>> in_plane_axes("axial")
        ('anterior-posterior', 'left-right')
    """
    along = SLICE_ORIENTATIONS.index(orientation)
    columns, rows = (name for world, name in enumerate(ANATOMICAL_AXES) if world != along)
    return rows, columns
