"""Whether a mask lies exactly where its scan does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.geometry import grid_difference
from unet_med.volumes.formats import open_volume
from unet_med.volumes.mask_header import header_differences

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.volumes.volume import Volume


def verify_mask(scan_path: Path, mask_path: Path) -> list[str]:
    """List every way in which a mask does not fit its scan.

    Compared are the grid, the header's geometry fields bit for bit (where both files have
    NIfTI headers), the number of channels and the voxel type; the voxels of a mask that is not
    stored as unsigned integers are read, to see whether they are whole numbers from 0.

    Args:
        scan_path: The scan.
        mask_path: The mask.

    Returns:
        One line per difference, with both values; empty when the mask is proven to fit.

    Raises:
        VolumeError: A file cannot be read.
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


def _label_differences(mask: Volume) -> list[str]:
    """Read the whole mask plane by plane, and report values that are no label."""
    n_fractions = n_negative = 0
    for plane in range(mask.geometry.shape[2]):
        values = mask.read(plane, plane + 1, axis=2)
        n_fractions += int(np.count_nonzero(values != np.rint(values)))
        n_negative += int(np.count_nonzero(values < 0))
    counts = {"no whole number": n_fractions, "negative": n_negative}
    return [f"labels: {count} voxels are {what}" for what, count in counts.items() if count]
