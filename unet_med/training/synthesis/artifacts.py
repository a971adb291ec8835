"""What scanners and reconstructions do to a slab: noise, blur, sharpening, low resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from unet_med.training.synthesis.random_parameters import Rng, SynthesisSettings


WHITE_LEVEL = 220.0
"""Noise is stated relative to about the brightest tissue of a 0–255 source."""


def add_rician_noise(values: torch.Tensor, deviation: float, rng: Rng) -> torch.Tensor:
    """Return the magnitude of the values with complex noise, any shape, float32."""
    if deviation == 0:
        return values
    real = values + deviation * rng.normal(*values.shape)
    imaginary = deviation * rng.normal(*values.shape)
    return torch.sqrt(real**2 + imaginary**2)


def add_scanner_artifacts(
    slab: torch.Tensor, noise: float, settings: SynthesisSettings, rng: Rng
) -> torch.Tensor:
    """Return the slab (n, H, W) with noise, blur, sharpening and low resolution.

    Args:
        slab: Intensities ≥ 0, float32.
        noise: Standard deviation in intensity units.
        settings: Probabilities.
        rng: Random numbers.
    """
    noise_last = rng.chance(0.5)
    if not noise_last:
        slab = add_rician_noise(slab, noise, rng)
    if rng.chance(settings.blur):
        slab = blur(slab, rng.uniform(0.2, 1.0), rng.uniform(0.2, 1.0))
    if rng.chance(settings.sharpen):
        sigma = rng.uniform(0.6, 1.5)
        slab = (slab + rng.uniform(0.3, 1.5) * (slab - blur(slab, sigma, sigma))).clamp(min=0.0)
    if rng.chance(settings.low_resolution):
        slab = simulate_low_resolution(slab, rng)
    return add_rician_noise(slab, noise, rng) if noise_last else slab


def blur(slab: torch.Tensor, sigma_rows: float, sigma_columns: float) -> torch.Tensor:
    """Return the slab (n, H, W) under a Gaussian; sigmas in pixels."""
    blurred = slab[:, None]
    for axis, sigma in ((2, sigma_rows), (3, sigma_columns)):
        radius = max(1, int(3 * sigma + 0.5))
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = kernel / kernel.sum()
        shape = [1, 1, 1, 1]
        shape[axis] = len(kernel)
        pad = [0, 0, radius, radius] if axis == 2 else [radius, radius, 0, 0]  # noqa: PLR2004
        blurred = F.conv2d(F.pad(blurred, pad, mode="replicate"), kernel.reshape(shape))
    return blurred[:, 0]


def simulate_low_resolution(slab: torch.Tensor, rng: Rng) -> torch.Tensor:
    """Return the slab (n, H, W) as if scanned with larger pixels and resampled back."""
    both = rng.log_uniform(1.0, 2.5)
    one = rng.log_uniform(1.0, 4.0) if rng.chance(0.4) else 1.0
    factors = (both, both * one) if rng.chance(0.5) else (both * one, both)
    height, width = slab.shape[-2:]
    small = [max(8, round(n / f)) for n, f in zip((height, width), factors, strict=True)]
    shrunk = F.interpolate(
        slab[None], size=small, mode="bilinear", align_corners=False, antialias=True
    )
    return F.interpolate(shrunk, size=(height, width), mode="bilinear", align_corners=False)[0]
