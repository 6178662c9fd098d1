"""Figures of what adds up: the terms of the reward, and the shares of time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from reach_rl.mdp.arrays import Array
from reach_rl.viz.plots import smooth
from reach_rl.viz.report import plotting as draw
from reach_rl.viz.report.curves import POINTS, curriculum_zones, metric_figure
from reach_rl.viz.report.subject import Curve, Group, Groups

_BELOW = {"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0, "xanchor": "left"}


@draw.figure("rewards", wide=True)
def rewards(groups: Groups) -> Iterator[draw.Figure | None]:
    """The terms of the reward stacked, a figure for each group."""
    return map(_rewards, groups)


def _rewards(group: Group) -> draw.Figure | None:
    names = dict.fromkeys(n for run in group.runs for n in run.curves if n.startswith("reward/"))
    steps, table = _means(group, list(names))
    table = {name: values for name, values in table.items() if np.nanmax(np.abs(values)) > 0}
    if not table:
        return None
    chart = draw.Chart(380, draw.steps_axis(), draw.named("reward"), legend=_BELOW)
    order = sorted(table, key=lambda name: -float(np.nanmean(np.abs(table[name]))))
    for name, color in zip(order, draw.cycle(len(order)), strict=True):
        stack = "up" if np.nansum(table[name]) >= 0 else "down"
        title = name.removeprefix("reward/")
        _area(chart, steps, table[name], title, color, stack, "reward")
    total = np.sum([np.nan_to_num(values) for values in table.values()], axis=0)
    chart.line(steps, total, "sum", draw.INK, "reward", dash="dot")
    curriculum_zones(chart, [group])
    title = f"Reward terms{group.of}"
    over = f", mean of {len(group.runs)} seeds" if len(group.runs) > 1 else ""
    biggest = ", ".join(name.removeprefix("reward/") for name in order[:3])
    return draw.Figure(
        f"rewards {group.name}",
        chart.plot(),
        f"{title} over environment steps, stacked. Largest: {biggest}.",
        title,
        f"What each term adds to the return of an episode{over}; rewards above zero, penalties "
        "below. A term that dwarfs the others is what the policy learns.",
    )


@draw.figure("time", "Throughput")
def throughput(groups: Groups) -> draw.Figure | None:
    """Environment steps per second."""
    caption = "A fall means that something stalls."
    return metric_figure(groups, "time/fps", "Throughput", caption)


@draw.figure(
    "time",
    "Where the time goes",
    "Physics, the task around it, choosing actions, and updating the networks.",
)
def time_split(groups: Groups) -> draw.Figure | None:
    """The shares of what a training step is made of."""
    names = [f"time/{part}" for part in ("physics", "task", "policy", "update")]
    steps, table = _means(groups[0], names)
    if len(groups) > 1 or not table:
        return None
    chart = draw.Chart(280, draw.steps_axis(), {"tickformat": ".0%", "range": [0, 1]})
    for (name, values), color in zip(table.items(), draw.cycle(len(table)), strict=True):
        part = name.removeprefix("time/")
        _area(chart, steps, values, part, color, "time", "share")
    ends = ", ".join(f"{name.removeprefix('time/')} {v[-1]:.0%}" for name, v in table.items())
    return draw.Figure(
        "time-split",
        chart.plot(),
        f"Shares of time over environment steps, stacked; at the end {ends}.",
    )


def _area(
    chart: draw.Chart,
    steps: Array,
    values: Array,
    name: str,
    color: str,
    stack: str,
    unit: str,
) -> None:
    style: dict[str, Any] = {"stackgroup": stack, "fillcolor": draw.faded(color, 0.55)}
    chart.line(steps, np.nan_to_num(values), name, color, unit, width=0.5, **style)


def _means(group: Group, names: Sequence[str]) -> tuple[Array, Mapping[str, Array]]:
    """Common steps and, per metric, the mean over the runs; missing values count as 0."""
    curves = {name: found for name in names if (found := group.curves(name))}
    every = [curve.steps for found in curves.values() for curve in found]
    if not every:
        return np.empty(0), {}
    low, high = min(steps[0] for steps in every), max(steps[-1] for steps in every)
    steps = np.linspace(low, high, min(2 * POINTS, max(map(len, every))))
    return steps, {
        name: np.mean([_onto(steps, curve) for curve in found], axis=0)
        for name, found in curves.items()
    }


def _onto(steps: Array, curve: Curve) -> Array:
    known = np.isfinite(curve.values)
    if not known.any():
        return np.zeros(len(steps))
    return np.interp(steps, curve.steps[known], smooth(curve.values[known]))
