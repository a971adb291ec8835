"""The learning rate over a run whose end is a number of epochs or a time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from ignite.engine import Events

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch.optim import Optimizer

WARMUP_SHARE = 0.05
FINAL_SHARE = 0.01
SECONDS_PER_MINUTE = 60.0


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


class RateSchedule:
    """Set the learning rate before every iteration; end the run when its time is over.

    The progress is the larger of iterations done over all iterations and minutes spent over
    ``minutes``, so the rate has come down when a run ends, whichever end comes first.
    """

    def __init__(self, optimizer: Optimizer, *, minutes: float | None = None) -> None:
        """Build the handler.

        Args:
            optimizer: Its groups' present rates are the highest of the run.
            minutes: Time budget, from the first iteration on; ``None`` = epochs only.
        """
        self.optimizer = optimizer
        self.minutes = minutes
        self.highest = [float(group["lr"]) for group in optimizer.param_groups]
        self.progress = 0.0
        self._started = 0.0

    def attach(self, engine: Engine) -> None:
        """Act before and after every iteration."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end_when_over)

    def __call__(self, engine: Engine) -> None:
        """Set the rate."""
        state = engine.state
        # The first batch waits for the cases to be prepared; that is no training time.
        if state.iteration <= 1:
            self._start(engine)
        steps = max(1, (state.max_epochs or 1) * (state.epoch_length or 1))
        self.progress = (state.iteration - 1) / steps
        if self.minutes is not None:
            spent = (time.monotonic() - self._started) / SECONDS_PER_MINUTE
            self.progress = _agreed(max(self.progress, spent / self.minutes))
        for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * warmup_cosine(self.progress)

    def _start(self, _engine: Engine) -> None:
        self._started = time.monotonic()

    def _end_when_over(self, engine: Engine) -> None:
        if self.minutes is not None and self.progress >= 1.0:
            engine.terminate()


def _agreed(progress: float) -> float:
    """Return the first process's progress in all of them, so that all end at the same step."""
    if not (dist.is_available() and dist.is_initialized()):
        return progress
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(progress, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return float(shared)
