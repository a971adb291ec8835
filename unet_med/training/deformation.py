"""Random affine and elastic deformation, evaluated only where a slab needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from unet_med.training.randomness import Draw
    from unet_med.training.settings import SlabSettings


GRID_NODES = (5, 14, 28)
"""Nodes of the coarse, middle and fine grid over the cube of ``2 · GRID_HALF_MM``."""

GRID_HALF_MM = 140.0
BIAS_NODES = 4


@dataclass(frozen=True, slots=True)
class Deformation:
    """Maps scan coordinates (mm from the center) to source coordinates (mm from its center).

    Attributes:
        matrix: Linear part, (3, 3), x y z order.
        shift_mm: (3,).
        field: Displacement in mm (three channels) and log bias (one), shape (1, 4, z, y, x) on
            the fine grid, float32; ``None`` = zero.
    """

    matrix: torch.Tensor
    shift_mm: torch.Tensor
    field: torch.Tensor | None

    def field_at(self, points_mm: torch.Tensor) -> torch.Tensor | None:
        """Return displacement and log bias, (4, d, h, w), at scan points (d, h, w, 3) in mm."""
        if self.field is None:
            return None
        grid = (points_mm / GRID_HALF_MM)[None]
        return F.grid_sample(self.field, grid, padding_mode="border", align_corners=True)[0]

    def to_source(self, points_mm: torch.Tensor, field: torch.Tensor | None) -> torch.Tensor:
        """Return the source points in mm, (d, h, w, 3)."""
        # One plane per coordinate: a product of 3 columns is slow the other way round.
        columns = points_mm.reshape(-1, 3).T
        moved = torch.addmm(self.shift_mm[:, None], self.matrix, columns)
        moved = moved.reshape(3, *points_mm.shape[:-1])
        return (moved if field is None else moved + field[:3]).movedim(0, -1)


def draw_deformation(settings: SlabSettings, draw: Draw) -> Deformation:
    """Draw the deformation and the bias field of one scan."""
    angles = [math.radians(draw.symmetric(settings.rotation_degrees)) for _ in range(3)]
    matrix = _rotation(angles)
    overall = draw.symmetric(settings.scale_log)
    scales = [overall + draw.symmetric(settings.scale_log / 3) for _ in range(3)]
    matrix = matrix @ torch.diag(torch.exp(torch.tensor(scales)))
    shears = torch.tensor([draw.symmetric(settings.shear) for _ in range(3)])
    upper = torch.eye(3)
    upper[[0, 0, 1], [1, 2, 2]] = shears
    matrix = matrix @ upper
    if draw.chance(settings.mirror):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    reach = 0.0 if settings.rotation_degrees == 0 else 8.0
    shift = torch.tensor([draw.symmetric(reach) for _ in range(3)])
    return Deformation(matrix, shift, _draw_field(settings, draw))


def _rotation(angles: list[float]) -> torch.Tensor:
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [other for other in range(3) if other != axis]
        turn = torch.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def _draw_field(settings: SlabSettings, draw: Draw) -> torch.Tensor | None:
    if settings.bias_max == 0 and not any(settings.elastic_mm_max):
        return None
    nodes = GRID_NODES[-1]
    field = torch.zeros(1, 4, nodes, nodes, nodes)
    for n, limit in zip(GRID_NODES, settings.elastic_mm_max, strict=True):
        field[:, :3] += _upsampled(draw.uniform(0.0, limit) * draw.normal(1, 3, n, n, n), nodes)
    bias = draw.normal(1, 1, BIAS_NODES, BIAS_NODES, BIAS_NODES)
    field[:, 3:] = _upsampled(draw.uniform(0.0, settings.bias_max) * bias, nodes)
    return field


def _upsampled(grid: torch.Tensor, nodes: int) -> torch.Tensor:
    if grid.shape[-1] == nodes:
        return grid
    size = (nodes, nodes, nodes)
    smooth = F.interpolate(grid, size=size, mode="trilinear", align_corners=True)
    return F.avg_pool3d(smooth, 3, stride=1, padding=1, count_include_pad=False)
