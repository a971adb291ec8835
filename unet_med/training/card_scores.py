"""The scores on a model card: Dice per label over patients, not over cases."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.evaluation.aggregate import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Dice of one label.

    Attributes:
        n_patients: Patients in which it is in the reference or the prediction.
        mean: Mean over patients of the mean of their cases; None without any.
        interval: 95 % bootstrap interval of the mean, patients drawn; None for fewer than two.
        lowest: The lowest case.
    """

    n_patients: int
    mean: float | None
    interval: tuple[float, float] | None
    lowest: float | None


def label_scores(
    scores: Mapping[str, Mapping[str, float | None]], plan: TrainingPlan
) -> dict[str, LabelScore]:
    """Return the Dice per label over patients.

    Args:
        scores: Case → label name → Dice.
        plan: Says which case is of whom.
    """
    patients = {case.id: case.patient for case in plan.cases}
    names = list(dict.fromkeys(name for of in scores.values() for name in of))
    return {
        name: _label_score({case: of.get(name) for case, of in scores.items()}, patients)
        for name in names
    }


def _label_score(by_case: Mapping[str, float | None], patients: Mapping[str, str]) -> LabelScore:
    by_patient: dict[str, list[float]] = defaultdict(list)
    for case, value in by_case.items():
        if value is not None:
            by_patient[patients.get(case, case)].append(value)
    means = np.array([np.mean(values) for values in by_patient.values()])
    if not means.size:
        return LabelScore(0, None, None, None)
    interval = bootstrap_interval(means)
    lowest = min(value for values in by_patient.values() for value in values)
    pair = None if interval is None else (interval[0], interval[1])
    return LabelScore(len(means), float(means.mean()), pair, float(lowest))
