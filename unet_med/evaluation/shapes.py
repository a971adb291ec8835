"""The shape of each label and region of a case: distances and components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.evaluation.records import LabelShape
from unet_med.metrics import (
    count_components,
    label_boxes,
    slice_hd95_mm,
    surface_distances,
    union_box,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from unet_med.evaluation.settings import LabelKey, MetricSettings
    from unet_med.geometry import Geometry
    from unet_med.metrics import Box
    from unet_med.metrics.values import LabelArray


def measure_shapes(
    gathered: tuple[tuple[int, int, int], LabelArray, LabelArray] | None,
    *,
    labels: Sequence[int],
    metrics: MetricSettings,
    geometry: Geometry,
    axis: int,
) -> dict[LabelKey, LabelShape]:
    """Measure every label and region that a mask holds, one after the other.

    Args:
        gathered: First index, prediction and reference of the box that holds all labels.
        labels: Values to measure.
        metrics: Tolerances and regions.
        geometry: Grid of the whole masks.
        axis: Array axis that slices are stacked along.
    """
    if gathered is None:
        return {}
    start, predicted, true = gathered
    groups: dict[LabelKey, tuple[int, ...]] = {label: (label,) for label in labels}
    groups.update({region.key: region.values for region in metrics.regions})
    values = sorted({value for group in groups.values() for value in group})
    boxes = label_boxes(predicted, true, labels=values)
    shapes: dict[LabelKey, LabelShape] = {}
    for key, group in groups.items():
        box = _box_of(group, boxes)
        if box is not None:
            masks = (_mask(predicted[box], group), _mask(true[box], group))
            shapes[key] = _shape(
                masks,
                geometry=geometry,
                axis=axis,
                first_slice=start[axis] + box[axis].start,
                tolerance_mm=metrics.tolerance_of(key),
            )
    return shapes


def _box_of(values: Sequence[int], boxes: Mapping[int, Box]) -> Box | None:
    held = [boxes[value] for value in values if value in boxes]
    return union_box(held) if held else None


def _mask(labels: LabelArray, values: tuple[int, ...]) -> NDArray[np.bool_]:
    if len(values) == 1:
        mask: NDArray[np.bool_] = np.equal(labels, values[0])
        return mask
    return np.isin(labels, values)


def _shape(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    *,
    geometry: Geometry,
    axis: int,
    first_slice: int,
    tolerance_mm: float,
) -> LabelShape:
    flat = [one for one, size in enumerate(geometry.shape) if size == 1]
    affine = geometry.voxel_to_world
    distances = surface_distances(*masks, voxel_to_world=affine, flat_axes=flat)
    in_plane = np.full(geometry.shape[axis], np.nan)
    here = slice(first_slice, first_slice + masks[0].shape[axis])
    in_plane[here] = slice_hd95_mm(*masks, axis=axis, voxel_to_world=affine)
    return LabelShape(
        hd95_mm=distances.hd95_mm,
        hausdorff_mm=distances.hausdorff_mm,
        assd_mm=distances.assd_mm,
        surface_dice=distances.surface_dice(tolerance_mm),
        tolerance_mm=tolerance_mm,
        components=count_components(*masks),
        slice_hd95_mm=in_plane,
    )
