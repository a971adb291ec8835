"""NIfTI scans for the transform tests: oblique, anisotropic, made with nibabel alone."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import torch
from monai.utils import SpaceKeys

OBLIQUE = np.array(
    [[0.2, -1.7, 0.1, 12.5], [-0.9, -0.3, 0.2, -40.0], [0.05, 0.1, 3.1, 7.25], [0, 0, 0, 1]]
)
"""Columns run left, rows back: axes i and j are swapped and flipped against RAS."""


def write_scan(path, *, shape=(11, 14, 6), seed=0, affine=OBLIQUE):
    """Write an int16 scan with bright noise in a box, and return its path."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 40, shape).astype(np.int16)
    inside = tuple(slice(size // 4, max(size // 4 + 1, 3 * size // 4)) for size in shape)
    voxels[inside] += rng.integers(200, 900, voxels[inside].shape).astype(np.int16)
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"scanner text"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def in_lps(image):
    """Return the same image as MONAI's readers give it with ``affine_lps_to_ras=False``."""
    turned = image.clone()
    turned.affine = torch.diag(torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64)) @ image.affine
    turned.meta["original_affine"] = turned.affine.clone()
    turned.meta["space"] = SpaceKeys.LPS
    return turned
