"""Turn logits into the probability of every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOWEST = np.float32(-80.0)
"""Lowest logit below the largest: exp(-80) is 2e-35, so that no figure shows the difference.
Lower ones would become denormal numbers, with which processors are slow, and at last NaN."""


def label_probabilities(
    logits: NDArray[np.float32], *, activation: str, temperature: float = 1.0
) -> NDArray[np.float32]:
    """Return how likely each label is at each voxel, background first.

    Softmax: softmax(logits / T). One output: sigmoid(logit / T) against background. Sigmoid with
    several outputs: channels are independent regions, later ones painted over earlier ones, so
    label c is there when region c is and no later one is: s_c · Π_{d>c} (1 - s_d), with
    s = sigmoid(logits / T). The probabilities of a voxel add up to 1.

    Args:
        logits: (n, K, H, W) float32.
        activation: ``softmax`` or ``sigmoid``; of no meaning with K = 1.
        temperature: T > 0; above 1 makes probabilities less certain.

    Returns:
        (n, 1 + L, H, W) float32, background and the L labels in the recipe's order.

    Source:
        Temperature: Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks,
        ICML 2017.

    Example:
        >>> logits = np.log(np.array([1.0, 3.0], np.float32)).reshape(1, 2, 1, 1)
        >>> label_probabilities(logits, activation="softmax").ravel().tolist()
        [0.25, 0.75]
    """
    scaled = logits * np.float32(1.0 / temperature)
    if _is_softmax(logits, activation):
        return _softmax(scaled)[0]
    return _painted(_regions(scaled)[0])[1]


def probabilities_and_entropy(
    logits: NDArray[np.float32], *, activation: str, temperature: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return `label_probabilities` and their entropy as a share of the largest possible one.

    -Σ p log p / log(1 + L): 0 = certain, 1 = every label and background equally likely. It needs
    one logarithm per voxel: with z the logits below the largest, log p is z - log Σ exp z, so
    -Σ p log p = log Σ exp z - Σ p z, two terms that are not negative. With regions it is the
    entropy of each one times the probability that none is painted over it.

    Args:
        logits: (n, K, H, W) float32.
        activation: As for `label_probabilities`.
        temperature: As there.

    Returns:
        Probabilities (n, 1 + L, H, W) and entropy (n, H, W) in [0, 1], float32.

    Source:
        C. E. Shannon, A mathematical theory of communication, 1948.

    Example:
        >>> logits = np.zeros((1, 3, 1, 1), np.float32)
        >>> probabilities_and_entropy(logits, activation="softmax")[1].tolist()
        [[[1.0]]]
    """
    scaled = logits * np.float32(1.0 / temperature)
    if _is_softmax(logits, activation):
        probabilities, log_total = _softmax(scaled)
        scaled *= probabilities
        entropy = log_total - scaled.sum(axis=1)
    else:
        regions, entropies = _regions(scaled)
        later, probabilities = _painted(regions)
        entropies *= later[:, 1:]
        entropy = entropies.sum(axis=1)
    entropy /= np.float32(np.log(probabilities.shape[1]))
    return probabilities, np.minimum(entropy, np.float32(1.0), out=entropy)


def _is_softmax(logits: NDArray[np.float32], activation: str) -> bool:
    return logits.shape[1] > 1 and activation == "softmax"


def _softmax(scaled: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return softmax and log Σ exp z; turns the logits into z, those below the largest, in place.

    z is at least `_LOWEST`.
    """
    scaled -= scaled.max(axis=1, keepdims=True)
    if scaled.min(initial=0.0) < _LOWEST:
        np.maximum(scaled, _LOWEST, out=scaled)
    probabilities = np.exp(scaled)
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities /= total
    return probabilities, np.log(total[:, 0])


def _regions(scaled: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return 1 / (1 + exp(-x)) and, in nats, its entropy; without overflow."""
    distance = np.maximum(-np.abs(scaled), _LOWEST)
    small = np.exp(distance)
    rarer = small / (np.float32(1.0) + small)
    regions = np.where(scaled >= 0, np.float32(1.0) - rarer, rarer)
    return regions, np.asarray(np.log1p(small) - distance * rarer)


def _painted(regions: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint regions over each other.

    Args:
        regions: Probability of each, (n, L, H, W).

    Returns:
        Probability that no region from the first, the second, ... on is there, the last 1, and
        that of background and each label; (n, 1 + L, H, W).
    """
    n, n_regions, *plane = regions.shape
    later = np.ones((n, n_regions + 1, *plane), regions.dtype)
    for region in range(n_regions - 1, -1, -1):
        np.multiply(later[:, region + 1], 1.0 - regions[:, region], out=later[:, region])
    probabilities = later.copy()
    probabilities[:, 1:] *= regions
    return later, probabilities
