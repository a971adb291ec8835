"""Small labeled scans: unequal sides, oblique affines, label values with gaps."""

from __future__ import annotations

import nibabel as nib
import numpy as np

SHAPE = (11, 13, 7)


def oblique(spacing=(1.0, 1.5, 4.0), degrees=12.0, origin=(3.0, -20.0, 15.0)):
    """An affine that is rotated about x and runs right to left."""
    angle = np.deg2rad(degrees)
    turn = np.array(
        [[-1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine


def save(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, oblique() if affine is None else affine), path)
    return path


def scan(seed=0, shape=SHAPE, dtype=np.int16):
    """Noise about 100."""
    values = np.random.default_rng(seed).normal(100, 20, shape)
    return np.clip(values, 1, 250).astype(dtype)


def labels(seed=0, shape=SHAPE, values=(1, 4)):
    """One box per value, at places that depend on the seed."""
    array = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        at = 1 + (seed + 3 * number) % (shape[0] - 4)
        array[at : at + 3, 2 + number : 6 + number, 1:4] = value
    return array


def write_cases(root, n=3, *, name="case{}", values=(1, 4), **scan_options):
    """Write ``images/caseN.nii.gz`` and ``labels/caseN.nii.gz``."""
    for seed in range(n):
        save(root / "images" / f"{name.format(seed)}.nii.gz", scan(seed, **scan_options))
        save(root / "labels" / f"{name.format(seed)}.nii.gz", labels(seed, values=values))
    return root / "images", root / "labels"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def summary(found, root):
    """Id, images and label of each case, relative to the data set."""
    return {
        case.id: (
            [path.relative_to(root).as_posix() for path in case.images],
            case.label.relative_to(root).as_posix(),
        )
        for case in found.cases
    }
