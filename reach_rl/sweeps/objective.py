"""What a trial is worth: figures out of summary.json, and of the runs of a trial together."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from reach_rl.config.search import SCORE, Search

_MOST = 10.0
_SHARE = 0.05


def figure(summary: Mapping[str, Any], name: str) -> float:
    """A key of summary.json, or its score.

    Raises:
        ValueError: it has no such figure, or the figure is no number.
    """
    if name == SCORE:
        return score(summary)
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} of summary.json is {value!r}, not a number")
    return float(value)


def score(summary: Mapping[str, Any]) -> float:
    """Success rate, less a twentieth of the median errors in units of their thresholds.

    Each error counts for ten thresholds at most, so that policies that never succeed differ too.
    """
    limits = summary["evaluation"]["thresholds"]
    position = figure(summary, "evaluation.position_error_mm.median") / 1e3 / limits["position_m"]
    degrees = figure(summary, "evaluation.orientation_error_deg.median")
    angle = math.radians(degrees) / limits["orientation_rad"]
    success = figure(summary, "evaluation.success_rate")
    return success - _SHARE * (min(position, _MOST) + min(angle, _MOST))


def combined(search: Search, values: Sequence[Sequence[float]]) -> list[float]:
    """The value of each objective from those of the runs.

    Args:
        search: says how, and in which direction each objective goes.
        values: per run, one for each objective.
    """
    found = []
    for index, direction in enumerate(search.directions):
        column = [run[index] for run in values]
        worst = min(column) if direction == "maximize" else max(column)
        found.append(worst if search.combine == "worst" else fmean(column))
    return found
