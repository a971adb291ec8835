"""Slices of a scan, oriented and normalized, read a few at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from unet_med.inference.prefetch import Prefetch
from unet_med.preprocessing import IntensityStatistics, normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry, SliceLayout
    from unet_med.preprocessing import Normalization
    from unet_med.volumes import Volume

FILE_SLICE_AXIS = 2
"""The slowest array axis of a NIfTI file; statistics are taken plane by plane along it."""

PIXELS_PER_SLAB = 1 << 18
"""Pixels of each channel that are read at once for statistics, or one plane if that has more."""


class SlabReader(Protocol):
    """What slices are read from: a volume, or a stand-in for one."""

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        ...

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an array axis, (C, i, j, k) float32."""
        ...


class SliceSource(Protocol):
    """Slices in the file's own order along the slice axis, rows and columns oriented."""

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return slices [start, stop) as (n, C, H, W) float32, normalized."""
        ...


@dataclass(frozen=True)
class VolumeSlices:
    """Slices of a volume, read slab by slab and normalized on the way.

    Attributes:
        volume: The scan.
        layout: How its axes become slices, in the file's own order.
        normalizations: One per channel.
        statistics: Whole-volume statistics per channel.
    """

    volume: SlabReader
    layout: SliceLayout
    normalizations: tuple[Normalization, ...]
    statistics: tuple[IntensityStatistics, ...]

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return self.layout.n_slices(self.volume.geometry)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return slices [start, stop) as (n, C, H, W) float32, normalized."""
        slab = self.volume.read(start, stop, axis=self.layout.slice_axis)
        channels = zip(slab, self.normalizations, self.statistics, strict=True)
        return self.layout.to_slices(np.stack([normalize(*channel) for channel in channels]))


@dataclass(frozen=True)
class ArraySlices:
    """Slices of an array that is normalized already.

    Attributes:
        array: (C, i, j, k) float32 in the file's own order.
        layout: How its axes become slices, in the file's own order.
    """

    array: NDArray[np.float32]
    layout: SliceLayout

    @property
    def n_slices(self) -> int:
        """How many slices there are."""
        return int(self.array.shape[self.layout.slice_axis + 1])

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return slices [start, stop) as (n, C, H, W) float32."""
        return self.layout.to_slices(self.array)[start:stop]


def volume_statistics(volume: Volume) -> tuple[IntensityStatistics, ...]:
    """Take whole-volume statistics per channel in one forward pass over the file.

    A thread of its own reads and decodes while the slab before is counted.
    """
    statistics = tuple(IntensityStatistics() for _ in range(volume.n_channels))
    *plane, n_planes = volume.geometry.shape
    step = max(1, PIXELS_PER_SLAB // math.prod(plane))
    slabs = (
        volume.read(first, min(first + step, n_planes), axis=FILE_SLICE_AXIS)
        for first in range(0, n_planes, step)
    )
    for slab in Prefetch(slabs, depth=1):
        for channel, counted in zip(slab, statistics, strict=True):
            for index in range(channel.shape[FILE_SLICE_AXIS]):
                counted.add(channel[..., index])
    return statistics
