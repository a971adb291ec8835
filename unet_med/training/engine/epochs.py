"""What happens between two epochs of a run: validate, record, keep the best, write a checkpoint."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events

from unet_med.bundle.weights import save_weights
from unet_med.errors import InputError
from unet_med.training.data.held_out import case_dice, label_means, mean_dice
from unet_med.training.distributed import (
    barrier,
    broadcast_buffers,
    is_distributed,
    is_main_process,
)
from unet_med.training.engine.budget import last_held_out_epoch
from unet_med.training.engine.checkpoint import Checkpoint, run_digest
from unet_med.training.engine.training_history import TrainingHistory, epoch_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from ignite.engine import Engine
    from torch import nn

    from unet_med.recipe import Recipe
    from unet_med.training.data.batch_source import StepSampler
    from unet_med.training.data.held_out import CaseCounter
    from unet_med.training.engine.budget import StepBudget
    from unet_med.training.engine.optimization import WeightAverage
    from unet_med.training.plan import TrainingPlan

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
LOG = "log.csv"
CURVE = "curve.png"
BUDGET = "budget.json"


class HandlerReference:
    """Name a handler that is built elsewhere in a config as an entry of a list of handlers.

    Example:
        >>> from ignite.engine import Engine
        >>> from unet_med.training.engine.optimization import WeightAverage
        >>> average = WeightAverage(torch.nn.Linear(2, 1), decay=0.9)
        >>> HandlerReference(average).attach(Engine(lambda engine, batch: None))
    """

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - anything with ``attach``
        """Keep the handler."""
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Attach it."""
        self.handler.attach(engine)


class EpochHandler:
    """Divide a trainer's run into epochs: validate, log, keep the best, write a checkpoint.

    Args:
        folder: Folder of the run's own files.
        recipe: Names the labels.
        plan: What is trained how.
        budget: How many steps and epochs.
        average: The averaged weights: what is validated and kept.
        optimizer: For the checkpoint.
        sampler: Is told the epoch.
        evaluator: MONAI's evaluator over this process's held-out cases.
        counter: Its handler.
        network: What is trained, for the checkpoint, where that is more than what is averaged.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.data.batch_source import StepSampler
        >>> from unet_med.training.engine.budget import StepBudget
        >>> from unet_med.training.engine.optimization import WeightAverage
        >>> from unet_med.training.plan import TrainingPlan
        >>> network = torch.nn.Linear(2, 1)
        >>> handler = EpochHandler(
        ...     "run",
        ...     recipe=Recipe.load(default_bundle() / "configs/recipe.json"),
        ...     plan=TrainingPlan.load(default_bundle() / "configs/plan.json"),
        ...     budget=StepBudget(steps_per_epoch=10, epochs=3, validate_every=1),
        ...     average=WeightAverage(network, decay=0.9),
        ...     optimizer=torch.optim.SGD(network.parameters()),
        ...     sampler=StepSampler(10),
        ...     evaluator=None,  # of MONAI, with the counter as its handler
        ...     counter=None,
        ... )
        >>> handler.history.rows, handler.has_merged_validation
        ([], False)
    """

    def __init__(  # noqa: PLR0913 - one argument per part of a training config
        self,
        folder: str | Path,
        *,
        recipe: Recipe,
        plan: TrainingPlan,
        budget: StepBudget,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        sampler: StepSampler,
        evaluator: Any,  # noqa: ANN401 - monai is not typed
        counter: CaseCounter,
        network: nn.Module | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.recipe = recipe
        self.plan = plan
        self.budget = budget
        self.last_held_out_epoch = last_held_out_epoch(plan, budget)
        self.average = average
        self.sampler = sampler
        self.evaluator = evaluator
        self.counter = counter
        self.history = TrainingHistory()
        self.checkpoint = Checkpoint(
            self.folder / CHECKPOINT,
            network=average.source if network is None else network,
            average=average,
            optimizer=optimizer,
            digest=run_digest(recipe, plan),
        )
        self.optimizer = optimizer
        self.listeners: list[Callable[[dict[str, float]], None]] = []
        self._losses: list[torch.Tensor] = []
        self._began = time.monotonic()
        self._first_step = 0

    def attach(self, engine: Engine) -> None:
        """Act around the trainer's epochs."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)

    def resume(self, trainer: Any) -> bool:  # noqa: ANN401 - monai is not typed
        """Put a trainer where the checkpoint is.

        Returns:
            Whether steps are left.

        Raises:
            InputError: The checkpoint is damaged or belongs to another run.
        """
        step, self.history = self.checkpoint.load(self.budget)
        if step:
            logger.info("going on after step %d of %d", step, self.budget.steps)
            trainer.load_state_dict(
                {
                    "iteration": step,
                    "epoch_length": self.budget.steps_per_epoch,
                    "max_epochs": self.budget.epochs,
                }
            )
        return step < self.budget.steps and not self._has_stalled()

    @property
    def has_merged_validation(self) -> bool:
        """Whether the last weights were trained on the cases held out, too."""
        rows = self.history.rows
        return (
            self.last_held_out_epoch is not None
            and bool(rows)
            and rows[-1]["epoch"] > self.last_held_out_epoch
        )

    def _start(self, engine: Engine) -> None:
        self._began = time.monotonic()
        self._first_step = engine.state.iteration

    def _begin_epoch(self, engine: Engine) -> None:
        self.sampler.set_epoch(engine.state.epoch - 1)
        if (
            self.last_held_out_epoch is not None
            and engine.state.epoch == self.last_held_out_epoch + 1
        ):
            logger.info("from now on the cases held out are trained on, too")
        self._losses = []

    def _remember(self, engine: Engine) -> None:
        self._losses.append(engine.state.output["loss"].detach())

    def _end_epoch(self, engine: Engine) -> None:
        loss = float(torch.stack(self._losses).double().mean())
        row = {
            "epoch": float(engine.state.epoch),
            "step": float(engine.state.iteration),
            "loss": loss,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
        }
        if self.budget.is_validated(engine.state.epoch, last=self.last_held_out_epoch):
            row |= self._validate(engine.state.epoch)
            engine.state.metrics["volume_dice"] = row["dice"]
        spent = time.monotonic() - self._began
        done = engine.state.iteration - self._first_step
        row["seconds"] = round(spent, 1)
        self.history.rows.append(row)
        self._write(engine)
        left = spent / done * (self.budget.steps - engine.state.iteration)
        logger.info(
            "%s", epoch_summary(row, steps=self.budget.steps, history=self.history, left=left)
        )
        for listener in self.listeners:
            listener(row)
        if not math.isfinite(loss):
            msg = "the loss is no number any more: lower learning_rate in the plan and start again"
            raise InputError(msg)
        if self._has_stalled():
            logger.info("no better score in %d validations: stopping early", self.history.stale)
            engine.terminate()

    def _validate(self, number: int) -> dict[str, float]:
        broadcast_buffers(self.average.network)
        if len(self.evaluator.data_loader):
            self.evaluator.run()
        scores = case_dice(self.counter.counts, self.recipe)
        dice = mean_dice(scores)
        if self.history.improves(dice):
            self.history.best, self.history.best_epoch, self.history.stale = dice, number, 0
            self.history.cases = {
                case: {name: None if math.isnan(value) else value for name, value in of.items()}
                for case, of in scores.items()
            }
            if is_main_process():
                save_weights(self.average.network, self.folder / BEST)
        else:
            self.history.stale += 1
        return {"dice": dice} | {f"dice {k}": v for k, v in label_means(scores).items()}

    def _has_stalled(self) -> bool:
        return self.plan.patience is not None and self.history.stale >= self.plan.patience

    def _write(self, engine: Engine) -> None:
        if is_main_process():
            self.history.write_csv(self.folder / LOG)
        self.checkpoint.save(engine.state.iteration, self.budget, self.history)
        if is_distributed():
            barrier()
