"""Training slabs drawn from a labelled volume as if from a newly scanned head.

One random scan is a deformation, a contrast, a bias field, a noise level, a field of view and a
slice spacing. Only the planes that the network is to see are evaluated: no volume is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from unet_med.preprocessing import (
    Context,
    IntensityStatistics,
    Normalisation,
    context_indices,
    normalise,
)
from unet_med.training.artefacts import WHITE_LEVEL, add_rician_noise, degrade
from unet_med.training.contrast import draw_table
from unet_med.training.deformation import Deformation, draw_deformation
from unet_med.training.randomness import Draw
from unet_med.training.settings import SlabSettings
from unet_med.training.source import Source

STATISTICS_STEP_MM = 5.0
"""The whole-volume statistics of a random scan are taken on a grid this coarse."""

FIELD_STEP = 4
"""Displacements and bias are evaluated at every fourth pixel and interpolated between."""

THICK_SUBPLANES = 3


@dataclass(frozen=True, slots=True)
class SlabFormat:
    """What the network is fed: the recipe's context, in-plane spacing and normalisation."""

    context: Context
    in_plane_mm: float
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class RandomScan:
    """One scan of a source; ``slab`` evaluates it at one slice and its context.

    Attributes:
        source: Where the anatomy comes from.
        values: Intensity per voxel of the source, shape (1, 1, i, j, k), float32.
        deformation: Scan to source.
        low_mm, high_mm: Corners of the field of view from the centre of the scan, x y z.
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
        """Return the z coordinate of the centre of a slice."""
        return self.low_mm[2] + (index + 0.5) * self.slice_mm

    def intensities(self, points_mm: torch.Tensor, field_step: int) -> torch.Tensor:
        """Return intensities (d, h, w) at scan points (d, h, w, 3); 0 outside the view."""
        source_mm, bias = self._mapped(points_mm, field_step)
        grid = source_mm / _half_extent_mm(self.source)
        sampled = F.grid_sample(self.values, grid.flip(-1)[None], align_corners=True)[0, 0]
        return sampled if bias is None else sampled * torch.exp(bias)

    def labels(self, points_mm: torch.Tensor, field_step: int) -> np.ndarray:
        """Return the label (h, w) with the largest share of planes (d, h, w, 3), uint8."""
        source_mm, _ = self._mapped(points_mm, field_step)
        corner_mm = _half_extent_mm(self.source)
        # Each pixel asks four points inside it, so that borders follow the majority.
        along = (source_mm[:, 1:2] - source_mm[:, :1], source_mm[:, :, 1:2] - source_mm[:, :, :1])
        votes = torch.zeros(self.source.n_labels + 1, *source_mm.shape[1:3])
        for row, column in ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)):
            points = source_mm + row * along[0] + column * along[1] + corner_mm
            for label in _nearest_labels(self.source, points):
                votes.scatter_add_(0, label[None], torch.ones_like(votes[:1]))
        return votes.numpy().argmax(axis=0).astype(np.uint8)

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
        low = [draw.uniform(-1.25 * e, -0.72 * e) for e in extent[:2]] + [
            draw.uniform(-1.5, -0.3) * extent[2]
        ]
        high = [draw.uniform(0.72 * e, 1.25 * e) for e in extent[:2]] + [
            draw.uniform(0.3, 1.2) * extent[2]
        ]
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


def scan_statistics(scan: RandomScan, step_mm: float, draw: Draw) -> IntensityStatistics:
    """Return the statistics of a scan's field of view, from a grid of points."""
    axes = []
    for low, high in zip(scan.low_mm, scan.high_mm, strict=True):
        count = max(2, round((high - low) / step_mm))
        axes.append(low + (torch.arange(count) + 0.5) * ((high - low) / count))
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    values = scan.intensities(torch.stack([x, y, z], dim=-1), 1)
    statistics = IntensityStatistics()
    statistics.add(add_rician_noise(values, scan.noise, draw).numpy().reshape(len(axes[2]), -1))
    return statistics


def draw_slabs(
    scan: RandomScan, form: SlabFormat, settings: SlabSettings, *, indices: list[int], draw: Draw
) -> list[dict[str, torch.Tensor]]:
    """Evaluate a scan at some slices.

    Args:
        scan: From ``draw_scan``.
        form: What the network is fed.
        settings: Artefacts, crop and jitter.
        indices: Slices, 0 to ``scan.n_slices - 1``.
        draw: Random numbers.

    Returns:
        One ``{"image": (context, H, W) float32 normalised, "label": (1, H, W) uint8}`` a slice;
        rows ascend to the front, columns to the right of the patient.
    """
    finest = settings == SlabSettings.identity()
    step_mm = min(scan.source.spacing_mm) if finest else STATISTICS_STEP_MM
    statistics = scan_statistics(scan, step_mm, draw)
    offsets = form.context.offsets(scan.slice_mm)
    slabs = []
    for index in indices:
        rows, columns = _window(scan, form.in_plane_mm, settings.crop, draw)
        planes = [
            scan.slice_position_mm(i) for i in context_indices(index, offsets, scan.n_slices)
        ]
        image = degrade(_planes(scan, planes, rows, columns), scan.noise, settings, draw)
        normalised = normalise(image.numpy(), form.normalisation, statistics)
        label = torch.from_numpy(scan.labels(*_points(scan, [scan.slice_position_mm(index)], rows, columns)))
        inside = _inside(scan, rows, columns)
        slabs.append(
            {
                "image": _jittered(torch.from_numpy(normalised), settings.jitter, draw),
                "label": (label * inside)[None],
            }
        )
    return slabs


def draw_indices(scan: RandomScan, count: int, draw: Draw) -> list[int]:
    """Draw slices of a scan, most of them where the source's middle four fifths are."""
    reach = 0.8 * _half_extent_mm(scan.source)[2].item()
    chosen = []
    for _ in range(count):
        low, high = scan.low_mm[2], scan.high_mm[2]
        if draw.chance(0.85):
            low, high = max(low, -reach), min(high, reach)
        index = int((draw.uniform(low, high) - scan.low_mm[2]) / scan.slice_mm)
        chosen.append(min(max(index, 0), scan.n_slices - 1))
    return chosen


def _half_extent_mm(source: Source) -> torch.Tensor:
    """Return half the distance between the first and the last voxel centre, x y z."""
    sides = zip(source.index.shape, source.spacing_mm, strict=True)
    return torch.tensor([(n - 1) * mm / 2 for n, mm in sides])


def _window(
    scan: RandomScan, pixel_mm: float, crop: int | None, draw: Draw
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the y of the rows and the x of the columns of a slice, in mm."""
    axes = []
    for axis in (1, 0):
        low, high = scan.low_mm[axis], scan.high_mm[axis]
        count = max(1, round((high - low) / pixel_mm))
        start = low
        if crop is not None:
            spare = (high - low) - crop * pixel_mm
            start = low + draw.uniform(min(spare, 0.0), max(spare, 0.0))
            count = crop
        axes.append(start + (torch.arange(count) + 0.5) * pixel_mm)
    return axes[0], axes[1]


def _planes(
    scan: RandomScan, planes_mm: list[float], rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Return the slices (n, H, W), each place evaluated once however often it repeats."""
    unique = sorted(set(planes_mm))
    points, step = _points(scan, unique, rows, columns)
    sampled = scan.intensities(points, step)
    sampled = sampled.reshape(len(unique), -1, *sampled.shape[1:]).mean(dim=1)
    sampled = sampled * _inside(scan, rows, columns)
    return sampled[[unique.index(z) for z in planes_mm]]


def _points(
    scan: RandomScan, planes_mm: list[float], rows: torch.Tensor, columns: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """Return scan points (planes · sub-planes, H, W, 3) and the step of their field."""
    z = torch.tensor(planes_mm)
    if scan.thick:
        sub = (torch.arange(THICK_SUBPLANES) - (THICK_SUBPLANES - 1) / 2) / THICK_SUBPLANES
        z = (z[:, None] + sub * scan.slice_mm).flatten()
    grid = torch.meshgrid(z, rows, columns, indexing="ij")
    return torch.stack([grid[2], grid[1], grid[0]], dim=-1), FIELD_STEP


def _inside(scan: RandomScan, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return 1 inside the field of view and 0 outside, (H, W) uint8."""
    y = (rows >= scan.low_mm[1]) & (rows <= scan.high_mm[1])
    x = (columns >= scan.low_mm[0]) & (columns <= scan.high_mm[0])
    return (y[:, None] & x[None, :]).to(torch.uint8)


def _jittered(image: torch.Tensor, jitter: float, draw: Draw) -> torch.Tensor:
    if jitter == 0:
        return image
    return image * (1.0 + draw.symmetric(jitter / 2)) + draw.symmetric(jitter)


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


__all__ = [
    "RandomScan",
    "SlabFormat",
    "draw_indices",
    "draw_scan",
    "draw_slabs",
    "scan_statistics",
]
