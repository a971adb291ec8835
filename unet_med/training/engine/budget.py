"""How many steps a run has, fixed once, before its first step, and stored."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unet_med._files import write_json
from unet_med.errors import InputError
from unet_med.recipe.decoding import decode
from unet_med.training.distributed import broadcast, is_main_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from unet_med.training.data.batch_source import Batch
    from unet_med.training.plan import TrainingPlan

logger = logging.getLogger(__name__)

EPOCHS = 20
"""Epochs of a run that is not stated in epochs; a checkpoint is written after each."""

VALIDATION_SHARE = 0.08
"""Validations may take this share of a time budget, together; the last one is made in any case
unless it alone would take `LAST_VALIDATION_SHARE`."""

LAST_VALIDATION_SHARE = 0.25
MOST_VALIDATIONS = 10
SAFETY_SHARE = 0.04
"""Kept free: steps are not all as fast as those that were timed."""

TIMING_SHARE = 0.03
TIMED_STEPS = (3, 12)
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StepBudget:
    """State the length of a run.

    Attributes:
        steps_per_epoch: Optimizer steps between two checkpoints.
        epochs: How many epochs.
        validate_every: Epochs from one validation to the next; 0 = never.
        seconds_per_step: As it was timed; ``None`` = it was not.
    """

    steps_per_epoch: int
    epochs: int
    validate_every: int
    seconds_per_step: float | None = None

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.epochs

    def is_validated(self, number: int, *, last: int | None = None) -> bool:
        """Tell whether epoch ``number``, counted from 1, ends in a validation.

        The last one does, and those before it at equal distances.

        Args:
            number: The epoch.
            last: Last epoch that may; ``None`` = the run's last.
        """
        end = self.epochs if last is None else last
        return (
            self.validate_every > 0 and number <= end and (end - number) % self.validate_every == 0
        )


def last_held_out_epoch(plan: TrainingPlan, budget: StepBudget) -> int | None:
    """Return the last epoch in which the cases held out are not trained on.

    Returns:
        Its number, counted from 1; ``None`` = they never are.

    Example:
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> cases = tuple(TrainingCase(name, ("a.nii",), "b.nii", name) for name in "ab")
        >>> plan = TrainingPlan(cases, validation=("b",), merge_validation_after=0.75, steps=100)
        >>> last_held_out_epoch(plan, StepBudget(steps_per_epoch=5, epochs=20, validate_every=4))
        15
    """
    wanted = plan.merge_validation_after is not None and plan.validation
    if (
        not wanted
        or plan.merge_validation_after is None
        or budget.epochs == 1
        or not budget.validate_every
    ):
        return None
    return min(max(1, round(plan.merge_validation_after * budget.epochs)), budget.epochs - 1)


@dataclass(frozen=True, slots=True)
class FixedCosts:
    """Seconds that parts of a run take besides its steps."""

    validation: float = 0.0
    finalization: float = 0.0


def budget_from_plan(plan: TrainingPlan, *, n_slices: int, has_validation: bool) -> StepBudget:
    """Return the budget of a plan that states epochs or steps.

    Args:
        plan: States one of them.
        n_slices: Training slices; an epoch has as many patches, rounded up to whole batches.
        has_validation: Whether cases are held out.
    """
    if plan.epochs is not None:
        return StepBudget(
            math.ceil(n_slices / plan.batch_size),
            plan.epochs,
            max(1, plan.epochs // MOST_VALIDATIONS) if has_validation else 0,
        )
    assert plan.steps is not None
    per_epoch = math.ceil(plan.steps / EPOCHS)
    epochs = math.ceil(plan.steps / per_epoch)
    return StepBudget(
        per_epoch, epochs, max(1, epochs // MOST_VALIDATIONS) if has_validation else 0
    )


def budget_from_time(seconds_left: float, seconds_per_step: float, costs: FixedCosts) -> StepBudget:
    """Return the budget that fits a time.

    Args:
        seconds_left: From now to the bundle on disk.
        seconds_per_step: Data, network and optimizer.
        costs: Of validations (0 = none are made) and of the finalization.
    """
    usable = seconds_left * (1 - SAFETY_SHARE) - costs.finalization
    n_validations = 0
    if 0 < costs.validation <= LAST_VALIDATION_SHARE * usable:
        affordable = min(float(MOST_VALIDATIONS), VALIDATION_SHARE * usable / costs.validation)
        n_validations = max(1, int(affordable))
    usable -= n_validations * costs.validation
    steps = max(1, int(usable / seconds_per_step))
    epochs = min(EPOCHS, steps)
    every = max(1, math.ceil(epochs / n_validations)) if n_validations else 0
    return StepBudget(steps // epochs, epochs, every, seconds_per_step)


def stored_budget(path: Path, find: Callable[[], StepBudget]) -> StepBudget:
    """Return the budget stored in a file, or find it, store it, and let all processes have it.

    Raises:
        InputError: The file is damaged.
    """
    content: Any = None
    if is_main_process() and path.is_file():
        content = _read(path)
        logger.info("the length of the run is that of %s", path)
    stored = broadcast(content)
    if stored is not None:
        return decode(StepBudget, stored, where=str(path))
    budget = decode(StepBudget, broadcast(asdict(find())), where="budget")
    if is_main_process():
        write_json(path, asdict(budget))
    return budget


def _read(path: Path) -> Any:  # noqa: ANN401 - parsed JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        msg = f"{path} is damaged: remove it and start again without --resume"
        raise InputError(msg) from exc


def time_training_step(
    network: nn.Module,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    batch: Callable[[int], Batch],
    loss: Callable[[nn.Module, Batch], torch.Tensor],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Time real steps on a copy of the network; nothing of the run is touched.

    Args:
        network: The network, on its device.
        optimizer: Makes an optimizer for the copy.
        batch: Gives the batch of a step.
        loss: Runs a network on a batch as in training and gives the loss.
        seconds: What the timing may take, about.
        clock: Gives the time in seconds.

    Returns:
        Seconds per step: the mean after the first step, which also prepares the libraries.
    """
    trial = copy.deepcopy(network).train()
    mover = optimizer(trial)
    device = next(trial.parameters()).device
    taken: list[float] = []
    state = torch.get_rng_state()
    for step in range(TIMED_STEPS[1] + 1):
        began = clock()
        data = batch(step)
        mover.zero_grad(set_to_none=True)
        torch.autograd.backward(loss(trial, data))
        mover.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(clock() - began)
        if broadcast(len(taken) > TIMED_STEPS[0] and sum(taken) > seconds):
            break
    torch.set_rng_state(state)
    return statistics.fmean(taken[1:])


def seconds_since_start() -> float:
    """Return how long this process has been running, its imports included."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, AttributeError):  # not Linux
        age = -1.0
    loaded = time.monotonic() - _LOADED
    return age if loaded <= age <= loaded + _LONGEST_IMPORT else loaded


def seconds_left(minutes: float) -> float:
    """Return what is left of a budget that began with the process."""
    return minutes * _SECONDS - seconds_since_start()


_LOADED = time.monotonic()
_LONGEST_IMPORT = 120.0
"""A larger age is no import's but an older process's: Python was told to train much later."""
