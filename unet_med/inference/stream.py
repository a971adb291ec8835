"""The stream: slices in, logits or labels out, one batch in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference.labels import labels_from_logits
from unet_med.preprocessing import context_indices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor
    from unet_med.inference.pipeline import SlicePipeline
    from unet_med.inference.slices import SliceSource
    from unet_med.recipe import Recipe


def iter_logits(
    source: SliceSource, pipeline: SlicePipeline, predictor: SlicePredictor
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first slice, logits) batch by batch, in ascending order.

    Args:
        source: The scan's slices.
        pipeline: The steps around the network.
        predictor: The network.

    Yields:
        Index of the first slice and logits (n, K, H, W) float32 on the scan's own grid.
    """
    n_slices = source.layout.n_slices(source.geometry)
    ready: dict[int, NDArray[np.float32]] = {}
    for start in range(0, n_slices, pipeline.batch):
        stop = min(start + pipeline.batch, n_slices)
        seen = [context_indices(i, pipeline.offsets, n_slices) for i in range(start, stop)]
        first, last = min(map(min, seen)), max(map(max, seen)) + 1
        for index in [index for index in ready if index < first]:
            del ready[index]
        unread = max(ready, default=first - 1) + 1
        if unread < last:
            slices = pipeline.resampler.to_network(source.read(unread, last))
            ready.update(zip(range(unread, last), slices, strict=True))
        batch = np.stack([np.concatenate([ready[j] for j in indices]) for indices in seen])
        yield start, pipeline.logits(batch, predictor)


def iter_labels(
    source: SliceSource, pipeline: SlicePipeline, predictor: SlicePredictor, *, recipe: Recipe
) -> Iterator[tuple[int, NDArray[np.unsignedinteger]]]:
    """Yield (first slice, labels (n, H, W)) batch by batch, in ascending order."""
    values = tuple(recipe.labels)
    for start, logits in iter_logits(source, pipeline, predictor):
        yield start, labels_from_logits(logits, values, activation=recipe.activation)
