"""Starting a cross-validation: plan once, share patients out, train each fold by itself."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med._process_pool import ProcessPool
from unet_med.backends.openvino_backend import is_installed
from unet_med.bundle import RECIPE
from unet_med.errors import InputError, UnetMedError
from unet_med.recipe import Recipe
from unet_med.training import TrainingPlan, train_bundle
from unet_med.training.bundle_files import refuse_used_folder
from unet_med.training.cross_validation.scoring import FOLDS, CrossValidationResult, cross_validate
from unet_med.training.distributed import under_torchrun
from unet_med.training.plan import FOLDS_PLAN, PLAN
from unet_med.training.planning import split_into_folds, training_case

if TYPE_CHECKING:
    from collections.abc import Callable

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
    train = _train_in_process(options)
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


def _train_in_process(options: RunOptions) -> Trainer:
    """Return what trains a fold in a process of its own, so that it has its time and memory."""

    def train(folder: Path, recipe: Recipe, plan: TrainingPlan) -> None:
        if _is_trained(folder):
            logger.info("fold %s is trained already", folder.name)
            return
        with ProcessPool(1, attempts=1, daemon=False) as pool:  # data loaders start processes
            try:
                pool.submit(_train_fold, folder, recipe, plan, options).result()
            except UnetMedError as exc:
                msg = (
                    f"fold {folder.name} could not be trained: {exc}; mend that and go on with "
                    "--resume"
                )
                raise UnetMedError(msg) from exc

    return train


def _is_trained(folder: Path) -> bool:
    """Tell whether a fold came to its end: its export and what it measured come last."""
    if not (folder / RECIPE).is_file():
        return False
    recipe = Recipe.load(folder / RECIPE)
    return bool(recipe.weights_sha256) and (bool(recipe.precisions) or not is_installed())


def _train_fold(folder: Path, recipe: Recipe, plan: TrainingPlan, options: RunOptions) -> None:
    """Train one fold, or go on with it, in a process of its own, which prints nothing."""
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    train_bundle(folder, lambda: (recipe, plan), replace(options, resume=True))
