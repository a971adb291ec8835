"""Compute label statistics of one case: voxels, extent and center, counted plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import LabelError
from unet_med.metrics.labels import LabelEncoder, unique_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.metrics.labels import LabelArray

PLANES_AXIS = 2
"""Files store planes along the third array axis one after the other."""

MAX_VALUES = 512
"""A file with more label values than this is a scan by mistake, or holds instances."""


@dataclass(frozen=True, slots=True)
class LabelStats:
    """Statistics of one label of one case.

    Attributes:
        n_voxels: Voxels.
        volume_ml: Their volume.
        n_slices: Per array axis, planes across it that hold the label.
        extent_mm: Per array axis, from the first to the last of these planes.
        center_mm: Mean position, RAS+ mm.
    """

    n_voxels: int
    volume_ml: float
    n_slices: tuple[int, int, int]
    extent_mm: tuple[float, float, float]
    center_mm: tuple[float, float, float]


class LabelCounter:
    """Counts, per label value, the voxels in every plane across each array axis.

    Args:
        shape: The grid (i, j, k).
        ignore: Value that is no label: it has no part in ``union`` and ``chords_mm``.
    """

    def __init__(self, shape: tuple[int, int, int], *, ignore: int | None = None) -> None:
        self._shape = shape
        self._ignore = ignore
        self._profiles: dict[int, tuple[NDArray[np.int64], ...]] = {}
        self.n_background = 0
        self._faces = [0, 0, 0]

    def add(self, values: LabelArray, *, start: int) -> NDArray[np.bool_]:
        """Count a slab of planes.

        Args:
            values: Label values (i, j, planes).
            start: Index of its first plane along the third axis.

        Returns:
            Where the label is not 0, (i, j, planes).

        Raises:
            LabelError: A value is negative, or there are too many.
        """
        inside: NDArray[np.bool_] = values != 0
        where = np.nonzero(inside)
        self.n_background += int(values.size - where[0].size)
        if where[0].size:
            self._count(values[where], where, start)
            self._count_faces(values)
        return inside

    def chords_mm(self, geometry: Geometry) -> tuple[float, float, float] | None:
        """Return how far a line along each array axis runs in one label, on average, in mm.

        From the labeled voxels and the faces between different values, those at the border
        of the scan and between slabs left out. A face between two labels counts once, so that
        labels that touch seem wider, twice as wide at the most. None when nothing is labeled.
        """
        n_voxels = sum(int(parts[0].sum()) for parts in self._labeled())
        if not n_voxels:
            return None
        i, j, k = (
            2 * n_voxels / max(faces, 1) * size
            for faces, size in zip(self._faces, geometry.spacing_mm, strict=True)
        )
        return float(i), float(j), float(k)

    def _labeled(self) -> list[tuple[NDArray[np.int64], ...]]:
        return [parts for value, parts in self._profiles.items() if value != self._ignore]

    def _count_faces(self, values: LabelArray) -> None:
        if self._ignore is not None:
            values = np.where(values == self._ignore, 0, values)
        for axis in range(3):
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            apart = values[tuple(ahead)] != values[tuple(behind)]
            self._faces[axis] += int(np.count_nonzero(apart))

    def union(self, geometry: Geometry) -> LabelStats | None:
        """Return what was counted for all values together but 0 and the ignored one."""
        counted = self._labeled()
        if not counted:
            return None
        i, j, k = (sum(parts[axis] for parts in counted) for axis in range(3))
        return _label_stats((np.asarray(i), np.asarray(j), np.asarray(k)), geometry)

    def stats(self, geometry: Geometry) -> dict[int, LabelStats]:
        """Return what was counted, by value, ascending."""
        return {
            value: _label_stats(self._profiles[value], geometry) for value in sorted(self._profiles)
        }

    def _count(self, found: LabelArray, where: tuple[NDArray[np.intp], ...], start: int) -> None:
        distinct = sorted(unique_labels(found))
        if distinct[0] < 0:
            msg = f"the label map holds {distinct[0]}; label values are 0 or more"
            raise LabelError(msg)
        if len(self._profiles.keys() | set(distinct)) > MAX_VALUES:
            msg = (
                f"the label map holds more than {MAX_VALUES} values: is it a scan, or does it "
                "number instances?"
            )
            raise LabelError(msg)
        codes = LabelEncoder.of(distinct).encode(found, dtype=np.uint16).astype(np.int64) - 1
        profiles = []
        for axis, index in enumerate(where):
            size, shift = self._shape[axis], start if axis == PLANES_AXIS else 0
            flat = np.bincount(codes * size + index + shift, minlength=len(distinct) * size)
            profiles.append(flat.reshape(len(distinct), size))
        for code, value in enumerate(distinct):
            parts: tuple[NDArray[Any], ...] = tuple(profile[code] for profile in profiles)
            before = self._profiles.get(value)
            self._profiles[value] = (
                parts
                if before is None
                else tuple(a + b for a, b in zip(before, parts, strict=True))
            )


def _label_stats(profiles: tuple[NDArray[np.int64], ...], geometry: Geometry) -> LabelStats:
    n_voxels = int(profiles[0].sum())
    center = [float((p * np.arange(p.size)).sum() / n_voxels) for p in profiles]
    occupied = [np.flatnonzero(profile) for profile in profiles]
    counts = [int(planes.size) for planes in occupied]
    extents = [
        float((planes[-1] - planes[0] + 1) * size)
        for planes, size in zip(occupied, geometry.spacing_mm, strict=True)
    ]
    x, y, z = (float(value) for value in geometry.world(center))
    return LabelStats(
        n_voxels,
        n_voxels * geometry.voxel_ml,
        (counts[0], counts[1], counts[2]),
        (extents[0], extents[1], extents[2]),
        (x, y, z),
    )
