"""What every volume offers, and volumes that live in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unet_med.errors import GeometryError, VolumeError
from unet_med.geometry import Geometry, grid_difference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

_READABLE_KINDS = "biuf"  # NumPy's kinds of bool, integers and floats


class Volume(Protocol):
    """Read voxels with a place in the patient slab by slab.

    Attributes are read-only; array axes are in the file's own order.

    Example:
        >>> volume: Volume = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> volume.read(0, 2, axis=0).shape
        (1, 2, 5, 6)
    """

    @property
    def geometry(self) -> Geometry:
        """The grid (i, j, k); a 2D file has one slice."""
        ...

    @property
    def n_channels(self) -> int:
        """Channels C: frames of a 4D file, or volumes stacked together."""
        ...

    @property
    def name(self) -> str:
        """What to call the volume in messages."""
        ...

    @property
    def path(self) -> Path | None:
        """The file it comes from, if one."""
        ...

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of the stored voxels, before any scaling."""
        ...

    @property
    def nifti_header(self) -> bytes | None:
        """Raw NIfTI header (348 or 540 bytes) that masks copy, if there is one."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the file's geometry, one plain sentence each."""
        ...

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Read the slab [start, stop) along one array axis.

        Args:
            start: First index along ``axis``, in the file's own order.
            stop: One past the last.
            axis: Array axis, 0, 1 or 2.

        Returns:
            Voxel values after scaling, (C, i, j, k) float32, with ``stop - start`` along ``axis``.

        Raises:
            VolumeError: The voxels cannot be read.
        """
        ...


class ArrayVolume:
    """Hold a volume in memory as an array.

    Args:
        voxels: Values (C, i, j, k); any boolean, integer or float type; not copied.
        geometry: The grid.
        name: What to call it in messages.
        nifti_header: Raw NIfTI header for masks to copy.
        warnings: What a user should know about its geometry.

    Raises:
        VolumeError: The array is no real-valued (C, i, j, k).
        GeometryError: The array's shape is not the grid's.

    Example:
        >>> grid = Geometry((4, 5, 6), np.eye(4))
        >>> ArrayVolume(np.zeros((2, 4, 5, 6), np.int16), grid).n_channels
        2
    """

    path = None

    def __init__(
        self,
        voxels: NDArray[Any],
        geometry: Geometry,
        *,
        name: str = "array",
        nifti_header: bytes | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        if voxels.ndim != 4 or voxels.dtype.kind not in _READABLE_KINDS:  # noqa: PLR2004 - C, i, j, k
            msg = (
                f"{name}: voxels must be real numbers with axes (i, j, k), "
                f"got {voxels.dtype} with shape {voxels.shape}"
            )
            raise VolumeError(msg)
        if voxels.shape[1:] != geometry.shape:
            msg = f"{name}: array shape {voxels.shape[1:]} is not the grid's {geometry.shape}"
            raise GeometryError(msg)
        self._voxels = voxels
        self.geometry = geometry
        self.name = name
        self.nifti_header = nifti_header
        self.warnings = warnings

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return int(self._voxels.shape[0])

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of the array."""
        return self._voxels.dtype

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (C, i, j, k) float32; see `Volume`."""
        check_slab(self, start, stop, axis=axis)
        return apply_scaling(self._voxels[slab_index(start, stop, axis=axis)])


class StackedVolume:
    """Volumes on one grid, their channels joined in order; see `stack_volumes`."""

    def __init__(self, volumes: Sequence[Volume]) -> None:
        self._volumes = tuple(volumes)
        first = self._volumes[0]
        self.geometry = first.geometry
        self.name = first.name
        self.path = first.path
        self.nifti_header = first.nifti_header
        self.warnings = tuple(dict.fromkeys(text for volume in volumes for text in volume.warnings))
        self.stored_dtype = np.result_type(*(volume.stored_dtype for volume in self._volumes))

    @property
    def n_channels(self) -> int:
        """Sum of the members' channels."""
        return sum(volume.n_channels for volume in self._volumes)

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (C, i, j, k) float32; see `Volume`."""
        return np.concatenate([volume.read(start, stop, axis=axis) for volume in self._volumes])


class ChannelVolume:
    """One channel of a volume; see `select_channel`."""

    n_channels = 1

    def __init__(self, volume: Volume, channel: int) -> None:
        self._volume = volume
        self._channel = channel
        self.geometry = volume.geometry
        self.name = volume.name
        self.path = volume.path
        self.stored_dtype = volume.stored_dtype
        self.nifti_header = volume.nifti_header
        self.warnings = volume.warnings

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (1, i, j, k) float32; see `Volume`."""
        slab = self._volume.read(start, stop, axis=axis)
        return slab[self._channel : self._channel + 1]


def select_channel(volume: Volume, channel: int) -> Volume:
    """Take one channel or frame of a volume, counted from 0.

    Raises:
        VolumeError: There is no such channel.

    Example:
        >>> both = from_array(np.zeros((4, 5, 6, 2)), np.eye(4))
        >>> select_channel(both, 1).n_channels
        1
    """
    if not 0 <= channel < volume.n_channels:
        msg = f"{volume.name} has no channel {channel}: it has {volume.n_channels}, counted from 0"
        raise VolumeError(msg)
    return ChannelVolume(volume, channel)


def from_array(array: ArrayLike, affine: ArrayLike, *, name: str = "array") -> ArrayVolume:
    """Make a volume from an array and its affine.

    Args:
        array: Values, (i, j, k), or (i, j, k, C) with channels last as in NIfTI files.
        affine: Voxel index to RAS+ mm, shape (4, 4).
        name: What to call it in messages.

    Raises:
        VolumeError: The array is not real-valued with three or four axes.
        GeometryError: The affine is not invertible.

    Example:
        >>> from_array(np.zeros((4, 5, 6)), np.diag([0.5, 0.5, 3.0, 1.0])).geometry.spacing_mm
        (0.5, 0.5, 3.0)
    """
    voxels = np.asarray(array)
    if voxels.ndim not in (3, 4):
        msg = f"{name}: an array needs axes (i, j, k) or (i, j, k, C), got shape {voxels.shape}"
        raise VolumeError(msg)
    channels_first = voxels[np.newaxis] if voxels.ndim == 3 else np.moveaxis(voxels, 3, 0)  # noqa: PLR2004 - no channels
    first, second, third = (int(size) for size in channels_first.shape[1:])
    grid = Geometry((first, second, third), np.asarray(affine, dtype=np.float64))
    return ArrayVolume(channels_first, grid, name=name)


def stack_volumes(volumes: Sequence[Volume]) -> Volume:
    """Join volumes on one grid into one volume with all their channels.

    Masks of the result copy the first volume's header.

    Raises:
        VolumeError: There are no volumes.
        GeometryError: The grids differ.

    Example:
        >>> one = from_array(np.zeros((4, 5, 6)), np.eye(4))
        >>> stack_volumes([one, one]).n_channels
        2
    """
    if not volumes:
        msg = "no channels: a volume needs at least one"
        raise VolumeError(msg)
    first = volumes[0]
    for other in volumes[1:]:
        difference = grid_difference(first.geometry, other.geometry)
        if difference:
            msg = (
                f"{other.name} is not on the grid of {first.name}: {difference}; resample it first"
            )
            raise GeometryError(msg)
    return first if len(volumes) == 1 else StackedVolume(volumes)


def apply_scaling(
    stored: NDArray[Any], slope: float = 1.0, inter: float = 0.0
) -> NDArray[np.float32]:
    """Return ``slope * stored + inter``, computed in float64, as a new float32 array.

    What float32 cannot hold becomes infinite, silently: non-finite voxels are counted later.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, inter) == (1.0, 0.0):
            return np.array(stored, dtype=np.float32, order="F")
        values = np.multiply(stored, slope, dtype=np.float64, order="F")
        values += inter
        return np.asarray(values, dtype=np.float32)


def slab_index(start: int, stop: int, *, axis: int) -> tuple[slice, ...]:
    """Return the index of a slab of an array (C, i, j, k)."""
    index = [slice(None)] * 4
    index[axis + 1] = slice(start, stop)
    return tuple(index)


def check_slab(volume: Volume, start: int, stop: int, *, axis: int) -> None:
    """Refuse slabs outside the volume: a slice index would clip them silently.

    Raises:
        ValueError: The axis or the range does not exist.
    """
    if axis not in (0, 1, 2) or not 0 <= start < stop <= volume.geometry.shape[axis]:
        msg = f"{volume.name}: no slab [{start}, {stop}) on axis {axis} of {volume.geometry.shape}"
        raise ValueError(msg)
