"""Score one case: two masks, read together a few planes at a time."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import GeometryError, LabelError
from unet_med.evaluation.scores import CaseScores, MetricSettings
from unet_med.evaluation.surface_metrics import ForegroundCropper, compute_surface_metrics
from unet_med.geometry import (
    SLICE_ORIENTATIONS,
    Geometry,
    grid_difference,
    slice_layout,
    slice_position_mm,
    world_axes,
)
from unet_med.metrics import SliceCounts, integer_labels, slice_counts, unique_labels
from unet_med.volumes import open_volume
from unet_med.volumes.mask_header import read_label_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.evaluation.scores import LabelKey, LabelRegion
    from unet_med.metrics.labels import LabelArray
    from unet_med.volumes import Volume

logger = logging.getLogger(__name__)


SLOWEST_AXIS = 2
"""Array axis k: neighbors along it lie farthest apart in a file, so planes across it are read."""


CHUNK_VOXELS = 2**20
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
    the number of planes; surface metrics need the box around all labels
    (`MetricSettings.surface_metrics`).

    Args:
        prediction: Mask file; None when there is none: every reference voxel is then missed.
        reference: Mask file on the same grid.
        labels: Values to count; None for every value other than 0 that either mask holds.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest`` (of the reference).
        case: Id of the case; the reference's name by default.
        metrics: What is measured beside the counts; surface metrics by default.

    Returns:
        The case, ``labels`` in the order given or ascending, then regions.

    Raises:
        VolumeError: A file cannot be read.
        LabelError: A file holds no labels: several channels, NaN, fractions, too many values.
        GeometryError: The grids differ.

    Example:
        >>> import nibabel as nib
        >>> import tempfile
        >>> from pathlib import Path
        >>> mask = nib.Nifti1Image(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.nii")
        ...     nib.save(mask, path)
        ...     evaluate_case(path, path)
        CaseScores('a.nii', scored, 1 axial slice; labels: 1)
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
    return with_file_label_names(scores, reference, prediction)


def score_volumes(
    prediction: Volume | None,
    reference: Volume,
    *,
    labels: Sequence[int] | None = None,
    slice_axis: str = "thickest",
    case: str = "",
    metrics: MetricSettings | None = None,
) -> CaseScores:
    """Score two opened masks per slice and label.

    Args:
        prediction: Mask; None when there is none: every reference voxel is then missed.
        reference: Mask on the same grid.
        labels: Values to count; None for every value other than 0 that either mask holds.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest`` (of the reference).
        case: Id of the case.
        metrics: What is measured beside the counts; surface metrics by default.

    Raises:
        LabelError: A volume holds no labels.
        GeometryError: The grids differ.

    Example:
        >>> from unet_med.metrics import volume_dice
        >>> from unet_med.volumes import from_array
        >>> masks = np.zeros((2, 6, 5, 4), np.uint8)
        >>> masks[0, 1:3], masks[1, 1:5] = 1, 1
        >>> prediction, reference = (from_array(mask, np.eye(4)) for mask in masks)
        >>> volume_dice(score_volumes(prediction, reference).counts).round(3).tolist()
        [0.667]
    """
    _check_pair(prediction, reference)
    wanted = metrics or MetricSettings()
    geometry = reference.geometry
    axis = slice_layout(geometry, slice_axis).slice_axis
    counter = SliceCounter(geometry.shape[axis], regions=wanted.regions)
    cropper = ForegroundCropper()
    for at, predicted, true in _read_chunks(prediction, reference):
        # A chunk is planes across k; across another axis each of them holds a line per slice.
        rows = at if axis == SLOWEST_AXIS else slice(None)
        counter.add(np.moveaxis(predicted, axis, 0), np.moveaxis(true, axis, 0), rows=rows)
        if wanted.surface_metrics:
            cropper.add(predicted, true, start=at.start)
    values = counter.labels if labels is None else tuple(labels)
    columns: tuple[LabelKey, ...] = (*values, *(region.key for region in wanted.regions))
    edges = np.delete(geometry.voxel_to_world[:3, :3], axis, axis=1).T
    return CaseScores(
        case=case,
        slice_axis=_anatomical_name(geometry, axis),
        positions_mm=_positions_mm(geometry, axis),
        voxel_ml=geometry.voxel_ml,
        pixel_mm2=float(np.linalg.norm(np.cross(*edges))),
        labels=columns,
        counts=counter.slice_counts(columns),
        reference_values=frozenset(counter.reference_values - {0}),
        prediction_values=None
        if prediction is None
        else frozenset(counter.prediction_values - {0}),
        metrics=wanted,
        surface_metrics=compute_surface_metrics(
            cropper.result(), labels=values, metrics=wanted, geometry=geometry, axis=axis
        ),
    )


def with_file_label_names(scores: CaseScores, *masks: Path | None) -> CaseScores:
    """Return the case with the label names of the first mask file that carries any.

    Args:
        scores: The case.
        masks: Mask files, in the order they are asked.

    Example:
        >>> from unet_med.volumes import from_array
        >>> mask = from_array(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with_file_label_names(score_volumes(mask, mask), None).label_names
        {}
    """
    carried = (read_label_names(mask) for mask in masks if mask is not None)
    return replace(scores, label_names=next((names for names in carried if names), {}))


def _read_chunks(
    prediction: Volume | None, reference: Volume
) -> Iterator[tuple[slice, LabelArray, LabelArray]]:
    """Yield ranges of planes with the labels of both masks, (i, j, planes) each."""
    rows, columns, n_planes = reference.geometry.shape
    step = max(1, CHUNK_VOXELS // (rows * columns))
    for start in range(0, n_planes, step):
        stop = min(start + step, n_planes)
        true = _read_labels(reference, start, stop, role="reference")
        if prediction is None:
            predicted: LabelArray = np.zeros_like(true)
        else:
            predicted = _read_labels(prediction, start, stop, role="prediction")
        yield slice(start, stop), predicted, true


def _read_labels(mask: Volume, start: int, stop: int, *, role: str) -> LabelArray:
    chunk = mask.read(start, stop, axis=SLOWEST_AXIS)[0]
    return integer_labels(chunk, name=f"the {role} {mask.name}")


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
    return SLICE_ORIENTATIONS[world_axes(geometry.voxel_to_world)[0][axis]]


def _positions_mm(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    count = geometry.shape[axis]
    first = slice_position_mm(geometry, 0, axis=axis)
    last = slice_position_mm(geometry, count - 1, axis=axis)
    return np.linspace(first, last, count)


MAX_LABELS = 2000
"""More different values than this make no mask; whole-brain parcellations have a few hundred."""


class SliceCounter:
    """Counts that grow by one column whenever a new label turns up."""

    def __init__(self, n_slices: int, *, regions: Sequence[LabelRegion] = ()) -> None:
        self.n_slices = n_slices
        self.regions = tuple(regions)
        self.counts: dict[LabelKey, NDArray[np.int64]] = {}
        self.prediction_values: set[int] = set()
        self.reference_values: set[int] = set()

    @property
    def labels(self) -> tuple[int, ...]:
        """Values other than 0 seen so far, ascending."""
        return tuple(sorted((self.prediction_values | self.reference_values) - {0}))

    def add(self, predicted: LabelArray, true: LabelArray, *, rows: slice) -> None:
        """Add voxels (n, H, W) of the slices ``rows``."""
        in_prediction, in_reference = unique_labels(predicted), unique_labels(true)
        self.prediction_values |= in_prediction
        self.reference_values |= in_reference
        self._check_number()
        labels = sorted((in_prediction | in_reference) - {0})
        self._grow(labels, slice_counts(predicted, true, labels=labels), rows=rows)
        for region in self.regions:
            if not set(labels).isdisjoint(region.values):
                masks = (np.isin(one, region.values) for one in (predicted, true))
                self._grow([region.key], slice_counts(*masks, labels=[1]), rows=rows)

    def slice_counts(self, labels: Sequence[LabelKey]) -> SliceCounts:
        """Return the counts of labels and regions, 0 for those that never turned up."""
        counts = SliceCounts.zeros(self.n_slices, len(labels))
        for column, label in enumerate(labels):
            if label in self.counts:
                total = self.counts[label]
                counts.tp[:, column], counts.fp[:, column], counts.fn[:, column] = total
        return counts

    def _grow(self, labels: Sequence[LabelKey], counts: SliceCounts, *, rows: slice) -> None:
        for column, label in enumerate(labels):
            total = self.counts.setdefault(label, np.zeros((3, self.n_slices), np.int64))
            total[0, rows] += counts.tp[:, column]
            total[1, rows] += counts.fp[:, column]
            total[2, rows] += counts.fn[:, column]

    def _check_number(self) -> None:
        held = {"prediction": self.prediction_values, "reference": self.reference_values}
        for name, values in held.items():
            if len(values) > MAX_LABELS:
                msg = (
                    f"the {name} holds more than {MAX_LABELS} different values: it looks like a "
                    "scan, not a mask; give the mask"
                )
                raise LabelError(msg)
