"""The end of a run: the bundle gets its weights, its export and its figures."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import PARTIAL_PREFIX
from unet_med.backends.openvino_backend import is_installed
from unet_med.backends.precision_report import ONNX
from unet_med.bundle import METADATA, RECIPE, WEIGHTS, open_bundle
from unet_med.bundle.weights import read_weights, save_weights
from unet_med.errors import InputError, OutputError, UnetMedError
from unet_med.exporting import ExportSettings, export_bundle
from unet_med.exporting.samples import Scan
from unet_med.recipe import Recipe
from unet_med.training.bundle_files import COMMAND
from unet_med.training.distributed import barrier, is_main_process
from unet_med.training.engine.epochs import BEST, CURVE
from unet_med.training.model_card import CardFacts, Kind, write_card

if TYPE_CHECKING:
    from unet_med.training.engine.epochs import EpochHandler
    from unet_med.training.plan import TrainingPlan

logger = logging.getLogger(__name__)

MEASURED_SLICES = 8
"""Slices that the export is compared on: a precision report at hand, no benchmark."""


def run_training(
    trainer: Any,  # noqa: ANN401 - monai is not typed
    epoch_handler: EpochHandler,
    *,
    root: Path | str,
    resume: bool,
) -> None:
    """Run a trainer to its end, from its checkpoint if asked to, and finish the bundle.

    Args:
        trainer: MONAI's trainer.
        epoch_handler: Its handler.
        root: The bundle's folder: gets ``models/model.pt`` and the recipe its digest.
        resume: Go on from the checkpoint in the run's folder.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> config = (default_bundle() / "configs/train.yaml").read_text(encoding="utf-8")
        >>> "run_training(@train#trainer, @train#epoch_handler" in config
        True
    """
    if is_main_process():
        _remove_leftovers(Path(root), epoch_handler.folder)
    if not resume or epoch_handler.resume(trainer):
        trainer.run()
    if is_main_process():
        finalize_bundle(Path(root), epoch_handler)
    barrier()


def _remove_leftovers(root: Path, run: Path) -> None:
    """Remove what runs that were killed had not written to the end: checkpoints are large."""
    for folder in (root, *(root / name for name in ("configs", "docs", "models")), run):
        for path in folder.glob(f"{PARTIAL_PREFIX}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def finalize_bundle(root: Path, epoch_handler: EpochHandler) -> None:
    """Write the best weights into the bundle and export them.

    The last average is taken when nothing was validated, or when it has seen the cases held
    out, too.

    Raises:
        OutputError: The bundle cannot be written.
    """
    network = epoch_handler.average.network
    best = epoch_handler.folder / BEST
    if epoch_handler.history.best is not None and not epoch_handler.has_merged_validation:
        network.load_state_dict(read_weights(best))
    digest = save_weights(network, root / WEIGHTS)
    recipe = Recipe.load(root / RECIPE) if (root / RECIPE).is_file() else epoch_handler.recipe
    if recipe.weights_sha256 != digest:
        _remove_stale(root / ONNX)
    recipe = replace(recipe, weights_sha256=digest, precisions=())
    recipe.save(root / RECIPE)
    _describe(root, recipe, epoch_handler)
    epoch_handler.history.plot(epoch_handler.folder / CURVE)
    logger.info("%s: sha256 %s", root / WEIGHTS, digest)
    _export(root, epoch_handler.plan)


def _remove_stale(path: Path) -> None:
    """Remove an ONNX model: nothing refuses one of other weights, it would give wrong masks."""
    if path.is_file():
        path.unlink()
        logger.warning(
            "%s was of the weights before and is removed: make a new one with unet-med export "
            "--formats openvino,onnx",
            path,
        )


def _describe(root: Path, recipe: Recipe, epoch_handler: EpochHandler) -> None:
    """Write the model card, unless the bundle's metadata were written by hand."""
    path = root / METADATA
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if COMMAND in content:
        kind: Kind = "held-out, then merged" if epoch_handler.has_merged_validation else "held-out"
        facts = CardFacts(scores=epoch_handler.history.cases, kind=kind, command=content[COMMAND])
        write_card(root, recipe, epoch_handler.plan, facts)


def _export(root: Path, plan: TrainingPlan) -> None:
    """Export to OpenVINO where it is installed; a bundle without an export is whole, too."""
    if not is_installed():
        logger.info("openvino is not installed: the bundle runs on torch")
        return
    case = (plan.validation_cases or plan.training_cases)[0]
    paths = tuple(root / path for path in case.images)
    # Label maps of regions, or with a value to ignore, are not in the recipe's terms.
    reference = None if plan.regions or plan.ignore_label is not None else root / case.label
    settings = ExportSettings(
        scans=(Scan(paths, reference),), n_slices=MEASURED_SLICES, threads=plan.threads
    )
    try:
        export_bundle(open_bundle(root), settings)
    except OutputError:
        raise
    except (UnetMedError, InputError) as exc:
        logger.warning("no export was made, the bundle runs on torch: %s", exc)
