"""What changes over a run of a known number of steps: the learning rate, the loss's balance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ignite.engine import Events

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch.optim import Optimizer

    from unet_med.training.loss import DiceCrossEntropy

WARMUP_SHARE = 0.05
FINAL_SHARE = 0.01
POLY_POWER = 0.9


def warmup_cosine(progress: float) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine.

    Args:
        progress: Share of the run that is done, 0 to 1; more counts as 1.

    Example:
        >>> [round(warmup_cosine(done), 3) for done in (0.0, 0.025, 0.05, 0.525, 1.0)]
        [0.01, 0.505, 1.0, 0.505, 0.01]
    """
    if progress < WARMUP_SHARE:
        return FINAL_SHARE + (1.0 - FINAL_SHARE) * progress / WARMUP_SHARE
    falling = (min(progress, 1.0) - WARMUP_SHARE) / (1.0 - WARMUP_SHARE)
    return FINAL_SHARE + (1.0 - FINAL_SHARE) * 0.5 * (1.0 + math.cos(math.pi * falling))


def rate_factor(schedule: str, progress: float) -> float:
    """Return the factor of the learning rate by a schedule's name.

    Example:
        >>> rate_factor("poly", 0.5) == 0.5 ** 0.9, rate_factor("constant", 0.5)
        (True, 1.0)
    """
    if schedule == "cosine":
        return warmup_cosine(progress)
    return (1.0 - min(progress, 1.0)) ** POLY_POWER if schedule == "poly" else 1.0


class RateSchedule:
    """Set the learning rate before every step, by the share of steps that are done.

    A loss is told that share, too.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        steps: int,
        schedule: str = "cosine",
        loss: DiceCrossEntropy | None = None,
    ) -> None:
        """Build the handler.

        Args:
            optimizer: Its groups' present rates are the highest of the run.
            steps: Steps of the whole run.
            schedule: ``cosine``, ``poly`` or ``constant``.
            loss: Balances its classes by how much of the run is done.
        """
        self.loss = loss
        self.optimizer = optimizer
        self.steps = steps
        self.schedule = schedule
        self.highest = [float(group["lr"]) for group in optimizer.param_groups]

    def attach(self, engine: Engine) -> None:
        """Act before every step."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the rate and the loss's progress."""
        done = (engine.state.iteration - 1) / max(1, self.steps)
        if self.loss is not None:
            self.loss.progress = min(done, 1.0)
        factor = rate_factor(self.schedule, done)
        for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * factor
