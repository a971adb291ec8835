"""Compute surface distances and connected components of each label and region of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.evaluation.scores import SurfaceMetrics
from unet_med.metrics import (
    count_components,
    label_boxes,
    slice_hd95_mm,
    surface_distances,
    union_box,
)
from unet_med.metrics.labels import downcast_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from unet_med.evaluation.scores import LabelKey, MetricSettings
    from unet_med.geometry import Geometry
    from unet_med.metrics import Box
    from unet_med.metrics.labels import LabelArray


class ForegroundCropper:
    """Keep the labels of both masks within the box that holds any, in 1, 2 or 4 bytes a voxel."""

    def __init__(self) -> None:
        self._parts: list[tuple[tuple[int, int, int], LabelArray, LabelArray]] = []

    def add(self, predicted: LabelArray, true: LabelArray, *, start: int) -> None:
        """Add planes (i, j, n) that begin at plane ``start``."""
        labeled = (predicted != 0) | (true != 0)
        box = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            held = np.flatnonzero(labeled.any(axis=others))
            if held.size == 0:
                return
            box.append(slice(int(held[0]), int(held[-1]) + 1))
        offset = (box[0].start, box[1].start, box[2].start + start)
        crops = [np.array(downcast_labels(one[tuple(box)])) for one in (predicted, true)]
        self._parts.append((offset, crops[0], crops[1]))

    def result(self) -> tuple[tuple[int, int, int], LabelArray, LabelArray] | None:
        """Return the first index of the box and both masks within it, and forget them.

        None when neither mask holds a label.
        """
        if not self._parts:
            return None
        offsets = np.array([offset for offset, _, _ in self._parts])
        ends = offsets + [true.shape for _, _, true in self._parts]
        first, shape = offsets.min(axis=0), ends.max(axis=0) - offsets.min(axis=0)
        dtype = np.result_type(*(one.dtype for _, *masks in self._parts for one in masks))
        both = tuple(np.zeros(shape, dtype) for _ in range(2))
        while self._parts:
            offset, *masks = self._parts.pop()
            where = tuple(
                slice(at - low, at - low + size)
                for at, low, size in zip(offset, first, masks[0].shape, strict=True)
            )
            for whole, part in zip(both, masks, strict=True):
                whole[where] = part
        start = (int(first[0]), int(first[1]), int(first[2]))
        return start, both[0], both[1]


def compute_surface_metrics(
    cropped: tuple[tuple[int, int, int], LabelArray, LabelArray] | None,
    *,
    labels: Sequence[int],
    metrics: MetricSettings,
    geometry: Geometry,
    axis: int,
) -> dict[LabelKey, SurfaceMetrics]:
    """Measure every label and region that a mask holds, one after the other.

    Args:
        cropped: First index, prediction and reference of the box that holds all labels.
        labels: Values to measure.
        metrics: Tolerances and regions.
        geometry: Grid of the whole masks.
        axis: Array axis that slices are stacked along.
    """
    if cropped is None:
        return {}
    start, predicted, true = cropped
    groups: dict[LabelKey, tuple[int, ...]] = {label: (label,) for label in labels}
    groups.update({region.key: region.values for region in metrics.regions})
    values = sorted({value for group in groups.values() for value in group})
    boxes = label_boxes(predicted, true, labels=values)
    surface_metrics: dict[LabelKey, SurfaceMetrics] = {}
    for key, group in groups.items():
        box = _box_of(group, boxes)
        if box is not None:
            masks = (_mask(predicted[box], group), _mask(true[box], group))
            surface_metrics[key] = _surface_metrics(
                masks,
                geometry=geometry,
                axis=axis,
                first_slice=start[axis] + box[axis].start,
                tolerance_mm=metrics.tolerance_of(key),
            )
    return surface_metrics


def _box_of(values: Sequence[int], boxes: Mapping[int, Box]) -> Box | None:
    held = [boxes[value] for value in values if value in boxes]
    return union_box(held) if held else None


def _mask(labels: LabelArray, values: tuple[int, ...]) -> NDArray[np.bool_]:
    if len(values) == 1:
        mask: NDArray[np.bool_] = np.equal(labels, values[0])
        return mask
    return np.isin(labels, values)


def _surface_metrics(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    *,
    geometry: Geometry,
    axis: int,
    first_slice: int,
    tolerance_mm: float,
) -> SurfaceMetrics:
    flat = [one for one, size in enumerate(geometry.shape) if size == 1]
    affine = geometry.voxel_to_world
    distances = surface_distances(*masks, voxel_to_world=affine, flat_axes=flat)
    in_plane = np.full(geometry.shape[axis], np.nan)
    here = slice(first_slice, first_slice + masks[0].shape[axis])
    in_plane[here] = slice_hd95_mm(*masks, axis=axis, voxel_to_world=affine)
    return SurfaceMetrics(
        hd95_mm=distances.hd95_mm,
        hausdorff_mm=distances.hausdorff_mm,
        assd_mm=distances.assd_mm,
        surface_dice=distances.surface_dice(tolerance_mm),
        tolerance_mm=tolerance_mm,
        components=count_components(*masks),
        slice_hd95_mm=in_plane,
    )
