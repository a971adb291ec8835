"""The optimizers of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from unet_med.training.plan import OptimizerPlan

MOMENTUM = 0.99


def build_optimizer(plan: OptimizerPlan, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a network's weights."""
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
