"""Figures over environment steps: learning, health, the curriculum, and all other metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from reach_rl.evaluation.statistics import stratified_bootstrap
from reach_rl.mdp.arrays import Array
from reach_rl.monitoring.metrics import Better, Metric, describe
from reach_rl.viz.plots import smooth
from reach_rl.viz.report import plotting as draw
from reach_rl.viz.report.subject import (
    Alert,
    Curve,
    Group,
    Groups,
    RunData,
    at,
    lone,
    members,
    number,
)

POINTS = 120
"""Points of a curve over seeds."""

_ERRORS: dict[str, list[Any]] = draw.SHEET["errors"]
_HEALTH: dict[str, list[str]] = draw.SHEET["health"]

_ELSEWHERE = ("reward/", "curriculum/", "time/", "health/alert", "final/", "eval/")
"""Beginnings of metrics that have figures of their own, or tables; these, too:"""

_SHOWN = {f"rollout/{name}" for name in ("success_rate", "ep_rew_mean", *_ERRORS)}


@draw.figure("learning")
def success(groups: Groups) -> draw.Figure | None:
    """Success while training and on held-out goals."""
    return _judged(groups, "success_rate", "Success", "Should climb and stay up.")


@draw.figure("learning")
def errors(groups: Groups) -> Iterator[draw.Figure | None]:
    """Final errors while training and on held-out goals."""
    caption = "Should fall below the dotted threshold; the axis is logarithmic."
    return (_judged(groups, name, title, caption) for name, (title, _, _) in _ERRORS.items())


@draw.figure("learning")
def returns(groups: Groups) -> draw.Figure | None:
    """The return of an episode."""
    return metric_figure(groups, "rollout/ep_rew_mean", "Return", "Should climb.")


@draw.figure("health")
def health(groups: Groups) -> Iterator[draw.Figure | None]:
    """PPO's own numbers, with healthy bands and warnings."""
    for name, said in _HEALTH.items():
        yield metric_figure(groups, name, *said, alerts=True)


@draw.figure("curriculum")
def curriculum(groups: Groups) -> Iterator[draw.Figure | None]:
    """What the curriculum set over time, a figure for each of its values."""
    staged = [run for run in members(groups) if has_curriculum(run)]
    for name in dict.fromkeys(name for run in staged for name in run.curves):
        if name.startswith("curriculum/") and name != "curriculum/progress":
            title = name.removeprefix("curriculum/").replace("_", " ").capitalize()
            yield metric_figure(groups, name, title, stepped=True)


@draw.figure("others")
def others(groups: Groups) -> Iterator[draw.Figure | None]:
    """Every metric with at least two records that has no figure elsewhere."""
    names = sorted({name for run in members(groups) for name in run.curves})
    for name in names:
        known = name in {*_HEALTH, *_SHOWN}
        most = max((len(c.steps) for g in groups for c in g.curves(name)), default=0)
        if most > 1 and not known and not name.startswith(_ELSEWHERE):
            yield metric_figure(groups, name, name)


def metric_figure(
    groups: Groups,
    name: str,
    title: str,
    caption: str = "",
    *,
    alerts: bool = False,
    stepped: bool = False,
) -> draw.Figure | None:
    """One metric over environment steps; None if no run recorded it.

    Args:
        groups: whose.
        name: of the metric.
        title: of the figure.
        caption: what to look for, after the metric's meaning.
        alerts: mark warnings.
        stepped: it changes at once and then stays; else it is smoothed.
    """
    metric = _meaning(name)
    chart = draw.Chart(280, draw.steps_axis(), draw.unit_axis(metric.unit))
    for group, color in zip(groups, draw.cycle(len(groups)), strict=False):
        _draw(chart, group, group.curves(name), metric.unit, color, stepped)
    if not chart.traces:
        return None
    healthy = _healthy_zone(chart, groups, name, metric)
    curriculum_zones(chart, groups)
    if alerts:
        _mark_alerts(chart, groups)
    if name == "train/value_loss":
        chart.log_scale()
    if metric.unit == "index":
        chart.y["dtick"] = 1
    words = " ".join(filter(None, (draw.sentence(metric.meaning), caption, healthy)))
    alt = f"{title} over environment steps. {_lasts(groups, name, metric.unit)}"
    return draw.Figure(name, chart.plot(), alt, title, words)


def _judged(groups: Groups, name: str, title: str, caption: str) -> draw.Figure | None:
    """A figure of what both rollouts and evaluations measure."""
    share, rollout = name not in _ERRORS, f"rollout/{name}"
    judged = f"eval/{name}" if share else f"eval/{name}_median"
    unit = _meaning(rollout).unit
    y = draw.unit_axis(unit) | ({"range": [-0.02, 1.02]} if share else {})
    chart = draw.Chart(320, draw.steps_axis(), y)
    run = lone(groups)
    if run is not None:
        _draw_single(chart, run, name, unit)
    else:
        lengths = [len(c.steps) for g in groups for c in g.curves(judged)] or [0]
        source = judged if min(lengths) > 2 else rollout
        where = {judged: "on held-out goals", rollout: "while training, exploration included"}
        caption += f" Measured {where[source]}."
        for group, color in zip(groups, draw.cycle(len(groups)), strict=False):
            _draw(chart, group, group.curves(source), unit, color)
    if not chart.traces:
        return None
    if not share:
        _threshold(chart, groups, name, unit)
        chart.log_scale()
    curriculum_zones(chart, groups)
    last = _lasts(groups, judged, unit) or _lasts(groups, rollout, unit)
    alt = f"{title} over environment steps. {last}"
    return draw.Figure(f"learning-{name}", chart.plot(), alt, title, caption)


def _draw_single(chart: draw.Chart, run: RunData, name: str, unit: str) -> None:
    """Training, periodic evaluation with its interval, and the verdict of one run."""
    share, median = name not in _ERRORS, "" if name not in _ERRORS else "_median"

    def show(metric: str, title: str, color: str, **style: Any) -> None:  # noqa: ANN401
        if (curve := run.curves.get(metric)) is not None:
            values = curve.values if share else np.where(curve.values > 0, curve.values, np.nan)
            calm = smooth(values) if metric.startswith("rollout/") else values
            steps, values = draw.thinned(curve.steps, calm)
            chart.line(steps, values, title, color, unit, **style)

    show(f"rollout/{name}", "training, exploring", draw.MUTED, width=1.5)
    low, high = (run.curves.get(f"eval/success_ci95_{end}") for end in ("low", "high"))
    if share and low is not None and high is not None:
        chart.band(low.steps, low.values, high.values, draw.BLUE, "evaluation")
    named = "evaluation" if share else "evaluation, median"
    show(f"eval/{name}{median}", named, draw.BLUE, mode="lines+markers")
    show(f"eval/{name}_p95", "evaluation, 95th percentile", draw.ORANGE, dash="dash")
    style = {"mode": "markers", "size": 10, "symbol": "diamond"}
    show(f"final/{run.region}/{name}{median}", "verdict", draw.INK, **style)


def _draw(
    chart: draw.Chart,
    group: Group,
    curves: Sequence[Curve],
    unit: str,
    color: str,
    stepped: bool = False,
) -> None:
    """The curve of a run, or of several seeds with the band around their interquartile mean."""
    many = len(group.runs) > 1
    name = group.name or ("interquartile mean" if many else "this run")
    calm = (lambda values: values) if stepped else smooth
    style: dict[str, Any] = {"shape": "hv" if stepped else "linear"}
    style["legendgroup"] = draw.label(name)
    band = over_curves(curves, transform=calm) if many else None
    if band is not None:
        chart.band(band[0], *band[2:], color, name)
    for run, curve in zip(group.runs, curves, strict=False) if len(curves) <= 10 else ():
        steps, values = draw.thinned(curve.steps, calm(curve.values), 200 if many else 600)
        few: dict[str, Any] = {"mode": "lines+markers"} if np.isfinite(values).sum() < 3 else {}
        if many:
            pale, seed = draw.faded(color, 0.35), f"seed {run.seed}"
            chart.line(steps, values, seed, pale, width=1, **style, **draw.UNSEEN)
        else:
            chart.line(steps, values, name, color, unit, **style, **few)
    if band is not None:
        chart.line(*band[:2], name, color, unit, width=2.5, **style)


def over_curves(
    curves: Sequence[Curve], points: int = POINTS, transform: Callable[[Array], Array] = lambda v: v
) -> tuple[Array, Array, Array, Array] | None:
    """The curves of seeds as one, interpolated to common steps; None without values.

    Four (k,): steps, interquartile mean, and the ends of its interval.

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
    table = np.stack(
        [np.interp(steps, s, transform(v), left=np.nan, right=np.nan) for s, v in parts], axis=1
    )
    ends = np.full((3, len(steps)), np.nan)
    present = np.isfinite(table)
    for pattern in np.unique(present, axis=0):
        if pattern.any():
            rows = (present == pattern).all(axis=1)
            found = stratified_bootstrap([table[rows][:, pattern]], repeats=1000)
            ends[: 3 if pattern.sum() > 1 else 1, rows] = found[: 3 if pattern.sum() > 1 else 1]
    middle, low, high = ends
    return steps, middle, low, high


def _meaning(name: str) -> Metric:
    """What the catalogue knows of a metric, or as good as nothing."""
    try:
        return describe(name)
    except KeyError:
        return Metric(name, "", Better.NEITHER, name)


def _lasts(groups: Groups, name: str, unit: str) -> str:
    """The newest values in words."""
    lasts = [c.last for g in groups for c in g.curves(name) if c.last is not None]
    words = [f"{v:.1%}" if unit == "share" else f"{v:.3g} {unit}".strip() for v in lasts[:5]]
    return f"Last value: {', '.join(words)}." if words else ""


def _threshold(chart: draw.Chart, groups: Groups, name: str, unit: str) -> None:
    """The task's threshold, where it is the same for all runs; the curriculum's as it moves."""
    _, key, factor = _ERRORS[name]
    run = lone(groups)
    moving = None if run is None else run.curves.get(f"curriculum/{key}")
    if moving is not None:
        heights = factor * moving.values
        chart.line(moving.steps, heights, "threshold", draw.GREEN, unit, dash="dot", shape="hv")
        return
    values = {number(run.config, "task", key) for run in members(groups)}
    value = values.pop() if len(values) == 1 else None
    if value is not None:
        steps = np.concatenate([trace["x"] for trace in chart.traces])
        ends = [steps.min(), steps.max()]
        chart.line(ends, [factor * value] * 2, "threshold", draw.GREEN, unit, dash="dot")


def _healthy_zone(chart: draw.Chart, groups: Groups, name: str, metric: Metric) -> str:
    """Shade where a healthy run stays; says how much of the run was there."""
    values = np.concatenate([c.values for g in groups for c in g.curves(name)])
    values = values[np.isfinite(values)]
    if metric.healthy is None or not values.size:
        return ""
    low, high = metric.healthy
    seen = np.percentile(values, [1, 99])
    bottom, top = min(float(seen[0]), low), max(float(seen[1]), high)
    room = 0.08 * (top - bottom) or 1.0
    chart.y["range"] = [bottom - room * (bottom < 0), top + room]
    if high > low:
        chart.zone("y", low, min(high, top + room), draw.faded(draw.GREEN, 0.13))
    inside = float(((values >= low) & (values <= high)).mean())
    shaded = "Shaded: healthy" if high > low else f"Healthy at {low:g}"
    return f"{shaded}, {inside:.0%} of the records."


def curriculum_zones(chart: draw.Chart, groups: Groups) -> None:
    """Shade every other stage of a single run's curriculum."""
    run = lone(groups)
    if run is None:
        return
    found, grey = _stages(run), draw.faded(draw.MUTED, 0.12)
    for index, (start, end) in enumerate(found):
        if index % 2:
            chart.zone("x", start, end, grey)
        if end - start > 0.03 * found[-1][1]:
            chart.note(f"{index}", x=(start + end) / 2, y=0, yref="paper", yanchor="bottom")


def has_curriculum(run: RunData) -> bool:
    """Whether something changes while the run goes on."""
    given = at(run.config, "curriculum")
    kinds = given.values() if isinstance(given, Mapping) else ()
    return any(isinstance(kind, (list, Mapping)) and kind for kind in kinds)


def _stages(run: RunData) -> list[tuple[float, float]]:
    """First and last step of each stage of a run's curriculum."""
    curve = run.curves.get("curriculum/stage")
    if curve is None or curve.last is None or not at(run.config, "curriculum", "stages"):
        return []
    changes = np.flatnonzero(np.diff(curve.values) != 0) + 1
    return list(pairwise([0.0, *curve.steps[changes].tolist(), float(curve.steps[-1])]))


def alerts_of(groups: Groups) -> list[tuple[RunData, Alert]]:
    """All warnings, in order of steps."""
    found = [(run, alert) for run in members(groups) for alert in run.alerts]
    return sorted(found, key=lambda pair: pair[1].step)


def _mark_alerts(chart: draw.Chart, groups: Groups, most: int = 12) -> None:
    """A dotted line at each warning, numbered as in the list of warnings."""
    for index, (_, alert) in enumerate(alerts_of(groups)[:most], 1):
        chart.rule("x", alert.step, draw.faded(draw.ORANGE, 0.8))
        place = {"x": alert.step, "y": 1, "yref": "paper", "yanchor": "bottom"}
        chart.note(str(index), draw.ORANGE, hovertext=draw.label(alert.title), **place)
