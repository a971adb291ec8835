"""Random numbers from one ``torch.Generator``, as plain Python numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Draw:
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
