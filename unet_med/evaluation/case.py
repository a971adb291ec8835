"""Scores of one case: two masks, read together plane by plane."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import GeometryError, LabelError
from unet_med.evaluation.records import CaseScores
from unet_med.evaluation.settings import MetricSettings
from unet_med.evaluation.shapes import measure_shapes
from unet_med.evaluation.tally import Gatherer, Tally
from unet_med.geometry import (
    Geometry,
    grid_difference,
    slice_layout,
    slice_position_mm,
    world_axes,
)
from unet_med.geometry.layout import ANATOMICAL_AXES
from unet_med.metrics import label_values
from unet_med.volumes import open_volume
from unet_med.volumes.label_names import read_label_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.evaluation.settings import LabelKey
    from unet_med.metrics.values import LabelArray
    from unet_med.volumes import Volume

logger = logging.getLogger(__name__)

SLOWEST_AXIS = 2
"""Array axis k: neighbors along it lie farthest apart in a file, so planes across it are read."""

SLAB_VOXELS = 2**20
"""Voxels read at a time, if a plane has fewer: four planes of 512 × 512, 4 MiB a mask."""


def evaluate_case(
    prediction: Path | None,
    reference: Path,
    *,
    labels: Sequence[int] | None = None,
    slice_axis: str = "thickest",
    case: str | None = None,
    metrics: MetricSettings | None = None,
) -> CaseScores:
    """Score two mask files per slice and label.

    Both files are read once, a few planes at a time. For the counts memory does not grow with
    the number of planes; shapes need the box around all labels (`MetricSettings.shapes`).

    Args:
        prediction: Mask file; None when there is none: every reference voxel is then missed.
        reference: Mask file on the same grid.
        labels: Values to count; None for every value other than 0 that either mask holds.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest`` (of the reference).
        case: Id of the case; the reference's name by default.
        metrics: What is measured beside the counts; shapes by default.

    Returns:
        The case, ``labels`` in the order given or ascending, then regions.

    Raises:
        VolumeError: A file cannot be read.
        LabelError: A file holds no labels: several channels, NaN, fractions, too many values.
        GeometryError: The grids differ.
    """
    masks = [open_volume(path) for path in (reference, prediction) if path is not None]
    name = case or reference.name
    for doubt in dict.fromkeys(text for mask in masks for text in mask.warnings):
        logger.warning("%s: %s", name, doubt)
    scores = score_volumes(
        None if prediction is None else masks[1],
        masks[0],
        labels=labels,
        slice_axis=slice_axis,
        case=name,
        metrics=metrics,
    )
    return with_carried_names(scores, reference, prediction)


def score_volumes(
    prediction: Volume | None,
    reference: Volume,
    *,
    labels: Sequence[int] | None = None,
    slice_axis: str = "thickest",
    case: str = "",
    metrics: MetricSettings | None = None,
) -> CaseScores:
    """Score two opened masks; see `evaluate_case`."""
    _check_pair(prediction, reference)
    wanted = metrics or MetricSettings()
    geometry = reference.geometry
    axis = slice_layout(geometry, slice_axis).slice_axis
    tally = Tally(geometry.shape[axis], regions=wanted.regions)
    gatherer = Gatherer()
    for at, predicted, true in _slabs(prediction, reference):
        # A slab is planes across k; across another axis each of them holds a line per slice.
        rows = at if axis == SLOWEST_AXIS else slice(None)
        tally.add(np.moveaxis(predicted, axis, 0), np.moveaxis(true, axis, 0), rows=rows)
        if wanted.shapes:
            gatherer.add(predicted, true, start=at.start)
    values = tally.labels if labels is None else tuple(labels)
    columns: tuple[LabelKey, ...] = (*values, *(region.key for region in wanted.regions))
    edges = np.delete(geometry.voxel_to_world[:3, :3], axis, axis=1).T
    return CaseScores(
        case=case,
        slice_axis=_anatomical_name(geometry, axis),
        positions_mm=_positions_mm(geometry, axis),
        voxel_ml=geometry.voxel_ml,
        pixel_mm2=float(np.linalg.norm(np.cross(*edges))),
        labels=columns,
        counts=tally.slice_counts(columns),
        reference_values=frozenset(tally.reference_values - {0}),
        prediction_values=None if prediction is None else frozenset(tally.prediction_values - {0}),
        metrics=wanted,
        shapes=measure_shapes(
            gatherer.take(), labels=values, metrics=wanted, geometry=geometry, axis=axis
        ),
    )


def with_carried_names(scores: CaseScores, *masks: Path | None) -> CaseScores:
    """Return the case with the label names of the first mask file that carries any."""
    carried = (read_label_names(mask) for mask in masks if mask is not None)
    return replace(scores, label_names=next((names for names in carried if names), {}))


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
