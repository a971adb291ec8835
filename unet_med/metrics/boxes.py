"""Where labels lie: the smallest box around each, so that distances look at nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from unet_med.metrics.values import LabelArray, LabelCodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Box = tuple[slice, ...]


def label_boxes(
    prediction: LabelArray, reference: LabelArray, *, labels: Sequence[int]
) -> dict[int, Box]:
    """Return the smallest box that holds a label in both masks.

    Args:
        prediction: Label values, any shape.
        reference: Label values, same shape.
        labels: Distinct values.

    Returns:
        A box per label; a label in neither mask has none.

    Example:
        >>> label_boxes(np.array([0, 7, 0, 0]), np.array([0, 0, 7, 0]), labels=[7, 9])
        {7: (slice(1, 3, None),)}
    """
    codes = LabelCodes.of(labels)
    dtype = np.uint16 if codes.n_codes <= 1 << 16 else np.uint32
    boxes: dict[int, Box] = {}
    for mask in (prediction, reference):
        found = ndimage.find_objects(codes.encode(mask, dtype=dtype))
        for label, box in zip(codes.labels, found, strict=False):  # it stops at the last found
            if box is not None:
                boxes[label] = union_box([box, boxes.get(label, box)])
    return boxes


def union_box(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around boxes, of which there must be one."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
