"""A bundle trained on labeled scans."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from unet_med.api.options import refuse_unknown
from unet_med.api.planning import plan
from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med.api.options import AnyPath
    from unet_med.dataset.check import Progress as ReadingProgress
    from unet_med.folds import FoldsResult
    from unet_med.planning import Planned, PlanSettings, Source
    from unet_med.recipe import Recipe
    from unet_med.training import TrainingPlan, TrainingResult

logger = logging.getLogger(__name__)


class TrainOptions(TypedDict, total=False):
    """How a plan is carried out; see `train`."""

    folds: int | None
    resume: bool
    init: AnyPath | None
    cache: AnyPath | None
    workers: int
    precision: str
    tensorboard: bool
    command_line: str
    progress: ReadingProgress | None


def train(
    images: AnyPath | None,
    labels: AnyPath | None,
    output: AnyPath,
    *,
    source: Source | None = None,
    settings: PlanSettings | None = None,
    **options: Unpack[TrainOptions],
) -> TrainingResult | FoldsResult:
    """Train a bundle on labeled scans; the same as the command ``unet-med train``.

    Args:
        images: Folder of scans, as for `plan`.
        labels: Folder of label maps.
        output: The new bundle's folder.
        source: Instead of the two folders, as for `plan`.
        settings: Budget and wishes, as for `plan`.
        **options: ``resume``, ``init``, ``cache``, ``workers``, ``precision``, ``tensorboard`` as
            `unet_med.training.RunOptions` has them, ``folds`` (a cross-validation; see
            `unet_med.folds`), ``command_line`` for the model card, and ``progress`` of the
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

    def planned() -> Planned:
        found = plan(
            images, labels, source=source, settings=settings, progress=options.get("progress")
        )
        for finding in found.checked.findings:
            if finding.severity == "warning":
                logger.warning("%s", finding.text)
        return found

    if folds is None:
        return train_bundle(Path(output), lambda: _for_training(planned()), how)
    from unet_med.folds import train_folds

    if settings is not None and settings.augmentation != "slices":
        msg = "folds are trained on slices: leave --augmentation out"
        raise InputError(msg)
    return train_folds(Path(output), planned, folds, how)


def _for_training(planned: Planned) -> tuple[Recipe, TrainingPlan]:
    """Return recipe and plan, or refuse a data set with errors by their texts."""
    if planned.recipe is None or planned.plan is None:
        faults = [finding.text for finding in planned.checked.errors]
        msg = f"the data cannot be trained on: {'; '.join(faults)}; see unet-med plan"
        raise InputError(msg)
    return planned.recipe, planned.plan
