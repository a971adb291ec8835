"""How a volume is cut into slices: views, made by permuting and flipping axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import GeometryError
from unet_med.geometry.axes import SLICE_AXIS_NAMES, SLICE_ORIENTATIONS
from unet_med.geometry.grid import world_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from unet_med.geometry.grid import Geometry

THICKEST_RATIO = 1.05
"""An axis is the thickest when its spacing exceeds both others by more than this factor.

Nominally isotropic scans differ in the third digit between axes.
"""


@dataclass(frozen=True, slots=True)
class SliceLayout:
    """Cut a volume (i, j, k) into slices (n, H, W), without copying.

    Slices come in increasing world coordinate. Rows run along the later world axis and columns
    along the earlier one (axial: H = anterior, W = right; coronal: H = superior, W = right;
    sagittal: H = superior, W = anterior), both increasing.

    Attributes:
        axes: Array axis of slices, rows and columns: a permutation of (0, 1, 2).
        flips: Whether each of the three runs against its array axis.

    Example:
        >>> layout = SliceLayout(axes=(2, 1, 0), flips=(False, False, True))
        >>> volume = np.arange(24).reshape(2, 3, 4)
        >>> slices = layout.to_slices(volume)
        >>> slices.shape
        (4, 3, 2)
        >>> bool((layout.from_slices(slices) == volume).all())
        True
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def __post_init__(self) -> None:
        if sorted(self.axes) != [0, 1, 2]:
            msg = f"slice, row and column axes must be a permutation of 0, 1, 2; got {self.axes}"
            raise GeometryError(msg)

    @property
    def slice_axis(self) -> int:
        """Array axis that slices are stacked along."""
        return self.axes[0]

    def in_file_order(self) -> SliceLayout:
        """Return the same slices in the file's own order, rows and columns as they are."""
        return SliceLayout(self.axes, (False, *self.flips[1:]))

    def n_slices(self, geometry: Geometry) -> int:
        """Return the number of slices."""
        return geometry.shape[self.slice_axis]

    def spacing(self, geometry: Geometry) -> tuple[float, float, float]:
        """Return the spacing in mm across slices, along rows (H) and along columns (W)."""
        sizes = geometry.spacing_mm
        slice_mm, row_mm, column_mm = (sizes[axis] for axis in self.axes)
        return slice_mm, row_mm, column_mm

    def to_slices(self, array: NDArray[Any]) -> NDArray[Any]:
        """View a volume, or a slab of it along the slice axis, as slices.

        Args:
            array: Shape (i, j, k), or (C, i, j, k) with channels first.

        Returns:
            A view of shape (n, H, W), or (n, C, H, W).

        Raises:
            GeometryError: The array has neither three nor four axes.
        """
        if array.ndim not in (3, 4):
            msg = f"a volume has 3 axes, or 4 with channels first; got shape {array.shape}"
            raise GeometryError(msg)
        first, second, third = (axis + array.ndim - 3 for axis in self.axes)
        order = (first, second, third) if array.ndim == 3 else (first, 0, second, third)  # noqa: PLR2004 - plain volume
        return array.transpose(order)[self._steps(array.ndim)]

    def from_slices(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Undo `to_slices`: view (n, H, W) as (i, j, k), or (n, C, H, W) as (C, i, j, k).

        Raises:
            GeometryError: The array has neither three nor four axes.
        """
        if slices.ndim not in (3, 4):
            msg = f"slices have 3 axes, or 4 with channels second; got shape {slices.shape}"
            raise GeometryError(msg)
        unflipped = slices[self._steps(slices.ndim)]
        where = np.argsort(self.axes).tolist()
        if slices.ndim == 3:  # noqa: PLR2004 - plain slices
            return unflipped.transpose(where)
        place = (0, 2, 3)  # slices, rows, columns of (n, C, H, W)
        return unflipped.transpose((1, *(place[axis] for axis in where)))

    def _steps(self, ndim: int) -> tuple[slice, ...]:
        slices, rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        channel = () if ndim == 3 else (slice(None),)  # noqa: PLR2004 - no channel axis
        return (slices, *channel, rows, columns)


def slice_layout(geometry: Geometry, name: str) -> SliceLayout:
    """Choose the slices of a volume by anatomical name.

    Args:
        geometry: The grid.
        name: ``axial``, ``coronal`` or ``sagittal``: the array axis nearest to that world axis;
            ``thickest``: the axis whose spacing is more than `THICKEST_RATIO` times both
            others, axial when there is none.

    Raises:
        GeometryError: The name is none of these.

    Example:
        >>> from unet_med.geometry import Geometry
        >>> slice_layout(Geometry((4, 5, 6), np.eye(4)), "axial").axes
        (2, 1, 0)
    """
    assigned, against = world_axes(geometry.voxel_to_world)
    if name in SLICE_ORIENTATIONS:
        along = SLICE_ORIENTATIONS.index(name)
    elif name == "thickest":
        thickest = _thickest_axis(geometry.spacing_mm)
        along = SLICE_ORIENTATIONS.index("axial") if thickest is None else assigned[thickest]
    else:
        msg = f"slice axis {name!r} is unknown; use one of {', '.join(SLICE_AXIS_NAMES)}"
        raise GeometryError(msg)
    column_world, row_world = (world for world in range(3) if world != along)
    slices, rows, columns = (assigned.index(world) for world in (along, row_world, column_world))
    return SliceLayout((slices, rows, columns), (against[slices], against[rows], against[columns]))


def slice_position_mm(geometry: Geometry, index: int, *, axis: int) -> float:
    """Return where a slice lies: one world coordinate of the center of its plane.

    Args:
        geometry: The grid.
        index: Index of the slice along ``axis``, in the file's own order.
        axis: Array axis that slices are stacked along.

    Returns:
        The RAS+ coordinate in mm, along the world axis that ``axis`` is assigned to (axial
        slices: z), of the slice's central point. In an oblique volume the rest of the slice
        lies at other coordinates.

    Example:
        >>> from unet_med.geometry import Geometry
        >>> slice_position_mm(Geometry((4, 5, 6), np.diag([1.0, 1.0, 3.0, 1.0])), 2, axis=2)
        6.0
    """
    return slice_positions_mm(geometry, [index], axis=axis)[0]


def slice_positions_mm(
    geometry: Geometry, indices: Iterable[int], *, axis: int
) -> tuple[float, ...]:
    """Return `slice_position_mm` of several slices.

    Example:
        >>> from unet_med.geometry import Geometry
        >>> slice_positions_mm(Geometry((4, 5, 6), np.diag([1.0, 1.0, 3.0, 1.0])), [0, 1], axis=2)
        (0.0, 3.0)
    """
    assigned, _ = world_axes(geometry.voxel_to_world)
    center = [(size - 1) / 2 for size in geometry.shape]
    positions = []
    for index in indices:
        center[axis] = index
        positions.append(float(geometry.world(center)[assigned[axis]]))
    return tuple(positions)


def _thickest_axis(spacing_mm: tuple[float, float, float]) -> int | None:
    axis = int(np.argmax(spacing_mm))
    others = [size for other, size in enumerate(spacing_mm) if other != axis]
    return axis if spacing_mm[axis] > THICKEST_RATIO * max(others) else None
