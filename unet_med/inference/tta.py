"""Test-time mirroring: the same slices mirrored, run, mirrored back and averaged."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from unet_med.geometry import ANATOMICAL_AXES, world_axes
from unet_med.inference.logits import MeanProbability

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry, SliceLayout

    Logits = NDArray[np.float32]
    Flip = tuple[bool, bool]

NO_FLIPS: tuple[Flip, ...] = ((False, False),)
"""No mirroring: every slice is run once."""


def slice_flips(tta: Sequence[str], geometry: Geometry, layout: SliceLayout) -> tuple[Flip, ...]:
    """Return which (rows, columns) are mirrored in each run of a slice; the first is as it is.

    Every combination of the axes that lie in the slice is run; axes across it are left out.

    Args:
        tta: Anatomical axes from the recipe.
        geometry: The scan's grid; an oblique array axis counts as the world axis nearest to it.
        layout: How the scan is cut into slices.

    Example:
        >>> from unet_med.geometry import Geometry, slice_layout
        >>> grid = Geometry((4, 5, 6), np.eye(4))
        >>> slice_flips(["left-right"], grid, slice_layout(grid, "axial"))
        ((False, False), (False, True))
    """
    assigned, _ = world_axes(geometry.voxel_to_world)
    named = [ANATOMICAL_AXES[assigned[axis]] in tta for axis in layout.axes[1:]]
    rows, columns = ((False, True) if allowed else (False,) for allowed in named)
    return tuple(product(rows, columns))


def flip_slices(slices: Logits, flip: Flip) -> Logits:
    """View slices (..., H, W) mirrored; doing it again undoes it."""
    rows, columns = (slice(None, None, -1 if flipped else 1) for flipped in flip)
    return slices[..., rows, columns]


def predict_with_tta(
    slices: Logits,
    predict: Callable[[Logits], Logits],
    *,
    flips: Sequence[Flip],
    batch_size: int,
    activation: str,
) -> Logits:
    """Run slices as they are and mirrored, and average the probabilities.

    Args:
        slices: (N, C, H, W) float32.
        predict: (n, C, H, W) float32 to logits (n, K, H, W) float32.
        flips: From ``slice_flips``; one alone returns the plain logits.
        batch_size: Slices, mirrored ones counted each, given to the predictor at once.
        activation: ``softmax`` or ``sigmoid``.

    Returns:
        Logits (N, K, H, W) float32 of the mean probabilities.
    """
    if len(flips) == 1:
        return predict(slices)
    if len(flips) * len(slices) <= batch_size:
        logits = predict(stack_flipped(slices, flips))
        return average_flipped(logits, flips, activation=activation)
    jobs = [(flip, n) for flip in flips for n in range(len(slices))]
    means = [MeanProbability(activation) for _ in slices]
    for first in range(0, len(jobs), batch_size):
        part = jobs[first : first + batch_size]
        logits = predict(np.stack([flip_slices(slices[n], flip) for flip, n in part]))
        for (flip, n), item in zip(part, logits, strict=True):
            means[n].add(flip_slices(item, flip)[np.newaxis])
    return np.concatenate([mean.logits() for mean in means])


def stack_flipped(slices: Logits, flips: Sequence[Flip]) -> Logits:
    """Return all slices (N, C, H, W) mirrored in the first way, in the second, and so on."""
    return np.concatenate([flip_slices(slices, flip) for flip in flips])


def average_flipped(logits: Logits, flips: Sequence[Flip], *, activation: str) -> Logits:
    """Return the logits (N, K, H, W) of the mean over what was run as `stack_flipped` gives it."""
    mean = MeanProbability(activation)
    for flip, part in zip(flips, np.split(logits, len(flips)), strict=True):
        mean.add(flip_slices(part, flip))
    return mean.logits()
