"""Random folds: brains whose tissue borders no template has.

Average templates have blurred, always equal folds. Sheets of fluid lined with gray matter, cut
into the outer brain along the zero levels of a smooth random field, make the network
tell tissues by intensity and by their neighborhood instead of by their usual place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from unet_med.training.source import N_LEVELS, Source

if TYPE_CHECKING:
    from unet_med.training.randomness import Draw

FLUID, GRAY, WHITE = 1, 2, 3
LEVEL_DEVIATION = 4.0
"""Gray-level noise of repainted voxels, so that no tissue is perfectly flat."""

BLUR_VOXELS = (0.4, 0.9)
"""Painted folds are blurred by a Gaussian of this many voxels: a border is a mixture."""

SMALLEST_SHARE = 0.05


def folded_versions(source: Source, count: int, draw: Draw) -> list[Source]:
    """Return versions of a source with random folds.

    Args:
        source: Labels 1 fluid, 2 gray, 3 white matter; left as it is.
        count: Number of versions.
        draw: Random numbers.

    Returns:
        Sources of the same brain outline and surroundings; none where the tissues' means do not
        ascend as in T1.
    """
    if count == 0 or not _is_t1(source):
        return []
    depth = ndimage.distance_transform_edt(source.labels.numpy() > 0, sampling=source.spacing_mm)
    return [_folded(source, depth.astype(np.float32), draw) for _ in range(count)]


def _is_t1(source: Source) -> bool:
    fluid, gray, white = source.class_means[FLUID : WHITE + 1].tolist()
    return bool(0 < fluid < gray < white)


def _folded(source: Source, depth: np.ndarray, draw: Draw) -> Source:
    """Paint the folds, blur them as a scan does, and label them as the source is labeled."""
    labels = source.labels.numpy()
    brain = labels > 0
    new = _folded_labels(labels, depth, draw)
    levels = (source.index % N_LEVELS).numpy().astype(np.float32)
    painted = np.where(brain, source.class_means.numpy()[new], levels)
    sigma = draw.uniform(*BLUR_VOXELS)
    share = ndimage.gaussian_filter((new != labels).astype(np.float32), sigma)
    mixed = levels + share * (ndimage.gaussian_filter(painted, sigma) - levels)
    changed = brain & (share > SMALLEST_SHARE)
    borders = [_border(source, *pair) for pair in ((FLUID, GRAY), (GRAY, WHITE))]
    folded = labels.copy()
    folded[changed] = FLUID + np.digitize(mixed[changed], borders)
    noise = draw.normal(int(changed.sum())).numpy() * LEVEL_DEVIATION * share[changed]
    levels[changed] = np.clip(np.rint(mixed[changed] + noise), 1, N_LEVELS - 1)
    index = source.index.clone()
    at = torch.from_numpy(changed)
    class_and_level = folded[changed].astype(np.int32) * N_LEVELS + levels[changed].astype(np.int32)
    index[at] = torch.from_numpy(class_and_level).to(index.dtype)
    return replace(source, index=index, labels=torch.from_numpy(folded))


def _border(source: Source, darker: int, brighter: int) -> float:
    """Return the gray level that parts two tissues of a source with the fewest voxels wrong."""
    counts = np.bincount(source.index.numpy().ravel(), minlength=(brighter + 1) * N_LEVELS)
    below, above = (counts[c * N_LEVELS : (c + 1) * N_LEVELS] for c in (darker, brighter))
    wrong = np.cumsum(above) - np.cumsum(below)
    return float(wrong.argmin()) + 0.5


def _folded_labels(labels: np.ndarray, depth: np.ndarray, draw: Draw) -> np.ndarray:
    node_mm = draw.uniform(5.0, 9.0)
    field = _smooth_field(labels.shape, node_mm, draw)
    # A field of unit deviation over nodes h mm apart climbs by about 1 in h/1.5 mm.
    per_mm = 1.5 / node_mm
    reach = draw.uniform(10.0, 28.0) * (1.0 + 0.3 * _smooth_field(labels.shape, 40.0, draw))
    fluid_mm, gray_mm = draw.uniform(0.3, 1.0), draw.uniform(1.8, 3.5)
    fade = np.clip(1.5 * (1.0 - depth / np.maximum(reach, 1.0)), 0.0, 1.0)
    distance = np.abs(field) / per_mm
    folded = np.full(labels.shape, WHITE, np.uint8)
    folded[(distance < fluid_mm + gray_mm) & (fade > 0)] = GRAY
    folded[distance < fluid_mm * fade] = FLUID
    if draw.chance(0.5):  # cut into the brain as it is
        return np.where(labels > 0, np.minimum(labels, folded), 0).astype(np.uint8)
    outer_mm = draw.uniform(0.5, 2.0)
    folded[depth < outer_mm + gray_mm] = np.minimum(folded, GRAY)[depth < outer_mm + gray_mm]
    folded[depth < outer_mm] = FLUID
    return np.where((labels > 0) & (fade > 0), folded, labels).astype(np.uint8)


def _smooth_field(shape: tuple[int, ...], node_mm: float, draw: Draw) -> np.ndarray:
    """Return a smooth random field of about unit deviation, shape (i, j, k), float32."""
    coarse = [max(4, int(size / node_mm)) for size in shape]
    nodes = draw.normal(1, 1, *coarse)
    half = [max(c, s // 2) for c, s in zip(coarse, shape, strict=True)]
    field = F.interpolate(nodes, size=half, mode="trilinear", align_corners=True)
    field = F.avg_pool3d(field, 3, stride=1, padding=1, count_include_pad=False)
    field = F.interpolate(field, size=list(shape), mode="trilinear", align_corners=True)[0, 0]
    return np.asarray((field / field.std()).numpy())
