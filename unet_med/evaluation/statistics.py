"""Compute statistics over cases: aggregates, bootstrap intervals, Wilcoxon signed-rank test."""

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


MIN_DIFFERENCES = 6
"""Of five differences of one sign the two-sided p is 2 / 2⁵ = 0.0625: nothing could be shown."""


def wilcoxon_signed_rank(differences: NDArray[np.float64]) -> dict[str, Any]:
    """Test whether paired differences lie symmetrically around zero.

    Args:
        differences: Shape (n,), no NaN; infinite ones have the largest rank.

    Returns:
        ``n`` (differences other than zero), ``n_zero``, ``statistic``, ``p`` (two-sided; exact
        up to 50 differences without ties), ``reason`` when there is no p.

    Source:
        F. Wilcoxon, Individual comparisons by ranking methods, 1945, by SciPy.

    Example:
        >>> wilcoxon_signed_rank(np.array([1.0, 2, 3, 4, 5, 6]))["p"]
        0.03125
        >>> wilcoxon_signed_rank(np.zeros(9))["reason"]
        'all 9 differences are zero'
    """
    changed = differences[differences != 0]
    result: dict[str, Any] = {
        "n": len(changed),
        "n_zero": len(differences) - len(changed),
        "statistic": None,
        "p": None,
        "reason": None,
    }
    if len(changed) == 0:
        none = len(differences) == 0
        result["reason"] = "no pairs" if none else f"all {len(differences)} differences are zero"
    elif len(changed) < MIN_DIFFERENCES:
        result["reason"] = f"only {len(changed)} pairs differ, {MIN_DIFFERENCES} are needed"
    else:
        from scipy import stats  # a third of a second to load, and only a comparison needs it

        # Ranks are all that counts: with them infinite differences need no arithmetic.
        ranks = np.sign(changed) * stats.rankdata(np.abs(changed))
        found = stats.wilcoxon(ranks)
        result |= {"statistic": float(found.statistic), "p": float(found.pvalue)}
    return result
