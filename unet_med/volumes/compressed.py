"""Voxels behind gzip: read forward plane by plane, or unpacked once when that does not do."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes.nifti_header import open_stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.nifti_header import NiftiHeader

LARGEST_KEPT_BYTES = 1 << 29
"""Size up to which unpacked voxels are kept in memory; larger ones go to a temporary file."""

_BLOCK_BYTES = 1 << 16


class CompressedVoxels:
    """The stored voxels of a .nii.gz file.

    A gzip stream can only be read from its start. Planes along the last axis, asked for in the
    file's order, therefore come from one open stream; going back to plane 0 starts it again,
    for a second pass. Whatever else is asked for (other axes, several channels, an earlier
    plane) has the voxels unpacked whole, once.

    Args:
        path: The file with the voxels.
        header: What its header says.
        channels: Channels wanted.
    """

    def __init__(self, path: Path, header: NiftiHeader, *, channels: range) -> None:
        self._path = path
        self._header = header
        self._channels = channels
        self._stream: IO[bytes] | None = None
        self._next_plane = 0
        self._unpacked: NDArray[Any] | None = None

    def slab(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Return voxels as stored, (C, i, j, k), at slices of all four axes."""
        planes = index[3]
        whole_planes = index[1] == index[2] == slice(None)
        forward = planes.start in (None, 0) or planes.start >= self._next_plane
        if self._unpacked is None and whole_planes and forward and len(self._channels) == 1:
            return self._read_planes(planes.start, planes.stop)[np.newaxis]
        if self._unpacked is None:
            self._unpacked = self._unpack()
            self._close_stream()
        return self._unpacked[index]

    def close(self) -> None:
        """Close the stream and forget unpacked voxels."""
        self._unpacked = None
        self._close_stream()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _plane_bytes(self) -> int:
        rows, columns, _ = self._header.geometry.shape
        return rows * columns * self._header.dtype.itemsize

    def _read_planes(self, start: int, stop: int) -> NDArray[Any]:
        """Read planes of the first wanted channel."""
        rows, columns, n_planes = self._header.geometry.shape
        first = self._channels.start * n_planes
        data = self._read(first + start, first + stop)
        self._next_plane = stop
        voxels = np.frombuffer(data, self._header.dtype)
        return voxels.reshape((rows, columns, stop - start), order="F")

    def _unpack(self) -> NDArray[Any]:
        """Read all wanted channels."""
        shape = (*self._header.geometry.shape, len(self._channels))
        first = self._channels.start * shape[2]
        stop = first + shape[2] * shape[3]
        if (stop - first) * self._plane_bytes() <= LARGEST_KEPT_BYTES:
            flat = np.frombuffer(self._read(first, stop), self._header.dtype)
        else:
            flat = self._unpack_to_disk(first, stop)
        return np.moveaxis(flat.reshape(shape, order="F"), 3, 0)

    def _unpack_to_disk(self, start: int, stop: int) -> NDArray[Any]:
        """Copy to a temporary file without a name, which goes with the array that maps it."""
        stream, size = self._seek(start), (stop - start) * self._plane_bytes()
        left = size
        with tempfile.TemporaryFile(prefix="unet_med-") as file:
            while left and (block := stream.read(min(left, _BLOCK_BYTES))):
                file.write(block)
                left -= len(block)
            file.flush()
            self._check(size - left, start=start, stop=stop)
            n_voxels = size // self._header.dtype.itemsize
            return np.memmap(file, self._header.dtype, mode="r", shape=(n_voxels,))

    def _read(self, start: int, stop: int) -> bytes:
        """Read planes [start, stop), counted through all channels of the file."""
        data = self._seek(start).read((stop - start) * self._plane_bytes())
        self._check(len(data), start=start, stop=stop)
        return data

    def _seek(self, plane: int) -> IO[bytes]:
        if self._stream is None:
            self._stream = open_stream(self._path)
        self._stream.seek(self._header.offset + plane * self._plane_bytes())
        return self._stream

    def _check(self, n_found: int, *, start: int, stop: int) -> None:
        """Refuse short reads, and read on to gzip's checksum after the file's last voxel."""
        needed = (stop - start) * self._plane_bytes()
        if stop * self._plane_bytes() == self._header.n_bytes and self._stream is not None:
            while self._stream.read(_BLOCK_BYTES):
                pass
        if n_found < needed:
            msg = (
                f"{self._path} is cut off: {needed - n_found} bytes of voxels are missing of the "
                f"{self._header.n_bytes} that its header says; copy or download it again"
            )
            raise VolumeError(msg)
