"""Labels that come in slabs across a file's planes, turned into slabs of its planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.volumes.spool import Spool
from unet_med.volumes.stored import BLOCK_BYTES, PIECE_BYTES, StoredVoxels, VoxelLayout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

LARGEST_KEPT_BYTES = 1 << 29
"""Size up to which a label map is held in memory; a larger one goes to a temporary file."""

_SLOWEST_AXIS = 2


def as_planes(
    slabs: Iterable[NDArray[Any]], *, shape: tuple[int, int, int], axis: int, dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Yield labels in slabs (i, j, n) of the file's planes, whichever axis they come along.

    Slabs along the last axis are handed on. Others are collected first, as every plane needs
    all of them: in memory, or from `LARGEST_KEPT_BYTES` on in a temporary file.

    Args:
        slabs: Labels (i, j, k), one slab after the other along ``axis``, the whole grid in all.
        shape: The grid.
        axis: Array axis of the slabs.
        dtype: Type of the labels.

    Raises:
        OutputError: The temporary disk is full.
    """
    if axis == _SLOWEST_AXIS:
        yield from slabs
        return
    layout = VoxelLayout(shape, 1, dtype)
    step = max(1, PIECE_BYTES // layout.plane_bytes)
    if layout.n_bytes <= LARGEST_KEPT_BYTES:
        labels = np.concatenate(list(slabs), axis=axis)
        yield from (labels[..., k : k + step] for k in range(0, shape[2], step))
        return
    spool = Spool(layout.n_bytes, purpose="the labels")
    try:
        _collect(slabs, spool, layout=layout, axis=axis)
        stored = StoredVoxels(spool.file, layout, name="the spooled label map")
        for k in range(0, shape[2], step):
            yield stored.slab(k, min(k + step, shape[2]), axis=_SLOWEST_AXIS)[0]
    finally:
        spool.close()


def _collect(
    slabs: Iterable[NDArray[Any]], spool: Spool, *, layout: VoxelLayout, axis: int
) -> None:
    """Put slabs into the spool, a block of them at a time: each block touches every plane."""
    block: list[NDArray[Any]] = []
    start = 0
    for slab in slabs:
        block.append(slab)
        if sum(part.nbytes for part in block) >= BLOCK_BYTES:
            joined = np.concatenate(block, axis=axis)
            start = insert_slabs(joined, spool, layout=layout, axis=axis, start=start)
            block = []
    if block:
        insert_slabs(np.concatenate(block, axis=axis), spool, layout=layout, axis=axis, start=start)


def insert_slabs(
    slabs: NDArray[Any], spool: Spool, *, layout: VoxelLayout, axis: int, start: int
) -> int:
    """Put slabs [start, stop) of a volume into spooled planes, across them, and return stop.

    Args:
        slabs: (i, j, k), the part from ``start`` on along the axis.
        spool: Holds the whole volume as a file does.
        layout: How it lies there.
        axis: Array axis of the slabs, 0 or 1.
        start: Index of the first slab.

    Raises:
        OutputError: The temporary disk is full.
    """
    labels = slabs.transpose(2, 1, 0)  # (k, j, i), as stored
    stop = start + int(labels.shape[2 - axis])
    index = (slice(None), slice(start, stop)) if axis == 1 else (..., slice(start, stop))
    stored = StoredVoxels(spool.file, layout, name="the spooled label map")
    step = max(1, PIECE_BYTES // layout.plane_bytes)
    for k in range(0, layout.shape[2], step):
        planes = stored.slab(k, min(k + step, layout.shape[2]), axis=_SLOWEST_AXIS)
        piece = planes[0].transpose(2, 1, 0)
        piece[index] = labels[k : k + step]
        spool.write(piece.data, at=k * layout.plane_bytes)
    return stop
