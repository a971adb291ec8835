"""Heads: tissue on thick slices, tumors in two channels, atlas regions; from templates."""

from __future__ import annotations

import numpy as np
from made_shapes import Array, Head, Made, sample, sampling_points, scanner, smooth_field
from scipy import ndimage

TUMOR = {"oedema": 1, "enhancing": 2, "core": 3, "cyst": 4}


def thick_head(head: Head, rng: np.random.Generator) -> Made:
    """T1 head, 0.9 × 0.9 × 6.5 mm, with 1 fluid, 2 gray, 3 white; an average over each slice."""
    shape, mm, parts = (200, 224, 22), (0.9, 0.9, 6.5), 5
    fine = sampling_points(
        (*shape[:2], shape[2] * parts), (*mm[:2], mm[2] / parts), head[0].shape, rng
    )
    image = sample(_contrast(head, rng), fine, 1).reshape(*shape, parts).mean(-1)
    labels = sample(head[1], fine, 0).reshape(*shape, parts)
    shares = np.stack([(labels == value).mean(-1) for value in range(4)])
    return [scanner(image, rng).astype(np.int16)], shares.argmax(0).astype(np.uint8), mm


def tumor_brain(head: Head, rng: np.random.Generator) -> Made:
    """Brain without skull, 240 × 240 × 155 at 1 mm: T1 with contrast agent, FLAIR, a tumor."""
    shape, mm = (240, 240, 155), (1.0, 1.0, 1.0)
    points = sampling_points(shape, mm, head[0].shape, rng)
    tissue = sample(head[1], points, 0)
    brain = ndimage.binary_closing(tissue > 0, iterations=2)
    t1 = sample(_contrast(head, rng), points, 1)
    fine = (t1 - ndimage.gaussian_filter(t1, 2)) / 1000
    flair = np.choose(
        tissue, [0.25, rng.uniform(0.1, 0.2), rng.uniform(0.6, 0.7), rng.uniform(0.45, 0.55)]
    )
    flair = 1000 * (ndimage.gaussian_filter(flair, 0.7) - 0.5 * fine)
    labels = _tumor(brain, rng)
    for value, (in_t1, in_flair) in {
        1: (0.75, 1.5), 2: (1.55, 1.25), 3: (0.5, 1.1), 4: (0.3, 0.35),
    }.items():  # fmt: skip
        soft = ndimage.gaussian_filter((labels == value).astype(np.float32), 1.0)
        texture = 1 + 0.1 * smooth_field(shape, (3, 3, 3), rng)
        for image, factor in ((t1, in_t1), (flair, in_flair)):
            level = rng.uniform(0.85, 1.15) * factor * 600 * texture
            np.add(image, 0.8 * soft * (level - image), out=image)
    images = [
        np.where(brain, scanner(np.maximum(i, 0), rng), 0).astype(np.int16) for i in (t1, flair)
    ]
    return images, labels, mm


def atlas_head(head: Head, rng: np.random.Generator) -> Made:
    """T1 head at 1.2 mm with the atlas regions of the head's third volume."""
    shape, mm = (150, 180, 130), (1.2, 1.2, 1.2)
    points = sampling_points(shape, mm, head[0].shape, rng)
    image = scanner(sample(_contrast(head, rng), points, 1), rng)
    return [image.astype(np.int16)], sample(head[2], points, 0).astype(np.uint8), mm


def _contrast(head: Head, rng: np.random.Generator) -> Array:
    """The head's own intensities to 0 … 1000, with another gamma."""
    image = np.asarray(head[0], np.float32)
    image = np.clip(image / np.percentile(image[head[1] > 0], 99.5), 0, 1.3)
    return 1000 * image ** rng.uniform(0.75, 1.3)


def _tumor(brain: Array, rng: np.random.Generator) -> Array:
    """Nested irregular shapes around a point deep in the brain."""
    depth = ndimage.distance_transform_edt(brain)
    inside = np.argwhere(depth > 12)
    center = inside[rng.integers(len(inside))]
    radius = rng.uniform(14, 32)
    axes = np.ogrid[tuple(slice(0, n) for n in brain.shape)]
    stretch = rng.uniform(0.75, 1.3, 3)
    away = np.sqrt(sum(((a - c) / s) ** 2 for a, c, s in zip(axes, center, stretch, strict=True)))
    rough = away / radius + 0.22 * smooth_field(brain.shape, (9, 9, 9), rng)
    rough += 0.07 * smooth_field(brain.shape, (3, 3, 3), rng)
    labels = np.zeros(brain.shape, np.uint8)
    labels[(rough < 1.0) & brain] = TUMOR["oedema"]
    labels[(rough < rng.uniform(0.5, 0.7)) & brain] = TUMOR["enhancing"]
    labels[(rough < rng.uniform(0.3, 0.45)) & brain] = TUMOR["core"]
    if rng.random() < 0.6:
        labels[(rough < rng.uniform(0.1, 0.25)) & brain] = TUMOR["cyst"]
    return labels
