"""Write a bundle, then run its train.yaml: what ``unet-med train`` and ``unet_med.train`` do."""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from monai.bundle import ConfigWorkflow

from unet_med.bundle import RECIPE, WEIGHTS
from unet_med.errors import BundleError, InputError, UnetMedError
from unet_med.recipe import Recipe
from unet_med.training.bundle_files import refuse_used_folder, write_bundle
from unet_med.training.distributed import broadcast, is_distributed, is_main_process, under_torchrun
from unet_med.training.engine.budget import StepBudget
from unet_med.training.engine.epochs import BUDGET, CHECKPOINT
from unet_med.training.engine.run_options import RunOptions, TrainingResult
from unet_med.training.plan import FOLDS_PLAN, PLAN, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unet_med.training.engine.epochs import EpochHandler

    Planner = Callable[[], tuple[Recipe, TrainingPlan]]

RUN = Path("runs/train")


TRAIN = Path("configs/train.yaml")


_QUIET = ("monai.bundle.workflows", "unet_med.monai.transforms.io")


def run_bundle(root: Path, options: RunOptions) -> TrainingResult:
    """Run a bundle's ``configs/train.yaml`` (and ``multi_gpu_train.yaml`` under torchrun).

    Args:
        root: A bundle's folder with recipe and plan.
        options: How.

    Returns:
        What came out.

    Raises:
        BundleError: The folder has no plan or no train.yaml.
        UnetMedError: What went wrong inside, as it was raised there.
    """
    configs = [root / TRAIN]
    if under_torchrun():
        configs.append(root / "configs" / "multi_gpu_train.yaml")
    missing = [path for path in (*configs, root / PLAN) if not path.is_file()]
    if missing:
        msg = f"{root} cannot be trained: it has no {missing[0].relative_to(root)}; plan it first"
        raise BundleError(msg)
    overrides: dict[str, Any] = {
        "bundle_root": str(root),
        "resume": options.resume,
        "workers": options.workers,
        "precision": options.precision,
        "keep_cache": options.cache is not None,
        "tensorboard": options.tensorboard,
    }
    if options.init is not None:
        overrides["pretrained_bundle"] = str(options.init)
    if options.batches is not None:
        overrides["train#dataset#_target_"] = options.batches
    if options.cache is not None:
        overrides["cache_dir"] = str(options.cache)
    with _own_config(), _plain_errors(root):
        work = ConfigWorkflow(
            config_file=[str(path) for path in configs],
            meta_file=str(root / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            **overrides,
        )
        work.initialize()
        work.run()
        epoch_handler: EpochHandler = work.parser.get_parsed_content("train#epoch_handler")
        work.finalize()
    budget = StepBudget(**json.loads((root / RUN / BUDGET).read_text(encoding="utf-8")))
    history = epoch_handler.history
    steps = int(history.rows[-1]["step"]) if history.rows else budget.steps
    return TrainingResult(
        root,
        steps,
        history.best,
        history.cases,
        epoch_handler.has_merged_validation,
        len(epoch_handler.plan.validation),
    )


@contextmanager
def _own_config() -> Iterator[None]:
    """Leave out what need not be said here.

    MONAI warns that a config may run code: this one is ours. What is doubtful about a file was
    said when the data were checked.
    """
    loggers = [logging.getLogger(name) for name in _QUIET]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="parsing config_file")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


@contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    """Raise what the config's parts raised, not what MONAI wraps around it."""
    try:
        yield
    except Exception as exc:
        chain = list(_causes(exc))
        for cause in chain:
            if isinstance(cause, UnetMedError):
                raise cause from exc
        # torch raises RuntimeError where a process is lost, and for faults of this one.
        if is_distributed() and isinstance(chain[-1], RuntimeError):
            kept = (root / RUN / CHECKPOINT).is_file()
            state = "the checkpoint is whole" if kept else "there is no checkpoint yet"
            msg = (
                f"another training process has died, or this one failed ({chain[-1]}); {state}: "
                "start again with --resume"
            )
            raise UnetMedError(msg) from exc
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> planner = lambda: (recipe, plan)  # called for a new folder only
        >>> train_bundle(default_bundle(), planner, RunOptions())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        unet_med.errors.OutputError: ...: go on with --resume, or name a new folder with --output
    """
    if under_torchrun() and not is_distributed():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    fault = broadcast(_prepare(output, planner, options) if is_main_process() else None)
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
