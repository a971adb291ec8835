"""Held-out cases: which there are, and their volume Dice on their own grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ignite.engine import Events

from unet_med.errors import InputError
from unet_med.metrics import dice, slice_counts
from unet_med.training.distributed import all_gather, rank, world_size
from unet_med.training.plan import PLAN, TrainingPlan
from unet_med.training.target_encoding import IGNORE_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ignite.engine import Engine

    from unet_med.recipe import Recipe
    from unet_med.training.target_encoding import TargetEncoding

NEEDS_DATASET_DIR = (
    "pass --dataset_dir FOLDER with images/ and labels/ of cases that it has not seen"
)


def reason_not_scored(plan: TrainingPlan) -> str:
    """Say why a plan's cases cannot tell how good its weights are; empty = those held out can.

    Label maps of regions, or with a value to ignore, are not in the recipe's terms: scored as they
    are, the figures would be wrong.
    """
    if not plan.validation:
        return "it was trained on every case of its plan"
    if plan.merge_validation_after is not None:
        return "the cases held out were trained on, too, in the last part of its run"
    if plan.regions or plan.ignore_label is not None:
        return "the label maps of its cases hold regions, or a value to ignore"
    return ""


def held_out_data(root: Path | str) -> list[dict[str, Any]]:
    """List the cases that a trained bundle's plan holds out, for a MONAI dataset.

    Args:
        root: The bundle's folder.

    Returns:
        Per case ``case``, ``image`` (one path per channel) and ``label``.

    Raises:
        InputError: There is no case that the weights have not seen, or it is no longer there.
        RecipeError: There is no plan.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> held_out_data(default_bundle())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        unet_med.errors.InputError: it was trained on every case of its plan: pass --dataset_dir ...
    """
    folder = Path(root)
    plan = TrainingPlan.load(folder / PLAN)
    if why := reason_not_scored(plan):
        msg = f"{why}: {NEEDS_DATASET_DIR}"
        raise InputError(msg)
    data = list(_items(plan, folder))
    gone = [path for item in data for path in (*item["image"], item["label"]) if not _is(path)]
    if gone:
        msg = f"a case held out is no longer there: {gone[0]}; {NEEDS_DATASET_DIR}"
        raise InputError(msg)
    return data


def _items(plan: TrainingPlan, folder: Path) -> Iterator[dict[str, Any]]:
    for case in plan.validation_cases:
        images = [str(folder / path) for path in case.images]
        yield {"case": case.id, "image": images, "label": str(folder / case.label)}


def _is(path: str) -> bool:
    return Path(path).exists()


Counts = tuple[list[int], list[int], list[int]]


def validation_data(plan: TrainingPlan, root: str | Path) -> list[dict[str, Any]]:
    """Return this process's share of the held-out cases, for a MONAI dataset.

    Args:
        plan: Names the cases.
        root: Folder that the plan's relative paths are meant from.

    Returns:
        Per case ``case``, ``image`` (one path per channel) and ``label``.

    Example:
        >>> from unet_med.training.plan import TrainingCase
        >>> cases = [TrainingCase(name, (f"{name}.nii",), f"{name}_seg.nii", name) for name in "ab"]
        >>> plan = TrainingPlan(tuple(cases), validation=("b",), steps=100)
        >>> validation_data(plan, "data")
        [{'case': 'b', 'image': ['data/b.nii'], 'label': 'data/b_seg.nii'}]
    """
    cases = plan.validation_cases[rank() :: world_size()]
    return [
        {
            "case": case.id,
            "image": [str(Path(root) / path) for path in case.images],
            "label": str(Path(root) / case.label),
        }
        for case in cases
    ]


class CaseCounter:
    """Count true and false voxels of every case that an evaluator segments.

    Example:
        >>> from unet_med.bundle import default_bundle
        >>> from unet_med.recipe import Recipe
        >>> from unet_med.training.target_encoding import TargetEncoding
        >>> recipe = Recipe.load(default_bundle() / "configs/recipe.json")
        >>> plan = TrainingPlan.load(default_bundle() / PLAN)
        >>> counter = CaseCounter(TargetEncoding.from_recipe(recipe, plan), recipe)
        >>> counter.add("a", np.full((2, 3, 4), 1), np.full((2, 3, 4), 2))
        >>> counter.counts["a"]  # true positives, false positives, false negatives per label
        ([0, 0, 0], [24, 0, 0], [0, 24, 0])
    """

    def __init__(self, encoding: TargetEncoding, recipe: Recipe) -> None:
        """Start with no case."""
        self.encoding = encoding
        self.labels = tuple(recipe.labels)
        self.counts: dict[str, Counts] = {}

    def attach(self, engine: Engine) -> None:
        """Start anew with every epoch of the evaluator, count after every case."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _reset(self, _engine: Engine) -> None:
        self.counts = {}

    def __call__(self, engine: Engine) -> None:
        """Count the cases of a batch."""
        for item, result in zip(engine.state.batch, engine.state.output, strict=True):
            self.add(item["case"], np.asarray(result["pred"])[0], np.asarray(result["label"])[0])

    def add(self, case: str, predicted: np.ndarray, reference: np.ndarray) -> None:
        """Count one case, both (i, j, k); ignored voxels count for nothing."""
        codes = self.encoding.encode(reference, name=f"the labels of {case}")
        predicted = np.where(codes == IGNORE_INDEX, 0, predicted)
        counts = slice_counts(predicted, self.encoding.to_labels(codes), labels=self.labels)
        tp, fp, fn = (sums.tolist() for sums in counts.sums())
        self.counts[case] = (tp, fp, fn)


def case_dice(counts: dict[str, Counts], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return the volume Dice per case and label name, of all processes' cases in all of them.

    NaN where a label is in neither mask.
    """
    together: dict[str, Counts] = {}
    for part in all_gather(counts):
        together |= part
    names = list(recipe.labels.values())
    result = {}
    for case in sorted(together):
        tp, fp, fn = (np.array(column) for column in together[case])
        result[case] = dict(zip(names, dice(tp, fp, fn).tolist(), strict=True))
    return result


def mean_dice(scores: dict[str, dict[str, float]]) -> float:
    """Return the mean over labels, then over cases, NaN left out; NaN of nothing."""
    per_case = [_mean(list(labels.values())) for labels in scores.values()]
    return _mean(per_case)


def label_means(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the mean over cases of each label, without labels that no case has."""
    names = dict.fromkeys(name for labels in scores.values() for name in labels)
    means = {name: _mean([labels[name] for labels in scores.values()]) for name in names}
    return {name: value for name, value in means.items() if not np.isnan(value)}


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
