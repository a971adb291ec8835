from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unet_med.evaluation.statistics import aggregate, bootstrap_interval, wilcoxon_signed_rank


def test_statistics_are_numpys_and_leave_out_only_what_has_no_value():
    values = np.array([0.3, 0.9, np.nan, 0.5, 0.8])
    known = values[~np.isnan(values)]
    found = aggregate(values)
    assert (found["n"], found["n_undefined"], found["n_infinite"]) == (4, 1, 0)
    assert found["mean"] == pytest.approx(known.mean())
    assert found["median"] == pytest.approx(np.median(known))
    assert found["std"] == pytest.approx(np.std(known, ddof=1))
    assert (found["min"], found["max"]) == (0.3, 0.9)
    assert "mean_of_finite" not in found


def test_an_infinite_distance_is_never_left_out_of_the_mean():
    found = aggregate(np.array([2.0, np.inf, 4.0]))
    assert (found["n"], found["n_infinite"]) == (3, 1)
    assert found["mean"] == found["max"] == np.inf
    assert found["median"] == 4.0
    assert found["std"] is None
    assert found["mean_of_finite"] == 3.0
    assert found["ci95"][1] == np.inf
    assert aggregate(np.array([2.0, np.inf]))["median"] == np.inf


def test_nothing_has_no_statistics():
    found = aggregate(np.array([np.nan]))
    assert (found["n"], found["n_undefined"]) == (0, 1)
    assert found["mean"] is found["median"] is found["std"] is found["ci95"] is None


def test_the_interval_is_seeded_and_near_scipys():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    low, high = bootstrap_interval(values)
    assert [low, high] == bootstrap_interval(values.copy())
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.1 * width)
    assert high == pytest.approx(theirs.high, abs=0.1 * width)
    assert bootstrap_interval(values[:1]) is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, size=(300, 40))
    covered = [low <= 1.0 <= high for low, high in map(bootstrap_interval, draws)]
    assert 0.88 <= np.mean(covered) <= 0.98


def test_wilcoxon_is_scipys_and_says_when_it_cannot_answer():
    differences = np.array([0.11, -0.02, 0.33, 0.44, -0.05, 0.66, 0.0, 0.78])
    theirs = stats.wilcoxon(differences[differences != 0])
    found = wilcoxon_signed_rank(differences)
    assert (found["n"], found["n_zero"]) == (7, 1)
    assert found["p"] == pytest.approx(theirs.pvalue)
    assert found["statistic"] == theirs.statistic
    assert wilcoxon_signed_rank(differences[:5])["p"] is None
    assert wilcoxon_signed_rank(differences[:5])["reason"] == "only 5 pairs differ, 6 are needed"
    assert wilcoxon_signed_rank(np.zeros(3))["reason"] == "all 3 differences are zero"
    assert wilcoxon_signed_rank(np.zeros(0))["reason"] == "no pairs"


def test_wilcoxon_gives_an_infinite_difference_the_largest_rank():
    finite = np.array([1.0, 2, 3, 4, 5, 6, -9])
    infinite = np.where(finite == -9, -np.inf, finite)
    assert wilcoxon_signed_rank(infinite) == wilcoxon_signed_rank(finite)
