"""Compute slice-wise Dice as a MONAI metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import convert_to_numpy

from unet_med.errors import GeometryError, LabelError
from unet_med.metrics import (
    EmptyPolicy,
    SliceCounts,
    integer_labels,
    slice_counts,
    slice_dice_mean,
    unique_labels,
    volume_dice,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Reduction = Literal["mean", "mean_batch", "none"]

_VOLUME_AXES = 3


class SliceDiceMetric(CumulativeIterationMetric):  # type: ignore[misc]  # MONAI is untyped
    """Volume Dice and slice means from voxel counts per slice.

    Takes what `monai.metrics.DiceMetric` takes: one-hot masks (B, C, spatial…), label maps
    (B, 1, spatial…) with ``num_classes``, one of each, or lists of the same without B. Where a
    mask holds a class the volume Dice equals DiceMetric's; unlike there, false positives in a
    case whose reference lacks the class score 0 and are not left out. A class in neither mask
    is NaN and left out of means; a mean of nothing is NaN.

    Cases may have different numbers of slices. The buffer holds one row per slice, so results
    of several processes gather as MONAI's do.

    Args:
        include_background: Whether class 0 is scored; ignored for one channel without
            ``num_classes``, where 1 is the only class.
        num_classes: Classes of label maps, the background included.
        slice_dim: Spatial axis that slices are stacked along; 2D images are one slice each.
        reduction: Of `aggregate`: ``mean`` over classes, then cases; ``mean_batch`` over cases,
            one value per class; ``none``, shape (cases, classes).

    Example:
        >>> metric = SliceDiceMetric(num_classes=2, include_background=False)
        >>> mask = torch.zeros(1, 1, 3, 4, 2)
        >>> mask[..., 0] = 1
        >>> _ = metric(mask, mask)
        >>> metric.aggregate().item()
        1.0
        >>> metric.aggregate_slices(EmptyPolicy.ZERO).item()
        0.5
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        num_classes: int | None = None,
        slice_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.include_background = include_background
        self.num_classes = num_classes
        self.slice_dim = slice_dim
        self.reduction = reduction
        _check_reduction(reduction)

    def aggregate(self, reduction: Reduction | None = None) -> torch.Tensor:
        """Return the volume Dice, from the counts summed over slices, float64."""
        return _reduced(self._per_case(volume_dice), reduction or self.reduction)

    def aggregate_slices(
        self, empty: EmptyPolicy | str = EmptyPolicy.SKIP, *, reduction: Reduction | None = None
    ) -> torch.Tensor:
        """Return the mean over slices of each case, under a named policy, float64.

        Args:
            empty: What a slice without the class in either mask counts for.
            reduction: Over classes and cases; the metric's by default.
        """
        policy = EmptyPolicy(empty)
        scores = self._per_case(lambda counts: slice_dice_mean(counts, policy))
        return _reduced(scores, reduction or self.reduction)

    def get_buffer(self) -> torch.Tensor | None:
        """Return the volume Dice per case and class, which MONAI's handlers save as details."""
        return self._per_case(volume_dice) if self.case_counts() else None

    def case_counts(self) -> list[SliceCounts]:
        """Return the counts of each case so far, of all processes."""
        rows = super().get_buffer()
        if rows is None:
            return []
        table = convert_to_numpy(rows)
        starts = np.flatnonzero(table[:, 0, 0] == 0)[1:]  # slice 0 begins a case
        return [SliceCounts(case[:, 1], case[:, 2], case[:, 3]) for case in np.split(table, starts)]

    def _per_case(self, score: Callable[[SliceCounts], NDArray[np.float64]]) -> torch.Tensor:
        cases = [score(counts) for counts in self.case_counts()]
        return torch.from_numpy(np.stack(cases)) if cases else torch.full((1, 1), torch.nan)

    def _compute_tensor(  # the name and signature that MONAI calls
        self,
        y_pred: torch.Tensor,
        y: torch.Tensor | None = None,
        **_kwargs: Any,  # noqa: ANN401
    ) -> torch.Tensor:
        """Return rows (slices of all cases, 4, classes) int64: slice index, tp, fp, fn."""
        if y is None:
            msg = "SliceDiceMetric compares with a reference: pass y"
            raise ValueError(msg)
        if y_pred.shape[0] != y.shape[0] or y_pred.shape[2:] != y.shape[2:]:
            msg = (
                f"prediction {tuple(y_pred.shape)} and reference {tuple(y.shape)} differ in batch "
                "or spatial shape; invert the transforms or resample first"
            )
            raise GeometryError(msg)
        predictions, references = convert_to_numpy(y_pred), convert_to_numpy(y)
        pairs = zip(predictions, references, strict=True)
        return torch.cat([self._rows(prediction, true) for prediction, true in pairs])

    def _rows(self, prediction: NDArray[Any], reference: NDArray[Any]) -> torch.Tensor:
        """Count one case, (C, spatial…) each."""
        first, second = self._slices_first(prediction), self._slices_first(reference)
        n_channels = max(len(first), len(second))
        if n_channels == 1 and self.num_classes is None:
            masks = [_binary(one[0], what) for one, what in _named(first, second)]
            counts = slice_counts(masks[0], masks[1], labels=[1])
        else:
            n_classes = self.num_classes if n_channels == 1 else n_channels
            counts = self._count_classes(first, second, n_classes=n_classes or n_channels)
        index = np.broadcast_to(np.arange(counts.n_slices)[:, None], counts.tp.shape)
        return torch.from_numpy(np.stack([index, counts.tp, counts.fp, counts.fn], axis=1))

    def _count_classes(
        self, prediction: NDArray[Any], reference: NDArray[Any], *, n_classes: int
    ) -> SliceCounts:
        classes = range(0 if self.include_background else 1, n_classes)
        if not classes:
            msg = "the background is the only class: set include_background or num_classes"
            raise ValueError(msg)
        if len(prediction) == len(reference) == 1:
            maps = [
                _label_map(one[0], n_classes, what) for one, what in _named(prediction, reference)
            ]
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

    def _slices_first(self, mask: NDArray[Any]) -> NDArray[Any]:
        """View (C, spatial…) as (C, slices, rest…)."""
        if mask.ndim <= _VOLUME_AXES:  # a 2D image
            return mask[:, np.newaxis]
        n_spatial = mask.ndim - 1
        if not -n_spatial <= self.slice_dim < n_spatial:
            msg = f"slice_dim {self.slice_dim} is no axis of {n_spatial} spatial ones"
            raise ValueError(msg)
        return np.moveaxis(mask, 1 + self.slice_dim % n_spatial, 1)


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


def _reduced(scores: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    _check_reduction(reduction)
    if reduction == "none":
        return scores
    if reduction == "mean_batch":
        return scores.nanmean(dim=0)
    return scores.nanmean(dim=1).nanmean()


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "mean_batch", "none"):
        msg = f"reduction {reduction!r} is unknown; use mean, mean_batch or none"
        raise ValueError(msg)
