"""Interquartile means and bootstrap intervals, over seeds and over goals."""

import numpy as np
import pytest

from reach_rl.evaluation.statistics import (
    interquartile_mean,
    over_goals,
    over_seeds,
    stratified_bootstrap,
)


def test_the_interquartile_mean_is_the_trimmed_mean_where_the_count_divides_by_four():
    values = np.random.default_rng(0).normal(size=(5, 12))
    trimmed = np.sort(values, axis=1)[:, 3:9].mean(axis=1)
    assert np.allclose(interquartile_mean(values), trimmed)


def test_values_on_the_edge_count_by_their_share():
    # of three values the middle half is all of the middle one and a quarter of its neighbours
    assert interquartile_mean([0.0, 1.0, 8.0]) == pytest.approx((0.25 * 0 + 1 + 0.25 * 8) / 1.5)
    assert interquartile_mean([3.0]) == 3.0


def test_one_wild_seed_moves_it_little():
    assert interquartile_mean([0.9, 0.91, 0.92, 0.93, 0.94, -50.0]) > 0.9


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        _, low, high = stratified_bootstrap([rng.normal(size=20)], repeats=300)
        hits += low <= 0.0 <= high
    assert 175 <= hits <= 199


def test_strata_are_drawn_by_themselves():
    rng = np.random.default_rng(2)
    easy, hard = rng.normal(0.9, 0.01, 8), rng.normal(0.1, 0.01, 8)
    _, low, high = stratified_bootstrap([easy, hard])
    _, pooled_low, pooled_high = stratified_bootstrap([np.concatenate([easy, hard])])
    # with every stratum in every sample only the noise within them is left
    assert high - low < 0.1 * (pooled_high - pooled_low)


def test_a_single_seed_has_no_interval():
    estimate = over_seeds([[0.5]])
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert over_seeds([[None], []]) is None


def test_percentiles_of_goals():
    estimate = over_goals([*range(1, 1000), np.nan], 50.0)
    assert estimate is not None
    assert estimate.value == 500.0
    assert 450 < estimate.low < 500 < estimate.high < 550
    assert over_goals([np.nan], 50.0) is None
