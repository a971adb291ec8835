"""Starting a training: write the bundle once, then run it in every process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from unet_med.bundle import RECIPE, WEIGHTS
from unet_med.errors import InputError, UnetMedError
from unet_med.recipe import Recipe
from unet_med.training.bundle_files import refuse_used_folder, write_bundle
from unet_med.training.plan import FOLDS_PLAN, PLAN, TrainingPlan
from unet_med.training.processes import agreed, is_distributed, is_first, under_torchrun
from unet_med.training.run import RUN, TRAIN, RunOptions, TrainingResult, run_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Planner = Callable[[], tuple[Recipe, TrainingPlan]]

logger = logging.getLogger(__name__)


def train_bundle(output: Path, planner: Planner, options: RunOptions) -> TrainingResult:
    """Train a new bundle, or go on with one.

    Args:
        output: The bundle's folder: new or empty, unless a run is resumed.
        planner: Makes recipe and plan; called in the first process, for a new bundle only.
        options: How the plan is carried out.

    Returns:
        What came out.

    Raises:
        UnetMedError: The plan, the data or the folder cannot be used.
    """
    if under_torchrun() and not is_distributed():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    fault = agreed(_prepare(output, planner, options) if is_first() else None)
    if isinstance(fault, UnetMedError):
        raise fault
    return run_bundle(output, options)


def _prepare(output: Path, planner: Planner, options: RunOptions) -> UnetMedError | None:
    """Write the bundle if it is new; return what went wrong, so that all processes stop."""
    try:
        if options.resume and (output / FOLDS_PLAN).is_file():
            n_folds = TrainingPlan.load(output / FOLDS_PLAN).n_folds
            msg = (
                f"{output} was begun with {n_folds} folds: go on with --folds {n_folds} --resume, "
                "or name a new folder"
            )
            raise InputError(msg)
        if options.resume and (output / PLAN).is_file():
            logger.info("cases, budget and network are those of %s", output / PLAN)
            _complete(output, options)
            return None
        if options.resume and any((output / part).exists() for part in (RUN, WEIGHTS)):
            msg = f"{output} has no {PLAN}: its training cannot go on; name a new folder"
            raise InputError(msg)
        if not options.resume:
            refuse_used_folder(output)
        recipe, plan = planner()
        for note in plan.notes:
            logger.info("%s", note)
        write_bundle(output, recipe, plan, command_line=options.command_line)
    except UnetMedError as exc:
        return exc
    return None


def _complete(output: Path, options: RunOptions) -> None:
    """Write the rest of a bundle that ``unet-med plan --output`` began; it may have been edited."""
    if (output / WEIGHTS).exists() or (output / TRAIN).exists():
        return
    recipe, plan = Recipe.load(output / RECIPE), TrainingPlan.load(output / PLAN)
    write_bundle(output, recipe, plan, command_line=options.command_line)
