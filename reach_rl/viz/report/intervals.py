"""The curves of seeds as one, with the interval of evaluation.statistics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reach_rl.evaluation.statistics import (
    REPEATS,
    Estimate,
    interquartile_mean,
    over_goals,
    over_seeds,
    stratified_bootstrap,
)
from reach_rl.mdp.arrays import Array
from reach_rl.viz.report.read import Curve

__all__ = ["REPEATS", "Estimate", "interquartile_mean", "over_goals", "over_seeds"]

POINTS = 120
"""Points of a curve over seeds."""


@dataclass(frozen=True, slots=True)
class Band:
    """A curve over seeds: (k,) steps, the interquartile mean and the ends of its interval."""

    steps: Array
    middle: Array
    low: Array
    high: Array


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
