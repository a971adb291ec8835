"""Reslice labels and maps that arrive in slabs along any axis into the planes of a file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.volumes.raw_voxels import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    RawVoxels,
    TemporaryVoxelFile,
    VoxelLayout,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

MAX_IN_MEMORY_BYTES = 1 << 29
"""Size up to which a label map is held in memory; a larger one goes to a temporary file."""

_SLOWEST_AXIS = 2


def reslice_to_planes(
    slabs: Iterable[NDArray[Any]], *, shape: tuple[int, int, int], axis: int, dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Yield labels in slabs (i, j, n) of the file's planes, whichever axis they come along.

    Slabs along the last axis are handed on. Others are collected first, as every plane needs
    all of them: in memory, or from `MAX_IN_MEMORY_BYTES` on in a temporary file.

    Args:
        slabs: Labels (i, j, k), one slab after the other along ``axis``, the whole grid in all.
        shape: The grid.
        axis: Array axis of the slabs.
        dtype: Type of the labels.

    Raises:
        OutputError: The temporary disk is full.

    Example:
        >>> slabs = [np.full((1, 3, 2), i, np.uint8) for i in range(4)]  # along the first axis
        >>> planes = reslice_to_planes(slabs, shape=(4, 3, 2), axis=0, dtype=np.dtype(np.uint8))
        >>> np.concatenate(list(planes), axis=2)[:, 0, 0].tolist()
        [0, 1, 2, 3]
    """
    if axis == _SLOWEST_AXIS:
        yield from slabs
        return
    layout = VoxelLayout(shape, 1, dtype)
    step = max(1, CHUNK_BYTES // layout.plane_bytes)
    if layout.n_bytes <= MAX_IN_MEMORY_BYTES:
        labels = np.concatenate(list(slabs), axis=axis)
        yield from (labels[..., k : k + step] for k in range(0, shape[2], step))
        return
    temporary = TemporaryVoxelFile(layout.n_bytes, purpose="the labels")
    try:
        _collect(slabs, temporary, layout=layout, axis=axis)
        stored = RawVoxels(temporary.file, layout, name="the temporary label map")
        for k in range(0, shape[2], step):
            yield stored.slab(k, min(k + step, shape[2]), axis=_SLOWEST_AXIS)[0]
    finally:
        temporary.close()


def _collect(
    slabs: Iterable[NDArray[Any]], temporary: TemporaryVoxelFile, *, layout: VoxelLayout, axis: int
) -> None:
    """Write slabs to the file, a block of them at a time: each block touches every plane."""
    block: list[NDArray[Any]] = []
    start = 0
    for slab in slabs:
        block.append(slab)
        if sum(part.nbytes for part in block) >= BLOCK_BYTES:
            joined = np.concatenate(block, axis=axis)
            start = insert_slabs(joined, temporary, layout=layout, axis=axis, start=start)
            block = []
    if block:
        insert_slabs(
            np.concatenate(block, axis=axis), temporary, layout=layout, axis=axis, start=start
        )


def insert_slabs(
    slabs: NDArray[Any],
    temporary: TemporaryVoxelFile,
    *,
    layout: VoxelLayout,
    axis: int,
    start: int,
) -> int:
    """Write slabs [start, stop) across the planes of a temporary file, and return stop.

    Args:
        slabs: (i, j, k), the part from ``start`` on along the axis.
        temporary: Holds the whole volume as a file does.
        layout: How it lies there.
        axis: Array axis of the slabs, 0 or 1.
        start: Index of the first slab.

    Raises:
        OutputError: The temporary disk is full.
    """
    labels = slabs.transpose(2, 1, 0)  # (k, j, i), as stored
    stop = start + int(labels.shape[2 - axis])
    index = (slice(None), slice(start, stop)) if axis == 1 else (..., slice(start, stop))
    stored = RawVoxels(temporary.file, layout, name="the temporary label map")
    step = max(1, CHUNK_BYTES // layout.plane_bytes)
    for k in range(0, layout.shape[2], step):
        planes = stored.slab(k, min(k + step, layout.shape[2]), axis=_SLOWEST_AXIS)
        piece = planes[0].transpose(2, 1, 0)
        piece[index] = labels[k : k + step]
        temporary.write(piece.data, at=k * layout.plane_bytes)
    return stop


class MapBuffer:
    """Collect maps (C, i, j, k) uint8 from slabs along one axis; yield them map by map.

    A file holds one map after the other, the stream brings all of them slice by slice: so they
    are collected, in memory, or when they take `MAX_IN_MEMORY_BYTES` or more in temporary files.

    Args:
        shape: The grid (i, j, k).
        n_maps: How many there are, C.
        axis: Array axis that the slabs come along, in order.

    Example:
        >>> buffer = MapBuffer((4, 3, 2), 1, axis=0)
        >>> buffer.add(np.ones((1, 4, 3, 2), np.uint8))
        >>> [plane.shape for plane in buffer.planes()]
        [(4, 3, 2)]
        >>> buffer.close()
    """

    def __init__(self, shape: tuple[int, int, int], n_maps: int, *, axis: int) -> None:
        self.shape = shape
        self.n_maps = n_maps
        self._axis = axis
        self._start = 0
        self._layout = VoxelLayout(shape, 1, np.dtype(np.uint8))
        self._kept: Bytes | None = None
        self._files: list[TemporaryVoxelFile] = []
        self._block: list[Bytes] = []
        if n_maps * math.prod(shape) <= MAX_IN_MEMORY_BYTES:
            self._kept = np.zeros((n_maps, *shape[::-1]), np.uint8)  # as files have it
        else:
            n_bytes = self._layout.n_bytes
            self._files = [TemporaryVoxelFile(n_bytes, purpose="a map") for _ in range(n_maps)]

    def add(self, slab: Bytes) -> None:
        """Add the next slab, (C, i, j, k) with the axis of the slabs as long as it likes.

        Raises:
            OutputError: The temporary disk is full.
        """
        if self._kept is None:
            self._block.append(slab)
            if sum(part.nbytes for part in self._block) >= BLOCK_BYTES:
                self._flush()
            return
        stop = self._start + slab.shape[self._axis + 1]
        index: list[slice] = [slice(None)] * 4
        index[self._axis + 1] = slice(self._start, stop)
        self._kept.transpose(0, 3, 2, 1)[tuple(index)] = slab
        self._start = stop

    def planes(self) -> Iterator[Bytes]:
        """Yield all maps in slabs (i, j, n) of the file's planes, map after map."""
        self._flush()
        step = max(1, CHUNK_BYTES // self._layout.plane_bytes)
        for number in range(self.n_maps):
            for k in range(0, self.shape[2], step):
                stop = min(k + step, self.shape[2])
                if self._kept is not None:
                    yield self._kept[number, k:stop].transpose(2, 1, 0)
                else:
                    file = self._files[number].file
                    stored = RawVoxels(file, self._layout, name="a temporary map")
                    yield stored.slab(k, stop, axis=_SLOWEST_AXIS)[0]

    def close(self) -> None:
        """Forget the maps; temporary files are gone with that."""
        self._kept = None
        for temporary in self._files:
            temporary.close()

    def _flush(self) -> None:
        """Put the slabs that wait into the temporary files."""
        if not self._block:
            return
        block = np.concatenate(self._block, axis=self._axis + 1)
        self._block = []
        for part, temporary in zip(block, self._files, strict=True):
            if self._axis == _SLOWEST_AXIS:
                at = self._start * self._layout.plane_bytes
                temporary.write(part.tobytes(order="F"), at=at)
            else:
                insert_slabs(
                    part, temporary, layout=self._layout, axis=self._axis, start=self._start
                )
        self._start += block.shape[self._axis + 1]
