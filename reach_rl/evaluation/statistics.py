"""Intervals of success rates and of their differences, and percentiles; small and exact."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 1000
"""Of a bootstrap interval."""

_AT_ONCE = 50


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927).

    Args:
        successes: how many succeeded.
        trials: out of how many; 0 gives (0, 1).
        confidence: coverage, 0 to 1.
    """
    if trials == 0:
        return 0.0, 1.0
    z = _deviate(confidence)
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2) / (1 + z * z / trials)
    # all or none: the bound is exactly 1 or 0, which rounding would miss
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def spread(values: ArrayLike) -> dict[str, float | None]:
    """Median and 95th percentile, linearly interpolated; NaN left out, null without values."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(finite, [50.0, 95.0])
    return {"median": float(median), "p95": float(p95)}


@dataclass(frozen=True, slots=True)
class Difference:
    """The success rate of a second policy minus that of a first."""

    value: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    p_value: float
    """Probability of a difference at least as large between equally good policies."""
    paired: bool
    """Both were judged on the same goals."""
    confidence: float

    @property
    def real(self) -> bool:
        """Whether the difference is more than noise."""
        return self.p_value < 1.0 - self.confidence


def unpaired_difference(
    first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95
) -> Difference:
    """Difference of two rates on goals of their own.

    The interval is Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 873,
    1998, method 10), the probability that of Fisher's exact test.

    Args:
        first: successes and trials of the first policy.
        second: successes and trials of the second policy.
        confidence: coverage of the interval, 0 to 1.

    Raises:
        ValueError: one of them has no trials.
    """
    (a, m), (b, n) = first, second
    if m == 0 or n == 0:
        raise ValueError("a difference needs at least one goal on each side")
    return _hybrid(a, m, b, n, 0.0, _fisher(a, m, b, n), False, confidence)


def paired_difference(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Difference:
    """Difference of two rates on the same goals.

    The interval is Newcombe's hybrid of two Wilson intervals with the correlation of the pairs
    (Statistics in Medicine 17, 2635, 1998, method 10), the probability that of McNemar's exact
    test, which looks only at the goals that one of the two reached.

    Args:
        first: (m,) success of the first policy per goal.
        second: (m,) success of the second policy on the same goals.
        confidence: coverage of the interval, 0 to 1.

    Raises:
        ValueError: the lengths differ, or are zero.
    """
    x, y = np.asarray(first, bool), np.asarray(second, bool)
    if x.shape != y.shape or not x.size:
        raise ValueError(f"pairs need the same goals, not {x.size} and {y.size}")
    both, neither = int((x & y).sum()), int((~x & ~y).sum())
    lost, won = int((x & ~y).sum()), int((~x & y).sum())
    n = x.size
    p_value = _mcnemar(lost, won)
    correlation = _correlation(both, won, lost, neither)
    return _hybrid(both + lost, n, both + won, n, correlation, p_value, True, confidence)


@dataclass(frozen=True, slots=True)
class Shift:
    """The median of a second policy's figure minus that of a first's."""

    value: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    paired: bool
    """Both were judged on the same goals."""
    confidence: float

    @property
    def real(self) -> bool:
        """Whether the difference is more than noise: the interval leaves zero out."""
        return not self.low <= 0.0 <= self.high


def median_shift(
    first: ArrayLike, second: ArrayLike, *, paired: bool, confidence: float = 0.95
) -> Shift | None:
    """Difference of two medians with the percentile interval of 1000 resamples of the goals.

    Args:
        first: (m,) a figure of the first policy per goal; NaN counts as no value.
        second: (n,) that of the second policy.
        paired: both are of the same goals, in order; goals are then drawn for both at once.
        confidence: coverage of the interval, 0 to 1.

    Returns:
        None where one of them has no value.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    if not (np.isfinite(x).any() and np.isfinite(y).any()):
        return None
    rng = np.random.default_rng(0)  # the same goals give the same interval
    shifts = []
    for _ in range(RESAMPLES // _AT_ONCE):
        here = rng.integers(len(x), size=(_AT_ONCE, len(x)))
        there = here if paired else rng.integers(len(y), size=(_AT_ONCE, len(y)))
        shifts.append(_medians(y[there]) - _medians(x[here]))
    shifts = np.concatenate(shifts)
    shifts = shifts[np.isfinite(shifts)]
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(shifts, [tail, 100.0 - tail])
    value = np.nanmedian(y) - np.nanmedian(x)
    return Shift(float(value), float(low), float(high), paired, confidence)


def _medians(rows: np.ndarray) -> np.ndarray:
    """Median of each row, NaN left out; NaN where there is nothing else."""
    rows = np.sort(rows, axis=1)  # NaN last
    count = np.isfinite(rows).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    each = np.arange(len(rows))
    high = np.minimum(high, rows.shape[1] - 1)
    return 0.5 * (rows[each, low] + rows[each, high])


def holm(p_values: Sequence[float]) -> list[float]:
    """Probabilities adjusted for how many differences are looked at (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = list(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def _hybrid(
    a: int, m: int, b: int, n: int, rho: float, p_value: float, paired: bool, confidence: float
) -> Difference:
    """The difference b/n - a/m with the interval from both Wilson intervals."""
    p, q = a / m, b / n
    (p_low, p_high), (q_low, q_high) = wilson(a, m, confidence), wilson(b, n, confidence)

    def distance(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2.0 * rho * up * down + down * down))

    low = q - p - distance(q - q_low, p_high - p)
    high = q - p + distance(q_high - q, p - p_low)
    return Difference(q - p, low, high, p_value, paired, confidence)


def _correlation(both: int, won: int, lost: int, neither: int) -> float:
    """Correlation of the pairs, with the continuity correction of Newcombe's method 10."""
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if margins == 0:
        return 0.0
    covariance = both * neither - won * lost
    if covariance > 0:
        covariance = max(covariance - (both + won + lost + neither) / 2, 0)
    return covariance / math.sqrt(margins)


def _mcnemar(lost: int, won: int) -> float:
    """Two-sided exact probability that fair coins differ at least as much."""
    n = lost + won
    tail = sum(math.comb(n, k) for k in range(min(lost, won) + 1))
    return float(min(1.0, 2 * tail / 2**n)) if n else 1.0


def _fisher(a: int, m: int, b: int, n: int) -> float:
    """Two-sided exact probability of tables as unlikely as this one, given its margins."""
    successes = a + b
    weights = {
        k: math.comb(m, k) * math.comb(n, successes - k)
        for k in range(max(0, successes - n), min(m, successes) + 1)
    }
    extreme = sum(weight for weight in weights.values() if weight <= weights[a])
    return extreme / sum(weights.values())


def _deviate(confidence: float) -> float:
    return NormalDist().inv_cdf((1.0 + confidence) / 2.0)
