"""From logits to label values, and the mean of the probabilities of several networks or flips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def smallest_label_dtype(values: Sequence[int]) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned dtype that holds 0 and all the values.

    Example:
        >>> smallest_label_dtype([1, 300])
        dtype('uint16')
    """
    return np.min_scalar_type(max(values, default=0))


def labels_from_logits(
    logits: NDArray[np.float32], values: Sequence[int], *, activation: str
) -> NDArray[np.unsignedinteger]:
    """Turn logits into label values.

    One output: the label where the logit is above 0. Softmax: the largest channel wins,
    channel 0 is background, ties go to the lower channel. Sigmoid with several outputs: every
    channel above 0 is a region, later ones painted over earlier ones.

    Args:
        logits: (n, K, H, W) float32.
        values: Label value per foreground channel, in channel order.
        activation: ``softmax`` or ``sigmoid``.

    Returns:
        (n, H, W), the smallest unsigned dtype.

    Raises:
        WeightsError: A logit is NaN or infinite, so no label can be given.
    """
    check_finite(logits)
    dtype = smallest_label_dtype(values)
    table = np.array([0, *values], dtype)
    if logits.shape[1] == 1:
        return np.asarray(table[(logits[:, 0] > 0).astype(np.intp)])
    if activation == "softmax":
        return _largest(logits, table)
    labels = np.zeros((logits.shape[0], *logits.shape[2:]), dtype)
    for channel, value in enumerate(values):
        labels[logits[:, channel] > 0] = value
    return labels


def _largest(
    logits: NDArray[np.float32], table: NDArray[np.unsignedinteger]
) -> NDArray[np.unsignedinteger]:
    """Return the value of the largest channel, the first of equal ones.

    What `numpy.argmax` along the channels gives, which copies all logits to do it.
    """
    largest = logits[:, 0].copy()
    labels = np.full(largest.shape, table[0])
    for channel in range(1, logits.shape[1]):
        np.copyto(labels, table[channel], where=logits[:, channel] > largest)
        np.maximum(largest, logits[:, channel], out=largest)
    return labels


def check_finite(logits: NDArray[np.float32]) -> None:
    """Refuse logits that mean nothing.

    Raises:
        WeightsError: One is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        msg = "the network gave NaN or infinite logits: the weights are damaged; train anew"
        raise WeightsError(msg)


LOGIT_CLIP = np.float32(80.0)
"""Logits further than this below the highest (softmax) or from 0 (sigmoid) count as this far:
exp(-80) is still an ordinary float32, so that no probability is 0 and no logit infinite."""


class MeanProbability:
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
    np.exp(np.maximum(powers, -LOGIT_CLIP, out=powers), out=powers)
    total = powers[:, :1].copy()
    for channel in range(1, powers.shape[1]):  # in a fixed order, whatever the shape
        total += powers[:, channel : channel + 1]
    powers /= total
    return np.asarray(powers)


def _sigmoids(logits: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return sigmoid(x) and sigmoid(-x), both exact where they are small."""
    odds_against = np.exp(-np.clip(logits, -LOGIT_CLIP, LOGIT_CLIP))
    above = np.float32(1.0) / (np.float32(1.0) + odds_against)
    return [above, odds_against * above]
