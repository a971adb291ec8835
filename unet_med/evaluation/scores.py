"""Keep the counts and surface metrics of one case, and the settings that they were taken with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import LabelError
from unet_med.metrics import ComponentCounts, SliceCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LabelKey = int | str
"""A label's value, or a region's key: its values joined by +, as in ``1+2+4``."""


DEFAULT_TOLERANCE_MM = 1.0


@dataclass(frozen=True, slots=True)
class LabelRegion:
    """Define a union of labels, scored like a label.

    Attributes:
        name: Name for the tables.
        values: Label values, at least one, distinct, none of them 0.

    Raises:
        LabelError: The name or the values are empty, or a value is repeated or 0.

    Example:
        >>> LabelRegion("whole tumor", (1, 2, 4)).key
        '1+2+4'
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name or not self.values or 0 in self.values:
            msg = f"a region needs a name and label values other than 0, got {self}"
            raise LabelError(msg)
        if len(set(self.values)) != len(self.values):
            msg = f"the region {self.name} repeats a label value: {list(self.values)}"
            raise LabelError(msg)

    @property
    def key(self) -> str:
        """Return what stands in the tables' ``label`` column.

        Example:
            >>> LabelRegion("core", (4, 1)).key
            '1+4'
        """
        return "+".join(str(value) for value in sorted(self.values))


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Choose what is measured beside the counts.

    Attributes:
        surface_metrics: Whether surface distances and components are measured. They need
            the box around all labels of both masks in memory; the counts need a few planes.
        tolerance_mm: Tolerance of the surface Dice.
        label_tolerances_mm: The same for single labels by value, or regions by name.
        regions: Unions of labels.

    Raises:
        LabelError: Regions are equal, or a tolerance is negative or of no region.

    Example:
        >>> metrics = MetricSettings(tolerance_mm=2.0, label_tolerances_mm={1: 0.5})
        >>> metrics.tolerance_of(1), metrics.tolerance_of(2)
        (0.5, 2.0)
    """

    surface_metrics: bool = True
    tolerance_mm: float = DEFAULT_TOLERANCE_MM
    label_tolerances_mm: Mapping[LabelKey, float] = field(default_factory=dict)
    regions: tuple[LabelRegion, ...] = ()

    def __post_init__(self) -> None:
        keys = [region.key for region in self.regions]
        if len(set(keys)) != len(keys):
            msg = f"two regions hold the same labels: {', '.join(keys)}; keep one of them"
            raise LabelError(msg)
        names = {region.name for region in self.regions}
        if len(names) != len(keys):
            msg = f"two regions have one name: {', '.join(r.name for r in self.regions)}"
            raise LabelError(msg)
        for value in (self.tolerance_mm, *self.label_tolerances_mm.values()):
            if not (math.isfinite(value) and value >= 0):
                msg = f"a tolerance is a distance in mm, 0 or more; got {value}"
                raise LabelError(msg)
        unknown = {key for key in self.label_tolerances_mm if isinstance(key, str)} - names
        if unknown:
            msg = f"a tolerance is given for {', '.join(sorted(unknown))}, which is no region"
            raise LabelError(msg)

    def tolerance_of(self, label: LabelKey) -> float:
        """Return the tolerance in mm of a label, or of a region by its key."""
        name = next((region.name for region in self.regions if region.key == label), label)
        return self.label_tolerances_mm.get(name, self.tolerance_mm)


class CaseStatus(StrEnum):
    """Say how a case of the references ended.

    Example:
        >>> str(CaseStatus.MISSING)
        'missing'
    """

    SCORED = "scored"
    MISSING = "missing"
    """It has no prediction and scores 0 for each label of its reference."""
    FAILED = "failed"
    """It could not be compared; it has no score and the reason is listed."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceMetrics:
    """Hold surface distances and components of one label; NaN where nothing can be measured.

    Attributes:
        hd95_mm: The larger directed 95th percentile of surface distances; infinite for a miss.
        hausdorff_mm: The largest surface distance; infinite for a miss.
        assd_mm: The mean surface distance; infinite for a miss.
        surface_dice: Share of both surfaces within the tolerance; 0 for a miss.
        tolerance_mm: That tolerance.
        components: Components of both masks.
        slice_hd95_mm: HD95 in the plane of each slice, shape (n_slices,).

    Example:
        >>> SurfaceMetrics.absent(40, tolerance_mm=1.0).hd95_mm
        nan
    """

    hd95_mm: float
    hausdorff_mm: float
    assd_mm: float
    surface_dice: float
    tolerance_mm: float
    components: ComponentCounts
    slice_hd95_mm: NDArray[np.float64] = field(repr=False)

    @classmethod
    def absent(cls, n_slices: int, *, tolerance_mm: float) -> SurfaceMetrics:
        """Return the metrics of a label that neither mask holds."""
        nothing = float("nan")
        return cls(
            nothing,
            nothing,
            nothing,
            nothing,
            tolerance_mm,
            ComponentCounts(),
            np.full(n_slices, np.nan),
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CaseScores:
    """Hold the counts of one case, from which every score follows.

    Attributes:
        case: Id of the case.
        slice_axis: ``axial``, ``coronal`` or ``sagittal``: what the slices are.
        positions_mm: RAS+ coordinate of each slice along the slice axis, shape (n_slices,), in
            the order of the reference file's array.
        voxel_ml: Volume of one voxel in milliliters.
        pixel_mm2: Area of one voxel in the plane of a slice in mm².
        labels: Label values, then regions, the columns of ``counts``.
        counts: Voxel counts, shape (n_slices, n_labels).
        reference_values: Values other than 0 in the reference.
        prediction_values: The same of the prediction; None when there is no prediction.
        label_names: Names by value, as the reference carries them, else the prediction.
        metrics: What was measured beside the counts.
        surface_metrics: Metrics of every label that a mask holds; empty when not measured.

    Example:
        >>> from unet_med.evaluation import score_volumes
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.diag([1, 1, 3, 1]))
        >>> scores = score_volumes(mask, mask, case="a")
        >>> scores
        CaseScores('a', scored, 1 axial slice; labels: 1)
        >>> scores.counts.tp.tolist(), scores.surface_metrics_of(1).hd95_mm
        ([[6]], 0.0)
    """

    case: str
    slice_axis: str
    positions_mm: NDArray[np.float64]
    voxel_ml: float
    pixel_mm2: float
    labels: tuple[LabelKey, ...]
    counts: SliceCounts
    reference_values: frozenset[int]
    prediction_values: frozenset[int] | None
    label_names: Mapping[int, str] = field(default_factory=dict)
    metrics: MetricSettings = field(default_factory=MetricSettings)
    surface_metrics: Mapping[LabelKey, SurfaceMetrics] = field(default_factory=dict)

    def __repr__(self) -> str:
        n_slices = self.counts.n_slices
        slices = f"{n_slices} {self.slice_axis} slice{'s' * (n_slices != 1)}"
        return f"CaseScores({self.case!r}, {self.status}, {slices}; {labels_text(self.labels)})"

    @property
    def status(self) -> CaseStatus:
        """Return scored, or missing when there is no prediction."""
        return CaseStatus.MISSING if self.prediction_values is None else CaseStatus.SCORED

    def surface_metrics_of(self, label: LabelKey) -> SurfaceMetrics:
        """Return the metrics of a label, also of one that neither mask holds."""
        if label in self.surface_metrics:
            return self.surface_metrics[label]
        tolerance_mm = self.metrics.tolerance_of(label)
        return SurfaceMetrics.absent(self.counts.n_slices, tolerance_mm=tolerance_mm)

    def with_labels(self, labels: Sequence[LabelKey]) -> CaseScores:
        """Return the case with these columns; a label that neither mask holds has counts of 0."""
        chosen = SliceCounts.zeros(self.counts.n_slices, len(labels))
        for column, label in enumerate(labels):
            if label in self.labels:
                source = self.labels.index(label)
                chosen.tp[:, column] = self.counts.tp[:, source]
                chosen.fp[:, column] = self.counts.fp[:, source]
                chosen.fn[:, column] = self.counts.fn[:, source]
        return replace(self, labels=tuple(labels), counts=chosen)


@dataclass(frozen=True, slots=True)
class FailedCase:
    """Name a case that could not be compared.

    Attributes:
        case: Id of the case.
        error: One line: what is wrong, what was found, what to do.

    Example:
        >>> FailedCase("a", "the grids of prediction and reference differ").case
        'a'
    """

    case: str
    error: str


@dataclass(frozen=True, slots=True)
class ExtraPrediction:
    """Name a prediction without a reference; it is listed, not scored.

    Attributes:
        case: Id of the prediction.
        nearest: Ids of references without a prediction whose names are alike.

    Example:
        >>> ExtraPrediction("patient1", nearest=("patient_1",)).nearest
        ('patient_1',)
    """

    case: str
    nearest: tuple[str, ...] = ()


MOST_LISTED = 8
"""Labels that a ``repr`` lists: it stays on one line."""


def labels_text(labels: Sequence[LabelKey]) -> str:
    """Return labels as text, only the first few of many.

    Example:
        >>> labels_text([1, 2, "1+2"])
        'labels: 1, 2, 1+2'
    """
    dots = f", … ({len(labels)})" if len(labels) > MOST_LISTED else ""
    return "labels: " + (", ".join(map(str, labels[:MOST_LISTED])) or "none") + dots
