"""Tiny made heads for the tests of training."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage

SPACING_MM = (1.5, 2.0, 2.5)


def make_head(shape=(44, 52, 36), seed=0):
    """Return (image, labels) int16 and uint8: nested balls of three tissues inside a skull."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    wobble = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    radius = radius + 0.5 * wobble
    labels = np.zeros(shape, np.uint8)
    for label, limit in ((1, 0.7), (2, 0.6), (3, 0.4)):
        labels[radius < limit] = label
    image = np.array([0, 60, 130, 190])[labels]
    image[(radius > 0.78) & (radius < 0.9)] = 240
    image = image + rng.integers(0, 6, shape)
    return image.astype(np.int16), labels


def write_pair(folder, name="one", **options):
    """Write a head as images/NAME.nii.gz and labels/NAME.nii.gz."""
    image, labels = make_head(**options)
    affine = np.diag([*SPACING_MM, 1.0])
    for kind, array in (("images", image), ("labels", labels)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), folder / kind / f"{name}.nii.gz")
    return image, labels
