"""Test-time mirroring: the same slices mirrored, run, mirrored back and averaged."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from unet_med.geometry import world_axes
from unet_med.inference.averaging import MeanLogits
from unet_med.recipe import MIRROR_AXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from unet_med.geometry import Geometry, SliceLayout

    Logits = NDArray[np.float32]
    Mirror = tuple[bool, bool]

AS_IS: tuple[Mirror, ...] = ((False, False),)
"""No mirroring: every slice is run once."""


def slice_mirrors(
    tta: Sequence[str], geometry: Geometry, layout: SliceLayout
) -> tuple[Mirror, ...]:
    """Return which (rows, columns) are mirrored in each run of a slice; the first is as it is.

    Every combination of the axes that lie in the slice is run; axes across it are left out.

    Args:
        tta: Anatomical axes from the recipe.
        geometry: The scan's grid; an oblique array axis counts as the world axis nearest to it.
        layout: How the scan is cut into slices.

    Example:
        >>> from unet_med.geometry import Geometry, slice_layout
        >>> grid = Geometry((4, 5, 6), np.eye(4))
        >>> slice_mirrors(["left-right"], grid, slice_layout(grid, "axial"))
        ((False, False), (False, True))
    """
    assigned, _ = world_axes(geometry.voxel_to_world)
    named = [MIRROR_AXES[assigned[axis]] in tta for axis in layout.axes[1:]]
    rows, columns = ((False, True) if mirrored else (False,) for mirrored in named)
    return tuple(product(rows, columns))


def mirrored(slices: Logits, mirror: Mirror) -> Logits:
    """View slices (..., H, W) mirrored; doing it again undoes it."""
    rows, columns = (slice(None, None, -1 if flip else 1) for flip in mirror)
    return slices[..., rows, columns]


def predict_mirrored(
    slices: Logits,
    predict: Callable[[Logits], Logits],
    *,
    mirrors: Sequence[Mirror],
    batch: int,
    activation: str,
) -> Logits:
    """Run slices as they are and mirrored, and average the probabilities.

    Args:
        slices: (N, C, H, W) float32.
        predict: (n, C, H, W) float32 to logits (n, K, H, W) float32.
        mirrors: From ``slice_mirrors``; one alone returns the plain logits.
        batch: Slices, mirrored ones counted each, given to the predictor at once.
        activation: ``softmax`` or ``sigmoid``.

    Returns:
        Logits (N, K, H, W) float32 of the mean probabilities.
    """
    if len(mirrors) == 1:
        return predict(slices)
    if len(mirrors) * len(slices) <= batch:
        logits = predict(stack_mirrored(slices, mirrors))
        return mean_of_mirrored(logits, mirrors, activation=activation)
    jobs = [(mirror, n) for mirror in mirrors for n in range(len(slices))]
    means = [MeanLogits(activation) for _ in slices]
    for first in range(0, len(jobs), batch):
        part = jobs[first : first + batch]
        logits = predict(np.stack([mirrored(slices[n], mirror) for mirror, n in part]))
        for (mirror, n), item in zip(part, logits, strict=True):
            means[n].add(mirrored(item, mirror)[np.newaxis])
    return np.concatenate([mean.logits() for mean in means])


def stack_mirrored(slices: Logits, mirrors: Sequence[Mirror]) -> Logits:
    """Return all slices (N, C, H, W) mirrored in the first way, in the second, and so on."""
    return np.concatenate([mirrored(slices, mirror) for mirror in mirrors])


def mean_of_mirrored(logits: Logits, mirrors: Sequence[Mirror], *, activation: str) -> Logits:
    """Return the logits (N, K, H, W) of the mean over what was run as `stack_mirrored` gives it."""
    mean = MeanLogits(activation)
    for mirror, part in zip(mirrors, np.split(logits, len(mirrors)), strict=True):
        mean.add(mirrored(part, mirror))
    return mean.logits()
