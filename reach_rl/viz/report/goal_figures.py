"""Figures of the held-out goals one by one: errors in histograms, outcomes in space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array, Ints
from reach_rl.viz.report import plotting as draw
from reach_rl.viz.report.subject import Group, Groups

BINS = 40
MOST_POINTS = 3000
"""Goals drawn in space; all that were missed and some of the others."""
_MOST_SCENES = 4


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured of each goal, as histograms show it."""

    name: str
    title: str
    unit: str
    array: str
    """Of the evaluation."""
    factor: float
    caption: str
    threshold: str = ""
    """Of the evaluation's conditions, in the array's unit."""
    log: bool = True


MEASURES = (
    Measure(
        "position", "Final position error", "mm", "position_error", 1000.0,
        "Distance from tool to goal at the end of an episode.", "position_threshold",
    ),
    Measure(
        "orientation", "Final orientation error", "deg", "orientation_error", 57.29578,
        "Angle between tool and goal at the end.", "orientation_threshold",
    ),
    Measure(
        "time", "Time to success", "s", "time_to_success", 1.0,
        "From the start until the goal had been held.", log=False,
    ),
    Measure(
        "speed", "Joint speed at the end", "rad/s", "final_joint_speed", 1.0,
        "Norm of the joint speeds; small is still.",
    ),
)  # fmt: skip

_Judged = Sequence[tuple[Group, Sequence[Evaluation]]]
_Layer = tuple[str, np.ndarray, dict[str, Any]]


def _judged(groups: Groups) -> list[tuple[Group, list[Evaluation]]]:
    found = [
        (group, [run.evaluation for run in group.runs if run.evaluation is not None])
        for group in groups
    ]
    return [(group, each) for group, each in found if each]


@draw.figure("goals")
def histograms(groups: Groups) -> list[draw.Figure]:
    """Errors and times over goals, all seeds pooled."""
    found = _judged(groups)
    return [_histogram(found, measure) for measure in MEASURES] if found else []


def _histogram(found: _Judged, measure: Measure) -> draw.Figure:
    """Counts of one group by outcome, or shares of several groups; errors on a log axis."""
    unit, limit = measure.unit, _limit(found, measure)
    pooled = [
        measure.factor * np.concatenate([getattr(e, measure.array) for e in each], dtype=float)
        for _, each in found
    ]
    kept = [np.isfinite(values) & ((values > 0) | (not measure.log)) for values in pooled]
    shown = [values[keep] for values, keep in zip(pooled, kept, strict=True)]
    edges = _edges(np.concatenate(shown), limit, measure.log)
    data = [np.log10(values) if measure.log else values for values in shown]
    chart = draw.Chart(280, _axis(edges, measure), {"title_text": "goals"}, hovermode="closest")
    chart.layout |= {"bargap": 0.06, "barmode": "stack", "legend": {"traceorder": "normal"}}
    if len(found) == 1:
        reached = np.concatenate([e.success for e in found[0][1]])[kept[0]]
        _bars(chart, data[0][reached], edges, "reached", draw.BLUE, measure)
        _bars(chart, data[0][~reached], edges, "missed", draw.ORANGE, measure)
    else:
        chart.y = {"title_text": "share of goals", "tickformat": ".0%"}
        for (group, _), values, color in zip(found, data, draw.cycle(len(found)), strict=True):
            counts, _ = np.histogram(values, edges)
            style = {"line_shape": "hvh", "fill": "tozeroy", "fillcolor": draw.faded(color, 0.12)}
            y = counts / max(1, counts.sum())
            chart.line((edges[:-1] + edges[1:]) / 2, y, group.name, color, "share", **style)
    whole = np.concatenate([v[np.isfinite(v)] for v in pooled])
    middle = f"Median {np.median(whole):.3g} {unit}." if whole.size else "No values."
    caption = measure.caption + (" Logarithmic axis." if measure.log else "")
    if limit is not None:
        x = float(np.log10(limit))
        chart.rule("x", x, draw.GREEN)
        chart.note("threshold", x=x, y=1, yref="paper", yanchor="bottom")
        caption += " Right of the dotted line a goal is missed."
    alt = f"Histogram of {measure.title.lower()} over {len(whole):,} goals. {middle}"
    return draw.Figure(f"histogram-{measure.name}", chart.plot(), alt, measure.title, caption)


def _limit(found: _Judged, measure: Measure) -> float | None:
    """The threshold, where all runs have the same."""
    if not measure.threshold:
        return None
    limits = {getattr(e.conditions, measure.threshold) for _, each in found for e in each}
    return measure.factor * limits.pop() if len(limits) == 1 else None


def _edges(values: Array, limit: float | None, log: bool) -> Array:
    """Ends of the bars; of logarithms where the axis shows them."""
    values = np.append(values, [] if limit is None else [limit])
    values = values if values.size else np.array([1.0, 10.0])
    values = np.log10(values) if log else values
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high + 1e-9 + 1e-6 * abs(high), BINS + 1)


def _axis(edges: Array, measure: Measure) -> dict[str, Any]:
    axis: dict[str, Any] = {"title_text": measure.unit}
    if measure.log:  # a linear axis that shows logarithms
        values = draw.decades(edges[0], edges[-1])
        axis |= {"tickvals": np.log10(values), "ticktext": [f"{v:g}" for v in values]}
    return axis


def _bars(
    chart: draw.Chart, values: Array, edges: Array, name: str, color: str, measure: Measure
) -> None:
    if not len(values):
        return
    ends = 10**edges if measure.log else edges
    bar = go.Bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=np.histogram(values, edges)[0],
        width=float(edges[1] - edges[0]) * 0.94,
        name=f"{name} ({len(values):,})",
        customdata=[f"{a:.3g} to {b:.3g} {measure.unit}" for a, b in pairwise(ends)],
        marker={"color": color, "line": {"width": 0}},
        hovertemplate="%{customdata}: %{y} goals<extra></extra>",
    )
    chart.traces.append(bar)


@draw.figure("goals")
def scenes(groups: Groups) -> Iterator[draw.Figure]:
    """Goals in space by outcome: to be turned, from above and from the side."""
    for group, each in _judged(groups[:_MOST_SCENES]):
        yield from _scene(group, [e for e in each if _same_goals(e, each[0])])


def _same_goals(a: Evaluation, b: Evaluation) -> bool:
    return a.goal_position.shape == b.goal_position.shape and bool(
        np.allclose(a.goal_position, b.goal_position, atol=1e-5)
    )


def _scene(group: Group, evaluations: Sequence[Evaluation]) -> Iterator[draw.Figure]:
    first, runs = evaluations[0], len(evaluations)
    missed = np.sum([~e.success for e in evaluations], axis=0)
    rows = _some(missed)
    text = np.array([_about(first, i, int(missed[i]), runs) for i in rows.tolist()])
    layers = _layers(missed[rows], runs)
    points, base = first.goal_position[rows], np.asarray(first.conditions.base, float)[None]
    shown = "" if len(rows) == len(first) else f" {len(rows):,} of {len(first):,} goals are drawn."
    alt = f"coloured by outcome. {(missed > 0).sum():,} of {len(first):,} goals were missed."
    name = f"goals {group.name}"
    yield draw.Figure(
        name,
        _solid(_dots(go.Scatter3d, points, base, text, layers, (3, 5, 7))),
        f"Goals in three dimensions, {alt}",
        f"Goals in space{group.of}",
        "Drag to turn, scroll or pinch to zoom. Missed goals that lie together are a weak "
        f"spot.{shown}",
        wide=True,
    )
    y, x, z = (
        {"title_text": text, "zeroline": False}
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
        sizes = (5, 8, 10)
        chart.traces = _dots(go.Scatter, points[:, axes], base[:, axes], text, layers, sizes)
        alt_view = f"Goals seen from {view}, {alt}"
        title = f"From {view}{group.of}"
        yield draw.Figure(f"{name}-{view.split()[-1]}", chart.plot(), alt_view, title, how)


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


def _layers(missed: Ints, runs: int) -> list[_Layer]:
    """Name, goals and marker of each outcome that there is."""
    good, bad = missed == 0, missed == runs
    layers: list[_Layer] = [
        ("reached" if runs == 1 else "reached by all", good, {"color": draw.BLUE, "opacity": 0.55}),
        ("missed by some", ~good & ~bad, {"color": draw.GOLD}),
        (
            "missed" if runs == 1 else "missed by all",
            bad,
            {"color": draw.ORANGE, "symbol": "diamond"},
        ),
    ]
    return [layer for layer in layers if layer[1].any()]


def _dots(
    kind: type,
    points: Array,
    base: Array,
    text: np.ndarray,
    layers: list[_Layer],
    sizes: tuple[int, int, int],
) -> list[Any]:
    """Goals and base as traces of a kind; `sizes` are those of goals reached, missed, and base."""
    marker = {"color": draw.INK, "symbol": "square", "size": sizes[2]}
    traces = [_cloud(kind, base, marker, name="base", hovertemplate="base<extra></extra>")]
    for name, rows, style in reversed(layers):
        marker = style | {"size": sizes[0] if name.startswith("reached") else sizes[1]}
        said = {"name": f"{name} ({rows.sum():,})", "text": text[rows]}
        said["hovertemplate"] = "%{text}<extra></extra>"
        traces.insert(0, _cloud(kind, points[rows], marker, **said))
    return traces


def _cloud(kind: type, points: Array, marker: dict[str, Any], **said: Any) -> Any:  # noqa: ANN401
    axes = dict(zip("xyz", points.T, strict=False))
    return kind(mode="markers", marker=marker, **axes, **said)


def _solid(traces: list[Any]) -> go.Figure:
    eye, centre = {"x": -1.35, "y": -1.3, "z": 0.8}, {"x": 0, "y": 0, "z": -0.2}
    scene: dict[str, Any] = {f"{a}axis": {"title": {"text": f"{a} (m)"}} for a in "xyz"}
    scene |= {"aspectmode": "data", "dragmode": "orbit", "camera": {"eye": eye, "center": centre}}
    chart = draw.Chart(480, hovermode="closest", showlegend=True, scene=scene)
    chart.layout |= {"margin": dict.fromkeys("lrtb", 0), "legend": {"itemsizing": "constant"}}
    chart.traces = traces
    return chart.plot()
