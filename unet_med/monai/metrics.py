"""Compute Dice slice by slice as a MONAI metric, a drop-in for ``DiceMetric``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction, convert_to_numpy, look_up_option

from unet_med.errors import GeometryError
from unet_med.metrics import EmptyPolicy, SliceCounts, slice_dice_mean, volume_dice
from unet_med.monai.mask_counts import count_masks, slices_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Masks = torch.Tensor | Sequence[torch.Tensor]
    Reduced = torch.Tensor | dict[str, float]
    Aggregated = Reduced | tuple[Reduced, torch.Tensor]


class SliceDiceMetric(CumulativeIterationMetric):  # type: ignore[misc]  # MONAI is untyped
    """Compute volume Dice and slice means from voxel counts per slice.

    It takes what `monai.metrics.DiceMetric` takes, also by position. Masks are one-hot
    (B, C, spatial…) or label maps (B, 1, spatial…) with ``num_classes``, one of each, or lists of
    the same without B. A call returns the volume Dice of its own cases, shape (B, classes).

    What a case counts for that lacks the class:

    ============================  ================  ===================  ===================
    reference, prediction         ``None`` (ours)   ``True`` (MONAI's)   ``False`` (MONAI's)
    ============================  ================  ===================  ===================
    class only in the prediction  0                 left out             0
    class in neither              left out          left out             1
    mean of nothing               NaN               0                    0
    ============================  ================  ===================  ===================

    ``True`` is the default of ``DiceMetric``. It hides every false positive in a case whose
    reference lacks the class: a network that finds a tumor in each healthy scan loses nothing.
    ``True`` and ``False`` give ``DiceMetric``'s own tables, float32.

    Two things differ from ``DiceMetric``. Probabilities and masks of 0 and 255 are refused, not
    counted. ``per_component`` and ``ignore_index`` do not exist. Cases may have different numbers
    of slices; results of several processes gather as MONAI's do.

    Args:
        include_background: Score class 0 too. One channel without ``num_classes`` has class 1
            alone.
        reduction: ``mean`` over classes, then cases; ``mean_batch``, ``sum_batch`` over cases;
            ``mean_channel``, ``sum_channel`` over classes; ``sum`` over both; ``none``.
        get_not_nans: Return ``(result, not_nans)``: also the number of values that counted.
        ignore_empty: ``None`` is the rule of this package, see the table.
        num_classes: Classes of label maps, the background included.
        return_with_label: Return a dictionary by ``label_0``, ``label_1``…, or by these names.
            As in MONAI it has an effect with ``reduction="mean_batch"`` alone.
        slice_dim: Spatial axis that slices are stacked along; a 2D image is one slice.

    Raises:
        ValueError: There is no such reduction.

    Example:
        >>> metric = SliceDiceMetric(num_classes=2, include_background=False)
        >>> mask = torch.zeros(1, 1, 3, 4, 2)
        >>> mask[..., 0] = 1
        >>> metric(mask, mask)
        tensor([[1.]], dtype=torch.float64)
        >>> metric.aggregate().item()
        1.0
        >>> metric.aggregate_slices(EmptyPolicy.ZERO).item()
        0.5
    """

    def __init__(  # noqa: PLR0913 - DiceMetric's signature
        self,
        include_background: bool = True,  # noqa: FBT001, FBT002 - DiceMetric's signature
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,  # noqa: FBT001, FBT002 - DiceMetric's signature
        ignore_empty: bool | None = None,  # noqa: FBT001 - DiceMetric's signature
        num_classes: int | None = None,
        return_with_label: bool | list[str] = False,  # noqa: FBT001, FBT002 - DiceMetric's signature
        *,
        slice_dim: int = -1,
    ) -> None:
        super().__init__()
        self.include_background = include_background
        self.reduction = look_up_option(reduction, MetricReduction)
        self.get_not_nans = get_not_nans
        self.ignore_empty = ignore_empty
        self.num_classes = num_classes
        self.return_with_label = return_with_label
        self.slice_dim = slice_dim

    def __call__(self, y_pred: Masks, y: Masks | None = None, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401 - MONAI's signature
        """Count a batch, keep the counts, and return its volume Dice (B, classes).

        Args:
            y_pred: Predicted masks, (B, C, spatial…), or a list of (C, spatial…).
            y: Reference masks of the same spatial shape.
            **kwargs: Ignored, as in MONAI.

        Raises:
            GeometryError: The shapes differ.
            LabelError: A mask holds other values than classes, or has too few channels.
        """
        rows = super().__call__(y_pred, y, **kwargs)
        return self._table(_cases(rows), self._volume_dice).to(rows.device)

    def aggregate(self, reduction: MetricReduction | str | None = None) -> Aggregated:
        """Return the volume Dice, from the counts summed over slices.

        Args:
            reduction: Over classes and cases; the metric's by default.

        Raises:
            ValueError: No case was counted, and ``ignore_empty`` is MONAI's.
        """
        return self._aggregated(self._volume_dice, reduction)

    def aggregate_slices(
        self,
        empty: EmptyPolicy | str = EmptyPolicy.SKIP,
        *,
        reduction: MetricReduction | str | None = None,
    ) -> Aggregated:
        """Return the mean over slices of each case, under a named policy.

        Args:
            empty: What a slice without the class in either mask counts for; ``ignore_empty``
                has no effect here.
            reduction: Over classes and cases; the metric's by default.
        """
        policy = EmptyPolicy(empty)
        return self._aggregated(lambda counts: slice_dice_mean(counts, policy), reduction)

    def get_buffer(self) -> torch.Tensor | None:
        """Return the volume Dice per case and class, which MONAI's handlers save as details."""
        cases = self.case_counts()
        return self._table(cases, self._volume_dice) if cases else None

    def case_counts(self) -> list[SliceCounts]:
        """Return the counts of each case so far, of all processes."""
        rows = super().get_buffer()
        return [] if rows is None else _cases(rows)

    def _volume_dice(self, counts: SliceCounts) -> NDArray[np.float64]:
        """Return the Dice per class of one case, by the rule of ``ignore_empty``."""
        dice = volume_dice(counts)
        if self.ignore_empty is None:
            return dice
        if not self.ignore_empty:
            return np.where(np.isnan(dice), 1.0, dice)
        n_reference = (counts.tp + counts.fn).sum(axis=0)
        return np.where(n_reference == 0, np.nan, dice)

    def _table(
        self, cases: Iterable[SliceCounts], score: Callable[[SliceCounts], NDArray[np.float64]]
    ) -> torch.Tensor:
        """Return scores (cases, classes): float64, or float32 where the rule is MONAI's."""
        table = torch.from_numpy(np.stack([score(counts) for counts in cases]))
        return table if self.ignore_empty is None else table.float()

    def _aggregated(
        self,
        score: Callable[[SliceCounts], NDArray[np.float64]],
        reduction: MetricReduction | str | None,
    ) -> Aggregated:
        used = look_up_option(reduction or self.reduction, MetricReduction)
        cases = self.case_counts()
        if not cases and self.ignore_empty is not None:
            msg = "there is nothing to aggregate: call the metric on a batch first"
            raise ValueError(msg)
        table = self._table(cases, score) if cases else torch.full((1, 1), torch.nan)
        reduce = _reduced if self.ignore_empty is None else do_metric_reduction
        scores, not_nans = reduce(table, used)
        result: Reduced = scores
        if self.return_with_label and self.reduction == used == MetricReduction.MEAN_BATCH:
            result = {
                name: round(value.item(), 4)
                for name, value in zip(self._names(len(scores)), scores, strict=False)
            }
        return (result, not_nans) if self.get_not_nans else result

    def _names(self, n_classes: int) -> list[str]:
        if isinstance(self.return_with_label, list):
            return self.return_with_label
        first = 0 if self.include_background else 1
        return [f"label_{first + n}" for n in range(n_classes)]

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
        rows = torch.cat([self._rows(prediction, true) for prediction, true in pairs])
        return rows.to(y_pred.device)  # where processes gather: NCCL takes no CPU tensors

    def _rows(self, prediction: NDArray[Any], reference: NDArray[Any]) -> torch.Tensor:
        """Count one case, (C, spatial…) each."""
        counts = count_masks(
            slices_first(prediction, self.slice_dim),
            slices_first(reference, self.slice_dim),
            num_classes=self.num_classes,
            include_background=self.include_background,
        )
        index = np.broadcast_to(np.arange(counts.n_slices)[:, None], counts.tp.shape)
        return torch.from_numpy(np.stack([index, counts.tp, counts.fp, counts.fn], axis=1))


def _cases(rows: torch.Tensor) -> list[SliceCounts]:
    """Split rows (slices of all cases, 4, classes) into cases."""
    table = convert_to_numpy(rows)
    starts = np.flatnonzero(table[:, 0, 0] == 0)[1:]  # slice 0 begins a case
    return [SliceCounts(case[:, 1], case[:, 2], case[:, 3]) for case in np.split(table, starts)]


def _reduced(table: torch.Tensor, reduction: MetricReduction) -> tuple[torch.Tensor, torch.Tensor]:
    """Reduce scores (cases, classes) as MONAI does, but a mean of nothing stays NaN, float64."""
    present = ~table.isnan()
    if reduction == MetricReduction.NONE:
        return table, present.float()
    if reduction == MetricReduction.MEAN:
        return table.nanmean(dim=1).nanmean()[None], present.any(dim=1).sum().float()
    if reduction == MetricReduction.SUM:
        return table.nansum(), present.sum().float()
    kind, _, axis = reduction.value.partition("_")
    dim = 0 if axis == "batch" else 1
    combine = torch.nanmean if kind == "mean" else torch.nansum
    return combine(table, dim=dim), present.sum(dim=dim).float()
