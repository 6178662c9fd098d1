"""Figures of what adds up or moves in steps: reward terms, shares of time, the curriculum."""

from collections.abc import Mapping, Sequence

import numpy as np

from reach_rl.mdp.arrays import Array
from reach_rl.viz.report.curves import cycle, metric_figure
from reach_rl.viz.report.figure import (
    INK,
    Figure,
    Plot,
    figure_id,
    hover,
    label,
    numbers,
    smooth,
    steps_axis,
)
from reach_rl.viz.report.groups import Group
from reach_rl.viz.report.intervals import POINTS
from reach_rl.viz.report.marks import curriculum_zones, has_curriculum
from reach_rl.viz.report.read import Curve

_TIME = {
    "time/physics": "physics",
    "time/task": "task",
    "time/policy": "policy",
    "time/update": "update",
}


def rewards(groups: Sequence[Group]) -> list[Figure]:
    """Reward terms stacked, a figure for each group."""
    found = [_stacked_rewards(group) for group in groups]
    return [figure for figure in found if figure is not None]


def _stacked_rewards(group: Group) -> Figure | None:
    names = dict.fromkeys(n for run in group.runs for n in run.curves if n.startswith("reward/"))
    steps, table = _means(group, list(names))
    table = {name: values for name, values in table.items() if np.nanmax(np.abs(values)) > 0}
    if not table:
        return None
    plot = Plot()
    order = sorted(table, key=lambda name: -float(np.nanmean(np.abs(table[name]))))
    for name, color in zip(order, cycle(len(order)), strict=True):
        term = name.removeprefix("reward/")
        up, down = np.maximum(table[name], 0.0), np.minimum(table[name], 0.0)
        main_up = bool(np.nansum(up) >= -np.nansum(down))
        for part, stack in ((up, "up"), (down, "down")):
            main = (stack == "up") == main_up
            if main or np.nanmax(np.abs(part)) > 0:
                _area(plot, steps, part, term, color, stack, legend=main)
    total = np.sum([np.nan_to_num(values) for values in table.values()], axis=0)
    plot.line(steps, total, "sum", INK, "reward", width=2, line={"dash": "dot"})
    plot.layout = {"xaxis": steps_axis(), "yaxis": {"title": {"text": "reward"}}, "legend": _BELOW}
    curriculum_zones(plot, [group])
    title = f"Reward terms: {group.name}" if group.name else "Reward terms"
    over = f", mean of {group.count}" if len(group.runs) > 1 else ""
    biggest = ", ".join(name.removeprefix("reward/") for name in order[:3])
    return Figure(
        figure_id(f"rewards {group.name}"),
        title,
        f"What each term adds to the return of an episode{over}; rewards above zero, penalties "
        "below. A term that dwarfs the others is what the policy learns.",
        f"{title} over environment steps, stacked. Largest: {biggest}.",
        plot.spec(380),
        wide=True,
    )


_BELOW = {"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0, "xanchor": "left"}


def _area(
    plot: Plot, steps: Array, values: Array, name: str, color: str, stack: str, legend: bool
) -> None:
    plot.traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": numbers(steps),
            "y": numbers(np.nan_to_num(values)),
            "name": label(name),
            "stackgroup": stack,
            "fillcolor": f"{color}/0.55",
            "line": {"width": 0.5, "color": color},
            "legendgroup": label(name),
            "showlegend": legend,
            "hoverinfo": "all" if legend else "skip",
            "hovertemplate": hover("reward") if legend else None,
        }
    )


def _means(group: Group, names: Sequence[str]) -> tuple[Array, Mapping[str, Array]]:
    """Common steps and, per metric, the mean over the runs; missing values count as 0."""
    curves = [curve for name in names for curve in group.curves(name)]
    if not curves:
        return np.empty(0), {}
    most = max(len(curve.steps) for curve in curves)
    low, high = min(c.steps[0] for c in curves), max(c.steps[-1] for c in curves)
    steps = np.linspace(low, high, min(2 * POINTS, most)) if most > 1 else np.array([low])
    found = {}
    for name in names:
        rows = [_onto(steps, curve) for curve in group.curves(name)]
        if rows:
            found[name] = np.mean(rows, axis=0)
    return steps, found


def _onto(steps: Array, curve: Curve) -> Array:
    known = np.isfinite(curve.values)
    if not known.any():
        return np.zeros(len(steps))
    return np.interp(steps, curve.steps[known], smooth(curve.values[known]))


def curriculum(groups: Sequence[Group]) -> list[Figure]:
    """What the curriculum set over time, a figure for each of its values."""
    names = dict.fromkeys(
        name
        for group in groups
        for run in group.runs
        if has_curriculum(run)
        for name in run.curves
        if name.startswith("curriculum/") and name != "curriculum/progress"
    )
    return [figure for name in names if (figure := _stepped(groups, name)) is not None]


def _stepped(groups: Sequence[Group], name: str) -> Figure | None:
    title = name.removeprefix("curriculum/").replace("_", " ").capitalize()
    figure = metric_figure(groups, name, title, "", stepped=True)
    if figure is not None:
        figure.spec["layout"]["height"] = 220
    return figure


def time(groups: Sequence[Group]) -> list[Figure]:
    """Environment steps per second, and where the time goes."""
    found = [metric_figure(groups, "time/fps", "Throughput", "A fall means that something stalls.")]
    if len(groups) == 1:
        found.append(_split(groups[0]))
    return [figure for figure in found if figure is not None]


def _split(group: Group) -> Figure | None:
    steps, table = _means(group, list(_TIME))
    if not table:
        return None
    plot = Plot()
    for (name, title), color in zip(_TIME.items(), cycle(len(_TIME)), strict=True):
        if name in table:
            _area(plot, steps, table[name], title, color, "time", legend=True)
            plot.traces[-1]["hovertemplate"] = hover("share")
    y = {"tickformat": ".0%", "range": [0, 1], "title": {"text": ""}}
    plot.layout = {"xaxis": steps_axis(), "yaxis": y}
    ends = ", ".join(f"{_TIME[name]} {values[-1]:.0%}" for name, values in table.items())
    return Figure(
        "figure-time-split",
        "Where the time goes",
        "Physics, the task around it, choosing actions, and updating the networks.",
        f"Shares of time over environment steps, stacked; at the end {ends}.",
        plot.spec(),
    )
