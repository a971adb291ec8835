"""The grid of a volume: its shape, and where each voxel lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Affine = NDArray[np.float64]

SAME_GRID_TOLERANCE_MM = 1e-3
"""Largest displacement of a corner voxel between equal grids.

A float32 sform moves the corners of a 500 mm field of view by less than 1e-4 mm.
"""

_MM3_PER_ML = 1000.0
_SMALLEST_SINE = 1e-6  # columns of an affine closer to a plane than this span no volume


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Place the voxels of a volume in the patient: shape and affine.

    Attributes:
        shape: Voxels per array axis (i, j, k), all > 0.
        voxel_to_world: Affine, shape (4, 4), float64, read-only: voxel index to RAS+ mm.

    Raises:
        GeometryError: The shape is not three positive integers, or the affine is not a finite,
            invertible (4, 4) matrix with the last row 0 0 0 1.

    Example:
        >>> grid = Geometry((4, 5, 6), np.diag([0.5, 0.5, 4.0, 1.0]))
        >>> grid.spacing_mm, grid.voxel_ml
        ((0.5, 0.5, 4.0), 0.001)
        >>> grid.world((0, 0, 2)).tolist()
        [0.0, 0.0, 8.0]
    """

    shape: tuple[int, int, int]
    voxel_to_world: Affine

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        object.__setattr__(self, "voxel_to_world", _checked_affine(self.voxel_to_world))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of one voxel along i, j, k in mm."""
        first, second, third = (float(size) for size in voxel_sizes_mm(self.voxel_to_world))
        return first, second, third

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(abs(np.linalg.det(self.voxel_to_world[:3, :3]))) / _MM3_PER_ML

    def world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Return the RAS+ position in mm of voxel indices, shape (..., 3), fractions allowed."""
        indices = np.asarray(index, dtype=np.float64)
        rotation, origin = self.voxel_to_world[:3, :3], self.voxel_to_world[:3, 3]
        return np.asarray(indices @ rotation.T + origin, dtype=np.float64)


def voxel_sizes_mm(voxel_to_world: Affine) -> Affine:
    """Return the edge lengths of one voxel.

    Args:
        voxel_to_world: Affine, shape (4, 4), voxel index to RAS+ mm.

    Returns:
        Edge length per array axis in mm, shape (3,), float64.

    Example:
        >>> voxel_sizes_mm(np.diag([0.5, 0.5, 3.0, 1.0])).tolist()
        [0.5, 0.5, 3.0]
    """
    return np.asarray(np.linalg.norm(voxel_to_world[:3, :3], axis=0), dtype=np.float64)


def world_axes(voxel_to_world: Affine) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Assign to each array axis the world axis that it runs along, one to one.

    The directions are first made orthogonal (the nearest rotation, from the polar
    decomposition); then the array axis that is most clearly along a world axis chooses first.

    Args:
        voxel_to_world: Affine, shape (4, 4), voxel index to RAS+ mm.

    Returns:
        For i, j, k: the world axis (0 right, 1 anterior, 2 superior), and whether the array
        axis runs against it.

    Source:
        The rule of ``nibabel.io_orientation``, whose answer this equals (tested).

    Example:
        >>> world_axes(np.diag([-1.0, 1.0, 3.0, 1.0]))
        ((0, 1, 2), (True, False, False))
    """
    matrix = voxel_to_world[:3, :3]
    left, _, right = np.linalg.svd(matrix / voxel_sizes_mm(voxel_to_world))
    rotation = left @ right
    assigned, against = [0, 0, 0], [False, False, False]
    for axis in np.argsort(-np.max(rotation**2, axis=0), kind="stable").tolist():
        world = int(np.argmax(np.abs(rotation[:, axis])))
        assigned[axis], against[axis] = world, bool(rotation[world, axis] < 0)
        rotation[world] = 0
    return (assigned[0], assigned[1], assigned[2]), (against[0], against[1], against[2])


def corner_displacement_mm(first: Geometry, second: Geometry) -> float:
    """Return the largest distance in mm between corresponding corner voxels.

    The corners are those of the first grid's shape, so only the affines are compared.

    Example:
        >>> moved = np.eye(4)
        >>> moved[0, 3] = 2.0
        >>> corner_displacement_mm(Geometry((4, 5, 6), np.eye(4)), Geometry((4, 5, 6), moved))
        2.0
    """
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.shape])).reshape(3, -1).T
    displacement_mm = first.world(corners) - second.world(corners)
    return float(np.linalg.norm(displacement_mm, axis=1).max())


def grid_difference(first: Geometry, second: Geometry) -> str | None:
    """Say how two grids differ.

    Returns:
        None when the shapes are equal and no corner voxel is displaced by more than
        `SAME_GRID_TOLERANCE_MM`; else one line with both grids' numbers.

    Example:
        >>> a = Geometry((4, 5, 6), np.eye(4))
        >>> grid_difference(a, Geometry((4, 5, 7), np.eye(4)))
        'shape (4, 5, 6) vs (4, 5, 7)'
    """
    parts = []
    if first.shape != second.shape:
        parts.append(f"shape {first.shape} vs {second.shape}")
    displacement_mm = corner_displacement_mm(first, second)
    if displacement_mm > SAME_GRID_TOLERANCE_MM:
        parts += _affine_differences(first, second)
        parts.append(f"corner voxels up to {displacement_mm:.4g} mm apart")
    return "; ".join(parts) or None


def _affine_differences(first: Geometry, second: Geometry) -> list[str]:
    """Name spacing, origin and direction where they differ visibly, with both values."""
    affines = (first.voxel_to_world, second.voxel_to_world)
    sizes = [voxel_sizes_mm(affine) for affine in affines]
    pairs = {
        "spacing (mm)": sizes,
        "origin (mm)": [affine[:3, 3] for affine in affines],
        "direction": [
            (affine[:3, :3] / size).ravel() for affine, size in zip(affines, sizes, strict=True)
        ],
    }
    return [
        f"{what} {_numbers(one)} vs {_numbers(other)}"
        for what, (one, other) in pairs.items()
        if not np.allclose(one, other, rtol=0, atol=1e-5)
    ]


def _numbers(values: NDArray[np.float64]) -> str:
    """Write numbers as short as six digits allow; minus zero is zero."""
    return "(" + ", ".join(f"{value:.6g}" for value in np.round(values, 6) + 0.0) + ")"


def _checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if len(sizes) != 3 or min(sizes) < 1 or sizes != tuple(shape):  # noqa: PLR2004 - i, j, k
        msg = f"a grid needs three whole sizes above 0, got {tuple(shape)}"
        raise GeometryError(msg)
    return sizes


def _checked_affine(voxel_to_world: ArrayLike) -> Affine:
    affine = np.array(voxel_to_world, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        msg = f"an affine needs 4 × 4 finite numbers, got {affine.tolist()}"
        raise GeometryError(msg)
    sizes = voxel_sizes_mm(affine)
    spans = sizes.all() and np.linalg.svd(affine[:3, :3] / sizes)[1].min() > _SMALLEST_SINE
    if not spans or affine[3].tolist() != [0, 0, 0, 1]:
        msg = f"an affine must be invertible, with last row 0 0 0 1; got {affine.tolist()}"
        raise GeometryError(msg)
    affine.flags.writeable = False
    return affine
