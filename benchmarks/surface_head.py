"""Score a brain tissue mask on the head of a person whose cortex is known as surfaces.

The subject S1 of the PyPI package pycortex is one person's T1 scan (256×256×256, 1 mm) with the
white and the pial surface of both hemispheres, edited by hand in FreeSurfer:

    pip install cython && pip download --no-deps --no-binary :all: --no-build-isolation pycortex
    tar xzf pycortex-*.tar.gz
    python benchmarks/surface_head.py pycortex-*/filestore/db/S1 [--mask MASK]

Between the two surfaces lies cortical gray matter, inside the white surface mostly white matter.
Deep gray matter, ventricles, cerebellum and brain stem are not told apart by surfaces, so only
voxels within 3 mm of the cortex count; outside the pial surface anything but gray and white is
right. Nothing is shipped: the scan stays in its package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

import unet_med

GRAY, WHITE = 2, 3
MANTLE_MM = 3.0
JITTER = (1.3e-4, 2.7e-4)  # no ray may hit a vertex or an edge


def inside(surface: Path, affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return whether each voxel center lies inside a closed surface, (i, j, k) bool.

    Rays along k: every crossing of the surface flips all voxels behind it.
    """
    mesh = nib.load(surface)
    vertices = nib.affines.apply_affine(np.linalg.inv(affine), mesh.agg_data("pointset"))
    corners = vertices[mesh.agg_data("triangle")]
    flips = np.zeros(shape, np.int32)
    low = np.floor(corners[:, :, :2].min(axis=1)).astype(int)
    reach = int(np.ceil((corners[:, :, :2].max(axis=1) - low).max())) + 1
    for di in range(reach):
        for dj in range(reach):
            column = low + np.array((di, dj))
            hit, k = crossings(corners, column + JITTER)
            first = np.clip(np.ceil(k[hit]).astype(int), 0, shape[2] - 1)
            np.add.at(flips, (*column[hit].T, first), 1)
    return np.cumsum(flips, axis=2) % 2 == 1


def crossings(corners: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which triangles (n, 3, 3) the rays through points (n, 2) cross, and at which k."""
    a, b, c = (corners[:, corner] for corner in range(3))
    area = _cross(b - a, c - a)
    safe = np.where(area == 0, 1.0, area)
    v = _cross(points - a[:, :2], (c - a)[:, :2]) / safe
    w = _cross((b - a)[:, :2], points - a[:, :2]) / safe
    hit = (area != 0) & (v >= 0) & (w >= 0) & (v + w <= 1)
    return hit, a[:, 2] + v * (b - a)[:, 2] + w * (c - a)[:, 2]


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    product: np.ndarray = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return product


def reference(subject: Path, scan: nib.Nifti1Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (labels 0/2/3, where they count, the cerebrum inside the pial surface)."""
    filled = {
        name: inside(subject / "surfaces" / f"{name}.gii", scan.affine, scan.shape)
        for name in ("wm_lh", "wm_rh", "pia_lh", "pia_rh")
    }
    white = filled["wm_lh"] | filled["wm_rh"]
    cerebrum = filled["pia_lh"] | filled["pia_rh"]
    gray = cerebrum & ~white
    counts = ndimage.distance_transform_edt(~gray, sampling=scan.header.get_zooms()) <= MANTLE_MM
    return np.where(gray, GRAY, np.where(white, WHITE, 0)), counts, cerebrum | white


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Dice score of two masks."""
    return float(2 * np.count_nonzero(first & second) / (first.sum() + second.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", type=Path, help="folder S1 of pycortex")
    parser.add_argument("--mask", type=Path, help="score this mask; default: segment the scan")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--save", type=Path, help="write reference.nii.gz and mask.nii.gz here")
    args = parser.parse_args()
    scan = nib.load(args.subject / "anatomicals" / "raw.nii.gz")
    truth, counts, cerebrum = reference(args.subject, scan)
    contrast = [np.asarray(scan.dataobj)[truth == label].mean() for label in (GRAY, WHITE)]
    print(f"cortex {np.sum(truth == GRAY) / 1000:.0f} ml, mean {contrast[0]:.1f}; "
          f"inside {np.sum(truth == WHITE) / 1000:.0f} ml, mean {contrast[1]:.1f}")  # fmt: skip
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(truth.astype(np.uint8), scan.affine, scan.header)
        nib.save(image, args.save / "reference.nii.gz")
    if args.mask:
        labels = np.asarray(nib.load(args.mask).dataobj)
    else:
        result = unet_med.load(args.bundle).segment(args.subject / "anatomicals" / "raw.nii.gz")
        labels = result.labels
        if args.save:
            result.save(args.save / "mask.nii.gz")
    for label, name in ((GRAY, "gray"), (WHITE, "white")):
        score = dice((labels == label) & counts, (truth == label) & counts)
        print(f"{name} matter within {MANTLE_MM:g} mm of the cortex: Dice {score:.3f}")
    found = np.count_nonzero(labels[cerebrum]) / np.count_nonzero(cerebrum)
    print(f"cerebrum labeled as anything: {found:.3f} of its voxels")


if __name__ == "__main__":
    main()
