"""How many slices go into one network call, within a memory budget."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med.inference.pipeline import SlicePipeline
    from unet_med.recipe import Recipe

DEFAULT_MEMORY_GB = 1.0
"""Budget where the user names none; then one slice is run in any case."""

BATCH_INVARIANT = frozenset({"openvino"})
"""Backends whose logits do not depend on the batch, so that a budget may choose it.

A larger batch than `PIXELS_PER_BATCH` gains nothing there. Processor time per slice of 192×192,
sizes (16, 32, 64, 128), bf16, one thread: batch 1 43.3 ms, 2 41.6, 4 41.9, 8 41.8, 16 41.6.
"""

_MAPS_PER_CHANNEL = 7
"""Full-size maps that a call holds per channel of the network's first level.

Measured as growth of resident memory per slice in OpenVINO fp32, sizes (16, 32, 64, 128),
192×192: 17 MB, which is 7.2 maps for each of 16 channels, logits included.
"""

_BYTES = 4  # float32


def fit_batch(
    pipeline: SlicePipeline, recipe: Recipe, *, backend: str, memory_gb: float | None
) -> SlicePipeline:
    """Return the pipeline with the batch that a budget allows, and whether labels depend on it.

    Args:
        pipeline: With its usual batch, which is never exceeded.
        recipe: Says how large the network is.
        backend: One that is not in `BATCH_INVARIANT` keeps the usual batch.
        memory_gb: What slices, activations and logits may take at once, in 10⁹ bytes; the
            program, its libraries and the weights are not part of it. ``None`` = 1 GB, or one
            slice.

    Raises:
        InputError: Not even the smallest batch fits.
    """
    budget = (DEFAULT_MEMORY_GB if memory_gb is None else memory_gb) * 1e9
    fixed, each = _needed_bytes(pipeline, recipe)
    fitting = int((budget - fixed) // each)
    smallest = 1 if backend in BATCH_INVARIANT else pipeline.batch_size
    if fitting < smallest and memory_gb is not None:
        needed = math.ceil((fixed + smallest * each) / 1e7) / 100
        msg = (
            f"a budget of {memory_gb:g} GB is too small: slices of this scan need {needed:.2f} GB "
            f"at least; use --memory-gb {needed:.2f} or more, or leave it out"
        )
        raise InputError(msg)
    batch = max(smallest, min(pipeline.batch_size, fitting))
    return replace(pipeline, batch_size=batch, batch_invariant=backend in BATCH_INVARIANT)


def check_memory(memory_gb: float | None) -> None:
    """Refuse budgets that are no amount of memory.

    Raises:
        InputError: It is no number, not above 0, or not finite.
    """
    if memory_gb is not None and not _is_amount(memory_gb):
        msg = f"memory must be a number of gigabytes above 0, got {memory_gb!r}"
        raise InputError(msg)


def _is_amount(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < math.inf


def _needed_bytes(pipeline: SlicePipeline, recipe: Recipe) -> tuple[int, int]:
    """Return what is needed whatever the batch, and for each of its slices or windows."""
    network = recipe.network
    shape = pipeline.resampler.network_shape
    native, whole = math.prod(pipeline.resampler.shape), math.prod(shape)
    maps = _MAPS_PER_CHANNEL * network.sizes[0] + 3 * network.out_channels
    # Slices wait while others are run: two batches ahead, two with the network, one being made. Of
    # logits one batch is in use, one is made, there before and after resampling, and one begun.
    around = 5 * network.in_channels * whole + 4 * network.out_channels * native
    if not pipeline.window.is_needed(shape):
        return 0, _BYTES * (maps * whole + around)
    window = math.prod(min(sides) for sides in zip(pipeline.window.size, shape, strict=True))
    blended = 2 * network.out_channels * whole
    n_slices = pipeline.slices_per_step
    return _BYTES * n_slices * (around + blended), _BYTES * maps * window
