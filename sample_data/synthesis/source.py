"""A labeled scan, stored so that its contrast can be redrawn by one table look-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_LEVELS = 256
"""Gray levels kept per class; the smooth maps of training contrasts hide the rounding."""

NEAR_BRAIN_MM = 12.0
"""Skull and meninges lie this near; scalp, face and neck further away vary independently."""

N_SURROUNDING_CLUSTERS = 4
TOP_PERCENTILE = 99.9


@dataclass(frozen=True, slots=True)
class SynthesisSource:
    """One labeled scan in RAS+ order.

    Attributes:
        index: class · 256 + gray level, shape (i, j, k), int32.
        labels: Label per voxel, same shape, uint8.
        class_means: Mean gray level per class, shape (n_classes,), float32.
        class_labels: Label of each class, shape (n_classes,); surroundings are 0. Class 0 is air,
            classes 1 to K are the labels, then the clusters of the surroundings.
        spacing_mm: Along i, j, k.
    """

    index: torch.Tensor
    labels: torch.Tensor
    class_means: torch.Tensor
    class_labels: torch.Tensor
    spacing_mm: tuple[float, float, float]

    @property
    def n_labels(self) -> int:
        """Labels without the background."""
        return int(self.class_labels.max())


def build_source(
    image: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]
) -> SynthesisSource:
    """Build a source.

    Args:
        image: Intensities, shape (i, j, k), RAS+ order.
        labels: Labels 0 to K without gaps in use, same shape, integers.
        spacing_mm: Along i, j, k.

    Returns:
        The source; gray level 0 is intensity 0 or below, 255 the 99.9 percentile of the scan's
        bright half (or the maximum where the scan has at most 256 whole gray levels already).
    """
    levels = gray_levels(image)
    labels = labels.astype(np.uint8)
    classes = labels.copy()
    n_labels = int(labels.max())
    outside = labels == 0
    distance = ndimage.distance_transform_edt(outside, sampling=spacing_mm)
    thresholds = _cluster_thresholds(levels[outside])
    cluster = np.digitize(levels, thresholds)  # 0 = air
    shift = np.where(distance <= NEAR_BRAIN_MM, 0, N_SURROUNDING_CLUSTERS - 1)
    surrounding = outside & (cluster > 0)
    classes[surrounding] = (n_labels + cluster + shift)[surrounding]
    n_classes = n_labels + 2 * (N_SURROUNDING_CLUSTERS - 1) + 1
    counts = np.bincount(classes.ravel(), minlength=n_classes)
    sums = np.bincount(classes.ravel(), levels.ravel(), minlength=n_classes)
    index = classes.astype(np.int32) * N_LEVELS + levels
    return SynthesisSource(
        index=torch.from_numpy(index),
        labels=torch.from_numpy(labels),
        class_means=torch.from_numpy((sums / np.maximum(counts, 1)).astype(np.float32)),
        class_labels=torch.tensor([c if c <= n_labels else 0 for c in range(n_classes)]),
        spacing_mm=spacing_mm,
    )


def gray_levels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the image as whole gray levels 0–255, uint8; bytes stay as they are."""
    if image.min() >= 0 and image.max() < N_LEVELS and np.array_equal(image, np.rint(image)):
        return image.astype(np.uint8)
    top = np.percentile(image[image > image.mean()], TOP_PERCENTILE)
    scaled = np.rint(image * ((N_LEVELS - 1) / top))
    levels: NDArray[np.uint8] = np.clip(scaled, 0, N_LEVELS - 1).astype(np.uint8)
    return levels


def _cluster_thresholds(levels: np.ndarray) -> np.ndarray:
    """Return the gray levels that part air and the clusters: one-dimensional k-means."""
    counts = np.bincount(levels, minlength=N_LEVELS).astype(np.float64)
    values = np.arange(N_LEVELS)
    centers = np.linspace(0, 200, N_SURROUNDING_CLUSTERS)
    for _ in range(30):
        nearest = np.abs(values[:, None] - centers).argmin(axis=1)
        mass = np.bincount(nearest, counts, minlength=len(centers))
        total = np.bincount(nearest, counts * values, minlength=len(centers))
        centers = np.where(mass > 0, total / np.maximum(mass, 1), centers)
    return np.asarray((centers[1:] + centers[:-1]) / 2)
