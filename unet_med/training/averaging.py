"""Weights averaged over the steps: what is validated and saved."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from ignite.engine import Events

if TYPE_CHECKING:
    from ignite.engine import Engine
    from torch import nn


class WeightAverage:
    """An exponential moving average of a network's weights and running statistics.

    After n steps the decay is at most (1 + n) / (10 + n), so that the random start is soon
    forgotten.

    Args:
        network: The network that is trained, without a distributed wrapper.
        decay: Share of the average that a step leaves; 0 = the average is the network.
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
        moving = [key for key, value in old.items() if value.is_floating_point()]
        # Lerp between tensors of one memory layout; the copy has the network's.
        torch._foreach_lerp_(
            [old[key] for key in moving], [new[key] for key in moving], 1.0 - decay
        )
        for key in old.keys() - set(moving):
            old[key].copy_(new[key])
