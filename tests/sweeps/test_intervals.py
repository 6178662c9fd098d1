import math

import numpy as np
import pytest

from reach_rl.sweeps.intervals import mean_interval, quantile, welch


def test_quantiles_are_those_of_the_tables():
    for freedom, value in ((1, 12.7062), (2, 4.3027), (4, 2.7764), (10, 2.2281), (100, 1.9840)):
        assert quantile(0.95, freedom) == pytest.approx(value, abs=1e-4)
    assert quantile(0.99, 5) == pytest.approx(4.0321, abs=1e-4)


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


def test_welch_is_that_of_a_worked_example():
    first = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7]
    second = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5]
    value, low, high = welch(first, second)
    assert value == pytest.approx(np.mean(second) - np.mean(first))
    a, b = np.var(first, ddof=1) / 14, np.var(second, ddof=1) / 14
    freedom = (a + b) ** 2 / (a**2 / 13 + b**2 / 13)
    assert high - value == pytest.approx(quantile(0.95, freedom) * math.sqrt(a + b))
    assert low == pytest.approx(2 * value - high)
    assert welch([1.0, 1.0], [2.0, 2.0]) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="two values"):
        welch([1.0], [2.0, 3.0])
