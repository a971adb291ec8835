"""Ranges of the random parameters of a synthetic scan, and the numbers drawn from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Rng:
    """Draws numbers from a generator; the same generator state gives the same scan."""

    generator: torch.Generator

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def log_uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``, uniform in its logarithm."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def symmetric(self, limit: float) -> float:
        """Return a number between ``-limit`` and ``limit``."""
        return self.uniform(-limit, limit)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.uniform(0.0, 1.0) < probability

    def integer(self, stop: int) -> int:
        """Return a whole number in [0, stop)."""
        return int(torch.randint(stop, (), generator=self.generator))

    def normal(self, *shape: int) -> torch.Tensor:
        """Return standard normal numbers of a shape, float32."""
        return torch.randn(shape, generator=self.generator)


@dataclass(frozen=True, slots=True)
class SynthesisSettings:
    """Ranges and probabilities of the random training scans; the defaults vary everything.

    A standard deviation stated as ``..._max`` is drawn uniformly from 0 to it for every scan.

    Attributes:
        patch_size: Rows and columns of a training slice; ``None`` = the whole field of view.
        rotation_degrees: Largest rotation about each axis.
        scale_log: Largest |log| of the overall scale; each axis varies by a third of it again.
        shear: Largest shear per pair of axes.
        elastic_mm_max: Displacement of the coarse (60 mm), middle (20 mm) and fine (10 mm) grid.
        mirror: Probability of swapping left and right.
        field_of_view: Probability of a random field of view instead of the source's.
        slice_spacing_mm: Range of the distance between slices, drawn log-uniformly.
        thick: Probability that slices are as thick as their distance.
        contrast: Probabilities of (the image as it is, tissues pulled to their means and
            shifted, tissues drawn anew); the rest to 1 is left over for the first.
        independent_tissues: Probability that a redrawn contrast moves every tissue on its own,
            which leaves gaps between them, instead of all by one curve.
        gamma_log: Standard deviation of log gamma.
        brain_only: Probability that everything outside the labels is removed.
        bias_max: Standard deviation of the log bias field.
        noise_max: Standard deviation of the noise, relative to the brightest tissue.
        blur, sharpen, low_resolution: Probability of in-plane blur, unsharp masking and
            low resolution.
        jitter: Largest shift (and half the largest scaling) of the normalized values.
        cortical_folds: Probability of a source with random folds.
    """

    patch_size: int | None = 160
    rotation_degrees: float = 25.0
    scale_log: float = 0.22
    shear: float = 0.08
    elastic_mm_max: tuple[float, float, float] = (7.0, 3.0, 1.2)
    mirror: float = 0.5
    field_of_view: float = 0.7
    slice_spacing_mm: tuple[float, float] = (0.7, 6.0)
    thick: float = 0.4
    contrast: tuple[float, float] = (0.4, 0.35)
    independent_tissues: float = 0.5
    gamma_log: float = 0.2
    brain_only: float = 0.12
    bias_max: float = 0.3
    noise_max: float = 0.08
    blur: float = 0.4
    sharpen: float = 0.25
    low_resolution: float = 0.35
    jitter: float = 0.15
    cortical_folds: float = 0.4

    @classmethod
    def identity(cls) -> SynthesisSettings:
        """Return settings that change nothing: every scan is the source on its own grid."""
        return cls(
            patch_size=None, rotation_degrees=0.0, scale_log=0.0, shear=0.0,
            elastic_mm_max=(0.0, 0.0, 0.0), mirror=0.0, field_of_view=0.0,
            slice_spacing_mm=(1.0, 1.0), thick=0.0, contrast=(0.0, 0.0), independent_tissues=0.0,
            gamma_log=0.0, brain_only=0.0, bias_max=0.0, noise_max=0.0, blur=0.0, sharpen=0.0,
            low_resolution=0.0, jitter=0.0, cortical_folds=0.0,
        )  # fmt: skip
