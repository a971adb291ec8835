"""Check a labeled data set, plan its training, and train a bundle on it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from unet_med.api.options import refuse_unknown
from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med._progress import CaseProgress
    from unet_med.api.options import StrPath
    from unet_med.recipe import Recipe
    from unet_med.training import TrainingPlan, TrainingResult
    from unet_med.training.cross_validation import CrossValidationResult
    from unet_med.training.planning import PlannedTraining, PlanSettings, SourceData
    from unet_med.training.planning.network import StepShape


def plan(
    images: StrPath | None = None,
    labels: StrPath | None = None,
    *,
    source: SourceData | None = None,
    settings: PlanSettings | None = None,
    output: StrPath | None = None,
    progress: CaseProgress | None = None,
) -> PlannedTraining:
    """Check a labeled data set and plan its training; as ``unet-med plan``.

    Args:
        images: Folder of scans, or an nnU-Net, Decathlon or BIDS data set.
        labels: Folder of label maps; None = in the same folder.
        source: Instead of the two: lists, names, regions, what to ignore.
        settings: Budget and overrides.
        output: Bundle folder, or ``.json`` file, to write the plan to, if there is one.
        progress: Follows the reading of cases.

    Returns:
        ``checked`` with all issues, ``recipe`` and ``plan``; these are None, and
        ``exit_code`` 2, when there are errors.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
        OutputError: The plan cannot be written.
    """
    from unet_med.training.planning import PlanSettings, SourceData, plan_training

    where = source or SourceData(
        images=None if images is None else Path(images),
        labels=None if labels is None else Path(labels),
    )
    planned = plan_training(where, settings or PlanSettings(), probe=_probe, progress=progress)
    if output is not None and planned.plan is not None:
        planned.save(Path(output))
    return planned


def _probe(shape: StepShape) -> float:
    """Measure a training step; torch is loaded only now, when the data are known to be good."""
    from unet_med.training.planning.step_time import seconds_per_step

    return seconds_per_step(shape)


logger = logging.getLogger(__name__)


class TrainOptions(TypedDict, total=False):
    """How a plan is carried out; see `train`."""

    folds: int | None
    resume: bool
    init: StrPath | None
    cache: StrPath | None
    workers: int
    precision: str
    tensorboard: bool
    command_line: str
    progress: CaseProgress | None


def train(
    images: StrPath | None,
    labels: StrPath | None,
    output: StrPath,
    *,
    source: SourceData | None = None,
    settings: PlanSettings | None = None,
    **options: Unpack[TrainOptions],
) -> TrainingResult | CrossValidationResult:
    """Train a bundle on labeled scans; the same as the command ``unet-med train``.

    Args:
        images: Folder of scans, as for `plan`.
        labels: Folder of label maps.
        output: The new bundle's folder.
        source: Instead of the two folders, as for `plan`.
        settings: Budget and overrides, as for `plan`.
        **options: ``resume``, ``init``, ``cache``, ``workers``, ``precision``, ``tensorboard`` as
            `unet_med.training.RunOptions` has them, ``folds`` (a cross-validation; see
            `unet_med.training.cross_validation`),
            ``command_line`` for the model card, and ``progress`` of the
            reading of cases.

    Returns:
        Where the bundle is, and how well it does on the cases held out.

    Raises:
        UnetMedError: The data, the plan or the folder cannot be used.
    """
    from unet_med.training import RunOptions, train_bundle

    refuse_unknown(options, TrainOptions, function="train")
    init, cache = options.get("init"), options.get("cache")
    how = RunOptions(
        resume=options.get("resume", False),
        init=None if init is None else Path(init),
        cache=None if cache is None else Path(cache),
        workers=options.get("workers", 0),
        precision=options.get("precision", "auto"),
        tensorboard=options.get("tensorboard", False),
        command_line=options.get("command_line", "unet_med.train() in Python"),
    )

    folds = options.get("folds")

    def planned() -> PlannedTraining:
        found = plan(
            images, labels, source=source, settings=settings, progress=options.get("progress")
        )
        for issue in found.checked.issues:
            if issue.severity == "warning":
                logger.warning("%s", issue.text)
        return found

    if folds is None:
        return train_bundle(Path(output), lambda: _for_training(planned()), how)
    from unet_med.training.cross_validation import train_folds

    return train_folds(Path(output), planned, folds, how)


def _for_training(planned: PlannedTraining) -> tuple[Recipe, TrainingPlan]:
    """Return recipe and plan, or refuse a data set with errors by their texts."""
    if planned.recipe is None or planned.plan is None:
        faults = [issue.text for issue in planned.checked.errors]
        msg = f"the data cannot be trained on: {'; '.join(faults)}; see unet-med plan"
        raise InputError(msg)
    return planned.recipe, planned.plan
