"""Optimizers, learning-rate schedule and averaged weights (EMA)."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from ignite.engine import Events

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch import nn
    from torch.optim import Optimizer

    from unet_med.training.engine.loss import DiceCrossEntropy
    from unet_med.training.plan import OptimizerPlan

MOMENTUM = 0.99


def build_optimizer(plan: OptimizerPlan, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a network's weights.

    Example:
        >>> from unet_med.training.plan import OptimizerPlan
        >>> build_optimizer(OptimizerPlan("sgd", 0.1), torch.nn.Linear(2, 1)).defaults["momentum"]
        0.99
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if plan.name == "sgd":
        return torch.optim.SGD(
            weights,
            lr=plan.learning_rate,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=plan.weight_decay,
        )
    return torch.optim.AdamW(
        weights, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )


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


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return the factor of the learning rate by a schedule's name.

    Example:
        >>> learning_rate_factor("poly", 0.5) == 0.5 ** 0.9, learning_rate_factor("constant", 0.5)
        (True, 1.0)
    """
    if schedule == "cosine":
        return warmup_cosine(progress)
    return (1.0 - min(progress, 1.0)) ** POLY_POWER if schedule == "poly" else 1.0


class LearningRateSchedule:
    """Set the learning rate before every step, by the share of steps that are done.

    A loss is told that share, too.

    Example:
        >>> from ignite.engine import Engine
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> trainer = Engine(lambda engine, batch: None)
        >>> LearningRateSchedule(optimizer, steps=4, schedule="poly").attach(trainer)
        >>> state = trainer.run(range(3))
        >>> optimizer.param_groups[0]["lr"] == 0.5**0.9  # two of four steps were done before
        True
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
        factor = learning_rate_factor(self.schedule, done)
        for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * factor


class WeightAverage:
    """Keep an exponential moving average (EMA) of a network's weights and running statistics.

    After n steps the decay is at most (1 + n) / (10 + n), so that the random start is soon
    forgotten.

    Args:
        network: The network that is trained, without a distributed wrapper.
        decay: Share of the average that a step leaves; 0 = the average is the network.

    Example:
        >>> network = torch.nn.Linear(1, 1)
        >>> average = WeightAverage(network, decay=0.0)
        >>> weight = torch.nn.init.constant_(network.weight, 3.0)
        >>> average.update()
        >>> average.network.weight.item()
        3.0
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.source = network
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.n_updates = 0

    def attach(self, engine: Engine) -> None:
        """Update after every step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def _update(self, _engine: Engine) -> None:
        self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network."""
        self.n_updates += 1
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        old = self.network.state_dict()
        new = self.source.state_dict()
        for key, value in old.items():
            if value.is_floating_point():
                value.lerp_(new[key], 1.0 - decay)
            else:
                value.copy_(new[key])
