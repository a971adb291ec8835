"""From logits to the probability of every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    if logits.shape[1] > 1 and activation == "softmax":
        scaled -= scaled.max(axis=1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(axis=1, keepdims=True)
        return scaled
    regions = _sigmoid(scaled)
    absent = 1.0 - regions
    # Product over the later regions: 1 for the last one.
    later = np.cumprod(absent[:, ::-1], axis=1)[:, ::-1]
    labels = regions.copy()
    labels[:, :-1] *= later[:, 1:]
    return np.concatenate([later[:, :1], labels], axis=1)


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy per voxel as a share of the largest possible one.

    -Σ p log p / log(1 + L): 0 = certain, 1 = every label and background equally likely.

    Args:
        probabilities: (n, 1 + L, H, W), adding up to 1.

    Returns:
        (n, H, W) float32 in [0, 1].

    Source:
        C. E. Shannon, A mathematical theory of communication, 1948.
    """
    smallest = np.finfo(np.float32).tiny  # p log p is 0 at p = 0
    terms = np.log(np.maximum(probabilities, smallest))
    terms *= probabilities
    total = -terms.sum(axis=1) / np.float32(np.log(probabilities.shape[1]))
    return np.asarray(np.clip(total, 0.0, 1.0), np.float32)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small), np.float32)
