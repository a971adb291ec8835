"""Volumes of files that can only be read whole: the header at once, the voxels on first use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from unet_med.errors import VolumeError
from unet_med.volumes.volume import apply_scaling, check_slab, slab_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from unet_med.geometry import Geometry
    from unet_med.volumes.raw_voxels import VoxelLayout


class EagerVolume:
    """A file whose voxels are loaded on first use, in their stored type.

    Args:
        path: The file.
        geometry: Its grid.
        layout: Channels and type of the voxels in the file.
        load: Returns all voxels (C, i, j, k) as stored, or raises VolumeError.
        channel: Take only this channel, counted from 0; None = all.

    Raises:
        VolumeError: There is no such channel, or the voxels are no real numbers.
    """

    nifti_header = None
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        geometry: Geometry,
        layout: VoxelLayout,
        *,
        load: Callable[[], NDArray[Any]],
        channel: int | None = None,
    ) -> None:
        if channel is not None and not 0 <= channel < layout.n_channels:
            msg = f"{path} has no channel {channel}: it has {layout.n_channels}, counted from 0"
            raise VolumeError(msg)
        if layout.dtype.kind not in "iuf":
            msg = f"{path} holds {layout.dtype}, not one real number per voxel; convert it"
            raise VolumeError(msg)
        self.path = path
        self.name = str(path)
        self.geometry = geometry
        self.stored_dtype = layout.dtype
        self._channel = channel
        self.n_channels = 1 if channel is not None else layout.n_channels
        self._load = load
        self._lock = threading.Lock()
        self._voxels: NDArray[Any] | None = None

    def read(self, start: int, stop: int, *, axis: int) -> NDArray[np.float32]:
        """Return the slab [start, stop) along an axis as (C, i, j, k) float32; see `Volume`."""
        check_slab(self, start, stop, axis=axis)
        with self._lock:
            if self._voxels is None:
                voxels = self._load()
                one = self._channel
                self._voxels = voxels if one is None else voxels[one : one + 1]
        return apply_scaling(self._voxels[slab_index(start, stop, axis=axis)])
