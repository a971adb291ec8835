"""Voxels stored plainly in a file, read piece by piece without mapping it into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import VolumeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 26
"""Slabs across the file's planes are gathered this many bytes at a time, as each such gathering
reads the whole file."""

PIECE_BYTES = 1 << 23
"""Planes read at a time while slabs are gathered."""

_SLOWEST_AXIS = 2


@dataclass(frozen=True, slots=True)
class VoxelLayout:
    """How voxels lie in a file.

    Attributes:
        shape: The grid (i, j, k); i runs fastest.
        n_channels: Channels, one after the other.
        dtype: Type as stored, byte order included.
        offset: Byte at which the first channel starts.
    """

    shape: tuple[int, int, int]
    n_channels: int
    dtype: np.dtype[Any]
    offset: int = 0

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane (i, j)."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        """Bytes of all voxels."""
        return self.plane_bytes * self.shape[2] * self.n_channels


class StoredVoxels:
    """Reads slabs of voxels from a file that can be read anywhere.

    Planes along the last axis are read as they are asked for. Slabs along the others touch
    every plane; they are gathered several at a time and kept for the next call. The file is
    read, not mapped: mapped pages would count as memory of this process.

    Args:
        file: The open file; closed by `close`.
        layout: How the voxels lie in it.
        name: What to call it in messages.
    """

    def __init__(self, file: IO[bytes], layout: VoxelLayout, *, name: str) -> None:
        self._file = file
        self._layout = layout
        self._name = name
        self._block: NDArray[Any] | None = None
        self._block_at = (0, 0)  # its axis, and its first slab along it

    def slab(self, start: int, stop: int, *, axis: int) -> NDArray[Any]:
        """Return the slab [start, stop) along an axis as stored, (C, i, j, k).

        Raises:
            VolumeError: The file ends too early.
        """
        if axis == _SLOWEST_AXIS:
            return self._planes(start, stop)
        first = self._block_at[1]
        kept = self._block is not None and self._block_at[0] == axis and first <= start
        if self._block is None or not kept or stop > first + self._block.shape[axis + 1]:
            self._block = None  # before the next one, so that memory holds one
            self._block = self._gather(start, stop, axis=axis)
            self._block_at, first = (axis, start), start
        index = [slice(None)] * 4
        index[axis + 1] = slice(start - first, stop - first)
        return self._block[tuple(index)]

    def close(self) -> None:
        """Close the file and forget what is kept."""
        self._block = None
        self._file.close()

    def _planes(self, start: int, stop: int) -> NDArray[Any]:
        i, j, k = self._layout.shape
        planes = np.empty((self._layout.n_channels, stop - start, j, i), self._layout.dtype)
        for channel, part in enumerate(planes):
            self._fill(part, plane=channel * k + start)
        return planes.transpose(0, 3, 2, 1)

    def _gather(self, start: int, stop: int, *, axis: int) -> NDArray[Any]:
        """Read the file once and keep as many slabs from ``start`` on as a block holds."""
        layout = self._layout
        size = layout.shape[axis]
        slab_bytes = layout.n_bytes // size
        stop = max(stop, min(size, start + BLOCK_BYTES // slab_bytes))
        wanted = slice(start, stop)
        index = (slice(None), wanted) if axis == 1 else (..., wanted)
        i, j, k = (stop - start if a == axis else n for a, n in enumerate(layout.shape))
        block = np.empty((layout.n_channels, k, j, i), layout.dtype)
        step = max(1, PIECE_BYTES // layout.plane_bytes)
        piece = np.empty((min(step, k), *layout.shape[1::-1]), layout.dtype)
        for channel, part in enumerate(block):
            for plane in range(0, k, step):
                planes = piece[: min(step, k - plane)]
                self._fill(planes, plane=channel * k + plane)
                part[plane : plane + step] = planes[index]
        return block.transpose(0, 3, 2, 1)

    def _fill(self, planes: NDArray[Any], *, plane: int) -> None:
        """Read planes, counted through all channels, into a C-ordered array (n, j, i)."""
        left = planes.view(np.uint8).data.cast("B")
        self._file.seek(self._layout.offset + plane * self._layout.plane_bytes)
        while left and (n_read := self._file.readinto(left)):  # type: ignore[attr-defined]
            left = left[n_read:]
        if left:
            msg = f"{self._name} is cut off: {len(left)} bytes are missing; copy it again"
            raise VolumeError(msg)
