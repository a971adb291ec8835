"""Voxels behind gzip: read forward plane by plane, or unpacked once when that does not do."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes.file_io import check_trailing_bytes, open_stream
from unet_med.volumes.raw_voxels import RawVoxels, TemporaryVoxelFile, VoxelLayout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.nifti_header import NiftiHeader

MAX_IN_MEMORY_BYTES = 1 << 28
"""Size up to which unpacked voxels are kept in memory; larger ones go to a temporary file."""

_READ_BYTES = 1 << 18
_SLOWEST_AXIS = 2


class GzipVoxels:
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
        self._unpacked: RawVoxels | None = None

    def slab(self, start: int, stop: int, *, axis: int) -> NDArray[Any]:
        """Return the slab [start, stop) along an axis as stored, (C, i, j, k).

        Raises:
            VolumeError: The file is cut off.
            OutputError: The voxels cannot be unpacked to the temporary disk.
        """
        if self._unpacked is None:
            forward = axis == _SLOWEST_AXIS and (start == 0 or start >= self._next_plane)
            if forward and len(self._channels) == 1:
                return self._read_planes(start, stop)[np.newaxis]
            self._unpacked = self._unpack()
            self._close_stream()
        return self._unpacked.slab(start, stop, axis=axis)

    def close(self) -> None:
        """Close the stream and forget unpacked voxels."""
        if self._unpacked is not None:
            self._unpacked.close()
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

    def _unpack(self) -> RawVoxels:
        """Read all wanted channels."""
        shape = self._header.geometry.shape
        layout = VoxelLayout(shape, len(self._channels), self._header.dtype)
        start, stop = self._channels.start * shape[2], self._channels.stop * shape[2]
        if layout.n_bytes <= MAX_IN_MEMORY_BYTES:
            file: IO[bytes] = io.BytesIO(self._read(start, stop))
        else:
            file = self._unpack_to_disk(start, stop)
        return RawVoxels(file, layout, name=str(self._path))

    def _unpack_to_disk(self, start: int, stop: int) -> IO[bytes]:
        """Copy planes to a temporary file."""
        stream, size = self._seek(start), (stop - start) * self._plane_bytes()
        left = size
        temporary = TemporaryVoxelFile(size, purpose=f"the voxels of {self._path}")
        try:
            while left and (block := stream.read(min(left, _READ_BYTES))):
                temporary.write(block)
                left -= len(block)
            self._check(size - left, start=start, stop=stop)
        except BaseException:
            temporary.close()
            raise
        return temporary.file

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
            trailing = 0
            while block := self._stream.read(_READ_BYTES):
                trailing += len(block)
                check_trailing_bytes(self._path, trailing)
        if n_found < needed:
            msg = (
                f"{self._path} is cut off: {needed - n_found} bytes of voxels are missing of the "
                f"{self._header.n_bytes} that its header says; copy or download it again"
            )
            raise VolumeError(msg)
