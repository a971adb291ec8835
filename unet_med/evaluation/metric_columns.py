"""List every metric per case and label: column, function, better direction, note, title.

A new metric is one more `MetricColumn`, in `COUNT_METRICS`, `SURFACE_METRICS` or
``EvaluationSettings.extra_metrics``; see docs/how_to/add_a_metric.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.metrics import (
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

    from unet_med.evaluation.scores import CaseScores, SurfaceMetrics
    from unet_med.metrics import EmptyPolicy

    Values = Callable[[CaseScores, EmptyPolicy], NDArray[Any]]


class Better(StrEnum):
    """Say which values of a metric are the good ones.

    Example:
        >>> str(Better.LOWER)
        'lower'
    """

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "nearest to zero"


SHARE = (0.0, 1.0)
"""Limits of a metric that is a share."""


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """Define one metric: a column of cases.csv, statistics in summary.json, a note, a title.

    Attributes:
        name: Column name; ``{empty}`` stands for the policy the values follow.
        of: Function of the case and the policy; values per label, shape (n_labels,), NaN where
            there is no value.
        better: Which values are good; None for a number that is no score and is not averaged.
        note: Definition, and what empty masks give, for ``metric_notes`` of summary.json.
        title: Heading in the report, with ``{empty}`` as in ``name``; the name by default.
        limits: Smallest and largest possible value, where there are such.

    Example:
        >>> wrong = MetricColumn("wrong", lambda case, _: case.counts.fp.sum(axis=0), Better.LOWER)
        >>> wrong.name, wrong.title
        ('wrong', '')
    """

    name: str
    of: Values
    better: Better | None = None
    note: str = ""
    title: str = ""
    limits: tuple[float, float] | None = None

    def column(self, policy: EmptyPolicy) -> str:
        """Return the column's name under a policy."""
        return self.name.format(empty=policy)


def _in_state(state: SliceState) -> Values:
    def count(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.asarray((slice_states(case.counts) == state).sum(axis=0))

    return count


def _of_surface(value: Callable[[SurfaceMetrics], float]) -> Values:
    def values(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.array([value(case.surface_metrics_of(label)) for label in case.labels])

    return values


COUNT_METRICS: tuple[MetricColumn, ...] = (
    MetricColumn("tp", lambda case, _: case.counts.tp.sum(axis=0)),
    MetricColumn("fp", lambda case, _: case.counts.fp.sum(axis=0)),
    MetricColumn("fn", lambda case, _: case.counts.fn.sum(axis=0)),
    MetricColumn(
        "volume_dice",
        lambda case, _: volume_dice(case.counts),
        Better.HIGHER,
        "2·tp / (2·tp + fp + fn) from the counts summed over all slices of a case; null where "
        "the label is in neither mask",
        title="Dice",
        limits=SHARE,
    ),
    MetricColumn(
        "reference_volume_ml",
        lambda case, _: (case.counts.tp + case.counts.fn).sum(axis=0) * case.voxel_ml,
        title="reference, ml",
    ),
    MetricColumn(
        "prediction_volume_ml",
        lambda case, _: (case.counts.tp + case.counts.fp).sum(axis=0) * case.voxel_ml,
        title="prediction, ml",
    ),
    *(MetricColumn(f"n_{state}", _in_state(state)) for state in SliceState),
    MetricColumn(
        "slice_dice_mean_{empty}",
        lambda case, empty: slice_dice_mean(case.counts, empty),
        Better.HIGHER,
        title="slice Dice, mean (empty: {empty})",
        limits=SHARE,
    ),
    MetricColumn(
        "slice_dice_median_{empty}",
        lambda case, empty: slice_dice_median(case.counts, empty),
        Better.HIGHER,
        title="slice Dice, median (empty: {empty})",
        limits=SHARE,
    ),
    MetricColumn(
        "iou",
        lambda case, _: volume_iou(case.counts),
        Better.HIGHER,
        "tp / (tp + fp + fn); null where the label is in neither mask, 0 where in one",
        title="IoU",
        limits=SHARE,
    ),
    MetricColumn(
        "precision",
        lambda case, _: volume_precision(case.counts),
        Better.HIGHER,
        "tp / (tp + fp); null where the prediction is empty",
        limits=SHARE,
    ),
    MetricColumn(
        "recall",
        lambda case, _: volume_recall(case.counts),
        Better.HIGHER,
        "tp / (tp + fn); null where the reference is empty",
        limits=SHARE,
    ),
    MetricColumn(
        "volume_error_ml",
        lambda case, _: (case.counts.fp - case.counts.fn).sum(axis=0) * case.voxel_ml,
        Better.ZERO,
        "prediction minus reference",
        title="volume error, ml",
    ),
    MetricColumn(
        "relative_volume_error",
        lambda case, _: relative_volume_error(case.counts),
        Better.ZERO,
        "prediction minus reference, over the reference; null where the reference is empty",
        title="volume error, relative",
    ),
)
"""Metrics that follow from the counts alone."""


SURFACE_METRICS: tuple[MetricColumn, ...] = (
    MetricColumn(
        "hd95_mm",
        _of_surface(lambda surface: surface.hd95_mm),
        Better.LOWER,
        "the larger of the two directed 95th percentiles (linear interpolation)",
        title="HD95, mm",
    ),
    MetricColumn(
        "hausdorff_mm",
        _of_surface(lambda surface: surface.hausdorff_mm),
        Better.LOWER,
        "the largest distance in either direction",
        title="Hausdorff, mm",
    ),
    MetricColumn(
        "assd_mm",
        _of_surface(lambda surface: surface.assd_mm),
        Better.LOWER,
        "the mean over the surface voxels of both masks",
        title="ASSD, mm",
    ),
    MetricColumn(
        "surface_dice",
        _of_surface(lambda surface: surface.surface_dice),
        Better.HIGHER,
        "share of the surface voxels of both masks within tolerance_mm of the other",
        title="surface Dice",
        limits=SHARE,
    ),
    MetricColumn("tolerance_mm", _of_surface(lambda surface: surface.tolerance_mm)),
    MetricColumn("reference_components", _of_surface(lambda surface: surface.components.reference)),
    MetricColumn(
        "prediction_components", _of_surface(lambda surface: surface.components.prediction)
    ),
    MetricColumn("detected_components", _of_surface(lambda surface: surface.components.detected)),
    MetricColumn(
        "component_sensitivity",
        _of_surface(lambda surface: surface.components.sensitivity),
        Better.HIGHER,
        "detected components of the reference over all of them; null where it has none",
        limits=SHARE,
    ),
    MetricColumn(
        "false_positive_components",
        _of_surface(lambda surface: surface.components.false_positive),
        Better.LOWER,
    ),
)
"""Metrics that need surface distances or components of the label."""
