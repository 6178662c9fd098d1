"""Figures of the held-out goals one by one: errors in histograms, outcomes in space."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from reach_rl.evaluation.comparison import same_goals
from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.viz.report import plotting as draw
from reach_rl.viz.report.subject import Group, Groups

BINS = 40
MOST_POINTS = 3000
"""Goals drawn in space; all that were missed and some of the others."""
_MOST_SCENES = 4


class Measure(NamedTuple):
    """What is measured of each goal, as histograms show it."""

    name: str
    title: str
    unit: str
    array: str
    """Of the evaluation."""
    factor: float
    threshold: str
    """Of the evaluation's conditions, in the array's unit; or empty."""
    log: bool
    caption: str


_Judged = Sequence[tuple[Group, Sequence[Evaluation]]]


def _judged(groups: Groups) -> _Judged:
    found = [(g, [r.evaluation for r in g.runs if r.evaluation is not None]) for g in groups]
    return [(group, each) for group, each in found if each]


@draw.figure("goals")
def histograms(groups: Groups) -> Iterator[draw.Figure]:
    """Errors and times over goals, all seeds pooled."""
    found = _judged(groups)
    for name, (facts, caption) in draw.SHEET["goals"].items() if found else ():
        yield _histogram(found, Measure._make([name, *facts, caption]))


def _histogram(found: _Judged, measure: Measure) -> draw.Figure:
    """Counts of one group by outcome, or shares of several groups; errors on a log axis."""
    values = [
        measure.factor * np.concatenate([getattr(e, measure.array) for e in each], dtype=float)
        for _, each in found
    ]
    shown = [v[_usable(v, measure)] for v in values]
    limit = _limit(found, measure)
    edges = _edges(np.concatenate([*shown, [] if limit is None else [limit]]), measure.log)
    axis = draw.named(measure.unit) | (
        draw.log_axis(*np.log10(edges[[0, -1]])) if measure.log else {}
    )
    chart = draw.Chart(280, axis, draw.named("goals"), hovermode="closest")
    chart.layout |= {"barmode": "stack", "legend": {"traceorder": "normal"}}
    if len(found) == 1:
        reached = np.concatenate([e.success for e in found[0][1]])[_usable(values[0], measure)]
        for part, name, color in (
            (shown[0][reached], "reached", draw.BLUE),
            (shown[0][~reached], "missed", draw.ORANGE),
        ):
            if len(part):
                chart.traces.append(_bars(part, edges, f"{name} ({len(part):,})", color, measure))
    else:
        chart.y |= {"title": {"text": "share of goals"}, "tickformat": ".0%"}
        for (group, _), part, color in zip(found, shown, draw.cycle(len(found)), strict=True):
            counts = np.histogram(part, edges)[0] / max(1, len(part))
            style: dict[str, Any] = {
                "shape": "hv",
                "fill": "tozeroy",
                "fillcolor": draw.faded(color, 0.12),
            }
            chart.line(edges, [*counts, 0.0], group.name, color, "share", **style)
    return _labelled(chart, measure, limit, np.concatenate(values))


def _labelled(
    chart: draw.Chart, measure: Measure, limit: float | None, values: Array
) -> draw.Figure:
    caption = measure.caption + (" Logarithmic axis." if measure.log else "")
    if limit is not None:
        chart.rule("x", limit, draw.GREEN)
        x = float(np.log10(limit)) if measure.log else limit  # as Plotly wants it for notes
        chart.note("threshold", x=x, xanchor="right", y=1, yref="paper", yanchor="bottom")
        caption += " Right of the dotted line a goal is missed."
    whole = values[np.isfinite(values)]
    middle = f"Median {np.median(whole):.3g} {measure.unit}." if whole.size else "No values."
    alt = f"Histogram of {measure.title.lower()} over {len(whole):,} goals. {middle}"
    return draw.Figure(f"histogram-{measure.name}", chart.plot(), alt, measure.title, caption)


def _usable(values: Array, measure: Measure) -> Bools:
    return np.isfinite(values) & ((values > 0) | (not measure.log))


def _limit(found: _Judged, measure: Measure) -> float | None:
    """The threshold, where all runs have the same."""
    if not measure.threshold:
        return None
    limits = {getattr(e.conditions, measure.threshold) for _, each in found for e in each}
    return measure.factor * limits.pop() if len(limits) == 1 else None


def _edges(values: Array, log: bool) -> Array:
    """Ends of the bars, evenly spaced on the axis."""
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 10.0)
    if log:
        return np.geomspace(low, high * (1 + 1e-6), BINS + 1)
    return np.linspace(low, high + 1e-9 + 1e-6 * abs(high), BINS + 1)


def _bars(values: Array, edges: Array, name: str, color: str, measure: Measure) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": np.histogram(values, edges)[0],
        "width": np.diff(edges) * 0.94,
        "name": name,
        "customdata": [f"{a:.3g} to {b:.3g} {measure.unit}" for a, b in pairwise(edges)],
        "marker": {"color": color, "line": {"width": 0}},
        "hovertemplate": "%{customdata}: %{y} goals<extra></extra>",
    }


@draw.figure("goals")
def scenes(groups: Groups) -> Iterator[draw.Figure]:
    """Goals in space by outcome: to be turned, from above and from the side."""
    for group, each in _judged(groups[:_MOST_SCENES]):
        yield from _scene(group, [e for e in each if same_goals(e, each[0])])


def _scene(group: Group, evaluations: Sequence[Evaluation]) -> Iterator[draw.Figure]:
    first, runs = evaluations[0], len(evaluations)
    missed = np.sum([~e.success for e in evaluations], axis=0)
    rows = _some(missed)
    clouds = _clouds(first, missed, rows, runs)
    shown = "" if len(rows) == len(first) else f" {len(rows):,} of {len(first):,} goals are drawn."
    alt = f"coloured by outcome. {(missed > 0).sum():,} of {len(first):,} goals were missed."
    name = f"goals {group.name}"
    yield draw.Figure(
        name,
        _solid(_dots(clouds, (0, 1, 2))),
        f"Goals in three dimensions, {alt}",
        f"Goals in space{group.of}",
        "Drag to turn, scroll or pinch to zoom. Missed goals that lie together are a weak "
        f"spot.{shown}",
        wide=True,
    )
    y, x, z = (
        draw.named(text) | {"zeroline": False}
        for text in ("y (m), left", "x (m), forward", "z (m), up")
    )
    above = draw.Chart(380, y | {"autorange": "reversed"}, x | {"scaleanchor": "x"})
    side = draw.Chart(380, x, z | {"scaleanchor": "x"})
    side.rule("y", 0.0, draw.MUTED)
    for chart, axes, view, how in (
        (above, (1, 0), "above", "Forward is up, left is left; the square is the base."),
        (side, (0, 2), "the side", "Forward is right; the line is the table's height."),
    ):
        chart.layout["hovermode"] = "closest"
        chart.traces += _dots(clouds, axes)
        title = f"From {view}{group.of}"
        plot, seen = chart.plot(), f"Goals seen from {view}, {alt}"
        yield draw.Figure(f"{name}-{view.split()[-1]}", plot, seen, title, how)


def _some(missed: Ints) -> Ints:
    """Every goal that was missed, and as many of the others as there is room for."""
    bad, good = np.flatnonzero(missed > 0), np.flatnonzero(missed == 0)
    room = min(len(good), max(0, MOST_POINTS - len(bad)))
    chosen = good[np.linspace(0, len(good) - 1, room).astype(int)] if room else good[:0]
    return np.sort(np.concatenate([bad, chosen]))


def _about(evaluation: Evaluation, index: int, missed: int, runs: int) -> str:
    x, y, z = evaluation.goal_position[index]
    row = evaluation.row(index)
    outcome = ("missed" if missed else "reached") if runs == 1 else f"missed by {missed} of {runs}"
    return (
        f"goal {index}: {outcome}<br>{row['position_error_mm']:.3g} mm, "
        f"{row['orientation_error_deg']:.3g} deg<br>at {x:.2f}, {y:.2f}, {z:.2f} m"
    )


def _clouds(
    first: Evaluation, missed: Ints, rows: Ints, runs: int
) -> list[tuple[Array, dict[str, Any]]]:
    """Points (k, 3) and looks of each outcome that there is, the worst first, and of the base."""
    text = np.array([_about(first, i, int(missed[i]), runs) for i in rows.tolist()])
    count, by_all = missed[rows], "" if runs == 1 else " by all"
    found = []
    for name, here, marker in (
        (f"missed{by_all}", count == runs, {"color": draw.ORANGE, "size": 5, "symbol": "diamond"}),
        ("missed by some", (count > 0) & (count < runs), {"color": draw.GOLD, "size": 5}),
        (f"reached{by_all}", count == 0, {"color": draw.BLUE, "size": 3, "opacity": 0.55}),
    ):
        if here.any():
            said = {"name": f"{name} ({here.sum():,})", "text": text[here], "marker": marker}
            said["hovertemplate"] = "%{text}<extra></extra>"
            found.append((first.goal_position[rows][here], said))
    marker = {"color": draw.INK, "symbol": "square", "size": 7}
    said = {"name": "base", "hovertemplate": "base<extra></extra>", "marker": marker}
    return [*found, (np.asarray(first.conditions.base, float)[None], said)]


def _dots(
    clouds: Sequence[tuple[Array, dict[str, Any]]], axes: tuple[int, ...]
) -> list[dict[str, Any]]:
    """The clouds in space, or as seen along an axis, where points are larger."""
    solid = len(axes) == 3
    kind = {"type": "scatter3d" if solid else "scatter", "mode": "markers"}
    traces = []
    for points, looks in clouds:
        size = looks["marker"]["size"] * (1.0 if solid else 1.6)
        seen = dict(zip("xyz", points[:, axes].T, strict=False))
        traces.append(kind | seen | looks | {"marker": looks["marker"] | {"size": size}})
    return traces


def _solid(traces: list[dict[str, Any]]) -> dict[str, Any]:
    eye, centre = {"x": -1.35, "y": -1.3, "z": 0.8}, {"x": 0, "y": 0, "z": -0.2}
    scene: dict[str, Any] = {f"{a}axis": draw.named(f"{a} (m)") for a in "xyz"}
    scene |= {"aspectmode": "data", "dragmode": "orbit", "camera": {"eye": eye, "center": centre}}
    chart = draw.Chart(480, hovermode="closest", showlegend=True, scene=scene)
    chart.layout |= {"margin": dict.fromkeys("lrtb", 0), "legend": {"itemsizing": "constant"}}
    return {"data": traces, "layout": chart.layout}
