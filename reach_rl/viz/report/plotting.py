"""What the figures of the report share: where they register, their colours, and usual marks.

A figure is one function, in any module of this package, that takes what the page is about and
returns what Plotly draws; docs/report.md shows one. What Plotly draws are plain dicts, encoded
once: its own objects check each property of each of them, which takes longer than all the rest of a
page. A test lets them check.

Colours are those of the light page. The page itself exchanges them where it is dark.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from reach_rl.mdp.arrays import Array

SHEET: dict[str, Any] = yaml.safe_load(
    (files("reach_rl.viz.report") / "figures.yaml").read_text(encoding="utf-8")
)
"""figures.yaml: titles, captions and colours."""

PALETTE: dict[str, tuple[str, str]] = SHEET["palette"]
"""Name -> colour on a light and on a dark page."""

LIGHT = {name: light for name, (light, _) in PALETTE.items()}
BLUE, ORANGE, GREEN, GOLD = (LIGHT[name] for name in ("blue", "orange", "green", "gold"))
INK, MUTED = LIGHT["ink"], LIGHT["muted"]
UNSEEN = {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
"""Of a trace that is neither in the legend nor beside the pointer."""

SERIES = [LIGHT[name] for name in list(PALETTE)[7:]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page."""

    name: str
    """Its id is figure-NAME; unique on the page."""
    plot: Mapping[str, Any]
    """Its data and its layout, in Plotly's words."""
    alt: str
    """What it shows, for those who cannot see it."""
    title: str = ""
    caption: str = ""
    """What to look for."""
    wide: bool = False
    """Over the whole width of the page."""


Drawer = Callable[[Any], "Figure | Iterable[Figure | None] | None"]
_DRAWERS: dict[str, list[tuple[Drawer, dict[str, Any]]]] = {}


def figure(
    section: str, title: str = "", caption: str = "", *, wide: bool = False
) -> Callable[[Drawer], Drawer]:
    """Put what a function draws into a section of the report, after what is there.

    The function takes the groups of runs (of a sweep's page: the study) and returns a Figure or
    several; None where there is nothing to show. A figure may say another title or caption.
    """
    said = {"title": title, "caption": caption, "wide": wide}

    def register(draw: Drawer) -> Drawer:
        _DRAWERS.setdefault(section, []).append((draw, said))
        return draw

    return register


def figures(section: str, subject: object) -> list[Figure]:
    """The figures of a section, in the order in which they were registered."""
    found = []
    for draw, said in _DRAWERS.get(section, ()):
        drawn = draw(subject)
        for each in (drawn,) if isinstance(drawn, Figure) else drawn or ():
            if each is not None:
                left = {key: value for key, value in said.items() if not getattr(each, key)}
                found.append(replace(each, **left))
    return found


def faded(color: str, opacity: float) -> str:
    """A colour of LIGHT that lets through what is behind it."""
    return f"{color}{round(255 * opacity):02x}"


class Chart:
    """A figure in the making."""

    def __init__(
        self,
        height: int = 280,
        x: Mapping[str, Any] | None = None,
        y: Mapping[str, Any] | None = None,
        **layout: Any,  # noqa: ANN401  of Plotly
    ) -> None:
        """An empty one; x and y are Plotly's axes."""
        self.traces: list[dict[str, Any]] = []
        self.shapes: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.x, self.y = dict(x or {}), dict(y or {})
        axes = {"xaxis": self.x, "yaxis": self.y}
        self.layout = {"height": height, "shapes": self.shapes, "annotations": self.notes, **axes}
        self.layout |= layout

    def plot(self) -> dict[str, Any]:
        """The figure as Plotly takes it."""
        return {"data": self.traces, "layout": self.layout}

    def line(
        self,
        x: ArrayLike,
        y: ArrayLike,
        name: str,
        color: str = BLUE,
        unit: str = "",
        *,
        mode: str = "lines",
        size: float = 6,
        symbol: str = "circle",
        width: float = 2,
        dash: str = "solid",
        shape: str = "linear",
        **style: Any,  # noqa: ANN401  of Plotly's scatter
    ) -> None:
        """Add a line; NaN leaves gaps."""
        trace = {
            "type": "scatter", "x": np.asarray(x, float), "y": np.asarray(y, np.float32),
            "name": label(name), "mode": mode, "hovertemplate": hover(unit),
            "line": {"color": color, "width": width, "dash": dash, "shape": shape},
            "marker": {"color": color, "size": size, "symbol": symbol},
        }  # fmt: skip
        self.traces.append(trace | style)

    def band(self, x: Array, low: Array, high: Array, color: str, group: str) -> None:
        """Shade between two curves where both are known."""
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else ():
            there, around = x[part], np.concatenate([high[part], low[part][::-1]])
            style = {"fill": "toself", "fillcolor": faded(color, 0.18), "legendgroup": label(group)}
            self.line([*there, *there[::-1]], around, group, color, width=0, **style, **UNSEEN)

    def zone(self, axis: str, low: float, high: float, color: str) -> None:
        """Shade a range of the x or y axis from end to end of the other one."""
        self._across(
            axis, low, high, type="rect", fillcolor=color, line={"width": 0}, layer="below"
        )

    def rule(self, axis: str, value: float, color: str) -> None:
        """A dotted line across at a value of the x or y axis."""
        style = {"color": color, "width": 1.5, "dash": "dot"}
        self._across(axis, value, value, type="line", line=style)

    def log_scale(self) -> None:
        """Make the y axis logarithmic, with round ticks and room around what is drawn so far."""
        heights = np.concatenate([np.asarray(trace["y"], float) for trace in self.traces])
        known = np.log10([y for y in heights if np.isfinite(y) and y > 0] or [1.0])
        low, high = float(known.min()), float(known.max())
        room = 0.05 * (high - low) + 0.02
        self.y |= log_axis(low - room, high + room)

    def note(self, text: str, color: str = MUTED, **place: Any) -> None:  # noqa: ANN401
        """Write a small text; `place` is Plotly's x, y, xref, yanchor and so on."""
        font = {"size": 11, "color": color}
        self.notes.append({"text": label(text), "showarrow": False, "font": font, **place})

    def _across(self, axis: str, low: float, high: float, **style: Any) -> None:  # noqa: ANN401
        other = "x" if axis == "y" else "y"
        ends = {f"{axis}0": low, f"{axis}1": high, f"{other}0": 0, f"{other}1": 1}
        self.shapes.append({**ends, f"{other}ref": "paper", **style})


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with round ticks between two logarithms to base 10."""
    powers = np.arange(np.floor(low), np.ceil(high) + 1)
    digits = (1,) if high - low > 3.5 else (1, 3) if high - low > 2 else (1, 2, 5)
    values = [float(f"{d * 10.0**p:.3g}") for p in powers for d in digits]
    ticks = [v for v in values if low - 0.02 <= np.log10(v) <= high + 0.02]
    text = [f"{v:g}" for v in ticks]
    return {"type": "log", "range": [low, high], "tickvals": ticks, "ticktext": text}


def sentence(text: str) -> str:
    """A meaning as a sentence."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def steps_axis() -> dict[str, Any]:
    """The axis of environment steps."""
    return {"title": {"text": "environment steps"}, "tickformat": "~s", "hoverformat": ",d"}


def named(title: str) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": title}}


def unit_axis(unit: str) -> dict[str, Any]:
    """An axis of values in a unit; beside a heading the bare unit says enough."""
    if unit == "share":
        return {"tickformat": ".0%"}
    return named("" if unit in ("1", "text") else label(unit))


def hover(unit: str) -> str:
    """How a value is shown beside the pointer."""
    if unit == "share":
        return "%{y:.1%}"
    return "%{y:.4~g} " + label("" if unit in ("1", "text") else unit)


def label(text: object) -> str:
    """Text from a file as Plotly may show it: without markup or templates."""
    plain = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("%{", "% {")


def thinned(steps: Array, values: Array, most: int = 600) -> tuple[Array, Array]:
    """At most so many points of a curve, evenly chosen; its ends are among them."""
    kept = np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(int)
    return steps[kept], values[kept]


def cycle(count: int) -> Sequence[str]:
    """A colour for each of so many."""
    return [SERIES[i % len(SERIES)] for i in range(count)]
