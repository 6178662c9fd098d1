"""What is drawn behind and beside curves: healthy ranges, thresholds, stages and warnings."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from reach_rl.monitoring.metrics import Metric, describe
from reach_rl.viz.report.figure import GOOD, MUTED, SMALL, WARN, Plot, label
from reach_rl.viz.report.groups import Group
from reach_rl.viz.report.read import Alert, RunData, at, number

_OF_STAGES = {
    f"curriculum/{name}"
    for name in ("progress", "stage", "position_threshold", "orientation_threshold", "region_share")
}


def meaning(name: str) -> Metric:
    """What the catalogue knows of a metric, or as good as nothing."""
    try:
        return describe(name)
    except KeyError:
        return Metric(name, "", name)


def threshold(plot: Plot, groups: Sequence[Group], name: str) -> None:
    """The task's threshold, where it is the same for all runs; the curriculum's as it moves."""
    key, factor = (
        ("position_threshold", 1000.0) if "position" in name else ("orientation_threshold", 57.2958)
    )
    runs = [run for group in groups for run in group.runs]
    moving = runs[0].curves.get(f"curriculum/{key}")
    if len(runs) == 1 and moving is not None:
        style = {"dash": "dot", "shape": "hv"}
        y = factor * moving.values
        plot.line(moving.steps, y, "threshold", GOOD, meaning(f"rollout/{name}").unit, line=style)
        return
    values = {number(run.config, "task", key) for run in runs}
    value = values.pop() if len(values) == 1 else None
    if value is not None:
        at = float(np.log10(factor * value))
        plot.mark(factor * value, GOOD)
        plot.notes.append(
            {
                "text": "threshold",
                "showarrow": False,
                "x": 0,
                "xref": "paper",
                "xanchor": "left",
                "y": at,
                "yanchor": "bottom",
                "font": SMALL | {"color": GOOD},
            }
        )


def healthy_zone(plot: Plot, groups: Sequence[Group], name: str, metric: Metric) -> str:
    """Shade where a healthy run stays; says how much of the run was there."""
    if metric.healthy is None:
        return ""
    low, high = metric.healthy
    values = np.concatenate([c.values for g in groups for c in g.curves(name)])
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    seen = np.percentile(values, [1, 99])
    bottom, top = min(float(seen[0]), low), max(float(seen[1]), high)
    room = 0.08 * (top - bottom) or 1.0
    plot.layout["yaxis"]["range"] = [bottom - room * (bottom < 0), top + room]
    if high > low:
        plot.zone(low, min(high, top + room), f"{GOOD}/0.13")
    inside = float(((values >= low) & (values <= high)).mean())
    shaded = "Shaded: healthy" if high > low else f"Healthy at {low:g}"
    return f"{shaded}, {inside:.0%} of the records."


def curriculum_zones(plot: Plot, groups: Sequence[Group]) -> None:
    """Shade the stages of a single run's curriculum, and the time of its ramps."""
    if len(groups) != 1 or len(groups[0].runs) != 1:
        return
    run = groups[0].runs[0]
    found = stages(run)
    for index, (start, end) in enumerate(found):
        if index % 2:
            plot.zone(start, end, f"{MUTED}/0.12", axis="x")
        if end - start > 0.03 * found[-1][1]:
            middle = {"x": (start + end) / 2, "y": 0, "yref": "paper", "yanchor": "bottom"}
            plot.notes.append({"text": f"{index}", "showarrow": False, "font": SMALL, **middle})
    progress = run.curves.get("curriculum/progress")
    ramps = {n for n in run.curves if n.startswith("curriculum/")} - _OF_STAGES
    if progress is not None and ramps:
        done = np.flatnonzero(progress.values >= 1.0)
        end = progress.steps[done[0]] if done.size else progress.steps[-1]
        plot.zone(float(progress.steps[0]), float(end), f"{MUTED}/0.10", axis="x")


def has_curriculum(run: RunData) -> bool:
    """Whether something changes while the run goes on."""
    group = at(run.config, "curriculum")
    if at(group, "stages") or at(group, "ramps"):
        return True
    curve = run.curves.get("curriculum/stage")
    return curve is not None and bool((np.diff(curve.values) != 0).any())


def stages(run: RunData) -> list[tuple[float, float]]:
    """First and last step of each stage of a run's curriculum."""
    curve = run.curves.get("curriculum/stage")
    if curve is None or not np.isfinite(curve.values).any() or not has_curriculum(run):
        return []
    values = curve.values
    starts = [0, *(np.flatnonzero(np.diff(values) != 0) + 1).tolist()]
    edges = [0.0, *(float(curve.steps[i]) for i in starts[1:]), float(curve.steps[-1])]
    return list(pairwise(edges))


def alerts_of(groups: Sequence[Group]) -> list[tuple[RunData, Alert]]:
    """All warnings, in order of steps."""
    found = [(run, alert) for group in groups for run in group.runs for alert in run.alerts]
    return sorted(found, key=lambda pair: pair[1].step)


def mark_alerts(plot: Plot, groups: Sequence[Group], most: int = 12) -> None:
    """A dotted line at each warning, numbered as in the list of warnings."""
    for index, (_, alert) in enumerate(alerts_of(groups)[:most], 1):
        plot.mark(alert.step, f"{WARN}/0.8", axis="x")
        plot.notes.append(
            {
                "text": str(index),
                "x": alert.step,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11, "color": WARN},
                "hovertext": label(alert.title),
            }
        )
