"""A stack of cells with thin membranes, and a body in Hounsfield units; no template is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from made_shapes import Array, Head, Made, random_rotation, smooth_field
from scipy import ndimage
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

ORGANS = {  # center and half axes in mm (left, back, up from the body's middle), HU
    "liver": ((60, 20, 30), (85, 65, 55), 105),
    "spleen": ((-90, -45, 35), (32, 42, 45), 115),
    "right kidney": ((60, -60, -35), (26, 28, 48), 150),
    "left kidney": ((-60, -60, -25), (26, 28, 50), 150),
    "stomach": ((-55, 45, 25), (45, 35, 45), 20),
    "gallbladder": ((45, 45, -5), (15, 15, 25), 12),
    "aorta": ((-8, -45, 0), (12, 12, 200), 160),
    "vena cava": ((18, -40, 0), (13, 11, 200), 130),
    "pancreas": ((-10, 5, -5), (60, 14, 14), 90),
    "duodenum": ((30, 5, -25), (18, 16, 32), 60),
}


def membranes(_head: Head | None, rng: np.random.Generator) -> Made:
    """Cells cut in 30 slices of 512 × 512, 8-bit, without units; label 1 is the membrane."""
    shape, depth = (512, 512, 30), 8.0  # a slice is as thick as 8 pixels
    spread = (shape[0] + 100, shape[1] + 100, shape[2] * depth + 60)
    seeds = rng.uniform(0, 1, (1500, 3)) * spread - [50, 50, 30]
    axes = [np.arange(shape[0]), np.arange(shape[1]), np.arange(shape[2]) * depth]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)
    for axis in range(3):
        points[..., axis] += 7 * smooth_field(shape, (16, 16, 3), rng)
    points[..., 2] *= 0.7  # cells are long across the slices
    seeds[:, 2] *= 0.7
    near, index = cKDTree(seeds).query(points.reshape(-1, 3), k=2, workers=1)
    gap = (near[:, 1] - near[:, 0]).reshape(shape)
    cell = index[:, 0].reshape(shape)
    membrane = gap < 1.8
    shade = rng.uniform(0.55, 0.75, len(seeds))[cell]
    image = shade + 0.05 * smooth_field(shape, (2, 2, 0.5), rng)
    image = np.where(membrane, 0.25 + 0.1 * rng.random(), image)
    image = _organelles(image, gap, rng)
    image = np.stack([ndimage.gaussian_filter(image[..., k], 0.9) for k in range(shape[2])], -1)
    image += rng.normal(0, 0.07, shape)
    image *= 1 + 0.08 * smooth_field(shape, (150, 150, 1), rng)
    return (
        [np.clip(255 * image, 0, 255).astype(np.uint8)],
        membrane.astype(np.uint8),
        (1.0, 1.0, 1.0),
    )


def _organelles(image: Array, gap: Array, rng: np.random.Generator) -> Array:
    """Dark-rimmed bodies inside cells: edges that are no membranes."""
    for _ in range(350):
        k = rng.integers(image.shape[2])
        i, j = rng.integers(20, 492, 2)
        a, b = rng.uniform(4, 14), rng.uniform(3, 8)
        angle = rng.uniform(0, np.pi)
        rows, columns = np.ogrid[i - 16 : i + 17, j - 16 : j + 17]
        x, y = rows - i, columns - j
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        away = np.hypot(u / a, v / b)
        box = (slice(i - 16, i + 17), slice(j - 16, j + 17))
        for plane in range(max(0, k - 1), min(image.shape[2], k + 2)):
            free = gap[(*box, plane)] > 5
            part = image[(*box, plane)]
            part[(away < 1) & free] = 0.45
            part[(abs(away - 1) < 0.18) & free] = 0.3
    return image


def organs(_head: Head | None, rng: np.random.Generator) -> Made:
    """Body in HU, 300 × 300 × 50 voxels of 1.2 × 1.2 × 4 mm, with ten organs."""
    shape, mm = (300, 300, 50), np.array([1.2, 1.2, 4.0])
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, mm, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    for axis in range(3):
        grid[axis] += 8 * smooth_field(shape, [35 / size for size in mm], rng)
        grid[axis] += 2 * smooth_field(shape, [12 / size for size in mm], rng)
    size = rng.uniform(0.88, 1.1)
    image = np.full(shape, -1000.0, np.float32)
    body = _inside(grid, (0, 0, 0), (165 * size, 125 * size, 600))
    image[body] = -95
    image[_inside(grid, (0, -2, 0), (148 * size, 108 * size, 600))] = 55
    image[_inside(grid, (0, 8, 0), (132 * size, 92 * size, 600))] = -80
    image[_inside(grid, (0, -75 * size, 0), (20, 20, 600))] = 350
    labels = np.zeros(shape, np.uint8)
    for value, (usual_center, usual_half, level) in enumerate(ORGANS.values(), start=1):
        vessel = usual_half[2] > 150
        center = size * np.array(usual_center) + rng.normal(0, 5, 3)
        half = size * np.array(usual_half) * rng.uniform(0.85, 1.15, 3) / (size if vessel else 1.0)
        turn = random_rotation(8 if vessel else 20, rng)
        part = _inside(grid, center, half, turn) & body
        image[part] = level * rng.uniform(0.9, 1.1)
        labels[part] = value
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0.3))
    image += (
        rng.uniform(15, 30) * ndimage.gaussian_filter(rng.normal(0, 1, shape), (0.6, 0.6, 0)) * 2
    )
    return [np.clip(image, -1024, 3071).astype(np.int16)], labels, tuple(mm)


def _inside(
    grid: Array,
    center: Sequence[float] | Array,
    half: Sequence[float] | Array,
    turn: Array | None = None,
) -> Array:
    """Where a rounded box about a center is, with half axes in mm."""
    away = grid - np.asarray(center, np.float32)[:, None, None, None]
    if turn is not None:
        away = np.tensordot(turn.astype(np.float32), away, axes=1)
    return sum(np.abs(a / h) ** 2.5 for a, h in zip(away, half, strict=True)) < 1
