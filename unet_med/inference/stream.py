"""The stream: slices in, logits or labels out, one batch in memory at a time.

A slice that holds one value throughout is run once, however many follow each other.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference.logits import labels_from_logits
from unet_med.inference.profiling import StageTimer
from unet_med.preprocessing import context_indices

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Slices = NDArray[np.float32]
    from collections.abc import Iterable, Iterator

    from unet_med.backends import SlicePredictor
    from unet_med.inference.pipeline import SlicePipeline
    from unet_med.inference.slices import SliceSource
    from unet_med.recipe import Recipe

    Batch = tuple[int, NDArray[np.float32]]
    Result = Callable[[], NDArray[np.float32]]
    OnLabels = Callable[[int, NDArray[np.float32], NDArray[np.unsignedinteger]], None]


class ConstantSliceCache:
    """Runs a network, but equal constant slices only once.

    A slice is constant when each of its channels, context slices included, is one value throughout:
    air set to zero, padding, what was cut away. Equal inputs give equal logits on backends whose
    logits do not depend on the batch, so nothing changes, bit for bit. The last constant slice is
    remembered. Margins are another matter: a network sees where a slice ends, so one that is cut
    to its content gives other logits; nothing is cut.
    """

    def __init__(self) -> None:
        self._cache: dict[bytes, Slices] = {}

    @staticmethod
    def contains_constant(slices: Slices) -> bool:
        """Tell whether one of the slices (N, C, H, W) is constant."""
        return any(_constant_values(item) is not None for item in slices)

    def run(self, slices: Slices, run: Callable[[Slices], Slices]) -> Slices:
        """Return the logits of slices.

        Args:
            slices: (N, C, H, W) float32.
            run: (n, C, H, W) to logits (n, K, H, W), n ≥ 1; called at most once.
        """
        keys = [_constant_values(item) for item in slices]
        asked = [
            n
            for n, key in enumerate(keys)
            if key is None or (key not in self._cache and key not in keys[:n])
        ]
        if len(asked) == len(slices):
            logits = run(slices)
            self._remember(keys, logits)
            return logits
        computed = iter(run(slices[asked]) if asked else ())
        known, found = dict(self._cache), []
        for n, key in enumerate(keys):
            item = next(computed) if n in asked else known[key or b""]
            found.append(item)
            if key is not None:
                known[key] = item
        logits = np.stack(found)
        self._remember(keys, logits)
        return logits

    def _remember(self, keys: list[bytes | None], logits: Slices) -> None:
        constant = [(key, n) for n, key in enumerate(keys) if key is not None]
        if constant and constant[-1][0] not in self._cache:
            key, n = constant[-1]
            self._cache = {key: logits[n].copy()}


def _constant_values(item: Slices) -> bytes | None:
    """Return the values of a slice's channels (C, H, W) if each is one; else ``None``."""
    first = item[:, 0, 0]
    middle = item[:, item.shape[1] // 2].T  # tells most slices, corners often do not
    if not (middle == first).all() or not (item == first[:, None, None]).all():
        return None
    return first.tobytes()


def iter_batches(
    source: SliceSource, pipeline: SlicePipeline, *, timer: StageTimer | None = None
) -> Iterator[Batch]:
    """Yield (first slice, what the network is to see) batch by batch, in the file's own order.

    Each slice is read and resampled once; context slices are kept while they are needed.

    Args:
        source: The scan's slices.
        pipeline: The steps around the network.
        timer: Takes the time of stage ``read``.

    Yields:
        Index of the first slice and slices (n, C·context, H', W') float32.
    """
    timer = timer or StageTimer()
    n_slices = source.n_slices
    ready: dict[int, NDArray[np.float32]] = {}
    step = pipeline.slices_per_step
    for start in range(0, n_slices, step):
        stop = min(start + step, n_slices)
        with timer.stage("read"):
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
    timer: StageTimer | None = None,
    asynchronous: bool = True,
) -> Iterator[Batch]:
    """Yield (first slice, logits (n, K, H, W) float32 on the scan's own grid) batch by batch.

    Constant slices are run once where logits do not depend on the batch; see
    `ConstantSliceCache`. There an asynchronous network is given the next batch before the last
    one's logits are taken.

    Args:
        batches: From ``iter_batches``.
        pipeline: The steps around the network.
        predictor: The network.
        timer: Takes the times of stages ``network`` and ``restore``.
        asynchronous: Whether the network may begin the next batch meanwhile.
    """
    timer = timer or StageTimer()
    run, submit = _network_calls(pipeline, predictor, asynchronous=asynchronous)
    pending: deque[tuple[int, Result]] = deque()  # two at the most

    def collect(start: int, result: Result) -> Batch:
        with timer.stage("network"):
            logits = result()
        with timer.stage("restore"):
            return start, pipeline.resampler.to_native(logits)

    try:
        for start, batch in batches:
            with timer.stage("network"):
                result = submit(batch)
            if result is not None:
                pending.append((start, result))
            while len(pending) > (0 if result is None else 1):
                yield collect(*pending.popleft())
            if result is None:
                yield collect(start, partial(run, batch))
        while pending:
            yield collect(*pending.popleft())
    finally:
        for _, result in pending:  # left early: nothing may go on running
            with suppress(Exception):
                result()


def _network_calls(
    pipeline: SlicePipeline, predictor: SlicePredictor, *, asynchronous: bool
) -> tuple[Callable[[Slices], Slices], Callable[[Slices], Result | None]]:
    """Return what runs a batch, and what submits one or returns nothing where it must be run."""
    run = partial(pipeline.run_network, predictor=predictor)
    if not pipeline.batch_invariant:
        return run, lambda _: None
    cache = ConstantSliceCache()

    def submit(batch: Slices) -> Result | None:
        if not asynchronous or cache.contains_constant(batch):
            return None
        return pipeline.submit_network(batch, predictor)

    return partial(cache.run, run=run), submit


def iter_labels(
    logits: Iterable[Batch],
    recipe: Recipe,
    *,
    timer: StageTimer | None = None,
    on_labels: OnLabels | None = None,
) -> Iterator[tuple[int, NDArray[np.unsignedinteger]]]:
    """Yield (first slice, labels (n, H, W)) batch by batch.

    Args:
        logits: From ``iter_logits``.
        recipe: Says which value each channel stands for.
        timer: Takes the times of stages ``labels`` and ``quality``.
        on_labels: Is shown (first slice, logits, labels) of every batch, and changes nothing.
    """
    timer = timer or StageTimer()
    values = tuple(recipe.labels)
    for start, batch in logits:
        with timer.stage("labels"):
            labels = labels_from_logits(batch, values, activation=recipe.activation)
        if on_labels is not None:
            with timer.stage("quality"):
                on_labels(start, batch, labels)
        del batch  # its memory is wanted for the next one
        yield start, labels
