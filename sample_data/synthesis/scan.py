"""A synthetic scan: a labeled volume, deformed and seen through a new scanner, at any points.

It is a deformation, a contrast, a bias field, a noise level, a field of view and a slice spacing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from sample_data.synthesis.artifacts import WHITE_LEVEL, add_rician_noise
from sample_data.synthesis.head_tissues import sample_intensity_table
from unet_med.preprocessing import IntensityStatistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sample_data.synthesis.random_parameters import Rng, SynthesisSettings
    from sample_data.synthesis.source import SynthesisSource

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


def sample_deformation(settings: SynthesisSettings, rng: Rng) -> Deformation:
    """Draw the deformation and the bias field of one scan."""
    angles = [math.radians(rng.symmetric(settings.rotation_degrees)) for _ in range(3)]
    matrix = _rotation(angles)
    overall = rng.symmetric(settings.scale_log)
    scales = [overall + rng.symmetric(settings.scale_log / 3) for _ in range(3)]
    matrix = matrix @ torch.diag(torch.exp(torch.tensor(scales)))
    shears = torch.tensor([rng.symmetric(settings.shear) for _ in range(3)])
    upper = torch.eye(3)
    upper[[0, 0, 1], [1, 2, 2]] = shears
    matrix = matrix @ upper
    if rng.chance(settings.mirror):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    reach = 0.0 if settings.rotation_degrees == 0 else 8.0
    shift = torch.tensor([rng.symmetric(reach) for _ in range(3)])
    return Deformation(matrix, shift, _draw_field(settings, rng))


def _rotation(angles: list[float]) -> torch.Tensor:
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [other for other in range(3) if other != axis]
        turn = torch.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def _draw_field(settings: SynthesisSettings, rng: Rng) -> torch.Tensor | None:
    if settings.bias_max == 0 and not any(settings.elastic_mm_max):
        return None
    nodes = GRID_NODES[-1]
    field = torch.zeros(1, 4, nodes, nodes, nodes)
    for n, limit in zip(GRID_NODES, settings.elastic_mm_max, strict=True):
        field[:, :3] += _upsampled(rng.uniform(0.0, limit) * rng.normal(1, 3, n, n, n), nodes)
    bias = rng.normal(1, 1, BIAS_NODES, BIAS_NODES, BIAS_NODES)
    field[:, 3:] = _upsampled(rng.uniform(0.0, settings.bias_max) * bias, nodes)
    return field


def _upsampled(grid: torch.Tensor, nodes: int) -> torch.Tensor:
    if grid.shape[-1] == nodes:
        return grid
    size = (nodes, nodes, nodes)
    smooth = F.interpolate(grid, size=size, mode="trilinear", align_corners=True)
    return F.avg_pool3d(smooth, 3, stride=1, padding=1, count_include_pad=False)


FIELD_OF_VIEW_EDGES = ((-1.25, -0.72), (0.72, 1.25))
"""Range of the in-plane edges of a random field of view, in half sides of the source."""


LOWEST_EDGE, HIGHEST_EDGE = (-1.5, -0.3), (0.3, 1.2)
"""The same for the first and the last slice: neck, or parts of the brain, may be missing."""


@dataclass(frozen=True, slots=True)
class SyntheticScan:
    """One scan of a source; `intensities` and `labels` evaluate it at any points.

    Attributes:
        source: Where the anatomy comes from.
        values: Intensity per voxel of the source, shape (1, 1, i, j, k), float32.
        deformation: Scan to source.
        low_mm, high_mm: Corners of the field of view from the center of the scan, x y z.
        slice_mm: Distance between slices.
        thick: Slices are as thick as their distance, else a thin plane.
        noise: Standard deviation in intensity units.
    """

    source: SynthesisSource
    values: torch.Tensor
    deformation: Deformation
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    slice_mm: float
    thick: bool
    noise: float

    @property
    def n_slices(self) -> int:
        """Slices in the field of view."""
        return max(1, round((self.high_mm[2] - self.low_mm[2]) / self.slice_mm))

    def slice_position_mm(self, index: int) -> float:
        """Return the z coordinate of the center of a slice."""
        return self.low_mm[2] + (index + 0.5) * self.slice_mm

    def intensities(self, points_mm: torch.Tensor, field_step: int) -> torch.Tensor:
        """Return intensities (d, h, w) at scan points (d, h, w, 3); 0 outside the view."""
        source_mm, bias = self._mapped(points_mm, field_step)
        grid = source_mm / half_extent_mm(self.source)
        sampled = F.grid_sample(self.values, grid.flip(-1)[None], align_corners=True)[0, 0]
        return sampled if bias is None else sampled * torch.exp(bias)

    def labels(self, points_mm: torch.Tensor, field_step: int) -> NDArray[np.uint8]:
        """Return the label (h, w) with the largest share of planes (d, h, w, 3), uint8."""
        source_mm, _ = self._mapped(points_mm, field_step)
        corner_mm = half_extent_mm(self.source)
        # Each pixel asks four points inside it, so that borders follow the majority.
        along = (source_mm[:, 1:2] - source_mm[:, :1], source_mm[:, :, 1:2] - source_mm[:, :, :1])
        votes = torch.zeros(self.source.n_labels + 1, *source_mm.shape[1:3])
        for row, column in ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)):
            points = source_mm + row * along[0] + column * along[1] + corner_mm
            for label in _nearest_labels(self.source, points):
                votes.scatter_add_(0, label[None], torch.ones_like(votes[:1]))
        best: NDArray[np.uint8] = votes.numpy().argmax(axis=0).astype("uint8")
        return best

    def _mapped(
        self, points_mm: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.deformation.field is None:
            return self.deformation.to_source(points_mm, None), None
        field = self.deformation.field_at(points_mm[:, ::step, ::step])
        assert field is not None
        if step > 1:
            # Align corners on the coarse pixels, so cut the grid back to what they cover.
            size = [(n - 1) * step + 1 for n in field.shape[2:]]
            field = F.interpolate(
                field.transpose(0, 1), size=size, mode="bilinear", align_corners=True
            ).transpose(0, 1)
            missing = [points_mm.shape[1] - size[0], points_mm.shape[2] - size[1]]
            field = F.pad(field, [0, missing[1], 0, missing[0]], mode="replicate")
        return self.deformation.to_source(points_mm, field), field[3]


def sample_scan(source: SynthesisSource, settings: SynthesisSettings, rng: Rng) -> SyntheticScan:
    """Draw one random scan of a source."""
    table = sample_intensity_table(source, settings, rng)
    values = table.index_select(0, source.index.flatten()).reshape(1, 1, *source.index.shape)
    extent = [n * mm / 2 for n, mm in zip(source.index.shape, source.spacing_mm, strict=True)]
    low, high = [-e for e in extent], list(extent)
    if rng.chance(settings.field_of_view):
        ranges_low = (FIELD_OF_VIEW_EDGES[0], FIELD_OF_VIEW_EDGES[0], LOWEST_EDGE)
        ranges_high = (FIELD_OF_VIEW_EDGES[1], FIELD_OF_VIEW_EDGES[1], HIGHEST_EDGE)
        low = [rng.uniform(*r) * e for r, e in zip(ranges_low, extent, strict=True)]
        high = [rng.uniform(*r) * e for r, e in zip(ranges_high, extent, strict=True)]
    same = settings.slice_spacing_mm[0] == settings.slice_spacing_mm[1]
    spacing = source.spacing_mm[2] if same else rng.log_uniform(*settings.slice_spacing_mm)
    return SyntheticScan(
        source=source,
        values=values,
        deformation=sample_deformation(settings, rng),
        low_mm=(low[0], low[1], low[2]),
        high_mm=(high[0], high[1], high[2]),
        slice_mm=spacing,
        thick=rng.chance(settings.thick),
        noise=rng.uniform(0.0, settings.noise_max) * WHITE_LEVEL,
    )


def scan_statistics(
    scan: SyntheticScan, step_mm: tuple[float, float, float], rng: Rng
) -> IntensityStatistics:
    """Return the statistics of a scan's field of view, from a grid of points (steps x y z)."""
    axes = []
    for low, high, step in zip(scan.low_mm, scan.high_mm, step_mm, strict=True):
        count = max(1, round((high - low) / step))
        axes.append(low + (torch.arange(count) + 0.5) * ((high - low) / count))
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    values = scan.intensities(torch.stack([x, y, z], dim=-1), 1)
    statistics = IntensityStatistics()
    statistics.add(add_rician_noise(values, scan.noise, rng).numpy().reshape(len(axes[2]), -1))
    return statistics


def half_extent_mm(source: SynthesisSource) -> torch.Tensor:
    """Return half the distance between the first and the last voxel center, x y z."""
    sides = zip(source.index.shape, source.spacing_mm, strict=True)
    return torch.tensor([(n - 1) * mm / 2 for n, mm in sides])


def _nearest_labels(source: SynthesisSource, points_mm: torch.Tensor) -> torch.Tensor:
    """Return the labels (d, h, w) int64 nearest to points (d, h, w, 3), in mm from voxel (0, 0, 0).

    Points outside the source are background.
    """
    at = (points_mm / torch.tensor(source.spacing_mm) + 0.5).floor().long()
    i, j, k = at.unbind(-1)
    n_i, n_j, n_k = source.labels.shape
    valid = (i >= 0) & (i < n_i) & (j >= 0) & (j < n_j) & (k >= 0) & (k < n_k)
    position = ((i * n_j + j) * n_k + k).where(valid, torch.zeros_like(i))
    return source.labels.flatten()[position].long() * valid
