"""Settings of an evaluation: labels, regions, empty slices, what is measured beside the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med.errors import GeometryError, LabelError
from unet_med.geometry import SLICE_AXIS_NAMES
from unet_med.metrics import EmptyPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping


LabelKey = int | str
"""A label's value, or a region's key: its values joined by +, as in ``1+2+4``."""


DEFAULT_TOLERANCE_MM = 1.0


@dataclass(frozen=True, slots=True)
class LabelRegion:
    """A union of labels, scored like a label.

    Attributes:
        name: Name for the tables.
        values: Label values, at least one, distinct, none of them 0.
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
        """What stands in the tables' ``label`` column.

        Example:
            >>> LabelRegion("core", (4, 1)).key
            '1+4'
        """
        return "+".join(str(value) for value in sorted(self.values))


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What is measured beside the counts.

    Attributes:
        surface_metrics: Whether surface distances and components are measured. They need
            the box around all labels of both masks in memory; the counts need a few planes.
        tolerance_mm: Tolerance of the surface Dice.
        label_tolerances_mm: The same for single labels by value, or regions by name.
        regions: Unions of labels.
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


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Everything that decides what the tables say about given masks.

    Attributes:
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.
        empty: What a slice without the label in either mask counts for in means over slices.
        labels: Values to score; None for every value other than 0 that a mask holds.
        label_names: Names by value; they win over the names that masks carry.
        metrics: What is measured beside the counts: surfaces, components, regions.
    """

    slice_axis: str = "thickest"
    empty: EmptyPolicy = EmptyPolicy.SKIP
    labels: tuple[int, ...] | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)
    metrics: MetricSettings = field(default_factory=MetricSettings)

    def __post_init__(self) -> None:
        if self.slice_axis not in SLICE_AXIS_NAMES:
            names = ", ".join(SLICE_AXIS_NAMES)
            msg = f"slice axis {self.slice_axis!r} is unknown; use one of {names}"
            raise GeometryError(msg)
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            msg = f"labels must be distinct, got {list(self.labels)}"
            raise LabelError(msg)
        if self.labels is not None and 0 in self.labels:
            msg = f"0 is the background and has no score; leave it out of {list(self.labels)}"
            raise LabelError(msg)
