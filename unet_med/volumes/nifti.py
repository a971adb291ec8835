"""NIfTI volumes, read lazily: the header at once, voxels slab by slab."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes.file_io import translate_read_errors
from unet_med.volumes.gzip_voxels import GzipVoxels
from unet_med.volumes.nifti_header import (
    NiftiHeader,
    header_and_data_paths,
    parse_header,
    read_header,
)
from unet_med.volumes.raw_voxels import RawVoxels, VoxelLayout
from unet_med.volumes.volume import ArrayVolume, apply_scaling, check_slab, from_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.volumes.volume import Volume


class NiftiVolume:
    """A NIfTI file whose voxels are read when asked for.

    `RawVoxels` says how uncompressed files are read, `GzipVoxels` how others are.

    Args:
        path: The file to name in messages.
        header: Its header.
        data_path: The file with the voxels, when it is another one.
        channel: Take only this channel.
    """

    def __init__(
        self,
        path: Path,
        header: NiftiHeader,
        *,
        data_path: Path | None = None,
        channel: int | None = None,
    ) -> None:
        self.path = path
        self._header = header
        self._data_path = data_path or path
        self._channels = (
            range(header.n_channels) if channel is None else range(channel, channel + 1)
        )
        self._lock = threading.Lock()
        self._voxels: RawVoxels | GzipVoxels | None = None

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return self._header.geometry

    @property
    def n_channels(self) -> int:
        """Channels that `read` returns."""
        return len(self._channels)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of the voxels in the file, before scaling."""
        return self._header.dtype

    @property
    def nifti_header(self) -> bytes:
        """The header's bytes, as they stand in the file."""
        return self._header.raw

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the affine."""
        return self._header.warnings

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (C, i, j, k) float32; see `Volume`.

        Scaling is done in float64.
        """
        check_slab(self, start, stop, axis=axis)
        with self._lock, translate_read_errors(self.path):
            if self._voxels is None:
                self._voxels = self._open()
            stored = self._voxels.slab(start, stop, axis=axis)
        return apply_scaling(stored, self._header.slope, self._header.inter)

    def close(self) -> None:
        """Close the file and forget unpacked voxels; reading opens it again."""
        with self._lock:
            if self._voxels is not None:
                self._voxels.close()
                self._voxels = None

    def __del__(self) -> None:
        voxels = getattr(self, "_voxels", None)
        if voxels is not None:
            voxels.close()

    def _open(self) -> RawVoxels | GzipVoxels:
        header = self._header
        if self._data_path.suffix.lower() == ".gz":
            return GzipVoxels(self._data_path, header, channels=self._channels)
        frame = VoxelLayout(header.geometry.shape, 1, header.dtype)
        layout = replace(
            frame,
            n_channels=len(self._channels),
            offset=header.offset + self._channels.start * frame.n_bytes,
        )
        return RawVoxels(self._data_path.open("rb"), layout, name=str(self.path))


def open_nifti(path: Path, *, channel: int | None = None) -> Volume:
    """Open a .nii, .nii.gz, .hdr or .img file; only its header is read.

    Args:
        path: The file; of a pair, either one.
        channel: Take only this channel of a 4D file, counted from 0.

    Raises:
        VolumeError: The file cannot be used, or has no such channel.
    """
    header_path, data_path = header_and_data_paths(path)
    header = read_header(header_path, data_path=data_path)
    if channel is not None and not 0 <= channel < header.n_channels:
        msg = f"{path} has no channel {channel}: it has {header.n_channels}, counted from 0"
        raise VolumeError(msg)
    return NiftiVolume(path, header, data_path=data_path, channel=channel)


def from_nibabel(image: nib.spatialimages.SpatialImage) -> Volume:
    """Make a volume of a nibabel image; masks of it copy its header if it is a NIfTI image.

    An image that nibabel has not loaded yet is read slab by slab from its file.

    Raises:
        VolumeError: The image has no affine, or voxels that are not real numbers.

    Example:
        >>> image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
        >>> from_nibabel(image).geometry.shape
        (4, 5, 6)
    """
    name = image.get_filename() or "nibabel image"
    if image.affine is None:
        msg = f"{name} has no affine, so its voxels have no place; give it one"
        raise VolumeError(msg)
    if not isinstance(image, nib.Nifti1Pair):
        with translate_read_errors(Path(name)):
            return from_array(np.asanyarray(image.dataobj), image.affine, name=name)
    with translate_read_errors(Path(name)):
        header = type(image)(image.dataobj, image.affine, image.header).header
        parsed = parse_header(header.binaryblock, name=name)
        proxy = image.dataobj
        if nib.is_proxy(proxy) and _is_read_here(proxy.file_like):
            return _proxy_volume(Path(name), parsed, proxy=proxy)
        voxels = np.asanyarray(proxy).reshape((*parsed.geometry.shape, parsed.n_channels))
    channels_first = np.moveaxis(voxels, 3, 0)
    return ArrayVolume(
        channels_first,
        parsed.geometry,
        name=name,
        nifti_header=parsed.raw,
        warnings=parsed.warnings,
    )


def _is_read_here(file: object) -> bool:
    """Whether a file is stored plainly or by gzip; nibabel knows bzip2 and zstd as well."""
    return isinstance(file, str) and file.lower().endswith((".nii", ".img", ".gz"))


def _proxy_volume(path: Path, header: NiftiHeader, *, proxy: nib.arrayproxy.ArrayProxy) -> Volume:
    """Read the file behind an unloaded image; its header in memory no longer says how."""
    stored = replace(
        header,
        dtype=np.dtype(proxy.dtype),
        slope=float(proxy.slope),
        inter=float(proxy.inter),
        offset=int(proxy.offset),
    )
    return NiftiVolume(path, stored, data_path=Path(proxy.file_like))
