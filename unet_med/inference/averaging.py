"""The mean of probabilities, handed on as logits, so that what follows need not know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.inference.labels import check_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

FURTHEST = np.float32(80.0)
"""Logits further than this below the highest (softmax) or from 0 (sigmoid) count as this far:
exp(-80) is still an ordinary float32, so that no probability is 0 and no logit infinite."""


class MeanLogits:
    """Adds up probabilities of logits and returns the logits of their mean.

    Softmax: log of the mean of ``softmax(logits)``, whose largest channel and whose softmax are
    those of the mean. Sigmoid, and any single output: ``log(p / (1 - p))`` of the mean of
    ``sigmoid(logits)``, which is above 0 where the mean is above one half. Every voxel is
    computed by itself and in the order of ``add``, so nothing depends on the batch.
    """

    def __init__(self, activation: str) -> None:
        """Start with nothing.

        Args:
            activation: ``softmax`` or ``sigmoid``.
        """
        self._activation = activation
        self._sums: list[NDArray[np.float32]] = []
        self._count = 0

    def add(self, logits: NDArray[np.float32]) -> None:
        """Add logits (n, K, H, W) float32; they are left alone.

        Raises:
            WeightsError: One is NaN or infinite.
        """
        check_finite(logits)
        softmax = self._activation == "softmax" and logits.shape[1] > 1
        parts = [_softmax(logits)] if softmax else _sigmoids(logits)
        if not self._sums:
            self._sums = parts
        else:
            for n, part in enumerate(parts):
                self._sums[n] += part
        self._count += 1

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the mean (n, K, H, W) float32."""
        if len(self._sums) == 1:
            return np.asarray(np.log(self._sums[0] / np.float32(self._count)))
        above, below = self._sums
        return np.asarray(np.log(above) - np.log(below))


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = logits - logits.max(axis=1, keepdims=True)
    np.exp(np.maximum(powers, -FURTHEST, out=powers), out=powers)
    total = powers[:, :1].copy()
    for channel in range(1, powers.shape[1]):  # in a fixed order, whatever the shape
        total += powers[:, channel : channel + 1]
    powers /= total
    return np.asarray(powers)


def _sigmoids(logits: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return sigmoid(x) and sigmoid(-x), both exact where they are small."""
    against = np.exp(-np.clip(logits, -FURTHEST, FURTHEST))
    above = np.float32(1.0) / (np.float32(1.0) + against)
    return [above, against * above]
