"""DICOM series as volumes, read slice by slice."""

from __future__ import annotations

import io
import logging
import threading
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from unet_med._optional import import_optional
from unet_med.errors import VolumeError
from unet_med.volumes.dicom_geometry import stack_slices
from unet_med.volumes.dicom_series import (
    find_series,
    read_identifiers,
    select_series,
    translate_dicom_errors,
)
from unet_med.volumes.raw_voxels import RawVoxels, TemporaryVoxelFile, VoxelLayout
from unet_med.volumes.volume import apply_scaling, check_slab

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.volumes.dicom_header import PixelFormat, SliceHeader
    from unet_med.volumes.dicom_series import DicomSeries
    from unet_med.volumes.limits import SeriesSelection

logger = logging.getLogger(__name__)

MAX_IN_MEMORY_BYTES = 1 << 28
"""Slabs across the slices need every slice: up to this size they are kept
in memory, larger ones in a temporary file."""

_SLICE_AXIS = 2


class DicomVolume:
    """A DICOM series.

    Array axes are (column, row, slice), slices along the normal of the image plane. Slices are
    decoded when asked for; slabs along the other axes have all of them decoded once.

    Args:
        path: The folder or file that it lies in.
        series: The series.
        identifiers: Who and what was scanned, where the user wants to keep that.

    Raises:
        VolumeError: Its images are no even stack of parallel slices.
    """

    n_channels = 1
    nifti_header = None

    def __init__(
        self, path: Path, series: DicomSeries, *, identifiers: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.name = str(path)
        self.series = series
        self.identifiers = dict(identifiers or {})
        slices, geometry = stack_slices(series.images, name=f"{path}: {series}")
        self.slices: Sequence[SliceHeader] = slices
        self.geometry: Geometry = geometry
        self.stored_dtype = slices[0].pixels.dtype
        copies = len(series.images) - len(slices)
        self.warnings: tuple[str, ...] = (
            (f"{copies} DICOM files are copies of others and were left out",) if copies else ()
        )
        self._lock = threading.Lock()
        self._unpacked: RawVoxels | None = None

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (C, i, j, k) float32; see `Volume`.

        Rescaling is done in float64.
        """
        check_slab(self, start, stop, axis=axis)
        if axis == _SLICE_AXIS:
            planes = list(self._planes(start, stop))
            return np.stack([plane.T for plane in planes], axis=-1)[np.newaxis]
        with self._lock:
            if self._unpacked is None:
                self._unpacked = self._unpack()
            return apply_scaling(self._unpacked.slab(start, stop, axis=axis))

    def close(self) -> None:
        """Forget unpacked voxels."""
        with self._lock:
            if self._unpacked is not None:
                self._unpacked.close()
                self._unpacked = None

    def __del__(self) -> None:
        unpacked = getattr(self, "_unpacked", None)
        if unpacked is not None:
            unpacked.close()

    def _planes(self, start: int, stop: int) -> Iterator[NDArray[np.float32]]:
        """Yield slices (row, column) after rescaling."""
        wanted = self.slices[start:stop]
        for image, stored in zip(wanted, _raw_pixels(wanted), strict=True):
            yield apply_scaling(stored, image.slope, image.intercept)

    def _unpack(self) -> RawVoxels:
        """Decode all slices into one block of float32, in the order of the axes."""
        layout = VoxelLayout(self.geometry.shape, 1, np.dtype(np.float32))
        planes = self._planes(0, self.geometry.shape[2])
        if layout.n_bytes <= MAX_IN_MEMORY_BYTES:
            file: IO[bytes] = io.BytesIO(b"".join(plane.tobytes() for plane in planes))
            return RawVoxels(file, layout, name=self.name)
        temporary = TemporaryVoxelFile(layout.n_bytes, purpose=f"the voxels of {self.name}")
        try:
            for plane in planes:
                temporary.write(plane.tobytes())
        except BaseException:
            temporary.close()
            raise
        return RawVoxels(temporary.file, layout, name=self.name)


def open_dicom(
    path: Path, *, channel: int | None = None, selection: SeriesSelection
) -> DicomVolume:
    """Open a series of a folder, or a file; only headers are read.

    Args:
        path: A folder whose own files are DICOM, or one file.
        channel: Only 0: a series has one channel.
        selection: Which series.

    Raises:
        MissingExtraError: pydicom is not installed.
        InputError: No series, or several, could be meant.
        VolumeError: The series cannot be used, or has no such channel.
    """
    if channel not in (None, 0):
        msg = f"{path} has no channel {channel}: a DICOM series has one, counted from 0"
        raise VolumeError(msg)
    series = select_series(find_series(path), selection, name=str(path))
    kept = read_identifiers(series.images[0].path) if selection.keep_identifiers else {}
    volume = DicomVolume(path, series, identifiers=kept)
    logger.debug("%s: took %s", path, volume.series)
    return volume


def _raw_pixels(images: Sequence[SliceHeader]) -> Iterator[NDArray[Any]]:
    """Yield stored pixels (row, column); frames of one file are read through one opening."""
    pixels = import_optional("pydicom", extra="dicom").pixels
    first = 0
    while first < len(images):
        path = images[first].path
        last = first + 1
        while last < len(images) and images[last].path == path:
            last += 1
        frames = [image.frame or 0 for image in images[first:last]]
        with translate_dicom_errors(path):
            for image, array in zip(
                images[first:last], pixels.iter_pixels(path, raw=True, indices=frames), strict=True
            ):
                yield _check_pixels(array, image)
        first = last


def _check_pixels(array: NDArray[Any], image: SliceHeader) -> NDArray[Any]:
    """Check a decoded image against its header, and clear bits that are no part of its values."""
    wanted = image.pixels
    if array.shape != (wanted.rows, wanted.columns) or array.dtype.kind not in "iu":
        msg = f"{image.path} decodes to {array.dtype} {array.shape}, unlike its header; convert it"
        raise VolumeError(msg)
    return _pixel_values(array, wanted)


def _pixel_values(array: NDArray[Any], pixels: PixelFormat) -> NDArray[Any]:
    """Return the values of pixels: the bits up to ``high_bit``, the sign extended."""
    stored = array.astype(pixels.dtype, copy=False)
    if pixels.bits_stored == pixels.bits_allocated:
        return stored
    left = pixels.bits_allocated - pixels.high_bit - 1
    shifted = np.left_shift(stored, left)
    return np.asarray(np.right_shift(shifted, pixels.bits_allocated - pixels.bits_stored))
