"""The stream: slices in, logits or labels out, one batch in memory at a time."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference.blank import BlankSlices
from unet_med.inference.clock import StageClock
from unet_med.inference.labels import labels_from_logits
from unet_med.preprocessing import context_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor
    from unet_med.inference.pipeline import SlicePipeline
    from unet_med.inference.slices import SliceSource
    from unet_med.recipe import Recipe

    Batch = tuple[int, NDArray[np.float32]]
    Finish = Callable[[], NDArray[np.float32]]
    Watch = Callable[[int, NDArray[np.float32], NDArray[np.unsignedinteger]], None]


def iter_batches(
    source: SliceSource, pipeline: SlicePipeline, *, clock: StageClock | None = None
) -> Iterator[Batch]:
    """Yield (first slice, what the network is to see) batch by batch, in the file's own order.

    Each slice is read and resampled once; context slices are kept while they are needed.

    Args:
        source: The scan's slices.
        pipeline: The steps around the network.
        clock: Takes the time of stage ``read``.

    Yields:
        Index of the first slice and slices (n, C·context, H', W') float32.
    """
    clock = clock or StageClock()
    n_slices = source.n_slices
    ready: dict[int, NDArray[np.float32]] = {}
    step = pipeline.slices_per_step
    for start in range(0, n_slices, step):
        stop = min(start + step, n_slices)
        with clock.stage("read"):
            seen = [context_indices(i, pipeline.offsets, n_slices) for i in range(start, stop)]
            first, last = min(map(min, seen)), max(map(max, seen)) + 1
            for index in [index for index in ready if index < first]:
                del ready[index]
            unread = max(ready, default=first - 1) + 1
            if unread < last:
                slices = pipeline.resampler.to_network(source.read(unread, last))
                ready.update(zip(range(unread, last), slices, strict=True))
            batch = _stacked(seen, ready)
        yield start, batch


def _stacked(
    seen: list[tuple[int, ...]], ready: dict[int, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return slices (n, C·context, H', W'), each copied once to where it belongs."""
    n_channels, height, width = ready[seen[0][0]].shape
    batch = np.empty((len(seen), len(seen[0]), n_channels, height, width), np.float32)
    for n, indices in enumerate(seen):
        for m, index in enumerate(indices):
            batch[n, m] = ready[index]
    return batch.reshape(len(seen), -1, height, width)


def iter_logits(
    batches: Iterable[Batch],
    pipeline: SlicePipeline,
    predictor: SlicePredictor,
    *,
    clock: StageClock | None = None,
    ahead: bool = True,
) -> Iterator[Batch]:
    """Yield (first slice, logits (n, K, H, W) float32 on the scan's own grid) batch by batch.

    Blank slices are run once where logits do not depend on the batch; see `BlankSlices`. There a
    network that can go on by itself is given the next batch before the last one's logits are
    taken.

    Args:
        batches: From ``iter_batches``.
        pipeline: The steps around the network.
        predictor: The network.
        clock: Takes the times of stages ``network`` and ``restore``.
        ahead: Whether the network may begin the next batch meanwhile.
    """
    clock = clock or StageClock()
    network = _Network(pipeline, predictor, ahead=ahead)
    begun: deque[tuple[int, Finish]] = deque()  # two at the most

    def done(start: int, finish: Finish) -> Batch:
        with clock.stage("network"):
            logits = finish()
        with clock.stage("restore"):
            return start, pipeline.resampler.to_native(logits)

    try:
        for start, batch in batches:
            with clock.stage("network"):
                finish = network.begin(batch)
            if finish is not None:
                begun.append((start, finish))
            while len(begun) > (0 if finish is None else 1):
                yield done(*begun.popleft())
            if finish is None:
                yield done(start, partial(network.run, batch))
        while begun:
            yield done(*begun.popleft())
    finally:
        for _, finish in begun:  # left early: nothing may go on running
            with suppress(Exception):
                finish()


class _Network:
    """The network over the batches of one scan; blank slices are run once.

    Args:
        pipeline: The steps around the network.
        predictor: The network.
        ahead: Whether it may begin a batch before the last one's logits are taken.
    """

    def __init__(self, pipeline: SlicePipeline, predictor: SlicePredictor, *, ahead: bool) -> None:
        self._pipeline = pipeline
        self._predictor = predictor
        self._ahead = ahead and pipeline.batch_free
        self._blank = BlankSlices()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of a batch."""
        if not self._pipeline.batch_free:
            return self._pipeline.run_network(batch, self._predictor)
        return self._blank.run(
            batch, lambda part: self._pipeline.run_network(part, self._predictor)
        )

    def begin(self, batch: NDArray[np.float32]) -> Finish | None:
        """Begin a batch that goes on by itself and return what waits for it, or nothing."""
        if not self._ahead or self._blank.holds(batch):
            return None
        return self._pipeline.start_network(batch, self._predictor)


def iter_labels(
    logits: Iterable[Batch],
    recipe: Recipe,
    *,
    clock: StageClock | None = None,
    watch: Watch | None = None,
) -> Iterator[tuple[int, NDArray[np.unsignedinteger]]]:
    """Yield (first slice, labels (n, H, W)) batch by batch.

    Args:
        logits: From ``iter_logits``.
        recipe: Says which value each channel stands for.
        clock: Takes the times of stages ``labels`` and ``quality``.
        watch: Is shown (first slice, logits, labels) of every batch, and changes nothing.
    """
    clock = clock or StageClock()
    values = tuple(recipe.labels)
    for start, batch in logits:
        with clock.stage("labels"):
            labels = labels_from_logits(batch, values, activation=recipe.activation)
        if watch is not None:
            with clock.stage("quality"):
                watch(start, batch, labels)
        del batch  # its memory is wanted for the next one
        yield start, labels
