"""A random scan: a labeled volume seen through a new scanner, evaluated at any points.

It is a deformation, a contrast, a bias field, a noise level, a field of view and a slice spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from unet_med.preprocessing import IntensityStatistics
from unet_med.training.artifacts import WHITE_LEVEL, add_rician_noise
from unet_med.training.contrast import draw_table
from unet_med.training.deformation import Deformation, draw_deformation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unet_med.training.randomness import Draw
    from unet_med.training.settings import SlabSettings
    from unet_med.training.source import Source

WHOLE_VIEW = ((-1.25, -0.72), (0.72, 1.25))
"""Range of the in-plane edges of a random field of view, in half sides of the source."""

LOWEST_EDGE, HIGHEST_EDGE = (-1.5, -0.3), (0.3, 1.2)
"""The same for the first and the last slice: neck, or parts of the brain, may be missing."""


@dataclass(frozen=True, slots=True)
class RandomScan:
    """One scan of a source; ``slab`` evaluates it at one slice and its context.

    Attributes:
        source: Where the anatomy comes from.
        values: Intensity per voxel of the source, shape (1, 1, i, j, k), float32.
        deformation: Scan to source.
        low_mm, high_mm: Corners of the field of view from the center of the scan, x y z.
        slice_mm: Distance between slices.
        thick: Slices are as thick as their distance, else a thin plane.
        noise: Standard deviation in intensity units.
    """

    source: Source
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


def draw_scan(source: Source, settings: SlabSettings, draw: Draw) -> RandomScan:
    """Draw one random scan of a source."""
    table = draw_table(source, settings, draw)
    values = table.index_select(0, source.index.flatten()).reshape(1, 1, *source.index.shape)
    extent = [n * mm / 2 for n, mm in zip(source.index.shape, source.spacing_mm, strict=True)]
    low, high = [-e for e in extent], list(extent)
    if draw.chance(settings.view):
        ranges_low = (WHOLE_VIEW[0], WHOLE_VIEW[0], LOWEST_EDGE)
        ranges_high = (WHOLE_VIEW[1], WHOLE_VIEW[1], HIGHEST_EDGE)
        low = [draw.uniform(*r) * e for r, e in zip(ranges_low, extent, strict=True)]
        high = [draw.uniform(*r) * e for r, e in zip(ranges_high, extent, strict=True)]
    same = settings.slice_spacing_mm[0] == settings.slice_spacing_mm[1]
    spacing = source.spacing_mm[2] if same else draw.log_uniform(*settings.slice_spacing_mm)
    return RandomScan(
        source=source,
        values=values,
        deformation=draw_deformation(settings, draw),
        low_mm=(low[0], low[1], low[2]),
        high_mm=(high[0], high[1], high[2]),
        slice_mm=spacing,
        thick=draw.chance(settings.thick),
        noise=draw.uniform(0.0, settings.noise_max) * WHITE_LEVEL,
    )


def scan_statistics(
    scan: RandomScan, step_mm: tuple[float, float, float], draw: Draw
) -> IntensityStatistics:
    """Return the statistics of a scan's field of view, from a grid of points (steps x y z)."""
    axes = []
    for low, high, step in zip(scan.low_mm, scan.high_mm, step_mm, strict=True):
        count = max(1, round((high - low) / step))
        axes.append(low + (torch.arange(count) + 0.5) * ((high - low) / count))
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    values = scan.intensities(torch.stack([x, y, z], dim=-1), 1)
    statistics = IntensityStatistics()
    statistics.add(add_rician_noise(values, scan.noise, draw).numpy().reshape(len(axes[2]), -1))
    return statistics


def half_extent_mm(source: Source) -> torch.Tensor:
    """Return half the distance between the first and the last voxel center, x y z."""
    sides = zip(source.index.shape, source.spacing_mm, strict=True)
    return torch.tensor([(n - 1) * mm / 2 for n, mm in sides])


def _nearest_labels(source: Source, points_mm: torch.Tensor) -> torch.Tensor:
    """Return the labels (d, h, w) int64 nearest to points (d, h, w, 3), in mm from voxel (0, 0, 0).

    Points outside the source are background.
    """
    at = (points_mm / torch.tensor(source.spacing_mm) + 0.5).floor().long()
    i, j, k = at.unbind(-1)
    n_i, n_j, n_k = source.labels.shape
    valid = (i >= 0) & (i < n_i) & (j >= 0) & (j < n_j) & (k >= 0) & (k < n_k)
    position = ((i * n_j + j) * n_k + k).where(valid, torch.zeros_like(i))
    return source.labels.flatten()[position].long() * valid
