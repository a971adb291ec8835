"""Several maps of one scan that grow together, slab by slab, and are written one after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from unet_med.volumes.across import LARGEST_KEPT_BYTES, insert_slabs
from unet_med.volumes.spool import Spool
from unet_med.volumes.stored import BLOCK_BYTES, PIECE_BYTES, StoredVoxels, VoxelLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

_SLOWEST_AXIS = 2


class MapCollector:
    """Maps (C, i, j, k) uint8 that come in slabs along one axis and leave map by map.

    A file holds one map after the other, the stream brings all of them slice by slice: so they
    are collected, in memory, or when they take `LARGEST_KEPT_BYTES` or more in temporary files.

    Args:
        shape: The grid (i, j, k).
        n_maps: How many there are, C.
        axis: Array axis that the slabs come along, in order.
    """

    def __init__(self, shape: tuple[int, int, int], n_maps: int, *, axis: int) -> None:
        self.shape = shape
        self.n_maps = n_maps
        self._axis = axis
        self._start = 0
        self._layout = VoxelLayout(shape, 1, np.dtype(np.uint8))
        self._kept: Bytes | None = None
        self._spools: list[Spool] = []
        self._block: list[Bytes] = []
        if n_maps * math.prod(shape) <= LARGEST_KEPT_BYTES:
            self._kept = np.zeros((n_maps, *shape[::-1]), np.uint8)  # as files have it
        else:
            n_bytes = self._layout.n_bytes
            self._spools = [Spool(n_bytes, purpose="a map") for _ in range(n_maps)]

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
        step = max(1, PIECE_BYTES // self._layout.plane_bytes)
        for number in range(self.n_maps):
            for k in range(0, self.shape[2], step):
                stop = min(k + step, self.shape[2])
                if self._kept is not None:
                    yield self._kept[number, k:stop].transpose(2, 1, 0)
                else:
                    file = self._spools[number].file
                    stored = StoredVoxels(file, self._layout, name="a spooled map")
                    yield stored.slab(k, stop, axis=_SLOWEST_AXIS)[0]

    def close(self) -> None:
        """Forget the maps; temporary files are gone with that."""
        self._kept = None
        for spool in self._spools:
            spool.close()

    def _flush(self) -> None:
        """Put the slabs that wait into the temporary files."""
        if not self._block:
            return
        block = np.concatenate(self._block, axis=self._axis + 1)
        self._block = []
        for part, spool in zip(block, self._spools, strict=True):
            if self._axis == _SLOWEST_AXIS:
                at = self._start * self._layout.plane_bytes
                spool.write(part.tobytes(order="F"), at=at)
            else:
                insert_slabs(part, spool, layout=self._layout, axis=self._axis, start=self._start)
        self._start += block.shape[self._axis + 1]
