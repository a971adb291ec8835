"""The parts of a training run that a config puts together."""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from monai.inferers.inferer import SimpleInferer

from unet_med.backends import available_threads
from unet_med.backends.hardware import bf16_is_faster
from unet_med.inference.pipeline import PIXELS_PER_BATCH
from unet_med.training.data.batch_source import BatchIndex
from unet_med.training.data.cache import SliceCache
from unet_med.training.data.patch_sampler import PatchBatches
from unet_med.training.distributed import barrier, is_main_process, rank, world_size
from unet_med.training.engine.budget import (
    TIMING_SHARE,
    FixedCosts,
    StepBudget,
    budget_from_plan,
    budget_from_time,
    seconds_left,
    stored_budget,
    time_training_step,
)
from unet_med.training.engine.epochs import BEST, BUDGET, CHECKPOINT, CURVE, LOG
from unet_med.training.engine.optimization import build_optimizer
from unet_med.training.engine.tensorboard_log import FOLDER as EVENTS
from unet_med.training.target_encoding import TargetEncoding

if TYPE_CHECKING:
    from torch import nn

    from unet_med.recipe import Recipe
    from unet_med.training.augmentation import AugmentationSettings
    from unet_med.training.data.batch_source import Batch, BatchSource
    from unet_med.training.plan import TrainingPlan

logger = logging.getLogger(__name__)

VALIDATION_OVERHEAD = 1.3
"""Reading, resampling and counting, relative to the network's own time on held-out slices."""

FINALIZE_SECONDS = 12.0
"""Saving, exporting and measuring a small network, besides what its slices take."""

FINALIZE_SLICES = 40
"""Slices that the precision reports of the export run, over all ways and precisions."""


def prepare_output_dir(folder: Path | str, *, resume: bool) -> Path:
    """Make the folder of a run's own files; a fresh start removes those of an earlier run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prepare_output_dir(f"{folder}/runs/train", resume=False).is_dir()
        True
    """
    path = Path(folder)
    if is_main_process():
        path.mkdir(parents=True, exist_ok=True)
        for name in () if resume else (CHECKPOINT, BEST, LOG, CURVE, BUDGET):
            (path / name).unlink(missing_ok=True)
        if not resume:
            shutil.rmtree(path / EVENTS, ignore_errors=True)
    barrier()
    return path


def build_batches(
    plan: TrainingPlan,
    recipe: Recipe,
    *,
    root: Path | str,
    cache: Path | str,
    settings: AugmentationSettings | None = None,
) -> PatchBatches:
    """Read every training case and return what batches are drawn from.

    Args:
        plan: Cases, batch and patch.
        recipe: What the network sees.
        root: Folder that relative paths are meant from.
        cache: Folder for the preprocessed slices.
        settings: How strongly patches are varied; ``None`` = the defaults.

    Raises:
        InputError, VolumeError, GeometryError, LabelError: A case cannot be used.
        OutputError: The cache cannot be written.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> plan = TrainingPlan((TrainingCase("a", ("a.nii",), "b.nii", "patient"),), steps=1)
        >>> build_batches(plan, recipe, root="data", cache="cache")
        Traceback (most recent call last):
            ...
        unet_med.errors.InputError: case a: there is no data/a.nii; name it anew in the plan
    """
    encoding = TargetEncoding.from_recipe(recipe, plan)
    began = time.monotonic()
    folder = SliceCache(Path(cache), recipe, encoding)
    cases = [folder.open(case, root=Path(root)) for case in plan.training_cases]
    merged = plan.validation_cases if plan.merge_validation_after is not None else ()
    validation = [folder.open(case, root=Path(root)) for case in merged]
    logger.info(
        "%d cases with %d slices are ready after %.1f s",
        len(cases),
        sum(case.n_slices for case in cases),
        time.monotonic() - began,
    )
    return PatchBatches(
        cases,
        recipe=recipe,
        plan=plan,
        validation=validation,
        settings=settings,
        rank=rank(),
        world_size=world_size(),
    )


class TrainingInferer(SimpleInferer):  # type: ignore[misc]  # monai is not typed
    """Run the network in bfloat16 where this CPU is faster so; else as MONAI does.

    On CUDA the trainer's own ``amp`` takes its place.

    Example:
        >>> inferer = TrainingInferer(precision="bf16")
        >>> inferer(torch.ones(1, 2, 8, 8), torch.nn.Conv2d(2, 3, 1)).dtype
        torch.bfloat16
    """

    def __init__(self, *, precision: str = "auto") -> None:
        super().__init__()
        self.bf16 = precision == "bf16" or (precision == "auto" and bf16_is_faster())

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the logits, float32 or bfloat16."""
        context: AbstractContextManager[Any] = nullcontext()
        if self.bf16 and inputs.device.type == "cpu":
            context = torch.autocast("cpu", dtype=torch.bfloat16)
        with context:
            return network(inputs, *args, **kwargs)


def find_budget(  # noqa: PLR0913 - all parts of a step are timed
    folder: Path,
    *,
    plan: TrainingPlan,
    recipe: Recipe,
    batches: BatchSource,
    network: nn.Module,
    loss: nn.Module,
    inferer: TrainingInferer,
) -> StepBudget:
    """Return the length of the run: stored, stated by the plan, or found by timing steps.

    Args:
        folder: Of the run; the budget is stored there.
        plan: States minutes, epochs or steps.
        recipe: What a slice is.
        batches: What batches are drawn from.
        network: What is trained, on its device.
        loss: Takes logits and label codes.
        inferer: Runs the network.

    Raises:
        InputError: The stored budget is damaged.

    Example:
        >>> import tempfile
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", "patient")
        >>> plan = TrainingPlan((case,), batch_size=8, epochs=5)
        >>> with tempfile.TemporaryDirectory() as folder:  # steps are timed for minutes alone
        ...     budget = find_budget(
        ...         Path(folder), plan=plan, recipe=None, batches=range(100), network=None,
        ...         loss=None, inferer=None,
        ...     )
        >>> budget.steps_per_epoch, budget.epochs
        (13, 5)
    """

    def step_loss(trial: nn.Module, batch: Batch) -> torch.Tensor:
        device = next(trial.parameters()).device
        logits = inferer(batch["image"].to(device), trial)
        value: torch.Tensor = loss(logits, batch["label"].to(device))
        return value

    def find() -> StepBudget:
        if plan.minutes is None:
            return budget_from_plan(
                plan, n_slices=len(batches), has_validation=bool(plan.validation)
            )
        batches[BatchIndex(0)]  # whatever is read when it is first needed is no part of a step
        left = seconds_left(plan.minutes)
        seconds = time_training_step(
            network,
            lambda trial: build_optimizer(plan.optimizer, trial),
            batch=lambda step: batches[BatchIndex(step)],
            loss=step_loss,
            seconds=max(1.0, TIMING_SHARE * left),
        )
        costs = _costs(plan, recipe, network, batches)
        left = seconds_left(plan.minutes)
        overrun = seconds + costs.finalization - left
        if is_main_process() and overrun > 0:
            logger.warning("the time is over before the first step: it takes %.0f s more", overrun)
        return budget_from_time(left, seconds, costs)

    budget = stored_budget(folder / BUDGET, find)
    if is_main_process():
        _announce(budget, plan, len(batches))
    return budget


def _announce(budget: StepBudget, plan: TrainingPlan, n_slices: int) -> None:
    share = budget.steps * plan.batch_size / n_slices
    logger.info(
        "%d steps of %d patches: %.1f times as many patches as there are training slices",
        budget.steps,
        plan.batch_size,
        share,
    )
    if share < 1:
        logger.warning(
            "the budget is too small to see every slice once: %.0f %% of an epoch is trained, "
            "which is little; give more time",
            100 * share,
        )


def _costs(
    plan: TrainingPlan, recipe: Recipe, network: nn.Module, batches: BatchSource
) -> FixedCosts:
    """Time the network on whole slices and estimate what they cost at validations and the end."""
    shape = batches.slice_shape
    count = max(1, min(8, PIXELS_PER_BATCH // (shape[0] * shape[1])))
    multiple = recipe.network.multiple
    padded = [side + -side % multiple for side in shape]
    device = next(network.parameters()).device
    images = torch.zeros(count, recipe.network.in_channels, *padded, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    training = network.training
    network.eval()
    with torch.inference_mode():
        network(images)
        began = time.perf_counter()
        network(images)
        each = (time.perf_counter() - began) / count
    network.train(training)
    per_case = len(batches) / len(plan.training_cases)
    n_cases = -(-len(plan.validation) // world_size())
    return FixedCosts(
        validation=VALIDATION_OVERHEAD * each * per_case * n_cases,
        finalization=FINALIZE_SECONDS + FINALIZE_SLICES * each,
    )


def thread_count(plan: TrainingPlan) -> int:
    """Return the CPU threads of this process: the plan's, or its share of the processors.

    Example:
        >>> from unet_med.training.plan import TrainingCase, TrainingPlan
        >>> case = TrainingCase("a", ("a.nii",), "b.nii", "patient")
        >>> thread_count(TrainingPlan((case,), threads=3, steps=1))
        3
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return plan.threads or max(1, available_threads() // local)


def remove_cache(folder: Path | str) -> None:
    """Remove a cache that nobody asked to keep.

    Example:
        >>> remove_cache("no_such_folder")
    """
    shutil.rmtree(folder, ignore_errors=True)
