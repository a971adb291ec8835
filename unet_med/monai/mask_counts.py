"""Count voxels of one-hot masks and label maps, slice by slice and class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import LabelError
from unet_med.metrics import SliceCounts, integer_labels, slice_counts, unique_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHANNEL_AND_IMAGE_AXES = 3


def slices_first(mask: NDArray[Any], slice_dim: int) -> NDArray[Any]:
    """View a mask (C, spatial…) as (C, slices, rest…); a 2D image is one slice.

    Args:
        mask: (C, rows, columns), or with one more spatial axis.
        slice_dim: Spatial axis that slices are stacked along, negative from the end.

    Raises:
        ValueError: There is no such axis.

    Example:
        >>> slices_first(np.zeros((2, 5, 4, 3)), -1).shape
        (2, 3, 5, 4)
    """
    if mask.ndim <= _CHANNEL_AND_IMAGE_AXES:
        return mask[:, np.newaxis]
    n_spatial = mask.ndim - 1
    if not -n_spatial <= slice_dim < n_spatial:
        msg = f"slice_dim {slice_dim} is no axis of {n_spatial} spatial ones"
        raise ValueError(msg)
    return np.moveaxis(mask, 1 + slice_dim % n_spatial, 1)


def count_masks(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    *,
    num_classes: int | None,
    include_background: bool,
) -> SliceCounts:
    """Count true and false voxels of one case per slice and class.

    Args:
        prediction: One-hot (C, slices, rest…), or a label map (1, slices, rest…).
        reference: Likewise; one may be one-hot and the other a label map.
        num_classes: Classes of label maps; None with one channel each = class 1 alone.
        include_background: Count class 0 too.

    Raises:
        LabelError: A mask holds other values than classes, or has too few channels.
        ValueError: The background is the only class.

    Example:
        >>> mask = np.eye(3)[np.newaxis, np.newaxis]
        >>> count_masks(mask, mask, num_classes=2, include_background=True).tp
        array([[6, 3]])
    """
    n_channels = max(len(prediction), len(reference))
    if n_channels == 1 and num_classes is None:
        masks = [_label_map(one[0], 2, what) for one, what in _named(prediction, reference)]
        return slice_counts(masks[0], masks[1], labels=[1])
    n_classes = n_channels if n_channels > 1 else num_classes or 1
    classes = range(0 if include_background else 1, n_classes)
    if not classes:
        msg = "the background is the only class: set include_background or num_classes"
        raise ValueError(msg)
    if n_channels == 1:
        maps = [_label_map(one[0], n_classes, what) for one, what in _named(prediction, reference)]
        return slice_counts(maps[0], maps[1], labels=classes)
    parts = []
    for label in classes:
        one, other = (
            _channel(mask, label, n_classes=n_classes, what=what)
            for mask, what in _named(prediction, reference)
        )
        parts.append(slice_counts(one, other, labels=[1]))
    tp, fp, fn = (
        np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("tp", "fp", "fn")
    )
    return SliceCounts(tp, fp, fn)


def _named(
    prediction: NDArray[Any], reference: NDArray[Any]
) -> tuple[tuple[NDArray[Any], str], ...]:
    return (prediction, "prediction"), (reference, "reference")


def _channel(mask: NDArray[Any], label: int, *, n_classes: int, what: str) -> NDArray[Any]:
    """Return one class as a mask of 0 and 1."""
    if len(mask) == 1:
        one_class: NDArray[np.bool_] = np.equal(_label_map(mask[0], n_classes, what), label)
        return one_class
    if len(mask) != n_classes:
        msg = f"the {what} has {len(mask)} channels, not one per class ({n_classes}) nor one"
        raise LabelError(msg)
    return _binary(mask[label], what)


def _binary(mask: NDArray[Any], what: str) -> NDArray[Any]:
    """Refuse what MONAI would silently count as empty: 0/255 masks and probabilities."""
    return _label_map(mask, 2, what)


def _label_map(mask: NDArray[Any], n_classes: int, what: str) -> NDArray[Any]:
    labels = integer_labels(mask, name=f"the {what}")
    foreign = sorted(unique_labels(labels) - set(range(n_classes)))
    if foreign:
        msg = (
            f"the {what} holds the labels {foreign[:5]}, expected 0 to {n_classes - 1}; "
            "remap them, or set num_classes"
        )
        raise LabelError(msg)
    return labels
