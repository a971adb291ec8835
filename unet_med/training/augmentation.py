"""Random variation of a batch of patches, as a few tensor operations over the whole batch.

Every number is drawn from (seed, step, index in the batch), so a patch is the same whatever the
number of workers, of threads, or of processes that share a batch. No operation adds up over
pixels in an order that depends on threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from unet_med.training.target_encoding import IGNORE_INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ELASTIC_NODES = 5
BIAS_NODES = 4


@dataclass(frozen=True, slots=True)
class AugmentationSettings:
    """State how strongly patches are varied; a probability is per patch.

    Example:
        >>> AugmentationSettings.none().noise, AugmentationSettings(noise=0.3).noise
        (0.0, 0.3)

    Attributes:
        margin: Initial patches are this much larger than the patch, so that a turned or shrunk
            patch still finds pixels.
        rotate: Probability; angle up to ``rotation_degrees``.
        scale: Probability; ``|log|`` of the scale up to ``scale_log``, each axis a third more.
        elastic: Probability; nodes moved by a standard deviation of ``elastic_pixels``.
        mirror: Probability per allowed axis.
        gamma: Probability per channel; ``|log gamma|`` up to ``gamma_log``.
        contrast: Probability per channel; factor e^±``contrast_log`` and shift ±``brightness``.
        noise: Probability; standard deviation up to ``noise_max`` of normalized units.
        blur: Probability; sigma 0.4 to ``blur_max`` pixels.
        low_resolution: Probability; pixels up to ``low_resolution_max`` times as large.
        bias: Probability; log field with a standard deviation up to ``bias_log``.
    """

    margin: float = 1.4
    rotate: float = 0.4
    rotation_degrees: float = 25.0
    scale: float = 0.4
    scale_log: float = 0.25
    elastic: float = 0.2
    elastic_pixels: float = 4.0
    mirror: float = 0.5
    gamma: float = 0.25
    gamma_log: float = 0.4
    contrast: float = 0.4
    contrast_log: float = 0.25
    brightness: float = 0.2
    noise: float = 0.15
    noise_max: float = 0.25
    blur: float = 0.15
    blur_max: float = 1.2
    low_resolution: float = 0.1
    low_resolution_max: float = 2.0
    bias: float = 0.2
    bias_log: float = 0.25

    @classmethod
    def none(cls) -> AugmentationSettings:
        """Return settings that change nothing."""
        return cls(
            margin=1.0, rotate=0.0, scale=0.0, elastic=0.0, mirror=0.0, gamma=0.0, contrast=0.0,
            noise=0.0, blur=0.0, low_resolution=0.0, bias=0.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PatchFormat:
    """Describe the patches of a batch.

    Attributes:
        patch_size: Rows and columns.
        n_channels: Real channels C; the context repeats them.
        mirror_rows, mirror_columns: Whether the axis may be mirrored.
        has_bias: Whether the channels come from a scanner with a bias field: not CT.
    """

    patch_size: tuple[int, int]
    n_channels: int
    mirror_rows: bool = False
    mirror_columns: bool = False
    has_bias: bool = True

    def initial_patch_size(self, settings: AugmentationSettings) -> tuple[int, int]:
        """Return rows and columns of the initial patch; its middle is the patch's middle."""
        rows, columns = (
            side + 2 * math.ceil(side * (settings.margin - 1.0) / 2) for side in self.patch_size
        )
        return rows, columns


def augment(
    images: torch.Tensor,
    codes: torch.Tensor,
    rngs: Sequence[np.random.Generator],
    *,
    form: PatchFormat,
    settings: AugmentationSettings,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vary a batch of initial patches and cut it to patches.

    Args:
        images: (B, context·C, P, Q) float32 initial patches.
        codes: (B, P, Q) uint8.
        rngs: One generator per patch.
        form: The patch.
        settings: How strongly.

    Returns:
        (B, context·C, H, W) float32 and (B, H, W) uint8.
    """
    grid = _grid(rngs, (images.shape[2], images.shape[3]), form, settings)
    warped = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    # Ignored is stored as code + 1 = 256, so that zeros beyond the initial patch mean ignored too.
    shifted = torch.where(codes == IGNORE_INDEX, 0.0, codes.float() + 1.0)[:, None]
    moved = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    new_codes = torch.where(moved == 0, float(IGNORE_INDEX), moved - 1.0)[:, 0].to(torch.uint8)
    shape = warped.shape
    patches = warped.reshape(shape[0], -1, form.n_channels, *shape[2:])
    patches = torch.stack(
        [_vary(patch, rng, form, settings) for patch, rng in zip(patches, rngs, strict=True)]
    )
    return patches.reshape(shape), new_codes


def _grid(
    rngs: Sequence[np.random.Generator],
    initial_size: tuple[int, int],
    form: PatchFormat,
    settings: AugmentationSettings,
) -> torch.Tensor:
    """Return where each pixel of the patches comes from, (B, H, W, 2) as ``grid_sample`` has it."""
    matrices = np.stack([_matrix(rng, form, settings) for rng in rngs])
    rows, columns = (torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in form.patch_size)
    grid_rows, grid_columns = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([grid_columns, grid_rows], dim=-1)  # x, y in pixels
    moved = torch.stack([_mapped(points, m) for m in torch.from_numpy(matrices)])
    bent = [n for n, rng in enumerate(rngs) if rng.random() < settings.elastic]
    if bent:
        nodes = np.stack([rngs[n].standard_normal((2, ELASTIC_NODES, ELASTIC_NODES)) for n in bent])
        strength = np.array([rngs[n].random() for n in bent])[:, None, None, None]
        coarse = torch.from_numpy((nodes * strength * settings.elastic_pixels).astype(np.float32))
        field = F.interpolate(coarse, size=form.patch_size, mode="bicubic", align_corners=True)
        moved[bent] += field.permute(0, 2, 3, 1)
    half = torch.tensor([initial_size[1] / 2, initial_size[0] / 2])
    return moved / half


def _mapped(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    x, y = points.unbind(-1)
    a, b, c, d = (float(value) for value in matrix.flatten())
    return torch.stack([a * x + b * y, c * x + d * y], dim=-1)


def _matrix(
    rng: np.random.Generator, form: PatchFormat, settings: AugmentationSettings
) -> NDArray[np.float64]:
    """Draw the linear map from patch to initial patch, x before y."""
    rotate, scale, mirror_x, mirror_y = rng.random(4)
    angle, size, stretch_x, stretch_y = rng.uniform(-1.0, 1.0, 4)
    matrix = np.eye(2)
    if scale < settings.scale:
        logs = settings.scale_log * (size + np.array([stretch_x, stretch_y]) / 3)
        matrix = np.diag(np.exp(logs))
    if rotate < settings.rotate:
        turn = math.radians(settings.rotation_degrees) * angle
        cosine, sine = math.cos(turn), math.sin(turn)
        matrix = np.array([[cosine, -sine], [sine, cosine]]) @ matrix
    flip_x = form.mirror_columns and mirror_x < settings.mirror
    flip_y = form.mirror_rows and mirror_y < settings.mirror
    return matrix @ np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0])


def _vary(
    patch: torch.Tensor, rng: np.random.Generator, form: PatchFormat, settings: AugmentationSettings
) -> torch.Tensor:
    """Vary the intensities of one patch (context, C, H, W)."""
    chances = rng.random(4)
    strengths = rng.random(4)
    if chances[0] < settings.bias and form.has_bias:
        patch = _biased(patch, strengths[0] * settings.bias_log, rng)
    if chances[1] < settings.blur:
        sigma = 0.4 + strengths[1] * (settings.blur_max - 0.4)
        patch = gaussian_blur(patch, (sigma, sigma))
    if chances[2] < settings.low_resolution:
        factor = 1.0 + strengths[2] * (settings.low_resolution_max - 1.0)
        patch = simulate_low_resolution(patch, (factor, factor))
    if chances[3] < settings.noise:
        # One plane of numbers a channel; the context has noise of its own.
        noise = rng.standard_normal(patch.shape, dtype=np.float32)
        patch = patch + strengths[3] * settings.noise_max * torch.from_numpy(noise)
    return _recolored(patch, rng, settings)


def _recolored(
    patch: torch.Tensor, rng: np.random.Generator, settings: AugmentationSettings
) -> torch.Tensor:
    """Change contrast, brightness and gamma per channel, the same over the context."""
    n_channels = patch.shape[1]
    chances = rng.random((2, n_channels))
    strengths = rng.uniform(-1.0, 1.0, (3, n_channels))
    chosen = chances[0] < settings.contrast
    factor = np.where(chosen, np.exp(strengths[0] * settings.contrast_log), 1.0)
    shift = np.where(chosen, strengths[1] * settings.brightness, 0.0)
    if chosen.any():
        patch = patch * _per_channel(factor) + _per_channel(shift)
    bent = np.flatnonzero(chances[1] < settings.gamma)
    if len(bent):
        patch = patch.clone()
        for channel in bent:
            power = math.exp(strengths[2, channel] * settings.gamma_log)
            patch[:, channel] = _gamma(patch[:, channel], power)
    return patch


def _per_channel(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))[None, :, None, None]


def _gamma(values: torch.Tensor, power: float) -> torch.Tensor:
    low, high = values.min(), values.max()
    reach = (high - low).clamp(min=1e-6)
    return ((values - low) / reach).pow(power) * reach + low


def _biased(patch: torch.Tensor, deviation: float, rng: np.random.Generator) -> torch.Tensor:
    """Multiply what lies above each channel's darkest value by a smooth field."""
    nodes = rng.standard_normal((1, 1, BIAS_NODES, BIAS_NODES), dtype=np.float32) * deviation
    coarse = torch.from_numpy(nodes.astype(np.float32))
    size = [patch.shape[2], patch.shape[3]]
    field = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True).exp()
    floor = patch.amin(dim=(0, 2, 3), keepdim=True)
    return (patch - floor) * field + floor


def gaussian_blur(
    patch: torch.Tensor, sigmas: tuple[float, float], *, truncate: float = 2.5
) -> torch.Tensor:
    """Blur images by a Gaussian, as a sum of shifted copies.

    Args:
        patch: Images, shape (..., H, W).
        sigmas: Standard deviation along rows' and columns' index, in pixels.
        truncate: Radius of the kernel in standard deviations.

    Returns:
        Images of the same shape; edges are repeated beyond the border.

    """
    for axis, sigma in zip((-2, -1), sigmas, strict=True):
        radius = max(1, int(truncate * sigma + 0.5))
        weights = [math.exp(-0.5 * (n / sigma) ** 2) for n in range(radius + 1)]
        total = weights[0] + 2 * sum(weights[1:])
        size = patch.shape[axis]
        at = torch.arange(size)
        result = patch * (weights[0] / total)
        for n in range(1, radius + 1):
            for sign in (-n, n):
                source = (at + sign).clamp(0, size - 1)
                result = result + patch.index_select(axis, source) * (weights[n] / total)
        patch = result
    return patch


def simulate_low_resolution(
    patch: torch.Tensor, factors: tuple[float, float], *, antialias: bool = False
) -> torch.Tensor:
    """Show images as if scanned with larger pixels and resampled back.

    Args:
        patch: Images, shape (N, C, H, W).
        factors: How many times as large along H and W, at least 1.
        antialias: Average over the larger pixel instead of sampling in it.

    Returns:
        Images of the same shape.

    """
    size = [patch.shape[2], patch.shape[3]]
    small = [max(4, round(n / factor)) for n, factor in zip(size, factors, strict=True)]
    shrunk = F.interpolate(
        patch, size=small, mode="bilinear", align_corners=False, antialias=antialias
    )
    return F.interpolate(shrunk, size=size, mode="bilinear", align_corners=False)
