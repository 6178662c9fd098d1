"""Intervals of means of a few seeds; Student's t, without a statistics library."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, variance

_SLICES = 2000


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of a sample and its t interval, mean +- t s / sqrt(n); infinite for one value.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    mean = fmean(values)
    if len(values) == 1:
        return mean, -math.inf, math.inf
    half = quantile(confidence, len(values) - 1) * math.sqrt(variance(values) / len(values))
    return mean, mean - half, mean + half


def welch(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a second sample minus that of a first, with Welch's interval (Biometrika 34, 28).

    Raises:
        ValueError: a sample has fewer than two values.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a difference of means needs at least two values on each side")
    a, b = variance(first) / len(first), variance(second) / len(second)
    difference = fmean(second) - fmean(first)
    if a + b == 0.0:
        return difference, difference, difference
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    half = quantile(confidence, freedom) * math.sqrt(a + b)
    return difference, difference - half, difference + half


@cache
def quantile(confidence: float, freedom: float) -> float:
    """The t between whose negative and itself Student's distribution has this probability."""
    low, high = 0.0, 1.0
    while _inside(high, freedom) < confidence:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2.0


def _inside(t: float, freedom: float) -> float:
    """Probability between -t and t: with t = sqrt(v) tan(a), Simpson over cos(a)^(v-1)."""
    end = math.atan(t / math.sqrt(freedom))
    step = end / _SLICES
    weights = (1.0 if i in (0, _SLICES) else 4.0 if i % 2 else 2.0 for i in range(_SLICES + 1))
    total = sum(w * math.cos(i * step) ** (freedom - 1.0) for i, w in enumerate(weights))
    half = math.lgamma((freedom + 1.0) / 2.0) - math.lgamma(freedom / 2.0)
    return 2.0 * math.exp(half) / math.sqrt(math.pi) * total * step / 3.0
