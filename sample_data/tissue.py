"""Brain tissue from a T1 scan and its brain mask: the recipe of the sample references.

A mixture of three normal distributions of intensity (cerebrospinal fluid, gray matter, white
matter), a smooth multiplicative bias field fitted between its rounds, and a light spatial prior.
Everything is deterministic.

Source:
    Zhang, Brady, Smith, Segmentation of brain MR images through a hidden Markov random field
    model and the EM algorithm, IEEE TMI 2001 (the same model, here with iterated conditional
    modes); Van Leemput et al., IEEE TMI 1999 (bias field by weighted least squares).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

N_TISSUES = 3
START_PERCENTILES = (7.0, 40.0, 85.0)
"""Where the three means start; the result does not depend on small changes of them."""

N_EM_ROUNDS = 60
N_BIAS_ROUNDS = 4
BIAS_ORDER = 3
BIAS_SAMPLE_STEP = 7
"""Every seventh voxel of the mask is enough for the 20 numbers of the bias field."""

NEIGHBOR_WEIGHT = 0.25
N_PRIOR_ROUNDS = 5


@dataclass(frozen=True)
class Mixture:
    """Three normal distributions, ascending mean; each array has shape (3,)."""

    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray

    def log_likelihood(self, values: np.ndarray) -> np.ndarray:
        """Return log(weight · density) up to a constant, shape (3, n) for values (n,)."""
        scaled = (values[None, :] - self.means[:, None]) / self.deviations[:, None]
        return np.log(self.weights / self.deviations)[:, None] - 0.5 * scaled**2

    def posterior(self, values: np.ndarray) -> np.ndarray:
        """Return the probability of each tissue, shape (3, n)."""
        logs = self.log_likelihood(values)
        logs -= logs.max(axis=0)
        weights = np.exp(logs)
        return weights / weights.sum(axis=0)


def fit_mixture(values: np.ndarray, *, bins: int = 512) -> Mixture:
    """Fit three normal distributions by expectation maximization on a histogram.

    Args:
        values: Intensities inside the brain, shape (n,).
        bins: Histogram bins between the 0.1 and 99.9 percentile.

    Returns:
        The mixture, ascending means.
    """
    low, high = np.percentile(values, [0.1, 99.9])
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    centers = 0.5 * (edges[:-1] + edges[1:])
    means = np.percentile(values, START_PERCENTILES)
    mixture = Mixture(means, np.full(N_TISSUES, values.std() / N_TISSUES), np.full(3, 1 / 3))
    smallest = (edges[1] - edges[0]) * 2
    for _ in range(N_EM_ROUNDS):
        share = mixture.posterior(centers) * counts
        total = share.sum(axis=1)
        means = (share * centers).sum(axis=1) / total
        variance = (share * (centers - means[:, None]) ** 2).sum(axis=1) / total
        mixture = Mixture(means, np.maximum(np.sqrt(variance), smallest), total / total.sum())
    return mixture


def classify(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return labels (i, j, k) uint8: 0 outside the mask, 1 fluid, 2 gray, 3 white matter.

    Args:
        image: T1 intensities, shape (i, j, k).
        mask: Brain, fluid included, same shape, bool.
    """
    brain = mask.astype(bool)
    values = np.log(np.maximum(image[brain].astype(np.float64), 1.0))
    basis = _polynomials(np.argwhere(brain), image.shape)
    corrected = values
    for _ in range(N_BIAS_ROUNDS):
        linear = np.exp(corrected)
        mixture = fit_mixture(linear)
        corrected = values - _bias(values, linear, mixture, basis)
    linear = np.exp(corrected)
    return _with_prior(fit_mixture(linear).log_likelihood(linear), brain)


def _polynomials(indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return all monomials of x, y, z up to the bias order, without the constant, (n, m)."""
    x, y, z = (2.0 * indices[:, axis] / (shape[axis] - 1) - 1.0 for axis in range(3))
    powers = product(range(BIAS_ORDER + 1), repeat=3)
    chosen = [p for p in powers if 0 < sum(p) <= BIAS_ORDER]
    return np.stack([x**a * y**b * z**c for a, b, c in chosen], axis=1)


def _bias(
    values: np.ndarray, linear: np.ndarray, mixture: Mixture, basis: np.ndarray
) -> np.ndarray:
    """Return the log bias field of every voxel of the brain, shape (n,), mean zero."""
    some = slice(None, None, BIAS_SAMPLE_STEP)
    share = mixture.posterior(linear[some])
    precision = share / (mixture.deviations / mixture.means)[:, None] ** 2
    weight = precision.sum(axis=0)
    expected = (precision * np.log(mixture.means)[:, None]).sum(axis=0) / weight
    design = np.concatenate([basis[some], np.ones((len(expected), 1))], axis=1)
    root = np.sqrt(weight)
    fit, *_ = np.linalg.lstsq(design * root[:, None], (values[some] - expected) * root, rcond=None)
    field = basis @ fit[:-1]
    return field - field.mean()


def _with_prior(log_likelihood: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Let the six neighbors vote: iterated conditional modes on all voxels at once."""
    labels = np.zeros(brain.shape, np.uint8)
    labels[brain] = log_likelihood.argmax(axis=0) + 1
    for _ in range(N_PRIOR_ROUNDS):
        scores = np.stack([log_likelihood[t] + _votes(labels == t + 1, brain) for t in range(3)])
        labels[brain] = scores.argmax(axis=0) + 1
    return labels


def _votes(same: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Return the prior's weight of one tissue from its number of neighbors."""
    count = np.zeros(same.shape, np.float32)
    for axis in range(3):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        count[tuple(ahead)] += same[tuple(behind)]
        count[tuple(behind)] += same[tuple(ahead)]
    return NEIGHBOR_WEIGHT * count[brain]
