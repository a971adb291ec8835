"""Statistics over cases: location, spread, and a bootstrap interval of the mean."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

BOOTSTRAP_RESAMPLES = 2000
"""Percentiles at 2.5 and 97.5 then rest on 50 resamples on either side."""

BOOTSTRAP_SEED = 0

INTERVAL_PERCENT = (2.5, 97.5)


def aggregate(scores: Scores) -> dict[str, Any]:
    """Return the statistics of one score over cases.

    Args:
        scores: One value per case, shape (n_cases,); NaN where there is none, infinity for a
            miss.

    Returns:
        ``n`` cases with a value, ``n_undefined`` without, ``n_infinite`` of the n, and over the
        n: ``mean``, ``median``, ``std`` (of a sample), ``min``, ``max``, ``ci95`` of the mean.
        Infinite values are never left out: the mean is infinite with any of them. Where there
        are any, ``mean_of_finite`` says what the others give.

    Example:
        >>> aggregate(np.array([0.5, 1.0, np.nan]))["mean"]
        0.75
        >>> aggregate(np.array([1.0, np.inf]))["mean"], aggregate(np.array([]))["mean"]
        (inf, None)
    """
    known = scores[~np.isnan(scores)]
    finite = known[np.isfinite(known)]
    n_infinite = len(known) - len(finite)
    statistics: dict[str, Any] = {
        "n": len(known),
        "n_undefined": len(scores) - len(known),
        "n_infinite": n_infinite,
        "mean": float(known.mean()) if len(known) else None,
        "median": _median(known) if len(known) else None,
        "std": float(known.std(ddof=1)) if len(finite) == len(known) > 1 else None,
        "min": float(known.min()) if len(known) else None,
        "max": float(known.max()) if len(known) else None,
        "ci95": bootstrap_interval(known),
    }
    if n_infinite:
        statistics["mean_of_finite"] = float(finite.mean()) if len(finite) else None
    return statistics


def bootstrap_interval(values: Scores) -> list[float] | None:
    """Return the 95 % percentile interval of the mean, cases drawn with replacement.

    The draws depend on the number of values only (`BOOTSTRAP_SEED`), so a second run gives the
    same interval. None for fewer than two values.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    means = values[_draws(len(values))].mean(axis=1)
    # Without interpolation: between a finite and an infinite mean there is nothing.
    low, high = np.percentile(means, INTERVAL_PERCENT, method="inverted_cdf")
    return [float(low), float(high)]


@lru_cache(maxsize=4)
def _draws(n: int) -> NDArray[np.int32]:
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    draws: NDArray[np.int32] = generator.integers(n, size=(BOOTSTRAP_RESAMPLES, n), dtype=np.int32)
    return draws


def _median(values: Scores) -> float:
    ordered = np.sort(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low if low == high else (low + high) / 2)  # inf - inf never arises
