"""Everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

import torch

from unet_med.bundle.weights import write_tensors
from unet_med.errors import InputError
from unet_med.training.distributed import is_main_process
from unet_med.training.engine.training_history import TrainingHistory

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from unet_med.recipe import Recipe
    from unet_med.training.engine.budget import StepBudget
    from unet_med.training.engine.optimization import WeightAverage
    from unet_med.training.plan import TrainingPlan

logger = logging.getLogger(__name__)


def run_digest(recipe: Recipe, plan: TrainingPlan) -> str:
    """Return what identifies a run: all of the plan and what the recipe says of the network."""
    content = recipe.to_dict()
    for key in ("precisions", "weights_sha256", "fingerprint", "postprocessing", "temperature"):
        del content[key]
    planned = plan.to_dict()
    for key in ("notes", "minutes"):
        del planned[key]
    if not plan.deep_supervision:  # checkpoints from before there was the choice stay good
        del planned["deep_supervision"]
    text = json.dumps([content, planned], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Checkpoint:
    """Weights, their average, the optimizer and the history, written whole or not at all.

    There are no random numbers to keep: every batch is drawn from the seed and its step.

    Args:
        path: The file.
        network: Without a distributed wrapper.
        average: Its average.
        optimizer: Moves the network.
        digest: See `run_digest`; a checkpoint of another run is refused.
    """

    def __init__(
        self,
        path: Path,
        *,
        network: nn.Module,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        digest: str,
    ) -> None:
        self.path = path
        self.network = network
        self.average = average
        self.optimizer = optimizer
        self.digest = digest

    def save(self, step: int, budget: StepBudget, history: TrainingHistory) -> None:
        """Write the state after a step, in the first process."""
        if not is_main_process():
            return
        content = {
            "digest": self.digest,
            "step": step,
            "steps": budget.steps,
            "history": history.to_json(),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "n_updates": self.average.n_updates,
            "optimizer": self.optimizer.state_dict(),
        }
        write_tensors(content, self.path)

    def load(self, budget: StepBudget) -> tuple[int, TrainingHistory]:
        """Fill network, average and optimizer.

        Args:
            budget: Of the run that goes on.

        Returns:
            Steps done and the history; step 0 when there is no checkpoint yet.

        Raises:
            InputError: The file is damaged or belongs to another run.
        """
        if not self.path.is_file():
            return 0, TrainingHistory()
        try:
            content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as exc:  # torch raises many kinds
            msg = f"{self.path} is no checkpoint ({type(exc).__name__}): start without --resume"
            raise InputError(msg) from exc
        if content.get("digest") != self.digest or content.get("steps") != budget.steps:
            msg = (
                f"{self.path} belongs to another recipe, plan or length of run: restore them, or "
                "start without --resume"
            )
            raise InputError(msg)
        self.network.load_state_dict(content["network"])
        self.average.network.load_state_dict(content["average"])
        self.average.n_updates = content["n_updates"]
        self.optimizer.load_state_dict(content["optimizer"])
        return int(content["step"]), TrainingHistory.from_json(content["history"])
