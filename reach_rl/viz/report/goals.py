"""Figures of the held-out goals one by one: errors in histograms, outcomes in space."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.viz.report.curves import cycle
from reach_rl.viz.report.figure import (
    ACCENT,
    GOOD,
    INK,
    WARN,
    Figure,
    Plot,
    Spec,
    decades,
    figure_id,
    label,
    numbers,
)
from reach_rl.viz.report.groups import Group

BINS = 40
MOST_POINTS = 3000
"""Goals drawn in space; all that were missed and some of the others."""
_MOST_SCENES = 4


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    title: str
    unit: str
    caption: str


_POSITION = _Kind(
    "position", "Final position error", "mm", "Distance from tool to goal at the end of an episode."
)
_ANGLE = _Kind(
    "orientation", "Final orientation error", "deg", "Angle between tool and goal at the end."
)
_TIME = _Kind("time", "Time to success", "s", "From the start until the goal had been held.")
_REST = _Kind(
    "speed", "Joint speed at the end", "rad/s", "Norm of the joint speeds; small is still."
)


def histograms(groups: Sequence[Group]) -> list[Figure]:
    """Position and orientation errors and times over goals, all seeds pooled."""
    found = [(group, judged(group)) for group in groups]
    found = [(group, each) for group, each in found if each]
    if not found:
        return []
    c = found[0][1][0].conditions
    same = len({_thresholds(e) for _, each in found for e in each}) == 1
    limits = (1e3 * c.position_threshold, float(np.degrees(c.orientation_threshold)))
    return [
        _histogram(found, _POSITION, limits[0] if same else None),
        _histogram(found, _ANGLE, limits[1] if same else None),
        _histogram(found, _TIME, None),
        _histogram(found, _REST, None),
    ]


def judged(group: Group) -> list[Evaluation]:
    """The evaluations of a group's runs."""
    return [run.evaluation for run in group.runs if run.evaluation is not None]


def _thresholds(evaluation: Evaluation) -> tuple[float, float]:
    c = evaluation.conditions
    return c.position_threshold, c.orientation_threshold


def _values(evaluation: Evaluation, kind: _Kind) -> Array:
    if kind is _POSITION:
        return 1e3 * evaluation.position_error
    if kind is _ANGLE:
        return np.degrees(evaluation.orientation_error)
    return evaluation.time_to_success if kind is _TIME else evaluation.final_joint_speed


def _histogram(
    found: Sequence[tuple[Group, list[Evaluation]]], kind: _Kind, limit: float | None
) -> Figure:
    """Counts of one group by outcome, or shares of several groups; errors on a log axis."""
    pooled = [np.concatenate([_values(e, kind) for e in each]) for _, each in found]
    reached = [np.concatenate([e.success for e in each]) for _, each in found]
    log = kind is not _TIME
    kept = [np.isfinite(values) & ((values > 0) | (not log)) for values in pooled]
    data = [np.log10(v[k]) if log else v[k] for v, k in zip(pooled, kept, strict=True)]
    success = [r[k] for r, k in zip(reached, kept, strict=True)]
    everything = np.concatenate(data) if any(map(len, data)) else np.array([0.0, 1.0])
    low, high = float(everything.min()), float(everything.max())
    if limit is not None and log:
        low, high = min(low, np.log10(limit)), max(high, np.log10(limit))
    edges = np.linspace(low, high + 1e-9 + 1e-6 * abs(high), BINS + 1)
    plot = Plot(layout={"bargap": 0.06, "hovermode": "closest", "legend": {"traceorder": "normal"}})
    if len(found) == 1:
        _bars(plot, data[0][success[0]], edges, "reached", ACCENT, log, kind.unit)
        _bars(plot, data[0][~success[0]], edges, "missed", WARN, log, kind.unit)
        plot.layout |= {"barmode": "stack", "yaxis": {"title": {"text": "goals"}}}
    else:
        for (group, _), values, color in zip(found, data, cycle(len(found)), strict=False):
            _outline(plot, values, edges, group.name, color)
        plot.layout["yaxis"] = {"title": {"text": "share of goals"}, "tickformat": ".0%"}
    plot.layout["xaxis"] = {"title": {"text": kind.unit}} | (_log_ticks(low, high) if log else {})
    if limit is not None:
        plot.mark(float(np.log10(limit)) if log else limit, GOOD, "threshold", axis="x")
    whole = np.concatenate([v[np.isfinite(v)] for v in pooled])
    middle = f"Median {np.median(whole):.3g} {kind.unit}." if whole.size else "No values."
    scale = " Logarithmic axis." if log else ""
    scale += " Right of the dotted line a goal is missed." if limit is not None else ""
    return Figure(
        f"figure-histogram-{kind.name}",
        kind.title,
        f"{kind.caption}{scale}",
        f"Histogram of {kind.title.lower()} over {len(whole):,} goals. {middle}",
        plot.spec(280),
    )


def _bars(
    plot: Plot, values: Array, edges: Array, name: str, color: str, log: bool, unit: str
) -> None:
    counts, _ = np.histogram(values, edges)
    if not len(values):
        return
    ends = 10**edges if log else edges
    text = [f"{a:.3g} to {b:.3g} {unit}" for a, b in pairwise(ends)]
    plot.traces.append(
        {
            "type": "bar",
            "x": numbers((edges[:-1] + edges[1:]) / 2),
            "y": numbers(counts),
            "width": float(edges[1] - edges[0]) * 0.94,
            "name": f"{name} ({len(values):,})",
            "customdata": text,
            "marker": {"color": color, "line": {"width": 0}},
            "hovertemplate": "%{customdata}: %{y} goals<extra></extra>",
        }
    )


def _outline(plot: Plot, values: Array, edges: Array, name: str, color: str) -> None:
    counts, _ = np.histogram(values, edges)
    shares = counts / max(1, counts.sum())
    middle = (edges[:-1] + edges[1:]) / 2
    line = {"shape": "hvh"}
    plot.line(middle, shares, name, color, "share", line=line, fill="tozeroy")
    plot.traces[-1]["fillcolor"] = f"{color}/0.12"


def _log_ticks(low: float, high: float) -> Spec:
    """Ticks of a linear axis that shows logarithms."""
    values = decades(low, high)
    return {"tickvals": numbers(np.log10(values)), "ticktext": [f"{v:g}" for v in values]}


def scenes(groups: Sequence[Group]) -> list[Figure]:
    """Goals in space by outcome: to be turned, from above and from the side."""
    found = []
    for group in groups[:_MOST_SCENES]:
        each = judged(group)
        if each:
            same = [e for e in each if _same_goals(e, each[0])]
            found += _scene(group, same)
    return found


def _same_goals(a: Evaluation, b: Evaluation) -> bool:
    return a.goal_position.shape == b.goal_position.shape and bool(
        np.allclose(a.goal_position, b.goal_position, atol=1e-5)
    )


def missed_by(evaluations: Sequence[Evaluation]) -> Ints:
    """(m,) by how many of the runs each goal was missed."""
    return np.sum([~e.success for e in evaluations], axis=0)


def _scene(group: Group, evaluations: Sequence[Evaluation]) -> list[Figure]:
    first, missed = evaluations[0], missed_by(evaluations)
    rows = _some(missed > 0)
    points, missed = first.goal_position[rows], missed[rows]
    text = [
        _about(first, int(i), int(m), len(evaluations)) for i, m in zip(rows, missed, strict=True)
    ]
    base = np.asarray(first.conditions.base, float)
    layers = _layers(missed, len(evaluations))
    of = f": {group.name}" if group.name else ""
    shown = "" if len(rows) == len(first) else f" {len(rows):,} of {len(first):,} goals are drawn."
    alt = f"{int((missed > 0).sum()):,} of {len(first):,} goals were missed."
    name = figure_id(f"goals {group.name}")
    return [
        Figure(
            name,
            f"Goals in space{of}",
            "Drag to turn, scroll or pinch to zoom. Missed goals that lie together are a weak "
            f"spot.{shown}",
            f"Goals in three dimensions, coloured by outcome. {alt}",
            _solid(points, text, layers, base),
            wide=True,
        ),
        Figure(
            f"{name}-above",
            f"From above{of}",
            "Forward is up, left is left; the square is the base.",
            f"Goals seen from above, coloured by outcome. {alt}",
            _flat(points, text, layers, base, (1, 0), ("y (m), left", "x (m), forward")),
        ),
        Figure(
            f"{name}-side",
            f"From the side{of}",
            "Forward is right; the line is the table's height.",
            f"Goals seen from the side, coloured by outcome. {alt}",
            _flat(points, text, layers, base, (0, 2), ("x (m), forward", "z (m), up")),
        ),
    ]


def _some(missed: Bools) -> Ints:
    """Every goal that was missed, and as many of the others as there is room for."""
    others = np.flatnonzero(~missed)
    room = max(0, MOST_POINTS - int(missed.sum()))
    if len(others) > room:
        others = others[np.linspace(0, len(others) - 1, room).astype(int)] if room else others[:0]
    return np.sort(np.concatenate([np.flatnonzero(missed), others]))


def _about(evaluation: Evaluation, index: int, missed: int, runs: int) -> str:
    x, y, z = evaluation.goal_position[index]
    row = evaluation.row(index)
    outcome = ("missed" if missed else "reached") if runs == 1 else f"missed by {missed} of {runs}"
    return (
        f"goal {index}: {outcome}<br>{row['position_error_mm']:.3g} mm, "
        f"{row['orientation_error_deg']:.3g} deg<br>at {x:.2f}, {y:.2f}, {z:.2f} m"
    )


def _layers(missed: Ints, runs: int) -> list[tuple[str, Bools, str, Spec]]:
    """Name, goals, colour and marker of each outcome that there is."""
    all_runs = missed == runs
    layers: list[tuple[str, Bools, str, Spec]] = [
        ("reached" if runs == 1 else "reached by all", missed == 0, ACCENT, {"opacity": 0.55}),
        ("missed by some", (missed > 0) & ~all_runs, "$gold", {}),
        ("missed" if runs == 1 else "missed by all", all_runs, WARN, {"symbol": "diamond"}),
    ]
    return [layer for layer in layers if layer[1].any()]


def _solid(
    points: Array, text: list[str], layers: list[tuple[str, Bools, str, Spec]], base: Array
) -> Spec:
    traces: list[Spec] = []
    for name, rows, color, style in layers:
        size = 3 if name.startswith("reached") else 5
        traces.append(
            _dots("scatter3d", name, points[rows], color, {"size": size, **style})
            | {"text": [text[i] for i in np.flatnonzero(rows)]}
        )
    traces.append(_dots("scatter3d", "base", base[None], INK, {"size": 7, "symbol": "square"}))
    axes = {f"{a}axis": {"title": {"text": f"{a} (m)"}} for a in "xyz"}
    eye, centre = {"x": -1.35, "y": -1.3, "z": 0.8}, {"x": 0, "y": 0, "z": -0.2}
    camera = {"eye": eye, "center": centre}
    scene = {**axes, "aspectmode": "data", "camera": camera, "dragmode": "orbit"}
    layout = {"height": 480, "scene": scene, "hovermode": "closest", "showlegend": True}
    layout["legend"] = {"itemsizing": "constant"}
    return {"data": traces, "layout": layout}


def _dots(kind: str, name: str, points: Array, color: str, marker: Spec) -> Spec:
    count = "" if name == "base" else f" ({len(points):,})"
    trace: Spec = {"type": kind, "mode": "markers", "name": f"{label(name)}{count}"}
    trace |= {a: numbers(points[:, i]) for i, a in enumerate("xyz") if i < points.shape[1]}
    hovered = "base<extra></extra>" if name == "base" else "%{text}<extra></extra>"
    return trace | {"marker": {"color": color, **marker}, "hovertemplate": hovered}


def _flat(
    points: Array,
    text: list[str],
    layers: list[tuple[str, Bools, str, Spec]],
    base: Array,
    axes: tuple[int, int],
    titles: tuple[str, str],
) -> Spec:
    plot = Plot()
    for name, rows, color, style in layers:
        size = 5 if name.startswith("reached") else 8
        dots = _dots("scatter", name, points[rows][:, axes], color, {"size": size, **style})
        plot.traces.append(dots | {"text": [text[i] for i in np.flatnonzero(rows)]})
    square = {"size": 10, "symbol": "square"}
    plot.traces.append(_dots("scatter", "base", base[None][:, axes], INK, square))
    if axes[1] == 2:
        plot.mark(0.0, "$muted")
    plot.layout = {
        "hovermode": "closest",
        "xaxis": {"title": {"text": titles[0]}, "zeroline": False},
        "yaxis": {"title": {"text": titles[1]}, "scaleanchor": "x", "zeroline": False},
    }
    if axes == (1, 0):
        plot.layout["xaxis"]["autorange"] = "reversed"
    return plot.spec(380)
