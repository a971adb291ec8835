"""Random contrast of the tissues of a head, and random folds of its cortex.

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

from sample_data.synthesis.source import N_LEVELS, SynthesisSource

if TYPE_CHECKING:
    from sample_data.synthesis.random_parameters import Rng, SynthesisSettings
    from sample_data.synthesis.source import SynthesisSource

SMALLEST_GAP = 10.0
"""Tissues whose means are nearer, in gray levels, are moved as one."""


def sample_intensity_table(
    source: SynthesisSource, settings: SynthesisSettings, rng: Rng
) -> torch.Tensor:
    """Draw the intensities of one scan.

    Args:
        source: Gives the mean gray level of each class.
        settings: Probabilities and ranges.
        rng: Random numbers.

    Returns:
        Intensity of every class · 256 + level, shape (n_classes · 256,), float32, ≥ 0, about
        0–255 as the source.
    """
    n_labels = source.n_labels
    means = source.class_means
    levels = torch.arange(N_LEVELS, dtype=torch.float32)
    table = levels.repeat(len(means), 1)
    kind = rng.uniform(0.0, 1.0)
    shifted, drawn = settings.contrast
    if kind < shifted + drawn:
        anew = kind >= shifted
        targets = means.clone()
        tissues = _drawn_tissues(means, n_labels, rng)
        share = 1.0 if anew else rng.uniform(0.0, 0.7)
        targets[1 : n_labels + 1] = torch.lerp(means[1 : n_labels + 1], tissues, share)
        spread = 0.4 if anew else 0.25
        factors = torch.exp(spread * rng.normal(len(means) - n_labels - 1))
        targets[n_labels + 1 :] *= factors
        gain = rng.uniform(0.0, 0.6 if anew else 1.0)
        table[1:] = targets[1:, None] + gain * (levels - means[1:, None])
        if not rng.chance(settings.independent_tissues):
            tissue = slice(1, n_labels + 1)
            table[tissue] = _curve(means[tissue], targets[tissue], levels)
    if rng.chance(settings.brain_only):
        table[source.class_labels == 0] = 0.0
    return _gamma(table.clamp(min=0.0).flatten(), settings, rng)


def _curve(means: torch.Tensor, targets: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return the levels under one rising line through 0 and the tissues' means.

    All tissues share it, so a voxel between two means, half one tissue and half the other, keeps
    its place between them, and the labels keep the border that their maker drew. Tissues moved
    apart one by one leave a gap in the histogram, and borders are then learned in its middle.
    """
    at, to = [0.0], [0.0]
    for label in means.argsort().tolist():
        if float(means[label]) >= at[-1] + SMALLEST_GAP:
            at.append(float(means[label]))
            to.append(float(targets[label]))
    if len(at) > 1:
        slope = (to[-1] - to[-2]) / (at[-1] - at[-2])
        to.append(to[-1] + slope * (N_LEVELS - at[-1]))
        at.append(float(N_LEVELS))
    return torch.from_numpy(np.interp(levels.numpy(), at, to).astype(np.float32))


def _drawn_tissues(means: torch.Tensor, n_labels: int, rng: Rng) -> torch.Tensor:
    """Draw the tissues' means in the source's order, the brightest as bright as it was.

    Ascending classes of a T1 scan stay ascending: fluid below gray below white matter.
    """
    order = means[1 : n_labels + 1].argsort()
    value = float(means[1 : n_labels + 1].max())
    drawn = torch.empty(n_labels)
    for rank, label in enumerate(reversed(order.tolist())):
        drawn[label] = value
        value *= rng.uniform(0.6, 0.92) if rank == 0 else rng.uniform(0.25, 0.8)
    return drawn


def _gamma(table: torch.Tensor, settings: SynthesisSettings, rng: Rng) -> torch.Tensor:
    if settings.gamma_log == 0:
        return table
    power = float(torch.exp(settings.gamma_log * rng.normal(1))[0])
    return (N_LEVELS - 1) * (table / (N_LEVELS - 1)) ** power


FLUID, GRAY, WHITE = 1, 2, 3


LEVEL_DEVIATION = 4.0
"""Gray-level noise of repainted voxels, so that no tissue is perfectly flat."""


BLUR_VOXELS = (0.4, 0.9)
"""Painted folds are blurred by a Gaussian of this many voxels: a border is a mixture."""


SMALLEST_SHARE = 0.05


def folded_sources(source: SynthesisSource, count: int, rng: Rng) -> list[SynthesisSource]:
    """Return versions of a source with random folds.

    Args:
        source: Labels 1 fluid, 2 gray, 3 white matter; left as it is.
        count: Number of versions.
        rng: Random numbers.

    Returns:
        Sources of the same brain outline and surroundings; none where the tissues' means do not
        ascend as in T1.
    """
    if count == 0 or not _is_t1(source):
        return []
    depth = ndimage.distance_transform_edt(source.labels.numpy() > 0, sampling=source.spacing_mm)
    return [_folded(source, depth.astype(np.float32), rng) for _ in range(count)]


def _is_t1(source: SynthesisSource) -> bool:
    fluid, gray, white = source.class_means[FLUID : WHITE + 1].tolist()
    return bool(0 < fluid < gray < white)


def _folded(source: SynthesisSource, depth: np.ndarray, rng: Rng) -> SynthesisSource:
    """Paint the folds, blur them as a scan does, and label them as the source is labeled."""
    labels = source.labels.numpy()
    brain = labels > 0
    new = _folded_labels(labels, depth, rng)
    levels = (source.index % N_LEVELS).numpy().astype(np.float32)
    painted = np.where(brain, source.class_means.numpy()[new], levels)
    sigma = rng.uniform(*BLUR_VOXELS)
    share = ndimage.gaussian_filter((new != labels).astype(np.float32), sigma)
    mixed = levels + share * (ndimage.gaussian_filter(painted, sigma) - levels)
    changed = brain & (share > SMALLEST_SHARE)
    borders = [_border(source, *pair) for pair in ((FLUID, GRAY), (GRAY, WHITE))]
    folded = labels.copy()
    folded[changed] = FLUID + np.digitize(mixed[changed], borders)
    noise = rng.normal(int(changed.sum())).numpy() * LEVEL_DEVIATION * share[changed]
    levels[changed] = np.clip(np.rint(mixed[changed] + noise), 1, N_LEVELS - 1)
    index = source.index.clone()
    at = torch.from_numpy(changed)
    class_and_level = folded[changed].astype(np.int32) * N_LEVELS + levels[changed].astype(np.int32)
    index[at] = torch.from_numpy(class_and_level).to(index.dtype)
    return replace(source, index=index, labels=torch.from_numpy(folded))


def _border(source: SynthesisSource, darker: int, brighter: int) -> float:
    """Return the gray level that parts two tissues of a source with the fewest voxels wrong."""
    counts = np.bincount(source.index.numpy().ravel(), minlength=(brighter + 1) * N_LEVELS)
    below, above = (counts[c * N_LEVELS : (c + 1) * N_LEVELS] for c in (darker, brighter))
    wrong = np.cumsum(above) - np.cumsum(below)
    return float(wrong.argmin()) + 0.5


def _folded_labels(labels: np.ndarray, depth: np.ndarray, rng: Rng) -> np.ndarray:
    node_mm = rng.uniform(5.0, 9.0)
    field = _smooth_field(labels.shape, node_mm, rng)
    # A field of unit deviation over nodes h mm apart climbs by about 1 in h/1.5 mm.
    per_mm = 1.5 / node_mm
    reach = rng.uniform(10.0, 28.0) * (1.0 + 0.3 * _smooth_field(labels.shape, 40.0, rng))
    fluid_mm, gray_mm = rng.uniform(0.3, 1.0), rng.uniform(1.8, 3.5)
    fade = np.clip(1.5 * (1.0 - depth / np.maximum(reach, 1.0)), 0.0, 1.0)
    distance = np.abs(field) / per_mm
    folded = np.full(labels.shape, WHITE, np.uint8)
    folded[(distance < fluid_mm + gray_mm) & (fade > 0)] = GRAY
    folded[distance < fluid_mm * fade] = FLUID
    if rng.chance(0.5):  # cut into the brain as it is
        return np.where(labels > 0, np.minimum(labels, folded), 0).astype(np.uint8)
    outer_mm = rng.uniform(0.5, 2.0)
    folded[depth < outer_mm + gray_mm] = np.minimum(folded, GRAY)[depth < outer_mm + gray_mm]
    folded[depth < outer_mm] = FLUID
    return np.where((labels > 0) & (fade > 0), folded, labels).astype(np.uint8)


def _smooth_field(shape: tuple[int, ...], node_mm: float, rng: Rng) -> np.ndarray:
    """Return a smooth random field of about unit deviation, shape (i, j, k), float32."""
    coarse = [max(4, int(size / node_mm)) for size in shape]
    nodes = rng.normal(1, 1, *coarse)
    half = [max(c, s // 2) for c, s in zip(coarse, shape, strict=True)]
    field = F.interpolate(nodes, size=half, mode="trilinear", align_corners=True)
    field = F.avg_pool3d(field, 3, stride=1, padding=1, count_include_pad=False)
    field = F.interpolate(field, size=list(shape), mode="trilinear", align_corners=True)[0, 0]
    return np.asarray((field / field.std()).numpy())
