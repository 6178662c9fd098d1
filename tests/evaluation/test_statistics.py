"""Intervals against published and hand-computed values."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, trim_mean

from reach_rl.evaluation.statistics import (
    holm,
    interquartile_mean,
    mean_interval,
    median_shift,
    paired_difference,
    spread,
    unpaired_difference,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_is_scipys():
    for successes in range(0, 131):
        theirs = binomtest(successes, 130).proportion_ci(0.95, method="wilson")
        assert wilson(successes, 130) == pytest.approx((theirs.low, theirs.high), abs=1e-15)


def test_wilson_interval_at_its_ends():
    low, high = wilson(0, 10)
    assert (low, wilson(10, 10)[1]) == (0.0, 1.0)
    assert high == pytest.approx(1.0 - wilson(10, 10)[0])
    assert wilson(0, 0) == (0.0, 1.0)
    assert high == pytest.approx(1.959964**2 / (10 + 1.959964**2), abs=1e-6)


def test_spread_leaves_nan_out_and_has_nothing_of_nothing():
    assert spread([3.0, math.nan, 1.0, 2.0]) == {"median": 2.0, "p95": pytest.approx(2.9)}
    assert spread([math.nan]) == {"median": None, "p95": None}


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17, 873 (1998), table II, method 10
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((0, 10), (10, 10), 0.6075, 1.0),
    ],
)
def test_unpaired_interval_is_the_published_one(first, second, low, high):
    difference = unpaired_difference(first, second)
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=5e-5)
    assert difference.value == pytest.approx(second[0] / second[1] - first[0] / first[1])
    assert difference.p_value < 0.05


def test_unpaired_probability_is_fishers():
    # the lady tasting tea: (1 + 16 + 16 + 1) of 70 tables
    assert unpaired_difference((1, 4), (3, 4)).p_value == pytest.approx(34 / 70)
    assert unpaired_difference((1, 4), (3, 4)).p_value > 0.05


def pairs(both, lost, won, neither):
    first = [True] * (both + lost) + [False] * (won + neither)
    second = [True] * both + [False] * lost + [True] * won + [False] * neither
    return np.array(first), np.array(second)


def test_paired_probability_is_mcnemars():
    difference = paired_difference(*pairs(60, 2, 10, 28))
    assert difference.p_value == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert difference.value == pytest.approx(0.08)
    assert difference.p_value < 0.05 and difference.low > 0.0
    assert paired_difference(*pairs(60, 5, 5, 30)).p_value == 1.0


def test_paired_interval_by_hand():
    both, lost, won, neither = 60, 2, 10, 28
    low1, high1 = wilson(both + lost, 100)
    low2, high2 = wilson(both + won, 100)
    phi = (60 * 28 - 2 * 10 - 50) / math.sqrt(62 * 38 * 70 * 30)
    down = (0.70 - low2) ** 2 - 2 * phi * (0.70 - low2) * (high1 - 0.62) + (high1 - 0.62) ** 2
    up = (high2 - 0.70) ** 2 - 2 * phi * (high2 - 0.70) * (0.62 - low1) + (0.62 - low1) ** 2
    difference = paired_difference(*pairs(both, lost, won, neither))
    assert difference.low == pytest.approx(0.08 - math.sqrt(down))
    assert difference.high == pytest.approx(0.08 + math.sqrt(up))


def test_paired_interval_covers_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials, covered = 1000, 0
    for counts in rng.multinomial(80, [0.75, 0.05, 0.12, 0.08], trials):
        difference = paired_difference(*pairs(*counts))
        covered += difference.low <= 0.07 <= difference.high
    assert 0.93 <= covered / trials <= 0.98


def test_pairs_and_goals_must_be_there():
    with pytest.raises(ValueError, match="same goals"):
        paired_difference([True], [True, False])
    with pytest.raises(ValueError, match="at least one goal"):
        unpaired_difference((0, 0), (1, 2))


def test_holms_adjustment_is_the_published_one():
    # Holm's own example of the procedure: each is compared with what is left
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]


def test_medians_that_differ_and_medians_that_do_not():
    rng = np.random.default_rng(0)
    first = rng.normal(10.0, 3.0, 400)
    shift = median_shift(first, first + rng.normal(0.3, 0.1, 400), paired=True)
    assert shift is not None and shift.real and shift.low < 0.3 < shift.high
    apart = median_shift(first, rng.normal(10.3, 3.0, 400), paired=False)
    assert apart is not None and apart.high - apart.low > 2 * (shift.high - shift.low)
    same = median_shift(first, first, paired=True)
    assert same is not None and (same.low, same.value, same.high) == (0.0, 0.0, 0.0)
    assert not same.real


def test_the_interval_of_a_median_covers_as_often_as_it_says():
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shift = median_shift(rng.normal(0, 1, 80), rng.normal(0.5, 1, 80), paired=False)
        assert shift is not None
        hits += shift.low <= 0.5 <= shift.high
    assert 53 <= hits <= 60


def test_medians_of_nothing():
    assert median_shift([math.nan, math.nan], [1.0, 2.0], paired=True) is None
    shift = median_shift([1.0, math.nan, 2.0], [2.0, 3.0, math.nan], paired=True)
    assert shift is not None and shift.value == 1.0


def test_the_interval_of_a_mean_is_that_of_the_tables():
    for n, quantile in ((2, 12.7062), (3, 4.3027), (5, 2.7764), (11, 2.2281), (101, 1.9840)):
        values = [0.0, 1.0] * (n // 2) + [0.5] * (n % 2)
        mean, low, high = mean_interval(values)
        error = np.std(values, ddof=1) / math.sqrt(n)
        assert (mean - low) / error == pytest.approx((high - mean) / error)
        assert (high - mean) / error == pytest.approx(quantile, abs=1e-4)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for sample in rng.normal(3.0, 2.0, (300, 4)):
        _, low, high = mean_interval(sample.tolist())
        inside += low < 3.0 < high
    assert 0.91 < inside / 300 < 0.98
    assert mean_interval([0.5]) == (0.5, -math.inf, math.inf)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


def test_an_interquartile_mean_is_a_trimmed_one_where_the_count_divides_by_four():
    values = np.random.default_rng(0).normal(size=(3, 8))
    assert interquartile_mean(values) == pytest.approx(trim_mean(values, 0.25, axis=1))
