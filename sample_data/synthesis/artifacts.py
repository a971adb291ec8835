"""What scanners and reconstructions do to a planes: noise, blur, sharpening, low resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from unet_med.training.augmentation import gaussian_blur, simulate_low_resolution

if TYPE_CHECKING:
    from sample_data.synthesis.random_parameters import Rng, SynthesisSettings


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
    planes: torch.Tensor, noise: float, settings: SynthesisSettings, rng: Rng
) -> torch.Tensor:
    """Return the planes (n, H, W) with noise, blur, sharpening and low resolution.

    Args:
        planes: Intensities ≥ 0, float32.
        noise: Standard deviation in intensity units.
        settings: Probabilities.
        rng: Random numbers.
    """
    noise_last = rng.chance(0.5)
    if not noise_last:
        planes = add_rician_noise(planes, noise, rng)
    if rng.chance(settings.blur):
        planes = _blurred(planes, (rng.uniform(0.2, 1.0), rng.uniform(0.2, 1.0)))
    if rng.chance(settings.sharpen):
        sigma = rng.uniform(0.6, 1.5)
        planes = (
            planes + rng.uniform(0.3, 1.5) * (planes - _blurred(planes, (sigma, sigma)))
        ).clamp(min=0.0)
    if rng.chance(settings.low_resolution):
        planes = simulate_low_resolution(planes[None], _pixel_factors(rng), antialias=True)[0]
    return add_rician_noise(planes, noise, rng) if noise_last else planes


def _blurred(planes: torch.Tensor, sigmas: tuple[float, float]) -> torch.Tensor:
    return gaussian_blur(planes, sigmas, truncate=3.0)


def _pixel_factors(rng: Rng) -> tuple[float, float]:
    """Draw how many times as large the pixels are along rows and columns."""
    both = rng.log_uniform(1.0, 2.5)
    one = rng.log_uniform(1.0, 4.0) if rng.chance(0.4) else 1.0
    return (both, both * one) if rng.chance(0.5) else (both * one, both)
