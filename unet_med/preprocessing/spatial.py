"""Resample slices in the slice plane, there and back, and pad them for the network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse


def pad_to_multiple(slices: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """Pad rows and columns with zeros at the end, up to the next multiple.

    It is the network's own rule, so padding twice is padding once.

    Args:
        slices: (..., H, W).
        multiple: 2^levels of the network.

    Returns:
        (..., H', W') with H' and W' multiples of ``multiple``; the input itself when they are.

    Example:
        >>> pad_to_multiple(np.ones((1, 3, 5), np.float32), 4).shape
        (1, 4, 8)
    """
    rows, columns = -slices.shape[-2] % multiple, -slices.shape[-1] % multiple
    if rows == columns == 0:
        return slices
    return np.pad(slices, [(0, 0)] * (slices.ndim - 2) + [(0, rows), (0, columns)])


SPACING_TOLERANCE = 0.01
"""An axis within 1 % of the target spacing is left as it is: the network does not notice."""


@dataclass(frozen=True)
class InPlaneResampler:
    """Resample slices linearly between their own grid and the recipe's spacing.

    Both grids cover the same field of view, edge to edge. Shrinking widens the linear kernel
    by the ratio, so fine detail is averaged and not aliased. Each slice is resampled by two
    sparse matrix products of its own: the result depends on no other slice.

    Attributes:
        shape: Rows and columns of the slice as it is.
        spacing_mm: Row and column spacing of the slice as it is.
        target_mm: Spacing the network was trained on; ``None`` = leave as it is.

    Example:
        >>> resampler = InPlaneResampler((40, 30), (0.5, 0.5), target_mm=1.0)
        >>> small = resampler.to_network(np.ones((2, 40, 30), np.float32))
        >>> small.shape, resampler.to_native(small).shape
        ((2, 20, 15), (2, 40, 30))
    """

    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    target_mm: float | None

    @cached_property
    def network_shape(self) -> tuple[int, int]:
        """Rows and columns that the network sees, before padding."""
        rows, columns = (
            _target_size(size, spacing, self.target_mm)
            for size, spacing in zip(self.shape, self.spacing_mm, strict=True)
        )
        return rows, columns

    def to_network(self, slices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample (..., H, W) float32 to (..., H', W') float32."""
        return _resample(slices, self.network_shape)

    def to_native(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample (..., H', W') float32 back to (..., H, W) float32."""
        return _resample(logits, self.shape)


def _target_size(size: int, spacing_mm: float, target_mm: float | None) -> int:
    if target_mm is None or abs(spacing_mm / target_mm - 1.0) <= SPACING_TOLERANCE:
        return size
    return max(1, round(size * spacing_mm / target_mm))


def _resample(slices: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    if slices.shape[-2:] == shape:
        return slices
    rows = _linear_weights(slices.shape[-2], shape[0])
    columns = _linear_weights(slices.shape[-1], shape[1])
    flat = slices.reshape(-1, *slices.shape[-2:])
    resampled = [(columns @ (rows @ plane).T).T for plane in flat]
    return np.stack(resampled).reshape(*slices.shape[:-2], *shape).astype(np.float32, copy=False)


def _linear_weights(size: int, new_size: int) -> sparse.csr_array:
    """Return the (new_size, size) float32 matrix of a linear kernel, rows summing to one."""
    from scipy import sparse  # takes 0.2 s to load, and many scans have the spacing already

    ratio = size / new_size
    width = max(ratio, 1.0)
    centers = (np.arange(new_size) + 0.5) * ratio - 0.5
    first = np.floor(centers - width).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * width)) + 2)[None, :]
    weights = np.maximum(1.0 - np.abs(taps - centers[:, None]) / width, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    row = np.broadcast_to(np.arange(new_size)[:, None], taps.shape)
    column = np.clip(taps, 0, size - 1)  # beyond the edge the edge repeats
    entries = (weights.ravel(), (row.ravel(), column.ravel()))
    matrix = sparse.coo_array(entries, shape=(new_size, size)).tocsr()
    matrix.eliminate_zeros()
    return cast("sparse.csr_array", matrix.astype(np.float32))
