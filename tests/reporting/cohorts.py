"""Small cohorts on disk: odd grids, odd names, what is missing and what fails."""

from __future__ import annotations

import nibabel as nib
import numpy as np

SHAPE = (24, 20, 12)
NASTY = "z <img src=x onerror=alert(1)> &'\"$$x$$"
TURN = 0.3  # radians: an oblique scan


def oblique(*, flips=(1, 1, 1), spacing=(1.5, 2.0, 4.0), turn=TURN):
    """Return an affine turned about x and y, with array axes that may run backwards."""
    (c, s), (d, t) = ((np.cos(a), np.sin(a)) for a in (turn, turn / 2))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_y = np.array([[d, 0, t], [0, 1, 0], [-t, 0, d]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_y @ np.diag(np.array(spacing) * flips)
    affine[:3, 3] = (10, -20, 30)
    return affine


def box(shape, low, high, value=1):
    """Return a mask with one box [low, high)."""
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return mask


def save(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def make_cohort(root, names=("a", "b")):
    """Write predictions p/, references r/ and scans i/; b is worse than a in slice 7."""
    affine = oblique()
    for number, name in enumerate(names):
        true = np.maximum(
            box(SHAPE, (4, 4, 2), (18, 15, 10)), box(SHAPE, (8, 8, 4), (12, 12, 8), 2)
        )
        predicted = np.roll(true, 1, axis=0)
        predicted[..., 7] = 0 if number else predicted[..., 7]
        ramp = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) % 500
        for side, array in (("p", predicted), ("r", true), ("i", ramp)):
            save(root / side / f"{name}.nii.gz", array, affine)
    return root
