"""Random smooth fields, deformations and noise: what makes patients of one template differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
Head = tuple[Array, Array, Array | None]
"""Image, tissue and regions of a head at 1 mm."""

Made = tuple[list[Array], Array, tuple[float, ...]]
"""Channels, labels and voxel sizes in mm of a case."""


def smooth_field(shape: tuple[int, ...], sigma: Sequence[float], rng: np.random.Generator) -> Array:
    """A Gaussian random field of unit variance; ``sigma`` in voxels per axis."""
    steps = [max(1, int(s / 2)) for s in sigma]
    coarse = [max(3, n // step + 3) for n, step in zip(shape, steps, strict=True)]
    noise = rng.normal(size=coarse)
    noise = ndimage.gaussian_filter(noise, [s / t for s, t in zip(sigma, steps, strict=True)])
    at = np.meshgrid(
        *[np.arange(n, dtype=np.float32) / t for n, t in zip(shape, steps, strict=True)],
        indexing="ij",
    )
    field = ndimage.map_coordinates(noise.astype(np.float32), at, order=1, mode="nearest")
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def random_rotation(degrees: float, rng: np.random.Generator) -> Array:
    """A rotation about a random axis by up to so many degrees."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def sampling_points(
    target_shape: tuple[int, ...],
    target_mm: Sequence[float],
    source_shape: tuple[int, ...],
    rng: np.random.Generator,
) -> Array:
    """Where each voxel of a target lies in a 1 mm source: rotated, scaled, elastically bent."""
    matrix = random_rotation(12, rng) @ np.diag(rng.uniform(0.9, 1.1, 3))
    axes = [
        (np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(target_shape, target_mm, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    points = np.tensordot(matrix.astype(np.float32), grid, axes=1)
    for reach_mm, size_mm in ((5.0, 45.0), (2.0, 18.0)):
        sigma = [max(1.0, size_mm / mm) for mm in target_mm]
        for axis in range(3):
            points[axis] += rng.uniform(0.5, 1) * reach_mm * smooth_field(target_shape, sigma, rng)
    center = (np.array(source_shape) - 1) / 2 + rng.uniform(-4, 4, 3)
    return points + center[:, None, None, None].astype(np.float32)


def sample(volume: Array, points: Array, order: int) -> Array:
    """Evaluate a volume at points, 0 outside."""
    return ndimage.map_coordinates(volume, points, order=order, mode="constant", cval=0)


def scanner(
    image: Array, rng: np.random.Generator, *, noise: float = 0.03, bias: float = 0.15
) -> Array:
    """Bias field and Rician noise, relative to the 99th percentile."""
    top = np.percentile(image, 99)
    field = np.exp(bias * smooth_field(image.shape, [n / 3 for n in image.shape], rng))
    parts = [rng.normal(0, noise * rng.uniform(0.5, 1.5) * top, image.shape) for _ in range(2)]
    return np.hypot(image * field + parts[0], parts[1])
