"""The learning rate over a run of known length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WARMUP_SHARE = 0.05
FINAL_SHARE = 0.01


def warmup_cosine(n_steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate per step: a linear rise, then half a cosine.

    Args:
        n_steps: Iterations of the whole run, any number ≥ 0.

    Example:
        >>> factor = warmup_cosine(100)
        >>> [round(factor(step), 2) for step in (0, 4, 52, 99)]
        [0.2, 1.0, 0.51, 0.01]
    """
    warmup = max(1, round(WARMUP_SHARE * n_steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup + 1) / max(1, n_steps - warmup))
        return FINAL_SHARE + (1.0 - FINAL_SHARE) * 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor
