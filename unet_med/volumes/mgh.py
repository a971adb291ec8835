"""Read and write FreeSurfer's MGH and MGZ files; headers and masks by nibabel.

The voxels are not read by nibabel: of a .mgz file with one gigabyte of int16 it holds two copies
(peak 2.1 GB, here 1.1) and takes three times the processor time, as it does not use ISA-L.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader, MGHImage

from unet_med._files import atomic_path
from unet_med.errors import LabelError, VolumeError
from unet_med.geometry import Geometry
from unet_med.volumes.eager import EagerVolume
from unet_med.volumes.file_io import (
    check_file_size,
    gzip_writer,
    open_stream,
    translate_read_errors,
)
from unet_med.volumes.raw_voxels import VoxelLayout
from unet_med.volumes.verification import verify_written_labels

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.mask_metadata import MaskMetadata
    from unet_med.volumes.volume import Volume

_HEADER_BYTES = 284


def open_mgh(path: Path, *, channel: int | None = None) -> EagerVolume:
    """Open a .mgz or .mgh file; only its header is read. Frames are channels.

    Args:
        path: The file.
        channel: Take only this frame, counted from 0.

    Raises:
        VolumeError: The file cannot be used, or has no such frame.
    """
    with translate_read_errors(path):
        with _open(path) as stream:
            raw = stream.read(_HEADER_BYTES)
        if len(raw) < _HEADER_BYTES:
            msg = f"{path} is cut off: it ends inside its header; copy or download it again"
            raise VolumeError(msg)
        header = MGHHeader(raw[:_HEADER_BYTES])
        first, second, third, frames = sizes = [int(size) for size in header["dims"]]
        dtype = np.dtype(header.get_data_dtype()).newbyteorder(">")
        if min(sizes) < 1:
            msg = f"{path} has sizes {sizes}; they must be above 0"
            raise VolumeError(msg)
        grid = Geometry((first, second, third), np.asarray(header.get_affine(), np.float64))
        found = path.stat().st_size
    layout = VoxelLayout(grid.shape, frames, dtype, offset=_HEADER_BYTES)
    needed = layout.offset + layout.n_bytes
    check_file_size(path, found=found, needed=needed, compressed=_is_compressed(path))

    def load() -> NDArray[Any]:
        with translate_read_errors(path), _open(path) as stream:
            stream.seek(layout.offset)
            data = stream.read(layout.n_bytes)
        if len(data) < layout.n_bytes:
            msg = f"{path} is cut off: voxels are missing; copy or download it again"
            raise VolumeError(msg)
        return np.frombuffer(data, dtype).reshape(sizes[::-1]).transpose(0, 3, 2, 1)

    return EagerVolume(path, grid, layout, load=load, channel=channel)


def write_mgh(
    slabs: Iterable[NDArray[Any]],
    path: Path,
    *,
    like: Volume,
    dtype: np.dtype[Any],
    metadata: MaskMetadata,
) -> None:
    """Write labels as .mgz, and verify them by reading them back.

    The format has no place for names. It knows 8-bit and signed 32-bit integers; label maps are
    whole in memory.

    Raises:
        GeometryError: The format cannot hold the scan's grid.
        LabelError: A label is too large for the format.
        OutputError: The file cannot be written, or was read back otherwise.
    """
    del metadata
    labels = np.concatenate([np.asarray(slab, dtype) for slab in slabs], axis=2)
    if int(labels.max()) > np.iinfo(np.int32).max:
        msg = f"an MGZ file holds labels up to {np.iinfo(np.int32).max}; use nifti"
        raise LabelError(msg)
    stored = labels if labels.dtype == np.uint8 else labels.astype(np.int32)
    image = MGHImage(stored, like.geometry.voxel_to_world)
    with atomic_path(path) as partial:
        with partial.open("wb") as plain, gzip_writer(plain) as stream:
            stream.write(image.to_bytes())
        verify_written_labels(partial, labels, opened=open_mgh(partial), like=like, target=path)


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".mgz"


def _open(path: Path) -> Any:  # noqa: ANN401 - a binary stream
    return open_stream(path, compressed=_is_compressed(path))
