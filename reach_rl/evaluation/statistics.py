"""Intervals and probabilities: of rates, of their differences, over seeds and over goals.

What scipy has is scipy's. Its statistics take longer to import than most of what a run imports
besides, so they are imported where they are used, and a run in training uses none of them.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

import numpy as np
from numpy.typing import ArrayLike

from reach_rl.mdp.arrays import Array

CONFIDENCE = 0.95
"""Coverage of every interval."""

RESAMPLES = 1000
"""Of the bootstrap interval of a difference of medians."""

REPEATS = 2000
"""Of the bootstrap interval of an interquartile mean."""

_Z = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0)
_TAILS = (50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 + CONFIDENCE))
_AT_ONCE = 50
_SEED = 20211  # the same values have the same interval
_MOST = 4_000_000


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927); (0, 1) without trials.

    Written out, because every periodic evaluation of a run asks for it.
    """
    if trials == 0:
        return 0.0, 1.0
    p, z = successes / trials, _Z
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
class Shift:
    """A figure of a second policy, such as its median, minus that of a first."""

    value: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    paired: bool
    """Both were judged on the same goals."""
    confidence: float = CONFIDENCE

    @property
    def real(self) -> bool:
        """Whether the difference is more than noise: the interval leaves zero out."""
        return not self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True)
class Difference(Shift):
    """The success rate of a second policy minus that of a first."""

    p_value: float = 1.0
    """Probability of a difference at least as large between equally good policies."""


def unpaired_difference(first: tuple[int, int], second: tuple[int, int]) -> Difference:
    """Difference of two rates, each successes of trials, on goals of their own.

    The interval is Newcombe's hybrid of two Wilson intervals (Statistics in Medicine 17, 873,
    1998, method 10), the probability that of Fisher's exact test.

    Raises:
        ValueError: one of them has no trials.
    """
    (a, m), (b, n) = first, second
    if m == 0 or n == 0:
        raise ValueError("a difference needs at least one goal on each side")
    from scipy.stats import fisher_exact

    p_value = float(fisher_exact([[a, m - a], [b, n - b]]).pvalue)  # pyright: ignore
    return _hybrid(a, m, b, n, 0.0, p_value, paired=False)


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """Difference of two rates on the same goals.

    The interval is Newcombe's hybrid of two Wilson intervals with the correlation of the pairs
    (Statistics in Medicine 17, 2635, 1998, method 10), the probability that of McNemar's exact
    test, which looks only at the goals that one of the two reached.

    Args:
        first: (m,) success of the first policy per goal.
        second: (m,) success of the second policy on the same goals.

    Raises:
        ValueError: the lengths differ, or are zero.
    """
    x, y = np.asarray(first, bool), np.asarray(second, bool)
    if x.shape != y.shape or not x.size:
        raise ValueError(f"pairs need the same goals, not {x.size} and {y.size}")
    from scipy.stats import binomtest

    both, neither = int((x & y).sum()), int((~x & ~y).sum())
    lost, won = int((x & ~y).sum()), int((~x & y).sum())
    p_value = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    rho = _correlation(both, won, lost, neither)
    return _hybrid(both + lost, x.size, both + won, x.size, rho, p_value, paired=True)


def _hybrid(
    a: int, m: int, b: int, n: int, rho: float, p_value: float, *, paired: bool
) -> Difference:
    """The difference b/n - a/m with the interval from both Wilson intervals."""
    p, q = a / m, b / n
    (p_low, p_high), (q_low, q_high) = wilson(a, m), wilson(b, n)

    def distance(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2.0 * rho * up * down + down * down))

    low = q - p - distance(q - q_low, p_high - p)
    high = q - p + distance(q_high - q, p - p_low)
    return Difference(q - p, low, high, paired, p_value=p_value)


def _correlation(both: int, won: int, lost: int, neither: int) -> float:
    """Correlation of the pairs, with the continuity correction of Newcombe's method 10."""
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if margins == 0:
        return 0.0
    covariance = both * neither - won * lost
    if covariance > 0:
        covariance = max(covariance - (both + won + lost + neither) / 2, 0)
    return covariance / math.sqrt(margins)


def median_shift(first: ArrayLike, second: ArrayLike, *, paired: bool) -> Shift | None:
    """Difference of two medians with the percentile interval of 1000 resamples of the goals.

    Args:
        first: (m,) the first policy's figure per goal; NaN where it has none.
        second: (k,) the second's.
        paired: both are of the same goals in the same order; goals are then drawn for both at once.

    Returns:
        None where one of them has no value.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    if not (np.isfinite(x).any() and np.isfinite(y).any()):
        return None
    rng = np.random.default_rng(0)
    shifts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample without a value has no median
        for _ in range(RESAMPLES // _AT_ONCE):
            here = rng.integers(len(x), size=(_AT_ONCE, len(x)))
            there = here if paired else rng.integers(len(y), size=(_AT_ONCE, len(y)))
            shifts.append(np.nanmedian(y[there], axis=1) - np.nanmedian(x[here], axis=1))
    shifts = np.concatenate(shifts)
    low, high = np.percentile(shifts[np.isfinite(shifts)], _TAILS)
    return Shift(float(np.nanmedian(y) - np.nanmedian(x)), float(low), float(high), paired)


def holm(p_values: Sequence[float]) -> list[float]:
    """Probabilities adjusted for how many differences are looked at (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = list(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a few seeds and its t interval, mean +- t s / sqrt(n); infinite for one value.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    mean = fmean(values)
    if len(values) == 1:
        return mean, -math.inf, math.inf
    from scipy.stats import sem, t

    half = float(t.ppf((1.0 + CONFIDENCE) / 2.0, len(values) - 1) * sem(values))
    return mean, mean - half, mean + half


def interquartile_mean(values: ArrayLike) -> Array:
    """Mean of the middle half along the last axis; a value on its edge counts by its share in it.

    It equals scipy's mean trimmed by a quarter at both ends where the count divides by four.
    """
    ordered = np.sort(np.asarray(values, float), axis=-1)
    n = ordered.shape[-1]
    weights = np.diff(np.clip(np.arange(n + 1), n / 4, 3 * n / 4))
    return np.asarray(ordered @ (weights / weights.sum()))


def stratified_bootstrap(
    strata: Sequence[ArrayLike], repeats: int = REPEATS
) -> tuple[Array, Array, Array]:
    """Interquartile mean over all strata, with a percentile interval.

    Each stratum, such as the seeds of one configuration, is drawn anew with replacement by itself
    (Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021).

    Args:
        strata: arrays (..., n_i) with the same leading axes, n_i >= 1 values each.
        repeats: bootstrap samples.

    Returns:
        Value, low and high, (...) each.
    """
    parts = [np.asarray(stratum, float) for stratum in strata]
    value = interquartile_mean(np.concatenate(parts, axis=-1))
    flat = [part.reshape(-1, part.shape[-1]) for part in parts]
    rows = max(1, _MOST // (repeats * sum(part.shape[-1] for part in flat)))
    rng = np.random.default_rng(_SEED)
    draws = [rng.integers(part.shape[-1], size=(repeats, part.shape[-1])) for part in flat]
    ends = []
    for first in range(0, len(flat[0]), rows):
        pairs = zip(flat, draws, strict=True)
        samples = [part[first : first + rows][:, draw] for part, draw in pairs]
        means = interquartile_mean(np.concatenate(samples, axis=-1))
        ends.append(np.percentile(means, _TAILS, axis=1))
    low, high = np.concatenate(ends, axis=1)
    return value, low.reshape(value.shape), high.reshape(value.shape)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, which is None where one value is all there is."""

    value: float
    low: float | None
    high: float | None


def over_seeds(strata: Sequence[Sequence[float | None]]) -> Estimate | None:
    """Interquartile mean and its interval over the values of seeds; None without values."""
    parts = [[value for value in stratum if value is not None] for stratum in strata]
    parts = [part for part in parts if part]
    if not parts:
        return None
    value, low, high = stratified_bootstrap(parts)
    if max(map(len, parts)) < 2:
        return Estimate(float(value), None, None)
    return Estimate(float(value), float(low), float(high))


def over_goals(values: ArrayLike, percentile: float) -> Estimate | None:
    """A percentile over goals with its bootstrap interval; NaN is left out, None without values."""
    sample = np.asarray(values, float)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    value = float(np.percentile(sample, percentile))
    if sample.size < 2:
        return Estimate(value, None, None)
    rng = np.random.default_rng(_SEED)
    repeats = max(200, min(REPEATS, _MOST // sample.size))
    draws = rng.integers(sample.size, size=(repeats, sample.size))
    low, high = np.percentile(np.percentile(sample[draws], percentile, axis=1), _TAILS)
    return Estimate(value, float(low), float(high))
