"""Describe what the engine draws batches from, and yield the steps of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

Batch = dict[str, torch.Tensor]


class BatchIndex(NamedTuple):
    """Name one batch of a run: what a sampler yields and a data set is indexed by.

    Attributes:
        step: Optimizer step, counted from 0.
        merge_validation: Draw from the cases held out for validation, too.

    Example:
        >>> BatchIndex(3)
        BatchIndex(step=3, merge_validation=False)
    """

    step: int
    merge_validation: bool = False


class BatchSource(Protocol):
    """Describe what the engine draws batches from; a train.yaml may name another one.

    Example:
        >>> class Blank:
        ...     slice_shape = (4, 6)
        ...     def __len__(self) -> int:
        ...         return 10
        ...     def __getitem__(self, index: BatchIndex) -> Batch:
        ...         return {"image": torch.zeros(2, 1, 4, 6), "label": torch.zeros(2, 4, 6)}
        >>> source: BatchSource = Blank()
        >>> source[BatchIndex(0)]["image"].shape
        torch.Size([2, 1, 4, 6])
    """

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Return the rows and columns of the largest slice."""

    def __len__(self) -> int:
        """Return the number of slices to draw from."""

    def __getitem__(self, index: BatchIndex) -> Batch:
        """Return this process's share of a batch, which depends on the index alone.

        Returns:
            ``image`` (b, context·C, H, W) float32 and ``label`` codes (b, H, W) uint8.
        """


class StepSampler(Sampler[BatchIndex]):
    """Yield the steps of one epoch after another, counted over the whole run.

    Example:
        >>> sampler = StepSampler(2, last_held_out_epoch=1)
        >>> sampler.set_epoch(1)
        >>> list(sampler)[0]
        BatchIndex(step=2, merge_validation=True)
    """

    def __init__(self, steps_per_epoch: int, *, last_held_out_epoch: int | None = None) -> None:
        """Start at epoch 0.

        Args:
            steps_per_epoch: Steps.
            last_held_out_epoch: Last epoch, counted from 1, without the cases held out;
                ``None`` = all.
        """
        self.steps_per_epoch = steps_per_epoch
        self.last_held_out_epoch = last_held_out_epoch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[BatchIndex]:
        """Yield the steps of the present epoch."""
        first = self.epoch * self.steps_per_epoch
        merged = self.last_held_out_epoch is not None and self.epoch >= self.last_held_out_epoch
        return (BatchIndex(step, merged) for step in range(first, first + self.steps_per_epoch))
