"""From logits to label values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def label_dtype(values: Sequence[int]) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned dtype that holds 0 and all the values.

    Example:
        >>> label_dtype([1, 300])
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
    dtype = label_dtype(values)
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
