"""Figures as Plotly specifications: plain data, drawn by the page itself.

Colours are words that page.js looks up in the page's style sheet, such as `$blue` or `$blue/0.2`
(with opacity), so that a figure follows light and dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Spec = dict[str, Any]

ACCENT, MUTED, WARN, GOOD, INK = "$blue", "$muted", "$orange", "$green", "$ink"
SERIES = (
    "$blue",
    "$orange",
    "$green",
    "$purple",
    "$gold",
    "$sky",
    "$red",
    "$brown",
    "$teal",
    "$pink",
)

_HOVER = "x unified"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page."""

    name: str
    """Its id, unique on the page."""
    title: str
    caption: str
    """What to look for."""
    alt: str
    """What it shows, for those who cannot see it."""
    spec: Spec
    wide: bool = False
    """Over the whole width of the page."""


@dataclass(slots=True)
class Plot:
    """A figure in the making."""

    traces: list[Spec] = field(default_factory=list)
    shapes: list[Spec] = field(default_factory=list)
    notes: list[Spec] = field(default_factory=list)
    layout: Spec = field(default_factory=dict)

    def spec(self, height: int = 280) -> Spec:
        """What Plotly draws."""
        named = {t["name"] for t in self.traces if t.get("name") and t.get("showlegend", True)}
        layout: Spec = {
            "height": height,
            "showlegend": len(named) > 1,
            "hovermode": _HOVER,
            "shapes": self.shapes,
            "annotations": self.notes,
        }
        return {"data": self.traces, "layout": layout | self.layout}

    def line(
        self,
        x: ArrayLike,
        y: ArrayLike,
        name: str,
        color: str = ACCENT,
        unit: str = "",
        **style: Any,  # noqa: ANN401  of Plotly's line
    ) -> Spec:
        """Add a line; None and NaN leave gaps."""
        width = style.pop("width", 2)
        trace: Spec = {
            "type": "scatter",
            "mode": style.pop("mode", "lines"),
            "x": numbers(x),
            "y": numbers(y),
            "name": label(name),
            "line": {"color": color, "width": width, **style.pop("line", {})},
            "marker": {"color": color, "size": 6},
            "hovertemplate": hover(unit),
        }
        trace |= style
        self.traces.append(trace)
        return trace

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str, group: str) -> None:
        """Shade between two curves where both are known."""
        x, low, high = (np.asarray(values, float) for values in (x, low, high))
        known = np.isfinite(low) & np.isfinite(high)
        for part in _stretches(known):
            xs, lows, highs = x[part], low[part], high[part]
            self.traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [*numbers(xs), *numbers(xs[::-1])],
                    "y": [*numbers(highs), *numbers(lows[::-1])],
                    "fill": "toself",
                    "fillcolor": f"{color}/0.18",
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "showlegend": False,
                    "legendgroup": label(group),
                }
            )

    def zone(self, low: float, high: float, color: str, name: str = "", axis: str = "y") -> None:
        """Shade a range of an axis from end to end of the other one."""
        other = "x" if axis == "y" else "y"
        shape: Spec = {
            "type": "rect",
            f"{axis}0": low,
            f"{axis}1": high,
            f"{other}0": 0,
            f"{other}1": 1,
            f"{other}ref": "paper",
            "fillcolor": color,
            "line": {"width": 0},
            "layer": "below",
        }
        self.shapes.append(shape)
        if name:
            place = {"x": 1, "xanchor": "right", "xref": "paper", "y": high, "yanchor": "top"}
            self.notes.append({"text": label(name), "showarrow": False, **place, "font": SMALL})

    def mark(self, value: float, color: str, name: str = "", axis: str = "y") -> None:
        """A dotted line across at a value of an axis."""
        other = "x" if axis == "y" else "y"
        shape: Spec = {
            "type": "line",
            f"{axis}0": value,
            f"{axis}1": value,
            f"{other}0": 0,
            f"{other}1": 1,
            f"{other}ref": "paper",
            "line": {"color": color, "width": 1.5, "dash": "dot"},
        }
        self.shapes.append(shape)
        if name:
            place: Spec = {"x": 1, "xanchor": "right", "xref": "paper", "yanchor": "bottom"}
            if axis == "x":
                place = {"y": 1, "yanchor": "bottom", "yref": "paper", "xanchor": "center"}
            self.notes.append(
                {"text": label(name), "showarrow": False, axis: value, **place, "font": SMALL}
            )


SMALL: Spec = {"size": 11, "color": MUTED}


def sentence(text: str) -> str:
    """A meaning as a sentence."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def steps_axis() -> Spec:
    """The axis of environment steps."""
    return {"title": {"text": "environment steps"}, "tickformat": "~s", "hoverformat": ",d"}


def axis(title: str, unit: str = "", **more: Any) -> Spec:  # noqa: ANN401  of Plotly's axes
    """An axis with its unit; a share is shown in per cent."""
    if unit == "share":
        return {"title": {"text": label(title)}, "tickformat": ".0%", **more}
    shown = f"{title} ({unit})" if unit and unit not in ("1", "text") else title
    return {"title": {"text": label(shown)}, **more}


def hover(unit: str) -> str:
    """How a value is shown beside the pointer."""
    if unit == "share":
        return "%{y:.1%}"
    if unit in ("", "1", "text"):
        return "%{y:.4~g}"
    return "%{y:.4~g} " + label(unit)


def label(text: object) -> str:
    """Text from a file as Plotly may show it: without markup or templates."""
    plain = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "% {")


def numbers(values: ArrayLike) -> list[float | int | None]:
    """Five significant digits and null, as JSON can hold them."""
    return [_rounded(value) for value in np.asarray(values, float).ravel()]


def _rounded(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    whole = int(value)
    if whole == value and abs(whole) < 2**53:
        return whole
    return float(f"{value:.5g}")


def _stretches(known: np.ndarray) -> Sequence[slice]:
    """The stretches in which a mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(int)))
    return [slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over about a fortieth of a curve, one-sided at both ends; NaN is passed over."""
    half = len(values) // 80
    if half == 0:
        return values
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    seen = count[high] - count[low]
    return np.divide(
        total[high] - total[low], seen, out=np.full(len(values), np.nan), where=seen > 0
    )


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 600) -> tuple[np.ndarray, ...]:
    """At most so many points, each the mean of its neighbours."""
    if len(steps) <= most:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), most)
    means = [values[part][np.isfinite(values[part])] for part in parts]
    return (
        np.array([steps[part[-1]] for part in parts]),
        np.array([part.mean() if part.size else np.nan for part in means]),
    )


def decades(low: float, high: float) -> list[float]:
    """Round values for the ticks of a logarithmic axis.

    Args:
        low: logarithm to base 10 of the least value of the axis.
        high: that of the largest.
    """
    powers = np.arange(np.floor(low), np.ceil(high) + 1)
    digits = (1,) if high - low > 3.5 else (1, 3) if high - low > 2 else (1, 2, 5)
    values = [d * 10.0**p for p in powers for d in digits]
    return [float(f"{v:.3g}") for v in values if low - 0.02 <= np.log10(v) <= high + 0.02]


def log_axis(values: ArrayLike) -> Spec:
    """A logarithmic axis for these values, with room around them."""
    known = np.asarray(values, float).ravel()
    known = known[np.isfinite(known) & (known > 0)]
    if not known.size:
        return {"type": "log"}
    low, high = np.log10(known.min()), np.log10(known.max())
    room = 0.05 * (high - low) + 0.02
    ticks = decades(low - room, high + room)
    text = [f"{value:g}" for value in ticks]
    limits = [float(low - room), float(high + room)]
    return {"type": "log", "range": limits, "tickvals": ticks, "ticktext": text}


def figure_id(name: str) -> str:
    """An id for the page from any name."""
    return "figure-" + "".join(c if c.isalnum() else "-" for c in name.lower())
