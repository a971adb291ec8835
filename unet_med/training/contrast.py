"""Random contrast: a table from (class, gray level) to intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from unet_med.training.source import N_LEVELS

if TYPE_CHECKING:
    from unet_med.training.randomness import Draw
    from unet_med.training.settings import SlabSettings
    from unet_med.training.source import Source

SMALLEST_GAP = 10.0
"""Tissues whose means are nearer, in gray levels, are moved as one."""


def draw_table(source: Source, settings: SlabSettings, draw: Draw) -> torch.Tensor:
    """Draw the intensities of one scan.

    Args:
        source: Gives the mean gray level of each class.
        settings: Probabilities and ranges.
        draw: Random numbers.

    Returns:
        Intensity of every class · 256 + level, shape (n_classes · 256,), float32, ≥ 0, about
        0–255 as the source.
    """
    n_labels = source.n_labels
    means = source.class_means
    levels = torch.arange(N_LEVELS, dtype=torch.float32)
    table = levels.repeat(len(means), 1)
    kind = draw.uniform(0.0, 1.0)
    shifted, drawn = settings.contrast
    if kind < shifted + drawn:
        anew = kind >= shifted
        targets = means.clone()
        tissues = _drawn_tissues(means, n_labels, draw)
        share = 1.0 if anew else draw.uniform(0.0, 0.7)
        targets[1 : n_labels + 1] = torch.lerp(means[1 : n_labels + 1], tissues, share)
        spread = 0.4 if anew else 0.25
        factors = torch.exp(spread * draw.normal(len(means) - n_labels - 1))
        targets[n_labels + 1 :] *= factors
        gain = draw.uniform(0.0, 0.6 if anew else 1.0)
        table[1:] = targets[1:, None] + gain * (levels - means[1:, None])
        if not draw.chance(settings.apart):
            tissue = slice(1, n_labels + 1)
            table[tissue] = _curve(means[tissue], targets[tissue], levels)
    if draw.chance(settings.brain_only):
        table[source.class_labels == 0] = 0.0
    return _gamma(table.clamp(min=0.0).flatten(), settings, draw)


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


def _drawn_tissues(means: torch.Tensor, n_labels: int, draw: Draw) -> torch.Tensor:
    """Draw the tissues' means in the source's order, the brightest as bright as it was.

    Ascending classes of a T1 scan stay ascending: fluid below gray below white matter.
    """
    order = means[1 : n_labels + 1].argsort()
    value = float(means[1 : n_labels + 1].max())
    drawn = torch.empty(n_labels)
    for rank, label in enumerate(reversed(order.tolist())):
        drawn[label] = value
        value *= draw.uniform(0.6, 0.92) if rank == 0 else draw.uniform(0.25, 0.8)
    return drawn


def _gamma(table: torch.Tensor, settings: SlabSettings, draw: Draw) -> torch.Tensor:
    if settings.gamma_log == 0:
        return table
    power = float(torch.exp(settings.gamma_log * draw.normal(1))[0])
    return (N_LEVELS - 1) * (table / (N_LEVELS - 1)) ** power
