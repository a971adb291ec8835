"""Training slices: the planes that the network is to see of a random scan, with their labels.

Only these planes are evaluated: no volume is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sample_data.synthesis.artifacts import add_scanner_artifacts
from sample_data.synthesis.random_parameters import SynthesisSettings
from sample_data.synthesis.scan import half_extent_mm, scan_statistics
from unet_med.preprocessing import Context, Normalization, context_indices, normalize

if TYPE_CHECKING:
    from sample_data.synthesis.random_parameters import Rng
    from sample_data.synthesis.scan import SyntheticScan

STATISTICS_STEP_MM = (5.0, 5.0, 5.0)
"""The whole-volume statistics of a random scan are taken on a grid this coarse."""

FIELD_STEP = 4
"""Displacements and bias are evaluated at every fourth pixel and interpolated between."""

THICK_SUBPLANES = 3


@dataclass(frozen=True, slots=True)
class InputFormat:
    """What the network is fed: the recipe's context, in-plane spacing and normalization."""

    context: Context
    in_plane_mm: float
    normalization: Normalization


def render_slices(
    scan: SyntheticScan,
    form: InputFormat,
    settings: SynthesisSettings,
    *,
    indices: list[int],
    rng: Rng,
) -> list[dict[str, torch.Tensor]]:
    """Evaluate a scan at some slices.

    Args:
        scan: From ``sample_scan``.
        form: What the network is fed.
        settings: Artifacts, patch and jitter.
        indices: Slices, 0 to ``scan.n_slices - 1``.
        rng: Random numbers.

    Returns:
        One ``{"image": (context, H, W) float32 normalized, "label": (1, H, W) uint8}`` a slice;
        rows ascend to the front, columns to the right of the patient.
    """
    finest = settings == SynthesisSettings.identity()
    step_mm = scan.source.spacing_mm if finest else STATISTICS_STEP_MM
    statistics = scan_statistics(scan, step_mm, rng)
    offsets = form.context.offsets(scan.slice_mm)
    slices = []
    for index in indices:
        rows, columns = _window(scan, form.in_plane_mm, settings.patch_size, rng)
        planes = [scan.slice_position_mm(i) for i in context_indices(index, offsets, scan.n_slices)]
        image = add_scanner_artifacts(
            _planes(scan, planes, rows, columns), scan.noise, settings, rng
        )
        normalized = normalize(image.numpy(), form.normalization, statistics)
        center = _points(scan, [scan.slice_position_mm(index)], rows, columns)
        label = torch.from_numpy(scan.labels(*center))
        inside = _inside(scan, rows, columns)
        slices.append(
            {
                "image": _jittered(torch.from_numpy(normalized), settings.jitter, rng),
                "label": (label * inside)[None],
            }
        )
    return slices


def sample_slice_indices(scan: SyntheticScan, count: int, rng: Rng) -> list[int]:
    """Draw slices of a scan, most of them where the source's middle four fifths are."""
    reach = 0.8 * half_extent_mm(scan.source)[2].item()
    chosen = []
    for _ in range(count):
        low, high = scan.low_mm[2], scan.high_mm[2]
        if rng.chance(0.85):
            low, high = max(low, -reach), min(high, reach)
        index = int((rng.uniform(low, high) - scan.low_mm[2]) / scan.slice_mm)
        chosen.append(min(max(index, 0), scan.n_slices - 1))
    return chosen


def _window(
    scan: SyntheticScan, pixel_mm: float, patch_size: int | None, rng: Rng
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the y of the rows and the x of the columns of a slice, in mm."""
    axes = []
    for axis in (1, 0):
        low, high = scan.low_mm[axis], scan.high_mm[axis]
        count = max(1, round((high - low) / pixel_mm))
        start = low
        if patch_size is not None:
            spare = (high - low) - patch_size * pixel_mm
            start = low + rng.uniform(min(spare, 0.0), max(spare, 0.0))
            count = patch_size
        axes.append(start + (torch.arange(count) + 0.5) * pixel_mm)
    return axes[0], axes[1]


def _planes(
    scan: SyntheticScan, planes_mm: list[float], rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Return the slices (n, H, W), each place evaluated once however often it repeats."""
    unique = sorted(set(planes_mm))
    points, step = _points(scan, unique, rows, columns)
    sampled = scan.intensities(points, step)
    sampled = sampled.reshape(len(unique), -1, *sampled.shape[1:]).mean(dim=1)
    sampled = sampled * _inside(scan, rows, columns)
    return sampled[[unique.index(z) for z in planes_mm]]


def _points(
    scan: SyntheticScan, planes_mm: list[float], rows: torch.Tensor, columns: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """Return scan points (planes · sub-planes, H, W, 3) and the step of their field."""
    z = torch.tensor(planes_mm)
    if scan.thick:
        sub = (torch.arange(THICK_SUBPLANES) - (THICK_SUBPLANES - 1) / 2) / THICK_SUBPLANES
        z = (z[:, None] + sub * scan.slice_mm).flatten()
    grid = torch.meshgrid(z, rows, columns, indexing="ij")
    return torch.stack([grid[2], grid[1], grid[0]], dim=-1), FIELD_STEP


def _inside(scan: SyntheticScan, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return 1 inside the field of view and 0 outside, (H, W) uint8."""
    y = (rows >= scan.low_mm[1]) & (rows <= scan.high_mm[1])
    x = (columns >= scan.low_mm[0]) & (columns <= scan.high_mm[0])
    return (y[:, None] & x[None, :]).to(torch.uint8)


def _jittered(image: torch.Tensor, jitter: float, rng: Rng) -> torch.Tensor:
    if jitter == 0:
        return image
    return image * (1.0 + rng.symmetric(jitter / 2)) + rng.symmetric(jitter)
