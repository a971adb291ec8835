"""Verify that a mask lies exactly where its scan does, and that a written one reads back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import GeometryError, OutputError, VolumeError
from unet_med.geometry import grid_difference
from unet_med.volumes.file_io import open_stream, translate_read_errors
from unet_med.volumes.formats import open_volume
from unet_med.volumes.mask_header import header_differences
from unet_med.volumes.nifti_header import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes.volume import Volume

_READ_BYTES = 1 << 22


def verify_mask(scan_path: Path, mask_path: Path) -> list[str]:
    """List every way in which a mask does not fit its scan.

    Compared are the grid, the header's geometry fields bit for bit (where both files have
    NIfTI headers), the number of channels and the voxel type; the voxels of a mask that is not
    stored as unsigned integers are read, to see whether they are whole numbers from 0.

    Args:
        scan_path: The scan.
        mask_path: The mask.

    Returns:
        One line per difference, with both values; empty when the mask is verified to fit.

    Raises:
        VolumeError: A file cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> import nibabel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scan, mask = pathlib.Path(folder, "scan.nii"), pathlib.Path(folder, "mask.nii")
        ...     nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), scan)
        ...     nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 7), np.uint8), np.eye(4)), mask)
        ...     verify_mask(scan, mask)[0]
        'grid: shape (4, 5, 6) vs (4, 5, 7)'
    """
    scan, mask = open_volume(scan_path), open_volume(mask_path)
    differences = []
    grid = grid_difference(scan.geometry, mask.geometry)
    if grid:
        differences.append(f"grid: {grid}")
    if mask.nifti_header is not None:
        fields = header_differences(scan.nifti_header, mask.nifti_header)
        differences += [f"header: {field}" for field in fields]
    if mask.n_channels != 1:
        differences.append(f"channels: a mask has 1, this has {mask.n_channels}")
    if mask.stored_dtype.kind != "u":
        differences.append(f"voxel type: {mask.stored_dtype.name} is no unsigned integer")
    return differences + _label_differences(mask)


def verify_written_labels(
    partial: Path, labels: NDArray[Any], *, opened: Volume, like: Volume, target: Path
) -> None:
    """Compare a written mask, opened again, with the labels and the scan's grid.

    Raises:
        GeometryError: It lies elsewhere.
        OutputError: It has other voxels.
    """
    apart = grid_difference(like.geometry, opened.geometry)
    if apart:
        msg = f"{partial.suffix} cannot keep the place of {like.name}: {apart}"
        raise GeometryError(msg)
    for plane in range(labels.shape[2]):
        found = opened.read(plane, plane + 1, axis=2)[0]
        if not np.array_equal(found, labels[:, :, plane : plane + 1].astype(np.float32)):
            msg = f"cannot write {target}: it was read back with other labels; check the disk"
            raise OutputError(msg)


def verify_written_nifti(
    partial: Path, start: bytes, *, digest: str, like: Volume, target: Path
) -> None:
    """Read a written mask back and compare it with what was meant and with the scan.

    Raises:
        OutputError: The bytes differ.
        GeometryError: The grid or a header field differs from the scan's.
    """
    found = hashlib.sha256()
    try:
        with translate_read_errors(partial), open_stream(partial) as stream:
            same_start = stream.read(len(start)) == start
            while block := stream.read(_READ_BYTES):
                found.update(block)
    except VolumeError as exc:
        msg = f"cannot write {target}: it could not be read back; check the disk and free space"
        raise OutputError(msg) from exc
    if not same_start or found.hexdigest() != digest:
        msg = f"cannot write {target}: it was read back with other bytes; check the disk"
        raise OutputError(msg)
    mask = read_header(partial)
    differences = header_differences(like.nifti_header, mask.raw)
    apart = grid_difference(like.geometry, mask.geometry)
    if differences or apart:
        reasons = "; ".join([*differences, *([apart] if apart else [])])
        msg = f"a NIfTI mask cannot keep the place of {like.name}: {reasons}"
        raise GeometryError(msg)


def _label_differences(mask: Volume) -> list[str]:
    """Read the whole mask plane by plane, and report values that are no label."""
    n_fractions = n_negative = 0
    for plane in range(mask.geometry.shape[2]):
        values = mask.read(plane, plane + 1, axis=2)
        n_fractions += int(np.count_nonzero(values != np.rint(values)))
        n_negative += int(np.count_nonzero(values < 0))
    counts = {"no whole number": n_fractions, "negative": n_negative}
    return [f"labels: {count} voxels are {what}" for what, count in counts.items() if count]
