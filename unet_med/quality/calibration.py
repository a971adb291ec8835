"""Measure the reliability of probabilities, and fit the temperature that improves it.

Source:
    Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML 2017
    (temperature scaling, reliability, expected calibration error); the error per label and its
    mean over labels: Kull et al., Beyond temperature scaling, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_med.errors import InputError
from unet_med.quality.probabilities import label_probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TEMPERATURE_RANGE = (0.1, 20.0)
"""Where a temperature is looked for; one at either end says that something else is wrong."""

N_BINS = 10

N_AXES = 2
"""Axes of the logits of single voxels: voxel and channel."""

SMALLEST_PROBABILITY = 0.01
"""Voxels at which a label is less likely than this are left out of its reliability: the air
around a patient, rightly called impossible, would make any network look calibrated."""

MAX_SAMPLE = 2_000_000
"""Voxels kept for a fit: 32 MB for four outputs."""

_BLOCK = 1 << 18
_TOLERANCE = 1e-4  # of log T


class VoxelSample:
    """Sample logits and true labels of randomly chosen voxels in a fixed amount of memory.

    Every slice gives the same number of voxels, chosen by a generator with a fixed seed.

    Args:
        n_slices: Slices that will be added in all, over all cases.
        max_voxels: Voxels kept in all.

    Example:
        >>> sample = VoxelSample(n_slices=1, max_voxels=6)
        >>> reference = np.array([[[7, 0, 0], [0, 7, 7]]])
        >>> sample.add(np.zeros((1, 2, 2, 3), np.float32), reference, [7])
        >>> sample.logits.shape, sorted(sample.truth.tolist())
        ((6, 2), [0, 0, 0, 1, 1, 1])
    """

    def __init__(self, n_slices: int, *, max_voxels: int = MAX_SAMPLE) -> None:
        self._per_slice = max(1, max_voxels // max(1, n_slices))
        self._random = np.random.default_rng(0)
        self._logits: list[NDArray[np.float32]] = []
        self._truth: list[NDArray[np.intp]] = []

    def add(
        self, logits: NDArray[np.float32], reference: NDArray[np.integer], values: Sequence[int]
    ) -> None:
        """Add slices.

        Args:
            logits: (n, K, H, W) float32.
            reference: True label values, (n, H, W); those not in ``values`` are background.
            values: Label values in the recipe's order.
        """
        for one, true in zip(logits, reference, strict=True):
            take = min(self._per_slice, true.size)
            chosen = self._random.choice(true.size, take, replace=False, shuffle=False)
            self._logits.append(one.reshape(len(one), -1)[:, chosen])
            self._truth.append(label_indices(true.ravel()[chosen], values))

    @property
    def logits(self) -> NDArray[np.float32]:
        """Return the logits of all voxels, (N, K) float32."""
        return np.concatenate(self._logits, axis=1).T

    @property
    def truth(self) -> NDArray[np.intp]:
        """Return the index of each voxel's true label, (N,): 0 for background."""
        return np.concatenate(self._truth)


def label_indices(labels: NDArray[np.integer], values: Sequence[int]) -> NDArray[np.intp]:
    """Return 0 for background, 1 for the first value, ..., same shape.

    Example:
        >>> label_indices(np.array([7, 0, 3, 5]), [5, 7]).tolist()
        [2, 0, 0, 1]
    """
    indices = np.zeros(labels.shape, np.intp)
    for index, value in enumerate(values, start=1):
        indices[labels == value] = index
    return indices


def fit_temperature(
    logits: NDArray[np.float32], truth: NDArray[np.integer], *, activation: str
) -> float:
    """Return the temperature under which the true labels are likeliest.

    It minimizes the mean negative log likelihood of the truth. For softmax that is convex in
    1/T, so there is one minimum. Labels do not depend on the temperature.

    Args:
        logits: (N, K) float32 of voxels that the network was not trained on.
        truth: (N,) index of the true label: 0 background, 1 the recipe's first label, ...
        activation: ``softmax`` or ``sigmoid``.

    Returns:
        T within `TEMPERATURE_RANGE`, four digits; 1 = the probabilities are right as they are.

    Raises:
        InputError: There is no voxel, or an index is no label.

    Example:
        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], np.float32)
        >>> truth = np.array([0, 1, 0])
        >>> round(fit_temperature(logits, truth, activation="softmax"), 1)
        2.9
    """
    _check(logits, truth)

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        return negative_log_likelihood(
            logits, truth, activation=activation, temperature=temperature
        )

    low, high = np.log(TEMPERATURE_RANGE)
    from scipy.optimize import minimize_scalar  # 0.3 s that segmenting need not wait for

    best = minimize_scalar(
        loss, bounds=(low, high), method="bounded", options={"xatol": _TOLERANCE}
    )
    return float(f"{np.exp(best.x):.4g}")


def negative_log_likelihood(
    logits: NDArray[np.float32],
    truth: NDArray[np.integer],
    *,
    activation: str,
    temperature: float,
) -> float:
    """Return the mean of -log p(true label) over voxels, in nats.

    Args:
        logits: (N, K) float32.
        truth: (N,) index of the true label, 0 = background.
        activation: ``softmax`` or ``sigmoid``.
        temperature: Divides the logits.

    Example:
        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], np.float32)
        >>> truth = np.array([0, 1, 0])
        >>> loss = negative_log_likelihood(logits, truth, activation="softmax", temperature=1.0)
        >>> round(loss, 3)
        0.794
    """
    total = 0.0
    for start in range(0, len(truth), _BLOCK):
        part = slice(start, start + _BLOCK)
        probabilities = _probabilities(logits[part], activation, temperature)
        true = np.take_along_axis(probabilities, truth[None, part], axis=0)[0]
        total -= float(np.log(np.maximum(true, np.finfo(np.float32).tiny)).sum(dtype=np.float64))
    return total / max(1, len(truth))


@dataclass(frozen=True, repr=False)
class Reliability:
    """Compare probabilities with frequencies per label and bin; arrays (n_labels, n_bins).

    Bins divide the probabilities 0 … 1 evenly. Only voxels at which the label has at least
    `SMALLEST_PROBABILITY` count.

    Attributes:
        voxels: Voxels in each bin, int64.
        expected: Sum of the label's probability over them.
        found: Voxels of them that are the label, int64.

    Example:
        >>> Reliability(np.array([[10]]), expected=np.array([[7.0]]), found=np.array([[6]])).error
        0.1
    """

    voxels: NDArray[np.int64]
    expected: NDArray[np.float64]
    found: NDArray[np.int64]

    def __repr__(self) -> str:
        n_labels, n_bins = self.voxels.shape
        return f"Reliability({n_labels} labels, {n_bins} bins, error {self.error:.4f})"

    @property
    def errors(self) -> NDArray[np.float64]:
        """Return the expected calibration error per label, (n_labels,), NaN without voxels.

        ``Σ over bins of |found - expected| / all voxels``: the mean distance between how likely a
        label was called and how often it was there.
        """
        apart = np.abs(self.found - self.expected).sum(axis=1)
        voxels = self.voxels.sum(axis=1)
        return np.where(voxels > 0, apart / np.maximum(voxels, 1), np.nan)

    @property
    def error(self) -> float:
        """Return the mean of ``errors`` over the labels that have voxels."""
        known = self.errors[~np.isnan(self.errors)]
        return float(known.mean()) if known.size else float("nan")


def reliability(
    logits: NDArray[np.float32],
    truth: NDArray[np.integer],
    *,
    activation: str,
    temperature: float = 1.0,
) -> Reliability:
    """Count, per label and bin of probability, what was expected and what was found.

    Args:
        logits: (N, K) float32.
        truth: (N,) index of the true label, 0 = background.
        activation: ``softmax`` or ``sigmoid``.
        temperature: Divides the logits.

    Example:
        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], np.float32)
        >>> truth = np.array([0, 1, 0])
        >>> reliability(logits, truth, activation="softmax").voxels.sum(axis=1).tolist()
        [3]
    """
    _check(logits, truth)
    n_labels = max(1, logits.shape[1] - (activation == "softmax"))
    voxels, expected, found = (np.zeros((n_labels, N_BINS)) for _ in range(3))
    for start in range(0, len(truth), _BLOCK):
        part = slice(start, start + _BLOCK)
        probabilities = _probabilities(logits[part], activation, temperature)[1:]
        for label, chances in enumerate(probabilities):
            counts = chances >= SMALLEST_PROBABILITY
            chance, true = chances[counts], truth[part][counts] == label + 1
            bins = np.minimum((chance * N_BINS).astype(np.intp), N_BINS - 1)
            voxels[label] += np.bincount(bins, minlength=N_BINS)
            expected[label] += np.bincount(bins, chance.astype(np.float64), minlength=N_BINS)
            found[label] += np.bincount(bins[true], minlength=N_BINS)
    return Reliability(voxels.astype(np.int64), expected, found.astype(np.int64))


def _probabilities(
    logits: NDArray[np.float32], activation: str, temperature: float
) -> NDArray[np.float32]:
    """Return (1 + L, N) of logits (N, K)."""
    as_slice = np.ascontiguousarray(logits.T)[None, :, :, None]
    probabilities = label_probabilities(as_slice, activation=activation, temperature=temperature)
    return probabilities[0, :, :, 0]


def _check(logits: NDArray[np.float32], truth: NDArray[np.integer]) -> None:
    if logits.ndim != N_AXES or truth.shape != (len(logits),) or not len(truth):
        msg = f"needs logits (N, K) and truth (N,), N > 0; got {logits.shape} and {truth.shape}"
        raise InputError(msg)
