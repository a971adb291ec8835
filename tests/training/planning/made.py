"""Surveys of made data sets, read from real files."""

from __future__ import annotations

import numpy as np

from tests.cases.datasets import save
from unet_med.cases import DatasetInfo, check_cases, find_training_cases


def checked_set(root, cases, *, info=None):
    """Write (scan, labels, affine) as cases c0, c1, … and check them."""
    for number, (image, label, affine) in enumerate(cases):
        save(root / f"images/c{number}.nii", image, affine)
        save(root / f"labels/c{number}.nii", label, affine)
    found = find_training_cases(root / "images", root / "labels", info=info or DatasetInfo())
    return check_cases(found)


def surveys_of(root, cases, **options):
    return [stats for _, stats in checked_set(root, cases, **options).usable]


def box_case(shape, spacing, *, value=1, box=None, seed=0, dtype=np.int16, axes=(0, 1, 2)):
    """A scan of noise with one labeled box; ``axes`` gives the world axis of each array axis."""
    rng = np.random.default_rng(seed)
    image = np.clip(rng.normal(400, 80, shape), 0, 1000).astype(dtype)
    label = np.zeros(shape, np.uint8)
    box = box or tuple(slice(size // 4, 3 * size // 4 + 1) for size in shape)
    label[box] = value
    affine = np.zeros((4, 4))
    for array_axis, world in enumerate(axes):
        affine[world, array_axis] = spacing[array_axis]
    affine[:, 3] = (-10, 4, 7, 1)
    return image, label, affine
