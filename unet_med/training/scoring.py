"""Held-out cases: segmented whole, on their own grid, and scored by volume Dice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ignite.engine import Events

from unet_med.metrics import dice, slice_counts
from unet_med.training.codes import IGNORED
from unet_med.training.processes import gathered, rank, world

if TYPE_CHECKING:
    from ignite.engine import Engine

    from unet_med.recipe import Recipe
    from unet_med.training.codes import LabelCodes
    from unet_med.training.plan import TrainingPlan

Counts = tuple[list[int], list[int], list[int]]


def validation_data(plan: TrainingPlan, root: str | Path) -> list[dict[str, Any]]:
    """Return this process's share of the held-out cases, for a MONAI dataset."""
    cases = plan.validation_cases[rank() :: world()]
    return [
        {
            "case": case.id,
            "image": [str(Path(root) / path) for path in case.images],
            "label": str(Path(root) / case.label),
        }
        for case in cases
    ]


class CaseCounter:
    """Counts true and false voxels of every case that an evaluator segments."""

    def __init__(self, codes: LabelCodes, recipe: Recipe) -> None:
        """Start with no case."""
        self.codes = codes
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
        codes = self.codes.encode(reference, name=f"the labels of {case}")
        predicted = np.where(codes == IGNORED, 0, predicted)
        counts = slice_counts(predicted, self.codes.to_labels(codes), labels=self.labels)
        tp, fp, fn = (sums.tolist() for sums in counts.sums())
        self.counts[case] = (tp, fp, fn)


def case_dice(counts: dict[str, Counts], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return the volume Dice per case and label name, of all processes' cases in all of them.

    NaN where a label is in neither mask.
    """
    together: dict[str, Counts] = {}
    for part in gathered(counts):
        together |= part
    names = list(recipe.labels.values())
    result = {}
    for case in sorted(together):
        tp, fp, fn = (np.array(column) for column in together[case])
        result[case] = dict(zip(names, dice(tp, fp, fn=fn).tolist(), strict=True))
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
