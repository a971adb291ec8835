"""Training fold by fold, then what all cases together say: scores, rules, temperature."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.bundle import RECIPE
from unet_med.evaluation import EvaluationSettings, MetricSettings, assemble_cohort
from unet_med.evaluation.pairing import Pair
from unet_med.evaluation.parallel import evaluate_pairs
from unet_med.evaluation.scores import CaseScores, FailedCase
from unet_med.inference import postprocess_labels
from unet_med.quality import VoxelSample, fit_temperature
from unet_med.quality.calibration import TEMPERATURE_RANGE
from unet_med.recipe import Recipe
from unet_med.segmenter import load_segmenter
from unet_med.training import TargetEncoding, TrainingPlan
from unet_med.training.cross_validation.postprocessing import (
    ChosenRule,
    PostprocessingSearch,
    choose_rules,
)
from unet_med.training.cross_validation.prediction import (
    open_scan,
    read_reference,
    segment_held_out,
)
from unet_med.training.model_card import CardFacts, write_card
from unet_med.training.plan import PLAN
from unet_med.volumes import open_volume, write_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unet_med.evaluation import CohortScores
    from unet_med.training import TrainingCase

    Trainer = Callable[[Path, Recipe, TrainingPlan], object]
    """Trains the bundle of one fold in a folder, or goes on with it."""

logger = logging.getLogger(__name__)

FOLDS = Path("folds")
SCORES = FOLDS / "out_of_fold"


@dataclass(frozen=True, slots=True)
class CrossValidationResult:
    """What a cross-validation has made.

    Attributes:
        root: The bundle: a copy of the best fold's.
        folds: The bundles of all folds, which make an ensemble.
        best: Number of the fold that was copied.
        scores: Of every case, out of fold, after post-processing.
        rules: Post-processing that helped, by label value.
        temperature: Fitted out of fold.
    """

    root: Path
    folds: tuple[Path, ...]
    best: int
    scores: CohortScores
    rules: dict[int, ChosenRule]
    temperature: float

    @property
    def mean_dice(self) -> float | None:
        """Mean over labels of the mean over cases; None if nothing was scored."""
        by_label: dict[Any, list[float]] = {}
        for row in self.scores.cases:
            if row["volume_dice"] is not None:
                by_label.setdefault(row["label"], []).append(float(row["volume_dice"]))
        return float(np.mean([np.mean(v) for v in by_label.values()])) if by_label else None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return {
            "bundle": str(self.root),
            "folds": [str(path) for path in self.folds],
            "best_fold": self.best,
            "out_of_fold_mean_volume_dice": self.mean_dice,
            "temperature": self.temperature,
            "postprocessing": {
                str(value): {"gain": one.gain, "better": one.better, "worse": one.worse}
                for value, one in self.rules.items()
            },
            "cases": len(self.scores.scored),
        }

    def summary(self) -> str:
        """Return what a reader should know, in a few lines."""
        dice = "no case could be scored" if self.mean_dice is None else f"{self.mean_dice:.3f}"
        members = " ".join(f"--bundle {path}" for path in self.folds)
        return (
            f"{self.root}: best of {len(self.folds)} folds (fold {self.best}); out-of-fold mean "
            f"Dice {dice} on {len(self.scores.scored)} cases, tables in {self.root / SCORES}\n"
            f"all folds together: unet-med segment … {members}"
        )


def cross_validate(
    root: Path,
    recipe: Recipe,
    plan: TrainingPlan,
    *,
    train: Trainer,
    command: str = "",
) -> CrossValidationResult:
    """Train one bundle per fold and score every case by the one that has not seen its patient.

    Writes ``folds/0``, ``folds/1``, … (bundles), ``folds/out_of_fold`` (masks and tables) and
    at the top a copy of the best fold's bundle with a model card of the out-of-fold scores.
    Post-processing and temperature are chosen out of fold and the same in all bundles.

    Args:
        root: The new bundle's folder.
        recipe: What every fold trains.
        plan: With a fold for every case.
        train: Trains one fold's bundle.
        command: The command line, for the card.

    Raises:
        UnetMedError: A fold cannot be trained or a case not be segmented.
    """
    n_folds = plan.n_folds
    folders = tuple(root / FOLDS / str(number) for number in range(n_folds))
    for number, folder in enumerate(folders):
        logger.info("fold %d of %d", number + 1, n_folds)
        train(folder, recipe, plan_of_fold(plan, number))
    trial, temperature = _segment_all(root, folders, plan)
    rules = trial.choose()
    for folder in folders:
        trained = Recipe.load(folder / RECIPE)
        changed = replace(trained, postprocessing=choose_rules(rules), temperature=temperature)
        changed.save(folder / RECIPE)
    scores = _score(root, folders, plan)
    best = _best_fold(scores, plan, n_folds)
    _copy_bundle(folders[best], root)
    result = CrossValidationResult(root, folders, best, scores, rules, temperature)
    _write_card(result, plan, command)
    return result


def plan_of_fold(plan: TrainingPlan, number: int) -> TrainingPlan:
    """Return the plan that holds one fold out."""
    held = tuple(case.id for case in plan.cases if case.fold == number)
    note = f"fold {number}: {len(held)} of {len(plan.cases)} cases held out"
    kept = [text for text in plan.notes if "held out: " not in text]
    return replace(plan, validation=held, merge_validation_after=None, notes=(*kept, note))


def _segment_all(
    root: Path, folders: Sequence[Path], plan: TrainingPlan
) -> tuple[PostprocessingSearch, float]:
    """Write every case's mask before post-processing; try rules and fit the temperature."""
    recipe = Recipe.load(folders[0] / RECIPE)
    encoding = TargetEncoding.from_recipe(recipe, plan)
    trial = PostprocessingSearch(recipe)
    sample = (
        None if plan.ignore_label is not None else VoxelSample(_n_slices(folders[0], plan, recipe))
    )
    for number, folder in enumerate(folders):
        segmenter = load_segmenter(folder, threads=plan.threads)
        for case in _of_fold(plan, number):
            scan = open_scan(case, folder)
            reference, ignored = read_reference(case, folder, encoding)
            labels = segment_held_out(segmenter, scan, reference, sample)
            labels[ignored] = 0
            trial.add(labels, reference, scan.geometry)
            names = dict(recipe.labels)
            write_mask(labels, _mask_path(root, case), like=scan, label_names=names)
            write_mask(reference, _reference_path(root, case), like=scan, label_names=names)
            logger.info("%s segmented by fold %d", case.id, number)
    if sample is None:
        return trial, 1.0
    fitted = fit_temperature(sample.logits, sample.truth, activation=recipe.activation)
    inside = TEMPERATURE_RANGE[0] * 1.05 < fitted < TEMPERATURE_RANGE[1] / 1.05
    return trial, fitted if inside else 1.0  # at an end of the range something else is wrong


def _score(root: Path, folders: Sequence[Path], plan: TrainingPlan) -> CohortScores:
    """Post-process the masks as the recipes now say, and score them."""
    recipe = Recipe.load(folders[0] / RECIPE)
    pairs = []
    for case in plan.cases:
        path = _mask_path(root, case)
        if recipe.postprocessing:
            volume = open_volume(path)
            labels = volume.read(0, volume.geometry.shape[2], axis=2)[0]
            changed = np.rint(labels).astype(np.uint32)
            postprocess_labels(changed, recipe, volume.geometry)
            write_mask(changed, path, like=volume, label_names=dict(recipe.labels))
        pairs.append(Pair(case.id, path, _reference_path(root, case)))
    settings = EvaluationSettings(
        slice_axis=recipe.slice_axis,
        labels=tuple(recipe.labels),
        label_names=dict(recipe.labels),
        metrics=MetricSettings(),
    )
    results = list(evaluate_pairs(pairs, settings))
    cohort = assemble_cohort(
        [one for one in results if isinstance(one, CaseScores)],
        failed=[one for one in results if isinstance(one, FailedCase)],
        settings=settings,
    )
    cohort.write(root / SCORES)
    return cohort


def _best_fold(scores: CohortScores, plan: TrainingPlan, n_folds: int) -> int:
    """Return the fold with the highest mean Dice on its own cases."""
    folds = {case.id: case.fold for case in plan.cases}
    by_fold: list[list[float]] = [[] for _ in range(n_folds)]
    for row in scores.cases:
        if row["volume_dice"] is not None:
            by_fold[folds[str(row["case"])] or 0].append(float(row["volume_dice"]))
    means = [float(np.mean(values)) if values else -1.0 for values in by_fold]
    return int(np.argmax(means))


def _copy_bundle(fold: Path, root: Path) -> None:
    """Copy a fold's bundle, without the files of its run, to the top.

    Models that lie there may have been exported from another fold's weights.
    """
    shutil.rmtree(root / "models", ignore_errors=True)
    shutil.copytree(fold, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runs"))


def _write_card(result: CrossValidationResult, plan: TrainingPlan, command: str) -> None:
    by_case: dict[str, dict[str, float | None]] = {}
    for row in result.scores.cases:
        by_case.setdefault(str(row["case"]), {})[str(row["label_name"])] = row["volume_dice"]
    how = (
        f"cross-validation with {len(result.folds)} folds by patient; this bundle is fold "
        f"{result.best}, the others lie in `{FOLDS}`; normalization was planned from all cases"
    )
    remarks = [
        how,
        f"temperature {result.temperature:g}, fitted out of fold",
    ]
    names = Recipe.load(result.root / RECIPE).labels
    remarks += [f"post-processing, {one.text(names[v])}" for v, one in result.rules.items()]
    for number, folder in enumerate((*result.folds, result.root)):
        of_fold = plan_of_fold(plan, min(number, len(result.folds) - 1))
        own = TrainingPlan.load(folder / PLAN) if (folder / PLAN).is_file() else of_fold
        facts = CardFacts(by_case, "out-of-fold", command, remarks=tuple(remarks))
        write_card(folder, Recipe.load(folder / RECIPE), own, facts)


def _of_fold(plan: TrainingPlan, number: int) -> list[TrainingCase]:
    return [case for case in plan.cases if case.fold == number]


def _n_slices(root: Path, plan: TrainingPlan, recipe: Recipe) -> int:
    from unet_med.geometry import slice_layout

    geometries = [open_volume(root / case.label).geometry for case in plan.cases]
    return sum(slice_layout(g, recipe.slice_axis).n_slices(g) for g in geometries)


def _mask_path(root: Path, case: TrainingCase) -> Path:
    return root / SCORES / "predictions" / f"{case.id}.nii.gz"


def _reference_path(root: Path, case: TrainingCase) -> Path:
    return root / SCORES / "references" / f"{case.id}.nii.gz"
