"""Figures over environment steps: learning and PPO health."""

from collections.abc import Sequence

import numpy as np

from reach_rl.monitoring.metrics import CATALOGUE, Metric
from reach_rl.viz.report.figure import (
    ACCENT,
    INK,
    MUTED,
    SERIES,
    WARN,
    Figure,
    Plot,
    axis,
    figure_id,
    label,
    log_axis,
    sentence,
    smooth,
    steps_axis,
    thinned,
)
from reach_rl.viz.report.groups import Group
from reach_rl.viz.report.intervals import over_curves
from reach_rl.viz.report.marks import (
    curriculum_zones,
    healthy_zone,
    mark_alerts,
    meaning,
    threshold,
)
from reach_rl.viz.report.read import Curve, RunData

_LEARNING = (
    ("success_rate", "Success", "Should climb and stay up.", "linear"),
    (
        "position_error_mm",
        "Final position error",
        "Should fall below the dotted threshold; the axis is logarithmic.",
        "log",
    ),
    (
        "orientation_error_deg",
        "Final orientation error",
        "Should fall below the dotted threshold; the axis is logarithmic.",
        "log",
    ),
)

HEALTH = (
    ("train/approx_kl", "Divergence of an update", "Spikes mean that updates are too large."),
    ("train/clip_fraction", "Clipped samples", "High: updates too large; near zero: too timid."),
    ("train/entropy_loss", "Entropy loss", "Should rise slowly as the policy grows surer."),
    ("train/std", "Exploration", "Should shrink slowly; growing without success is a bad sign."),
    ("train/value_loss", "Value loss", "Should fall, or settle after the reward has."),
    ("train/explained_variance", "Explained variance", "Near zero: the critic knows nothing yet."),
    ("train/grad_norm", "Gradient norm", "Should not keep growing."),
    ("train/learning_rate", "Learning rate", "What the schedule made of it."),
)
"""Metric, title, and what to look for."""

_LOG = ("train/value_loss",)
"""Metrics that fall by orders of magnitude."""

SHOWN = ("rollout/success_rate", "rollout/ep_rew_mean", "time/total_timesteps", "time/time_elapsed")


def learning(groups: Sequence[Group]) -> list[Figure]:
    """Success, errors and return over environment steps."""
    found = [_figure_or_error(groups, *row) for row in _LEARNING]
    found.append(metric_figure(groups, "rollout/ep_rew_mean", "Return", "Should climb."))
    return [figure for figure in found if figure is not None]


def health(groups: Sequence[Group]) -> list[Figure]:
    """PPO's own numbers, with healthy bands."""
    known = {name for name, _, _ in HEALTH}
    rest = [m.name for m in CATALOGUE.values() if m.healthy is not None and m.name not in known]
    rows = [*HEALTH, *((name, _titled(name), "") for name in rest)]
    return [f for row in rows if (f := metric_figure(groups, *row, alerts=True)) is not None]


def _titled(name: str) -> str:
    return name.rpartition("/")[2].replace("_", " ").capitalize()


def others(groups: Sequence[Group], shown: Sequence[str]) -> list[Figure]:
    """Every metric with at least two records that has no figure elsewhere."""
    names = dict.fromkeys(n for group in groups for run in group.runs for n in run.curves)
    left = [n for n in names if n not in (*shown, *SHOWN) and not n.startswith(("final/", "eval/"))]
    left = [n for n in sorted(left) if max(len(c.steps) for g in groups for c in g.curves(n)) > 1]
    found = [metric_figure(groups, name, name, "") for name in left]
    return [figure for figure in found if figure is not None]


def metric_figure(
    groups: Sequence[Group],
    name: str,
    title: str,
    caption: str,
    alerts: bool = False,
    stepped: bool = False,
) -> Figure | None:
    """One metric over environment steps; None if no run recorded it."""
    plot = Plot()
    metric = meaning(name)
    for group, color in zip(groups, cycle(len(groups)), strict=False):
        draw_group(plot, group, group.curves(name), metric.unit, color, group.name, stepped)
    if not plot.traces:
        return None
    plot.layout = {"xaxis": steps_axis(), "yaxis": axis("", metric.unit) | _title(metric)}
    healthy = healthy_zone(plot, groups, name, metric)
    curriculum_zones(plot, groups)
    if alerts:
        mark_alerts(plot, groups)
    if name in _LOG:
        plot.layout["yaxis"] |= log_axis(_drawn(plot))
    if metric.unit == "index":
        plot.layout["yaxis"] |= {"dtick": 1}
    last = _lasts(groups, name, metric.unit)
    words = " ".join(part for part in (sentence(metric.meaning), caption, healthy) if part)
    return Figure(
        figure_id(name), title, words, f"{title} over environment steps. {last}", plot.spec()
    )


def _title(metric: Metric) -> dict[str, object]:
    """A bare unit says enough beside a heading."""
    shown = {"share": "", "1": "", "text": ""}.get(metric.unit, metric.unit)
    return {"title": {"text": label(shown)}}


def cycle(count: int) -> list[str]:
    """A colour for each of so many groups."""
    return [SERIES[i % len(SERIES)] for i in range(count)]


def draw_group(
    plot: Plot,
    group: Group,
    curves: Sequence[Curve],
    unit: str,
    color: str,
    name: str,
    stepped: bool = False,
) -> None:
    """The curve of a run, or of several seeds with the band around their interquartile mean."""
    name = name or ("interquartile mean" if len(group.runs) > 1 else "this run")
    calm = (lambda values: values) if stepped else smooth
    shape = {"shape": "hv" if stepped else "linear"}
    if len(group.runs) == 1:
        for curve in curves:
            steps, values = thinned(curve.steps, calm(curve.values))
            few = int(np.isfinite(values).sum()) < 3
            style = {"mode": "lines+markers"} if few else {}
            plot.line(
                steps, values, name, color, unit, legendgroup=label(name), line=shape, **style
            )
        return
    band = over_curves(curves, transform=calm)
    if band is None:
        return
    plot.band(band.steps, band.low, band.high, color, name)
    if len(curves) <= 10:
        for run, curve in zip(group.runs, curves, strict=False):
            steps, values = thinned(curve.steps, calm(curve.values), 200)
            plot.line(
                steps,
                values,
                f"seed {run.seed}",
                f"{color}/0.35",
                unit,
                width=1,
                line=shape,
                hoverinfo="skip",
                hovertemplate=None,
                showlegend=False,
                legendgroup=label(name),
            )
    style = {"legendgroup": label(name), "width": 2.5, "line": shape}
    plot.line(band.steps, band.middle, name, color, unit, **style)


def _figure_or_error(
    groups: Sequence[Group], name: str, title: str, caption: str, scale: str
) -> Figure | None:
    """A figure of what both rollouts and evaluations measure."""
    share = scale == "linear"
    judged = f"eval/{name}" if share else f"eval/{name}_median"
    single = len(groups) == 1 and len(groups[0].runs) == 1
    plot, unit = Plot(), meaning(f"rollout/{name}").unit
    source = "on held-out goals"
    if single:
        _single(plot, groups[0].runs[0], name, judged, unit, share)
    else:
        enough = all(len(c.steps) > 2 for g in groups for c in g.curves(judged) or [_EMPTY])
        source = "on held-out goals" if enough else "while training, exploration included"
        for group, color in zip(groups, cycle(len(groups)), strict=False):
            curves = group.curves(judged if enough else f"rollout/{name}")
            draw_group(plot, group, curves, unit, color, group.name)
    if not plot.traces:
        return None
    y = axis("", unit)
    if share:
        y |= {"range": [-0.02, 1.02], "title": {"text": ""}}
    else:
        threshold(plot, groups, name)
        y |= log_axis(_drawn(plot)) | {"title": {"text": label(unit)}}
    plot.layout = {"xaxis": steps_axis(), "yaxis": y}
    curriculum_zones(plot, groups)
    said = caption if single else f"{caption} Measured {source}."
    last = _lasts(groups, judged, unit) or _lasts(groups, f"rollout/{name}", unit)
    alt = f"{title} over environment steps. {last}"
    return Figure(figure_id(f"learning-{name}"), title, said, alt, plot.spec(320))


def _drawn(plot: Plot) -> list[float]:
    """Every value of the traces and lines of a plot."""
    values = [value for trace in plot.traces for value in trace["y"] if value is not None]
    return values + [shape["y0"] for shape in plot.shapes if shape["type"] == "line"]


_EMPTY = Curve(np.empty(0), np.empty(0))


def _single(plot: Plot, run: RunData, name: str, judged: str, unit: str, share: bool) -> None:
    """Training, periodic evaluation with its interval, and the verdict of one run."""
    rollout, curve = run.curves.get(f"rollout/{name}"), run.curves.get(judged)
    if rollout is not None:
        steps, values = thinned(rollout.steps, smooth(_positive(rollout.values, not share)))
        plot.line(steps, values, "training, exploring", MUTED, unit, width=1.5)
    if curve is not None:
        if share:
            ends = [run.curves.get(f"eval/success_ci95_{end}") for end in ("low", "high")]
            if ends[0] is not None and ends[1] is not None:
                plot.band(ends[0].steps, ends[0].values, ends[1].values, ACCENT, "evaluation")
        values = _positive(curve.values, not share)
        named = "evaluation" if share else "evaluation, median"
        plot.line(curve.steps, values, named, ACCENT, unit, mode="lines+markers")
    tail = run.curves.get(f"eval/{name}_p95")
    if tail is not None and not share:
        values = _positive(tail.values, True)
        line = {"dash": "dash"}
        plot.line(tail.steps, values, "evaluation, 95th percentile", WARN, unit, line=line)
    final = run.curves.get(f"final/{run.region}/{name}" + ("" if share else "_median"))
    if final is not None:
        marker = {"color": INK, "size": 10, "symbol": "diamond"}
        plot.line(final.steps, final.values, "verdict", INK, unit, mode="markers", marker=marker)


def _positive(values: np.ndarray, wanted: bool) -> np.ndarray:
    return np.where(values > 0, values, np.nan) if wanted else values


def _lasts(groups: Sequence[Group], name: str, unit: str) -> str:
    """The newest values in words."""
    lasts = [c.last for g in groups for c in g.curves(name) if c.last is not None]
    if not lasts:
        return ""
    words = [f"{v:.1%}" if unit == "share" else f"{v:.3g} {unit}".strip() for v in lasts[:5]]
    return f"Last value: {', '.join(words)}."
