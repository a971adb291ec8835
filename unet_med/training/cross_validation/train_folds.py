"""Starting a cross-validation: plan once, share patients out, train each fold by itself."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from unet_med.backends.openvino_backend import is_installed
from unet_med.bundle import RECIPE
from unet_med.errors import InputError, UnetMedError
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan
from unet_med.training.bundle_files import refuse_used_folder, write_bundle
from unet_med.training.cross_validation.scoring import FOLDS, CrossValidationResult, cross_validate
from unet_med.training.distributed import under_torchrun
from unet_med.training.plan import FOLDS_PLAN, PLAN
from unet_med.training.planning import split_into_folds, training_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unet_med.training import RunOptions
    from unet_med.training.cross_validation.scoring import Trainer
    from unet_med.training.planning import PlannedTraining

logger = logging.getLogger(__name__)

TRAINING_SHARE = 0.9
"""Share of the minutes that the folds train for, together; planning, segmenting every case once
more and scoring it take the rest."""

_RECIPE, _PLAN = FOLDS / "recipe.json", FOLDS_PLAN


def train_folds(
    root: Path, planner: Callable[[], PlannedTraining], n_folds: int, options: RunOptions
) -> CrossValidationResult:
    """Train and score a bundle by cross-validation, or go on with one.

    Args:
        root: The bundle's folder: new or empty, unless it is resumed.
        planner: Checks and plans the data; called for a new bundle only.
        n_folds: Number of folds K.
        options: How each fold's plan is carried out.

    Raises:
        InputError: The data have errors, there are fewer patients than folds, a label exists
            in one fold only, what is resumed has other folds, or several processes were started.
        UnetMedError: A fold could not be trained.
    """
    if under_torchrun():
        msg = "--folds trains one fold after the other in one process: leave torchrun out"
        raise InputError(msg)
    if options.resume and (root / _PLAN).is_file():
        recipe, plan = Recipe.load(root / _RECIPE), TrainingPlan.load(root / _PLAN)
        _refuse_other_folds(root, plan, n_folds)
    else:
        if not (options.resume and (root / _RECIPE).is_file()):  # stopped between the two files
            if options.resume:
                _refuse_without_folds(root)
            refuse_used_folder(root)
        recipe, plan = plan_folds(planner(), n_folds)
        recipe.save(root / _RECIPE)
        plan.save(root / _PLAN)
    train = _train_in_subprocess(options)
    return cross_validate(root, recipe, plan, train=train, command=options.command_line)


def plan_folds(planned: PlannedTraining, n_folds: int) -> tuple[Recipe, TrainingPlan]:
    """Return the recipe, and the plan with a fold for every case and the time of one fold.

    Raises:
        InputError: The data have errors or cannot be shared out so.
    """
    if planned.recipe is None or planned.plan is None:
        faults = "; ".join(issue.text for issue in planned.checked.errors)
        msg = f"the data cannot be trained on: {faults}; see unet-med plan"
        raise InputError(msg)
    folded = split_into_folds(
        planned.checked.usable, n_folds, seed=planned.plan.seed, ignore=planned.plan.ignore_label
    )
    minutes = planned.plan.minutes
    plan = replace(
        planned.plan,
        cases=tuple(training_case(case) for case in folded),
        validation=(),
        merge_validation_after=None,
        minutes=None if minutes is None else TRAINING_SHARE * minutes / n_folds,
    )
    return planned.recipe, plan


def _refuse_other_folds(root: Path, plan: TrainingPlan, n_folds: int) -> None:
    begun = plan.n_folds
    if begun != n_folds:
        msg = (
            f"{root} was begun with {begun} folds: go on with --folds {begun}, or name a new folder"
        )
        raise InputError(msg)


def _refuse_without_folds(root: Path) -> None:
    if (root / PLAN).is_file():
        msg = f"{root} was begun without --folds: go on without, or name a new folder with --output"
        raise InputError(msg)


def _train_in_subprocess(options: RunOptions) -> Trainer:
    """Return what trains a fold in a process of its own, so that it has its time and memory."""

    def train(folder: Path, recipe: Recipe, plan: TrainingPlan) -> None:
        if not (folder / PLAN).is_file():
            write_bundle(folder, recipe, plan, command_line=options.command_line)
        if _is_trained(Recipe.load(folder / RECIPE)):
            logger.info("fold %s is trained already", folder.name)
            return
        finished = subprocess.run(  # noqa: S603 - this program, with our own arguments
            [sys.executable, "-m", "unet_med", *_arguments(folder, options)],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if finished.returncode:
            msg = (
                f"fold {folder.name} could not be trained (exit code {finished.returncode}); its "
                "messages stand above: mend that and go on with --resume"
            )
            raise UnetMedError(msg)

    return train


def _is_trained(recipe: Recipe) -> bool:
    """Tell whether a fold came to its end: its export and what it measured come last."""
    return bool(recipe.weights_sha256) and (bool(recipe.precisions) or not is_installed())


def _arguments(folder: Path, options: RunOptions) -> list[str]:
    arguments = ["train", "--output", str(folder), "--resume"]
    arguments += ["--precision", options.precision, "--workers", str(options.workers)]
    if options.init is not None:
        arguments += ["--init", str(options.init)]
    if options.cache is not None:
        arguments += ["--cache", str(options.cache)]
    if options.tensorboard:
        arguments += ["--tensorboard"]
    return arguments
