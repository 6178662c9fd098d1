"""Figures of a study: history, parallel coordinates, slices, importance, pruning, the front."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reach_rl.sweeps import results
from reach_rl.viz.report.figure import (
    ACCENT,
    INK,
    MUTED,
    WARN,
    Figure,
    Plot,
    Spec,
    figure_id,
    label,
    log_axis,
    numbers,
)

if TYPE_CHECKING:
    from optuna.study import Study

_MOST_LINES = 400
_SHADES = ((0.25, "$muted/0.25"), (0.5, "$muted/0.45"), (0.75, "$sky/0.6"), (0.9, "$blue/0.8"))


def history(study: "Study") -> list[Figure]:
    """Values of the trials as they ended, and the best so far; a figure for each objective."""
    return [_history(name, found) for name, found in results.history(study).items()]


def _history(name: str, found: Mapping[str, Sequence[Any]]) -> Figure:
    plot = Plot(layout={"hovermode": "closest"})
    order = list(range(1, len(found["number"]) + 1))
    trials = [f"trial {number}" for number in found["number"]]
    plot.line(order, _nan(found["value"]), "trial", MUTED, mode="markers")
    plot.traces[-1] |= {"text": trials, "hovertemplate": "%{text}: %{y:.4~g}<extra></extra>"}
    plot.line(order, _nan(found["best"]), "best so far", ACCENT, line={"shape": "hv"})
    plot.layout |= {
        "xaxis": {"title": {"text": "complete trials, as they ended"}},
        "yaxis": _y(name),
    }
    best = [value for value in found["best"] if value is not None]
    last = f"Best: {best[-1]:.4g}." if best else "No trial is complete."
    return Figure(
        figure_id(f"history {name}"),
        f"History of {name}",
        "The line should level off: more trials then bring little.",
        f"{name} of every complete trial in order, and the best so far. {last}",
        plot.spec(320),
    )


def parallel(study: "Study") -> list[Figure]:
    """Parallel coordinates, a figure for each objective."""
    found = results.parallel(study)
    maximise = {o.name: o.maximise for o in results.objectives(study)}
    return [
        figure
        for name, values in found["values"].items()
        if (figure := _parallel(name, found, values, maximise[name])) is not None
    ]


def _parallel(
    name: str, found: Mapping[str, Any], values: Sequence[float | None], maximise: bool
) -> Figure | None:
    sign = 1.0 if maximise else -1.0
    known = [i for i, value in enumerate(values) if value is not None]
    if len(known) < 2 or not found["axes"]:
        return None
    order = np.argsort([sign * (values[i] or 0.0) for i in known], kind="stable")
    known = [known[i] for i in order][-_MOST_LINES:]
    objective = {"name": name, "log": False, "choices": None, "values": list(values)}
    axes = [objective, *found["axes"]]
    scaled = [_scaled(axis) for axis in axes]
    plot = Plot(layout={"hovermode": "closest", "showlegend": False})
    for rank, i in enumerate(known):
        heights = [column[i] for column, _ in scaled]
        color = _shade(rank, len(known))
        plot.line(list(range(len(axes))), _nan(heights), f"trial {found['number'][i]}", color)
        text = "<br>".join(f"{label(axis['name'])}: {_word(axis, i)}" for axis in axes)
        plot.traces[-1] |= {
            "text": [f"trial {found['number'][i]}<br>{text}"] * len(axes),
            "hovertemplate": "%{text}<extra></extra>",
            "connectgaps": True,
        }
        plot.traces[-1]["line"]["width"] = 3 if rank == len(known) - 1 else 1.5
    for place, (_, ticks) in enumerate(scaled):
        _axis_of_lines(plot, place, ticks)
    plot.layout |= {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": [_short(axis["name"]) for axis in axes],
            "showgrid": False,
            "side": "top",
            "range": [-0.15, len(axes) - 0.55],
            "fixedrange": True,
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06], "fixedrange": True},
    }
    return Figure(
        figure_id(f"parallel {name}"),
        f"Parallel coordinates, by {name}",
        "One line a complete trial, strong for the best tenth, thick for the best. Where strong "
        "lines meet is what matters.",
        f"Parallel coordinates of {len(known)} trials over {len(axes) - 1} searched keys.",
        plot.spec(400),
        wide=True,
    )


def _axis_of_lines(plot: Plot, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    line = {"color": "$muted/0.7", "width": 1}
    plot.shapes.append({"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line})
    for height, text in ticks:
        plot.notes.append(
            {
                "x": place,
                "y": height,
                "text": label(text),
                "showarrow": False,
                "xanchor": "left",
                "xshift": 4,
                "bgcolor": "$bg/0.75",
                "font": {"size": 11, "color": INK},
            }
        )


def _scaled(axis: Mapping[str, Any]) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Values of an axis as heights from 0 to 1, and its ticks as height and text."""
    values, choices = axis["values"], axis["choices"]
    if choices is not None:
        top = max(1, len(choices) - 1)
        ticks = [(i / top, text) for i, text in enumerate(choices)]
        return [None if value is None else value / top for value in values], ticks
    plain = np.array([np.nan if value is None else float(value) for value in values])
    moved = np.log10(plain) if axis["log"] else plain
    if not np.isfinite(moved).any():
        return [None] * len(values), []
    low, high = float(np.nanmin(moved)), float(np.nanmax(moved))
    span = high - low or 1.0
    heights = [(value - low) / span if np.isfinite(value) else None for value in moved]
    places = np.linspace(low, high, 4) if high > low else np.array([low])
    if not axis["log"] and (plain[np.isfinite(plain)] % 1 == 0).all():
        places = np.unique(np.round(places))
    ticks = [(float((p - low) / span), f"{10**p if axis['log'] else p:.3g}") for p in places]
    return heights, ticks


def _shade(rank: int, count: int) -> str:
    """Stronger for better trials; rank counts from the worst."""
    share = (rank + 1) / count
    return next((color for edge, color in _SHADES if share < edge), ACCENT)


def _word(axis: Mapping[str, Any], index: int) -> str:
    value = axis["values"][index]
    if value is None:
        return "-"
    return label(axis["choices"][int(value)]) if axis["choices"] else f"{value:.4g}"


def slices(study: "Study") -> list[Figure]:
    """Every objective over every searched key."""
    found = []
    for axis in results.slices(study):
        for name, values in axis["objective"].items():
            if values:
                found.append(_slice(axis, name, values))
    return found


def _slice(axis: Mapping[str, Any], name: str, values: Sequence[float | None]) -> Figure:
    plot = Plot(layout={"hovermode": "closest"})
    choices = axis["choices"]
    x = axis["values"] if choices is None else [choices[int(i)] for i in axis["values"]]
    trace: Spec = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(x) if choices is None else [label(text) for text in x],
        "y": numbers(_nan(values)),
        "name": label(name),
        "text": [f"trial {number}" for number in axis["number"]],
        "marker": {"color": ACCENT, "size": 7, "opacity": 0.7},
        "hovertemplate": "%{text}: %{y:.4~g} at %{x}<extra></extra>",
    }
    plot.traces.append(trace)
    plot.layout |= {"xaxis": {"title": {"text": label(axis["name"])}}, "yaxis": _y(name)}
    if choices is not None:
        order = [label(text) for text in choices]
        plot.layout["xaxis"] |= {
            "type": "category", "categoryorder": "array", "categoryarray": order,
        }  # fmt: skip
    elif axis["log"]:
        plot.layout["xaxis"] |= log_axis(x)
    return Figure(
        figure_id(f"slice {axis['name']} {name}"),
        _short(axis["name"]).replace("<br>", " "),
        f"{name} over {axis['name']}.",
        f"{name} of {len(x)} complete trials over {axis['name']}.",
        plot.spec(260),
    )


def importance(found: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """What made the difference: a figure for each objective whose importances are known."""
    return [_importance(name, shares) for name, shares in found.items() if shares]


def _importance(name: str, shares: Mapping[str, float]) -> Figure:
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    trace: Spec = {
        "type": "bar",
        "orientation": "h",
        "x": numbers([share for _, share in ordered]),
        "y": [label(key) for key, _ in ordered],
        "marker": {"color": ACCENT},
        "text": [f"{share:.0%}" for _, share in ordered],
        "textposition": "auto",
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    plot = Plot([trace], layout={"hovermode": "closest", "bargap": 0.3})
    plot.layout |= {"xaxis": {"tickformat": ".0%", "rangemode": "tozero"}, "yaxis": {"ticks": ""}}
    first = ordered[-1]
    return Figure(
        figure_id(f"importance {name}"),
        f"What mattered for {name}",
        "Share of each searched key in what sets the best trials apart (PED-ANOVA).",
        f"Importances of {len(ordered)} keys for {name}; largest: {first[0]}, {first[1]:.0%}.",
        plot.spec(max(200, 60 + 32 * len(ordered))),
    )


def pruning(study: "Study") -> list[Figure]:
    """What trials reported on their way, by how they ended."""
    curves = results.pruning_curves(study)
    if not curves:
        return []
    winner = results.best(study)
    plot = Plot(layout={"hovermode": "closest"})
    styles = {"complete": (f"{ACCENT}/0.45", 1.5), "pruned": (f"{WARN}/0.6", 1.2)}
    seen: set[str] = set()
    for curve in curves:
        top = winner is not None and curve["number"] == winner.number
        state = "best" if top else curve["state"]
        color, width = (INK, 3) if top else styles.get(state, (f"{MUTED}/0.6", 1.2))
        plot.line(curve["indices"], _nan(curve["values"]), state, color)
        plot.traces[-1] |= {
            "mode": "lines+markers" if len(curve["values"]) < 3 else "lines",
            "legendgroup": state,
            "showlegend": state not in seen,
            "hovertemplate": f"trial {curve['number']}, {label(state)}: "
            "%{y:.4~g} at evaluation %{x}<extra></extra>",
        }
        plot.traces[-1]["line"]["width"] = width
        seen.add(state)
    plot.layout |= {"xaxis": {"title": {"text": "evaluation"}, "dtick": _step(curves)}}
    plot.layout["yaxis"] = _y(results.objectives(study)[0].name)
    pruned = sum(curve["state"] == "pruned" for curve in curves)
    return [
        Figure(
            "figure-pruning",
            "Pruning",
            "What trials reported at each evaluation. Pruned ones should end low; one that ends "
            "among the best was pruned too early.",
            f"Reported values of {len(curves)} trials over evaluations; {pruned} were pruned.",
            plot.spec(340),
            wide=True,
        )
    ]


def _step(curves: Sequence[Mapping[str, Any]]) -> int:
    most = max(max(curve["indices"]) for curve in curves)
    return max(1, round(most / 10))


def front(study: "Study") -> list[Figure]:
    """Of several objectives: the trials, and those that no other beats in everything."""
    found = results.objectives(study)
    if len(found) < 2:
        return []
    values = results.parallel(study)
    best = {trial.number for trial in results.front(study)}
    x, y = found[0].name, found[1].name
    plot = Plot(layout={"hovermode": "closest"})
    for name, inside, color in (("beaten", False, MUTED), ("front", True, ACCENT)):
        rows = [i for i, n in enumerate(values["number"]) if (n in best) == inside]
        trace: Spec = {
            "type": "scatter",
            "mode": "markers",
            "x": numbers(_nan([values["values"][x][i] for i in rows])),
            "y": numbers(_nan([values["values"][y][i] for i in rows])),
            "name": f"{name} ({len(rows)})",
            "text": [f"trial {values['number'][i]}" for i in rows],
            "marker": {"color": color, "size": 9 if inside else 6},
            "hovertemplate": "%{text}: %{x:.4~g}, %{y:.4~g}<extra></extra>",
        }
        plot.traces.append(trace)
    plot.layout |= {"xaxis": {"title": {"text": label(x)}}, "yaxis": _y(y)}
    words = [f"{o.name} should be {'large' if o.maximise else 'small'}" for o in found[:2]]
    return [
        Figure(
            "figure-front",
            "Front",
            f"Blue trials are beaten by no other in everything; {' and '.join(words)}.",
            f"{y} over {x} of all complete trials; {len(best)} form the front.",
            plot.spec(380),
            wide=True,
        )
    ]


def _y(name: str) -> Spec:
    return {"title": {"text": label(name)}}


def _short(key: str) -> str:
    """The last parts of a key, which say enough."""
    return label(key.removeprefix("ppo.").removeprefix("reward.terms."))


def _nan(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]
