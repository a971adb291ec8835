"""Counts of one case: two masks, read together plane by plane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import GeometryError, LabelError
from unet_med.evaluation.records import CaseScores
from unet_med.geometry import (
    Geometry,
    grid_difference,
    slice_layout,
    slice_position_mm,
    world_axes,
)
from unet_med.geometry.layout import ANATOMICAL_AXES
from unet_med.metrics import SliceCounts, label_values, present_values, slice_counts
from unet_med.volumes import open_volume
from unet_med.volumes.label_names import read_label_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.metrics.values import LabelArray
    from unet_med.volumes import Volume

SLOWEST_AXIS = 2
"""Array axis k: neighbours along it lie farthest apart in a file, so planes across it are read."""

SLAB_VOXELS = 2**20
"""Voxels read at a time, if a plane has fewer: four planes of 512 × 512, 4 MiB a mask."""

MAX_LABELS = 2000
"""More different values than this make no mask; whole-brain parcellations have a few hundred."""

_MM3_PER_ML = 1000.0


def evaluate_case(
    prediction: Path | None,
    reference: Path,
    *,
    labels: Sequence[int] | None = None,
    slice_axis: str = "thickest",
    case: str | None = None,
) -> CaseScores:
    """Count the overlap of two mask files per slice and label.

    Both files are read once, a plane at a time; memory does not grow with the number of planes.

    Args:
        prediction: Mask file; None when there is none: every reference voxel is then missed.
        reference: Mask file on the same grid.
        labels: Values to count; None for every value other than 0 that either mask holds.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest`` (of the reference).
        case: Id of the case; the reference's name by default.

    Returns:
        The case, ``labels`` in the order given or ascending.

    Raises:
        VolumeError: A file cannot be read.
        LabelError: A file holds no labels: several channels, NaN, fractions, too many values.
        GeometryError: The grids differ.
    """
    scores = score_volumes(
        None if prediction is None else open_volume(prediction),
        open_volume(reference),
        labels=labels,
        slice_axis=slice_axis,
        case=case or reference.name,
    )
    return with_carried_names(scores, reference, prediction)


def score_volumes(
    prediction: Volume | None,
    reference: Volume,
    *,
    labels: Sequence[int] | None = None,
    slice_axis: str = "thickest",
    case: str = "",
) -> CaseScores:
    """Count the overlap of two opened masks; see `evaluate_case`."""
    _check_pair(prediction, reference)
    geometry = reference.geometry
    axis = slice_layout(geometry, slice_axis).slice_axis
    tally = _Tally(geometry.shape[axis])
    for at, predicted, true in _slabs(prediction, reference):
        # A slab is planes across k; across another axis each of them holds a line per slice.
        rows = at if axis == SLOWEST_AXIS else slice(None)
        tally.add(np.moveaxis(predicted, axis, 0), np.moveaxis(true, axis, 0), rows=rows)
    scores = CaseScores(
        case=case,
        slice_axis=_anatomical_name(geometry, axis),
        positions_mm=_positions_mm(geometry, axis),
        voxel_ml=float(abs(np.linalg.det(geometry.voxel_to_world[:3, :3]))) / _MM3_PER_ML,
        labels=tuple(sorted(tally.counts)),
        counts=tally.slice_counts(),
        reference_values=frozenset(tally.reference_values - {0}),
        prediction_values=None if prediction is None else frozenset(tally.prediction_values - {0}),
    )
    return scores if labels is None else scores.with_labels(labels)


def with_carried_names(scores: CaseScores, *masks: Path | None) -> CaseScores:
    """Return the case with the label names of the first mask file that carries any."""
    carried = (read_label_names(mask) for mask in masks if mask is not None)
    return replace(scores, label_names=next((names for names in carried if names), {}))


class _Tally:
    """Counts that grow by one column whenever a new label turns up."""

    def __init__(self, n_slices: int) -> None:
        self.n_slices = n_slices
        self.counts: dict[int, NDArray[np.int64]] = {}
        self.prediction_values: set[int] = set()
        self.reference_values: set[int] = set()

    def add(self, predicted: LabelArray, true: LabelArray, *, rows: slice) -> None:
        """Add voxels (n, H, W) of the slices ``rows``."""
        in_prediction, in_reference = present_values(predicted), present_values(true)
        self.prediction_values |= in_prediction
        self.reference_values |= in_reference
        self._check_number()
        labels = sorted((in_prediction | in_reference) - {0})
        counts = slice_counts(predicted, true, labels=labels)
        for column, label in enumerate(labels):
            total = self.counts.setdefault(label, np.zeros((3, self.n_slices), np.int64))
            total[0, rows] += counts.tp[:, column]
            total[1, rows] += counts.fp[:, column]
            total[2, rows] += counts.fn[:, column]

    def slice_counts(self) -> SliceCounts:
        """Return the counts, labels ascending."""
        counts = SliceCounts.zeros(self.n_slices, len(self.counts))
        for column, (_, total) in enumerate(sorted(self.counts.items())):
            counts.tp[:, column], counts.fp[:, column], counts.fn[:, column] = total
        return counts

    def _check_number(self) -> None:
        held = {"prediction": self.prediction_values, "reference": self.reference_values}
        for name, values in held.items():
            if len(values) > MAX_LABELS:
                msg = (
                    f"the {name} holds more than {MAX_LABELS} different values: it looks like a "
                    "scan, not a mask; give the mask"
                )
                raise LabelError(msg)


def _slabs(
    prediction: Volume | None, reference: Volume
) -> Iterator[tuple[slice, LabelArray, LabelArray]]:
    """Yield ranges of planes with the labels of both masks, (i, j, planes) each."""
    rows, columns, n_planes = reference.geometry.shape
    step = max(1, SLAB_VOXELS // (rows * columns))
    for start in range(0, n_planes, step):
        stop = min(start + step, n_planes)
        true = _read_labels(reference, start, stop, role="reference")
        if prediction is None:
            predicted: LabelArray = np.zeros_like(true)
        else:
            predicted = _read_labels(prediction, start, stop, role="prediction")
        yield slice(start, stop), predicted, true


def _read_labels(mask: Volume, start: int, stop: int, *, role: str) -> LabelArray:
    slab = mask.read(start, stop, axis=SLOWEST_AXIS)[0]
    return label_values(slab, name=f"the {role} {mask.name}")


def _check_pair(prediction: Volume | None, reference: Volume) -> None:
    for role, mask in (("reference", reference), ("prediction", prediction)):
        if mask is not None and mask.n_channels != 1:
            msg = (
                f"the {role} {mask.name} has {mask.n_channels} channels or frames; a mask has one: "
                "save it as one label map, or one file per frame"
            )
            raise LabelError(msg)
    if prediction is None:
        return
    difference = grid_difference(prediction.geometry, reference.geometry)
    if difference:
        msg = (
            f"the grids of prediction and reference differ: {difference}; resample the "
            "prediction's scan or the reference first, scores are never taken across grids"
        )
        raise GeometryError(msg)


def _anatomical_name(geometry: Geometry, axis: int) -> str:
    world = world_axes(geometry.voxel_to_world)[0][axis]
    return next(name for name, along in ANATOMICAL_AXES.items() if along == world)


def _positions_mm(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    count = geometry.shape[axis]
    first = slice_position_mm(geometry, 0, axis=axis)
    last = slice_position_mm(geometry, count - 1, axis=axis)
    return np.linspace(first, last, count)
