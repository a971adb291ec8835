"""The one padding rule: zeros at the end of each in-plane axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
