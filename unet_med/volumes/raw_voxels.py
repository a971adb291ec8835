"""Read raw voxels from a file slab by slab, without memory mapping; temporary files for them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from unet_med.errors import OutputError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 26
"""Slabs across the file's planes are gathered this many bytes at a time, as each such gathering
reads the whole file."""

CHUNK_BYTES = 1 << 23
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


class RawVoxels:
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
        step = max(1, CHUNK_BYTES // layout.plane_bytes)
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


class TemporaryVoxelFile:
    """Bytes on the temporary disk, for what memory should not hold.

    Args:
        n_bytes: How many there will be; unwritten ones are 0.
        purpose: What is stored, for messages: "the voxels of scan.nii.gz".

    Raises:
        OutputError: No temporary file can be made.
    """

    def __init__(self, n_bytes: int, *, purpose: str) -> None:
        self._n_bytes = n_bytes
        self._purpose = purpose
        with self._on_disk():
            # Unbuffered: on a full disk a buffer would fail again when it is closed.
            unnamed = tempfile.TemporaryFile(prefix="unet_med-", buffering=0)  # noqa: SIM115 - closed by close()
            self.file = cast("IO[bytes]", unnamed)
            try:
                self.file.truncate(n_bytes)
            except OSError:
                self.file.close()
                raise

    def write(self, content: bytes | memoryview, *, at: int | None = None) -> None:
        """Write bytes, or a C-ordered array's ``data``, at a place or after the last ones.

        Raises:
            OutputError: The disk is full or broken.
        """
        left = memoryview(content).cast("B")
        with self._on_disk():
            if at is not None:
                self.file.seek(at)
            while left:
                left = left[self.file.write(left) :]

    def close(self) -> None:
        """Close the file, which deletes it."""
        self.file.close()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            msg = (
                f"cannot store {self._purpose} in {tempfile.gettempdir()}: {exc.strerror}; free "
                f"{self._n_bytes / 1e9:.1f} GB there, or set TMPDIR to another folder"
            )
            raise OutputError(msg) from exc
