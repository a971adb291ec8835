"""Gather the settings of an evaluation: slices, labels, metrics and their definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.errors import GeometryError, InputError, LabelError
from unet_med.evaluation.metric_columns import COUNT_METRICS, SURFACE_METRICS
from unet_med.evaluation.scores import MetricSettings
from unet_med.evaluation.statistics import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED
from unet_med.geometry import SLICE_AXIS_NAMES
from unet_med.metrics import EmptyPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unet_med.evaluation.metric_columns import MetricColumn

_EMPTY_WORDS = {
    EmptyPolicy.SKIP: "is left out",
    EmptyPolicy.ONE: "counts as 1",
    EmptyPolicy.ZERO: "counts as 0",
}


_FROM_COUNTS = {
    "slice_dice": "volume_dice of one slice; empty in slices.csv where the label is in neither "
    "mask",
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
    "miss": "where one mask is empty the distances are infinite: inf in the tables, null here "
    "and counted in n_infinite, never left out; the surface Dice is 0",
    "both_empty": "where both masks are empty distances and surface Dice are null",
    "mean_of_finite": "given only beside an n_infinite above 0; it flatters",
    "components": "voxels that touch by face, edge or corner; a component is detected, or not "
    "a false positive, when it shares at least one voxel with the other mask",
}


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Choose everything that decides what the tables say about given masks.

    Attributes:
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.
        empty: What a slice without the label in either mask counts for in means over slices.
        labels: Values to score; None for every value other than 0 that a mask holds.
        label_names: Names by value; they win over the names that masks carry.
        metrics: What is measured beside the counts: surfaces, components, regions.
        extra_metrics: Further columns of cases.csv, averaged in summary.json as the others are.

    Raises:
        GeometryError: The slice axis is unknown.
        LabelError: A label is repeated or 0.
        InputError: Two metrics have one name.

    Example:
        >>> settings = EvaluationSettings(labels=(1, 2), label_names={1: "liver", 2: "tumor"})
        >>> [column.name for column in settings.metric_columns][:4]
        ['tp', 'fp', 'fn', 'volume_dice']
        >>> settings.metric_notes["iou"]
        'tp / (tp + fp + fn); null where the label is in neither mask, 0 where in one'
    """

    slice_axis: str = "thickest"
    empty: EmptyPolicy = EmptyPolicy.SKIP
    labels: tuple[int, ...] | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)
    metrics: MetricSettings = field(default_factory=MetricSettings)
    extra_metrics: tuple[MetricColumn, ...] = ()

    def __post_init__(self) -> None:
        if self.slice_axis not in SLICE_AXIS_NAMES:
            known = ", ".join(SLICE_AXIS_NAMES)
            msg = f"slice axis {self.slice_axis!r} is unknown; use one of {known}"
            raise GeometryError(msg)
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            msg = f"labels must be distinct, got {list(self.labels)}"
            raise LabelError(msg)
        if self.labels is not None and 0 in self.labels:
            msg = f"0 is the background and has no score; leave it out of {list(self.labels)}"
            raise LabelError(msg)
        names = [one.name for one in self.metric_columns]
        if len(set(names)) != len(names):
            msg = f"two metrics have one name: {', '.join(names)}; give the new one another name"
            raise InputError(msg)

    @property
    def metric_columns(self) -> tuple[MetricColumn, ...]:
        """Metrics that these settings ask for, in the order of the columns of cases.csv."""
        surfaces = SURFACE_METRICS if self.metrics.surface_metrics else ()
        return (*COUNT_METRICS, *surfaces, *self.extra_metrics)

    @property
    def metric_notes(self) -> dict[str, str]:
        """Definition of each metric, and what it gives where masks are empty or missing."""
        notes = {one.name: one.note for one in self.metric_columns if one.note}
        means = f"a slice without the label in either mask {_EMPTY_WORDS[self.empty]}"
        notes |= _FROM_COUNTS
        notes["slice_means"] = f"{means} (columns that end in _{self.empty})"
        return {**notes, **_FROM_SURFACES} if self.metrics.surface_metrics else notes
