"""Every metric per case and label: its column, how it is computed, which way is better.

A new metric is one more `MetricColumn`, and a note in `metric_notes` on what is empty, missing or
cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.evaluation.statistics import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
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

    from unet_med.evaluation.scores import CaseScores, SurfaceMetrics
    from unet_med.evaluation.settings import MetricSettings

    Values = Callable[[CaseScores, EmptyPolicy], NDArray[Any]]
    from unet_med.evaluation.settings import EvaluationSettings


class Better(StrEnum):
    """Which values of a score are the good ones."""

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "nearest to zero"


@dataclass(frozen=True, slots=True)
class MetricColumn:
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


def _of_surface(value: Callable[[SurfaceMetrics], float]) -> Values:
    def values(case: CaseScores, _policy: EmptyPolicy) -> NDArray[Any]:
        return np.array([value(case.surface_metrics_of(label)) for label in case.labels])

    return values


COUNT_METRICS: tuple[MetricColumn, ...] = (
    MetricColumn("tp", lambda case, _: case.counts.tp.sum(axis=0)),
    MetricColumn("fp", lambda case, _: case.counts.fp.sum(axis=0)),
    MetricColumn("fn", lambda case, _: case.counts.fn.sum(axis=0)),
    MetricColumn("volume_dice", lambda case, _: volume_dice(case.counts), Better.HIGHER),
    MetricColumn(
        "reference_volume_ml",
        lambda case, _: (case.counts.tp + case.counts.fn).sum(axis=0) * case.voxel_ml,
    ),
    MetricColumn(
        "prediction_volume_ml",
        lambda case, _: (case.counts.tp + case.counts.fp).sum(axis=0) * case.voxel_ml,
    ),
    *(MetricColumn(f"n_{state}", _in_state(state)) for state in SliceState),
    MetricColumn(
        "slice_dice_mean_{empty}",
        lambda case, empty: slice_dice_mean(case.counts, empty),
        Better.HIGHER,
    ),
    MetricColumn(
        "slice_dice_median_{empty}",
        lambda case, empty: slice_dice_median(case.counts, empty),
        Better.HIGHER,
    ),
    MetricColumn("iou", lambda case, _: volume_iou(case.counts), Better.HIGHER),
    MetricColumn("precision", lambda case, _: volume_precision(case.counts), Better.HIGHER),
    MetricColumn("recall", lambda case, _: volume_recall(case.counts), Better.HIGHER),
    MetricColumn(
        "volume_error_ml",
        lambda case, _: (case.counts.fp - case.counts.fn).sum(axis=0) * case.voxel_ml,
        Better.ZERO,
    ),
    MetricColumn(
        "relative_volume_error", lambda case, _: relative_volume_error(case.counts), Better.ZERO
    ),
)
"""What follows from the counts alone."""


SURFACE_METRICS: tuple[MetricColumn, ...] = (
    MetricColumn("hd95_mm", _of_surface(lambda surface: surface.hd95_mm), Better.LOWER),
    MetricColumn("hausdorff_mm", _of_surface(lambda surface: surface.hausdorff_mm), Better.LOWER),
    MetricColumn("assd_mm", _of_surface(lambda surface: surface.assd_mm), Better.LOWER),
    MetricColumn("surface_dice", _of_surface(lambda surface: surface.surface_dice), Better.HIGHER),
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
    ),
    MetricColumn(
        "false_positive_components",
        _of_surface(lambda surface: surface.components.false_positive),
        Better.LOWER,
    ),
)
"""What needs the shape of the label."""


def metric_columns(metrics: MetricSettings) -> tuple[MetricColumn, ...]:
    """Return the measures that these settings ask for, in the order of the columns."""
    return COUNT_METRICS + SURFACE_METRICS if metrics.surface_metrics else COUNT_METRICS


_EMPTY_WORDS = {
    EmptyPolicy.SKIP: "is left out",
    EmptyPolicy.ONE: "counts as 1",
    EmptyPolicy.ZERO: "counts as 0",
}


_FROM_COUNTS = {
    "volume_dice": "2·tp / (2·tp + fp + fn) from the counts summed over all slices of a case; "
    "null where the label is in neither mask",
    "slice_dice": "the same per slice; empty in slices.csv where the label is in neither mask",
    "iou": "tp / (tp + fp + fn); null where the label is in neither mask, 0 where in one",
    "precision": "tp / (tp + fp); null where the prediction is empty",
    "recall": "tp / (tp + fn); null where the reference is empty",
    "volume_error_ml": "prediction minus reference",
    "relative_volume_error": "prediction minus reference, over the reference; null where the "
    "reference is empty",
    "label_summary": "over the n cases that hold the label in one of the masks, missing "
    "predictions included; n_undefined counts the null ones; std is that of a sample",
    "ci95": "percentile bootstrap of the mean over cases, "
    f"{BOOTSTRAP_RESAMPLES} resamples, seed {BOOTSTRAP_SEED}; null for fewer than two cases",
    "missing": "a case without a prediction scores 0 for each label of its reference; its "
    "distances are infinite",
    "missing_label": "a label or region that no mask of the cohort holds has n = 0",
    "extra": "a prediction without a reference is listed, not scored",
    "unexpected_labels": "label values of a prediction that no reference holds and nobody named; "
    "they are scored like any other and listed",
    "failed": "a case that could not be compared is listed with the reason, not scored",
    "slice": "0-based index along the slice axis in the reference file's own array order",
    "position_mm": "RAS+ coordinate of the slice's center along the slice axis",
    "region": "the union of labels in both masks, scored as one label; its label is its values "
    "joined by +",
}


_FROM_SURFACES = {
    "surface": "voxels of the mask with a face neighbor outside it, the edge of the array "
    "included; in a slice, and in a volume of one slice, outlines within the plane",
    "distance": "between voxel centers in world millimeters, each surface voxel to the nearest "
    "of the other mask",
    "hd95_mm": "the larger of the two directed 95th percentiles (linear interpolation)",
    "hausdorff_mm": "the largest distance in either direction",
    "assd_mm": "the mean over the surface voxels of both masks",
    "surface_dice": "share of the surface voxels of both masks within tolerance_mm of the other",
    "miss": "where one mask is empty the distances are infinite: inf in the tables, null here "
    "and counted in n_infinite, never left out; the surface Dice is 0",
    "both_empty": "where both masks are empty distances and surface Dice are null",
    "mean_of_finite": "given only beside an n_infinite above 0; it flatters",
    "components": "voxels that touch by face, edge or corner; a component is detected, or not "
    "a false positive, when it shares at least one voxel with the other mask",
    "component_sensitivity": "detected components of the reference over all of them; null where "
    "it has none",
}


def metric_notes(settings: EvaluationSettings) -> dict[str, str]:
    """Return what each score means under these settings."""
    words = {
        **_FROM_COUNTS,
        "slice_means": "a slice without the label in either mask "
        f"{_EMPTY_WORDS[settings.empty]} (columns that end in _{settings.empty})",
    }
    return {**words, **_FROM_SURFACES} if settings.metrics.surface_metrics else words
