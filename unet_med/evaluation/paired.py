"""The Wilcoxon signed-rank test, with the cases it cannot answer named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_DIFFERENCES = 6
"""Of five differences of one sign the two-sided p is 2 / 2⁵ = 0.0625: nothing could be shown."""


def signed_rank(differences: NDArray[np.float64]) -> dict[str, Any]:
    """Test whether paired differences lie symmetrically around zero.

    Args:
        differences: Shape (n,), no NaN; infinite ones have the largest rank.

    Returns:
        ``n`` (differences other than zero), ``n_zero``, ``statistic``, ``p`` (two-sided; exact
        up to 50 differences without ties), ``reason`` when there is no p.

    Source:
        F. Wilcoxon, Individual comparisons by ranking methods, 1945, by SciPy.

    Example:
        >>> signed_rank(np.array([1.0, 2, 3, 4, 5, 6]))["p"]
        0.03125
        >>> signed_rank(np.zeros(9))["reason"]
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
    elif len(changed) < FEWEST_DIFFERENCES:
        result["reason"] = f"only {len(changed)} pairs differ, {FEWEST_DIFFERENCES} are needed"
    else:
        from scipy import stats  # a third of a second to load, and only a comparison needs it

        # Ranks are all that counts: with them infinite differences need no arithmetic.
        ranks = np.sign(changed) * stats.rankdata(np.abs(changed))
        found = stats.wilcoxon(ranks)
        result |= {"statistic": float(found.statistic), "p": float(found.pvalue)}
    return result
