"""Every score per case and label: its column, how it is computed, which way is better.

A new score is one more `Measure`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.metrics import (
    EmptyPolicy,
    SliceState,
    relative_volume_error,
    slice_dice_mean,
    slice_dice_median,
    slice_states,
    volume_dice,
    volume_iou,
    volume_precision,
    volume_recall,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from unet_med.evaluation.records import CaseScores, LabelShape
    from unet_med.evaluation.settings import MetricSettings

    Values = Callable[[CaseScores, EmptyPolicy], NDArray[Any]]


class Better(StrEnum):
    """Which values of a score are the good ones."""

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "nearest to zero"


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of cases.csv.

    Attributes:
        name: Column name; ``{empty}`` stands for the policy the values follow.
        of: Function of the case and the policy; values per label, shape (n_labels,).
        better: Which values are good; None for a number that is no score and is not averaged.
    """

    name: str
    of: Values
    better: Better | None = None

    def column(self, policy: EmptyPolicy) -> str:
        """Return the column's name under a policy."""
        return self.name.format(empty=policy)


def _in_state(state: SliceState) -> Values:
    def count(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.asarray((slice_states(case.counts) == state).sum(axis=0))

    return count


def _of_shape(value: Callable[[LabelShape], float]) -> Values:
    def values(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.array([value(case.shape_of(label)) for label in case.labels])

    return values


COUNT_MEASURES: tuple[Measure, ...] = (
    Measure("tp", lambda case, _: case.counts.tp.sum(axis=0)),
    Measure("fp", lambda case, _: case.counts.fp.sum(axis=0)),
    Measure("fn", lambda case, _: case.counts.fn.sum(axis=0)),
    Measure("volume_dice", lambda case, _: volume_dice(case.counts), Better.HIGHER),
    Measure(
        "reference_ml",
        lambda case, _: (case.counts.tp + case.counts.fn).sum(axis=0) * case.voxel_ml,
    ),
    Measure(
        "prediction_ml",
        lambda case, _: (case.counts.tp + case.counts.fp).sum(axis=0) * case.voxel_ml,
    ),
    *(Measure(f"n_{state}", _in_state(state)) for state in SliceState),
    Measure(
        "slice_dice_mean_{empty}",
        lambda case, empty: slice_dice_mean(case.counts, empty),
        Better.HIGHER,
    ),
    Measure(
        "slice_dice_median_{empty}",
        lambda case, empty: slice_dice_median(case.counts, empty),
        Better.HIGHER,
    ),
    Measure("iou", lambda case, _: volume_iou(case.counts), Better.HIGHER),
    Measure("precision", lambda case, _: volume_precision(case.counts), Better.HIGHER),
    Measure("recall", lambda case, _: volume_recall(case.counts), Better.HIGHER),
    Measure(
        "volume_error_ml",
        lambda case, _: (case.counts.fp - case.counts.fn).sum(axis=0) * case.voxel_ml,
        Better.ZERO,
    ),
    Measure(
        "volume_error_relative", lambda case, _: relative_volume_error(case.counts), Better.ZERO
    ),
)
"""What follows from the counts alone."""

SHAPE_MEASURES: tuple[Measure, ...] = (
    Measure("hd95_mm", _of_shape(lambda shape: shape.hd95_mm), Better.LOWER),
    Measure("hausdorff_mm", _of_shape(lambda shape: shape.hausdorff_mm), Better.LOWER),
    Measure("assd_mm", _of_shape(lambda shape: shape.assd_mm), Better.LOWER),
    Measure("surface_dice", _of_shape(lambda shape: shape.surface_dice), Better.HIGHER),
    Measure("tolerance_mm", _of_shape(lambda shape: shape.tolerance_mm)),
    Measure("reference_components", _of_shape(lambda shape: shape.components.reference)),
    Measure("prediction_components", _of_shape(lambda shape: shape.components.prediction)),
    Measure("detected_components", _of_shape(lambda shape: shape.components.detected)),
    Measure(
        "component_sensitivity",
        _of_shape(lambda shape: shape.components.sensitivity),
        Better.HIGHER,
    ),
    Measure(
        "false_positive_components",
        _of_shape(lambda shape: shape.components.false_positive),
        Better.LOWER,
    ),
)
"""What needs the shape of the label."""


def case_measures(metrics: MetricSettings) -> tuple[Measure, ...]:
    """Return the measures that these settings ask for, in the order of the columns."""
    return COUNT_MEASURES + SHAPE_MEASURES if metrics.shapes else COUNT_MEASURES
