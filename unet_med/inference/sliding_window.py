"""Sliding-window inference within a slice: overlapping windows, their logits blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from unet_med.recipe.sliding_window import SlidingWindow

SIGMA_SCALE = 0.125
"""Gaussian sigma as a share of the window's side, as in MONAI and nnU-Net."""


MIN_WEIGHT = 1e-3
"""Smallest weight relative to the peak, so that a pixel seen by one corner only still counts."""


@dataclass(frozen=True, slots=True)
class Window:
    """A tile of a slice: rows [row, row + height), columns [column, column + width)."""

    row: int
    column: int
    height: int
    width: int

    def of(self, slices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the view (..., height, width) of slices (..., H, W)."""
        return slices[
            ..., self.row : self.row + self.height, self.column : self.column + self.width
        ]


def window_starts(length: int, size: int, overlap: float) -> list[int]:
    """Return ascending starts of windows that cover ``range(length)``; the last one is flush.

    Example:
        >>> window_starts(10, 4, 0.5)
        [0, 2, 4, 6]
        >>> window_starts(3, 4, 0.5)
        [0]
    """
    if length <= size:
        return [0]
    step = max(1, int(size * (1.0 - overlap)))
    return [*range(0, length - size, step), length - size]


def iter_windows(shape: tuple[int, int], settings: SlidingWindow) -> Iterator[Window]:
    """Yield the windows of a slice, row by row; a slice smaller than a window gives itself."""
    height, width = min(shape[0], settings.size[0]), min(shape[1], settings.size[1])
    row_overlap, column_overlap = settings.overlaps
    for row in window_starts(shape[0], height, row_overlap):
        for column in window_starts(shape[1], width, column_overlap):
            yield Window(row, column, height, width)


def importance_map(shape: tuple[int, int], mode: str) -> NDArray[np.float32]:
    """Return the weights (height, width) float32 of one window, peak 1, all > 0."""
    if mode == "constant":
        return np.ones(shape, np.float32)
    profiles = [_gaussian(length) for length in shape]
    weights = np.maximum(np.outer(profiles[0], profiles[1]), MIN_WEIGHT)
    return weights.astype(np.float32)


def _gaussian(length: int) -> NDArray[np.float64]:
    distance = np.arange(length) - (length - 1) / 2
    profile = np.exp(-0.5 * (distance / (SIGMA_SCALE * length)) ** 2)
    return np.asarray(profile / profile.max())


def sliding_window_inference(
    slices: NDArray[np.float32],
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    settings: SlidingWindow,
    batch_size: int,
) -> NDArray[np.float32]:
    """Run a predictor over windows and blend the logits.

    Args:
        slices: (N, C, H, W) float32.
        predict: (n, C, h, w) float32 to logits (n, K, h, w) float32; its output is not changed.
        settings: Size, overlap and weights of the windows.
        batch_size: Windows given to the predictor at once.

    Returns:
        Logits (N, K, H, W) float32.
    """
    windows = list(iter_windows((slices.shape[-2], slices.shape[-1]), settings))
    weights = importance_map((windows[0].height, windows[0].width), settings.mode)
    jobs = [(n, window) for n in range(slices.shape[0]) for window in windows]
    total: NDArray[np.float32] | None = None
    weight_sum = np.zeros(slices.shape[-2:], np.float32)
    for window in windows:
        window.of(weight_sum)[...] += weights
    for first in range(0, len(jobs), batch_size):
        part = jobs[first : first + batch_size]
        logits = predict(np.stack([window.of(slices[n]) for n, window in part]))
        if total is None:
            total = np.zeros((slices.shape[0], logits.shape[1], *slices.shape[-2:]), np.float32)
        for (n, window), tile_logits in zip(part, logits, strict=True):
            window.of(total[n])[...] += tile_logits * weights
    assert total is not None
    total /= weight_sum  # in place: logits of a large slice are large
    return total
