"""Interquartile means and bootstrap intervals, over seeds and over goals.

The interquartile mean and the stratified bootstrap follow Agarwal et al., "Deep Reinforcement
Learning at the Edge of the Statistical Precipice" (NeurIPS 2021).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reach_rl.mdp.arrays import Array
from reach_rl.viz.report.read import Curve

REPEATS = 2000
"""Bootstrap samples."""

POINTS = 120
"""Points of a curve over seeds."""

_CONFIDENCE = 0.95
_SEED = 20211  # a report of the same files has the same figures
_MOST = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, which is None where one value is all there is."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Band:
    """A curve over seeds: (k,) steps, the interquartile mean and the ends of its interval."""

    steps: Array
    middle: Array
    low: Array
    high: Array


def interquartile_mean(values: ArrayLike) -> Array:
    """Mean of the middle half along the last axis; a value on its edge counts by its share in it.

    It equals the mean trimmed by a quarter at both ends where the count divides by four.
    """
    ordered = np.sort(np.asarray(values, float), axis=-1)
    n = ordered.shape[-1]
    edges = np.clip(np.arange(n + 1), n / 4, 3 * n / 4)
    weights = np.diff(edges)
    return np.asarray(ordered @ (weights / weights.sum()))


def stratified_bootstrap(
    strata: Sequence[ArrayLike], repeats: int = REPEATS, confidence: float = _CONFIDENCE
) -> tuple[Array, Array, Array]:
    """Interquartile mean over all strata, with a percentile interval.

    Each stratum, such as the seeds of one configuration, is drawn anew with replacement by itself.

    Args:
        strata: arrays (..., n_i) with the same leading axes, n_i >= 1 values each.
        repeats: bootstrap samples.
        confidence: coverage, 0 to 1.

    Returns:
        Value, low and high, (...) each.
    """
    parts = [np.asarray(stratum, float) for stratum in strata]
    value = interquartile_mean(np.concatenate(parts, axis=-1))
    flat = [part.reshape(-1, part.shape[-1]) for part in parts]
    total = sum(part.shape[-1] for part in flat)
    rows = max(1, _MOST // (repeats * total))
    rng = np.random.default_rng(_SEED)
    draws = [rng.integers(part.shape[-1], size=(repeats, part.shape[-1])) for part in flat]
    tail = 50 * (1 - confidence)
    ends = []
    for first in range(0, len(flat[0]), rows):
        pairs = zip(flat, draws, strict=True)
        samples = [part[first : first + rows][:, draw] for part, draw in pairs]
        means = interquartile_mean(np.concatenate(samples, axis=-1))
        ends.append(np.percentile(means, [tail, 100 - tail], axis=1))
    low, high = np.concatenate(ends, axis=1)
    return value, low.reshape(value.shape), high.reshape(value.shape)


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
    low, high = np.percentile(np.percentile(sample[draws], percentile, axis=1), [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def over_curves(
    curves: Sequence[Curve], points: int = POINTS, transform: Callable[[Array], Array] | None = None
) -> Band | None:
    """The curves of seeds as one, interpolated to common steps; None without values.

    Where some runs have ended, or not begun to report, the others go on alone.

    Args:
        curves: of one metric, a seed each.
        points: of the result, at most.
        transform: applied before the interpolation, such as a running mean.
    """
    parts = [(c.steps[ok], c.values[ok]) for c in curves if (ok := np.isfinite(c.values)).any()]
    if not parts:
        return None
    steps = np.unique(np.concatenate([known for known, _ in parts]))
    if len(steps) > points:
        steps = np.linspace(steps[0], steps[-1], points)
    rows = [_onto(steps, s, transform(v) if transform else v) for s, v in parts]
    table = np.stack(rows, axis=1)
    middle, bottom, top = (np.full(len(steps), np.nan) for _ in range(3))
    present = np.isfinite(table)
    for pattern in np.unique(present, axis=0):
        if not pattern.any():
            continue
        where = (present == pattern).all(axis=1)
        found = stratified_bootstrap([table[where][:, pattern]], repeats=1000)
        middle[where] = found[0]
        if pattern.sum() > 1:
            bottom[where], top[where] = found[1], found[2]
    return Band(steps, middle, bottom, top)


def _onto(steps: Array, known: Array, values: Array) -> Array:
    """Linear interpolation; NaN outside of what is known."""
    inside = (steps >= known[0]) & (steps <= known[-1])
    return np.where(inside, np.interp(steps, known, values), np.nan)
