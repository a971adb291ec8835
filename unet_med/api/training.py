"""Check a labeled data set, plan its training, and train a bundle on it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._progress import CaseProgress
from unet_med.api.types import (
    File,
    LabelNames,
    Mirror,
    Names,
    Regions,
    Sizes,
    SliceAxis,
    TrainingPrecision,
    optional_path,
)
from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med.recipe import Recipe
    from unet_med.training import TrainingPlan, TrainingResult
    from unet_med.training.cross_validation import CrossValidationResult
    from unet_med.training.planning import PlannedTraining, PlanSettings, SourceData
    from unet_med.training.planning.network import StepShape

logger = logging.getLogger(__name__)


def plan(
    images: File | None = None,
    labels: File | None = None,
    *,
    output: File | None = None,
    datalist: File | None = None,
    channels: Names | None = None,
    label_names: LabelNames | None = None,
    region: Regions = (),
    ignore: int | None = None,
    skip_bad: bool = False,
    minutes: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    memory_gb: float = 4.0,
    threads: int | None = None,
    seed: int = 0,
    slice_axis: SliceAxis | None = None,
    spacing_mm: float | None = None,
    sizes: Sizes | None = None,
    mirror: Mirror | None = None,
    deep_supervision: bool = False,
    val_fraction: float = 0.2,
    recipe: File | None = None,
    plan: File | None = None,
    progress: CaseProgress | None = None,
) -> "PlannedTraining":
    """Check a labeled data set and plan its training.

    Read every scan and label map once: pairs, grids, label values, NaN, duplicates, patients. Then
    plan how to train: slices, spacing, normalization, network and batch for the time and the
    memory, and say why.

    Args:
        images: Folder of scans; or an nnU-Net, Decathlon or BIDS data set with its label maps.
        labels: Folder of label maps. Default: the folder of the scans.
        output: Bundle folder to write configs/recipe.json and configs/plan.json to, or a .json
            file for both.
        datalist: CSV or JSON list of cases instead of folders.
        channels: Names of the channels, in order.
        label_names: Labels to learn.
        region: Learn this union of label values instead of single ones; may be given several
            times.
        ignore: Label value of voxels that nobody labeled.
        skip_bad: Leave out cases with errors instead of stopping.
        minutes: Wall time of the training. Default: 15.
        epochs: Passes through all slices, instead of minutes.
        steps: Optimizer steps, instead of minutes.
        memory_gb: Memory in GB of a training step.
        threads: CPU threads. Default: all processors of this process.
        seed: Start of all random numbers.
        slice_axis: Axis that slices are cut along. Default: decided from the data.
        spacing_mm: In-plane spacing of the network in mm. Default: decided from the data.
        sizes: Channels per level of the network. Default: decided from the data.
        mirror: Mirror along these axes: left-right, anterior-posterior, inferior-superior; none.
            Default: decided from the data.
        deep_supervision: Train heads at the lower levels of the decoder, too; they are not saved.
        val_fraction: Fraction of the patients that is never trained on.
        recipe: JSON file whose fields replace those of the planned recipe.
        plan: JSON file whose fields replace those of the plan.
        progress: Called after each case that was read.

    Returns:
        ``checked`` with all issues, ``recipe`` and ``plan``; these are None, and
        ``exit_code`` 2, when there are errors.

    Raises:
        InputError: Nothing is found, or a list cannot be used.
        RecipeError: A file of changes does not fit.
        OutputError: The plan cannot be written.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> planned = plan(demo_data() / "images", demo_data() / "labels", steps=5, val_fraction=0)
        >>> planned.exit_code, planned.plan.steps
        (0, 5)
    """
    planned = _plan(*_source_and_settings(locals()), progress=progress)
    if output is not None and planned.plan is not None:
        planned.save(Path(output))
    return planned


def train(
    images: File | None = None,
    labels: File | None = None,
    *,
    output: File,
    datalist: File | None = None,
    channels: Names | None = None,
    label_names: LabelNames | None = None,
    region: Regions = (),
    ignore: int | None = None,
    skip_bad: bool = False,
    minutes: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    memory_gb: float = 4.0,
    threads: int | None = None,
    seed: int = 0,
    slice_axis: SliceAxis | None = None,
    spacing_mm: float | None = None,
    sizes: Sizes | None = None,
    mirror: Mirror | None = None,
    deep_supervision: bool = False,
    val_fraction: float = 0.2,
    recipe: File | None = None,
    plan: File | None = None,
    resume: bool = False,
    folds: int | None = None,
    init: File | None = None,
    precision: TrainingPrecision = "auto",
    workers: int = 0,
    tensorboard: bool = False,
    cache: File | None = None,
    progress: CaseProgress | None = None,
    command_line: str = "unet_med.train() in Python",
) -> "TrainingResult | CrossValidationResult":
    """Train a bundle on labeled scans.

    The data are checked and planned as by `plan`; the plan is written into the bundle together
    with train.yaml, which is then run. Stopped at any moment, ``resume`` goes on to the same
    weights. With several processes: torchrun --standalone --nproc_per_node=2 -m unet_med train …

    Args:
        images: Folder of scans; or an nnU-Net, Decathlon or BIDS data set with its label maps.
        labels: Folder of label maps. Default: the folder of the scans.
        output: Folder of the new bundle.
        datalist: CSV or JSON list of cases instead of folders.
        channels: Names of the channels, in order.
        label_names: Labels to learn.
        region: Learn this union of label values instead of single ones; may be given several
            times.
        ignore: Label value of voxels that nobody labeled.
        skip_bad: Leave out cases with errors instead of stopping.
        minutes: Wall time of the training. Default: 15.
        epochs: Passes through all slices, instead of minutes.
        steps: Optimizer steps, instead of minutes.
        memory_gb: Memory in GB of a training step.
        threads: CPU threads. Default: all processors of this process.
        seed: Start of all random numbers.
        slice_axis: Axis that slices are cut along. Default: decided from the data.
        spacing_mm: In-plane spacing of the network in mm. Default: decided from the data.
        sizes: Channels per level of the network. Default: decided from the data.
        mirror: Mirror along these axes: left-right, anterior-posterior, inferior-superior; none.
            Default: decided from the data.
        deep_supervision: Train heads at the lower levels of the decoder, too; they are not saved.
        val_fraction: Fraction of the patients that is never trained on.
        recipe: JSON file whose fields replace those of the planned recipe.
        plan: JSON file whose fields replace those of the plan.
        resume: Go on where the training of this bundle stopped.
        folds: Cross-validate by patient: this many bundles, every case scored by the one that has
            not seen it; the time is divided among them. In Python a script then needs
            ``if __name__ == "__main__":``.
        init: Bundle to start from its weights.
        precision: Arithmetic of the training.
        workers: Processes that prepare batches; 0 = this one.
        tensorboard: Write event files into OUTPUT/runs/train/tensorboard as well.
        cache: Folder for the preprocessed slices, which then stay.
        progress: Called after each case that was read.
        command_line: Text for the model card.

    Returns:
        Where the bundle is, and how well it does on the cases held out.

    Raises:
        UnetMedError: The data, the plan or the folder cannot be used.

    Example:
        >>> train("images", "labels", output="bundle", minutes=15)  # doctest: +SKIP
        >>> train(output="no such bundle", resume=True)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        unet_med.errors...
    """
    from unet_med.training import RunOptions, train_bundle
    from unet_med.training.cross_validation import train_folds

    source, settings = _source_and_settings(locals())
    run_options = RunOptions(
        resume=resume,
        init=optional_path(init),
        cache=optional_path(cache),
        workers=workers,
        precision=precision,
        tensorboard=tensorboard,
        command_line=command_line,
    )

    def planned() -> "PlannedTraining":
        found = _plan(source, settings, progress=progress)
        for issue in found.checked.issues:
            if issue.severity == "warning":
                logger.warning("%s", issue.text)
        return found

    if folds is None:
        return train_bundle(Path(output), lambda: _for_training(planned()), run_options)
    return train_folds(Path(output), planned, folds, run_options)


def _for_training(planned: "PlannedTraining") -> "tuple[Recipe, TrainingPlan]":
    """Return recipe and plan, or refuse a data set with errors by their texts."""
    if planned.recipe is None or planned.plan is None:
        faults = [issue.text for issue in planned.checked.errors]
        msg = f"the data cannot be trained on: {'; '.join(faults)}; see unet-med plan"
        raise InputError(msg)
    return planned.recipe, planned.plan


def _source_and_settings(given: Mapping[str, Any]) -> "tuple[SourceData, PlanSettings]":
    """Return what `plan` and `train` are given, by name, as the records of the planner."""
    from unet_med.cases import DatasetInfo
    from unet_med.training.planning import PlanSettings, SourceData

    source = SourceData(
        images=optional_path(given["images"]),
        labels=optional_path(given["labels"]),
        list_file=optional_path(given["datalist"]),
        info=DatasetInfo(
            channels=tuple(given["channels"] or ()),
            labels=dict(given["label_names"] or {}),
            regions={name: tuple(values) for name, values in dict(given["region"]).items()},
            ignore=given["ignore"],
        ),
        skip_bad=given["skip_bad"],
        recipe_file=optional_path(given["recipe"]),
        plan_file=optional_path(given["plan"]),
    )
    same = (
        *("minutes", "epochs", "steps", "memory_gb", "threads", "slice_axis", "spacing_mm"),
        *("val_fraction", "deep_supervision", "seed"),
    )
    name = "" if given["output"] is None else Path(given["output"]).name.removesuffix(".json")
    sizes, mirror = given["sizes"], given["mirror"]
    settings = PlanSettings(
        name=name or "trained",
        sizes=None if sizes is None else tuple(sizes),
        mirror_axes=None if mirror is None else tuple(mirror),
        **{one: given[one] for one in same},
    )
    return source, settings


def _plan(
    source: "SourceData", settings: "PlanSettings", *, progress: CaseProgress | None
) -> "PlannedTraining":
    from unet_med.training.planning import plan_training

    return plan_training(source, settings, probe=_seconds_per_step, progress=progress)


def _seconds_per_step(shape: "StepShape") -> float:
    """Measure a training step; torch is loaded only now, when the data are known to be good."""
    from unet_med.training.planning.step_time import seconds_per_step

    return seconds_per_step(shape)
