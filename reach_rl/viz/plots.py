"""Pictures of a run: its learning curve, its goals by outcome, its robustness."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.record import read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from reach_rl.viz.report.subject import Curve

# Okabe and Ito's colours, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"
COLOURS = {"blue": BLUE, "orange": ORANGE, "grey": GREY}

_STYLE, _PANELS = (Path(__file__).with_suffix(suffix) for suffix in (".mplstyle", ".yaml"))


class _Panel(NamedTuple):
    title: str
    lines: Mapping[str, tuple[str, str]]
    """Metric -> name and colour; those of evaluations have their points marked."""
    scale: str = "linear"
    share: bool = False


@contextmanager
def _picture(out_png: Path, size: tuple[float, float], title: str, dpi: int) -> "Iterator[Figure]":
    """A figure to draw into, which is then written; nothing of Matplotlib's state changes."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", size=13, weight="bold")
        yield figure
        figure.savefig(out_png, dpi=dpi)


def learning_curve(metrics_jsonl: Path, out_png: Path, title: str = "") -> None:
    """Draw success, return, final errors and PPO health over environment steps.

    Args:
        metrics_jsonl: a run's records; torn lines and missing metrics are passed over.
        out_png: file to write, 1500 x 1500 pixels.
        title: such as robot, region and seed.
    """
    from reach_rl.viz.report.subject import curves_of

    curves = curves_of(read_records(metrics_jsonl)) if metrics_jsonl.exists() else {}
    panels = yaml.safe_load(_PANELS.read_text(encoding="utf-8"))
    with _picture(out_png, (10, 10), title or "Learning curve", 150) as figure:
        for axes, panel in zip(figure.subplots(3, 2, sharex=True).flat, panels, strict=True):
            _draw(axes, _Panel(**panel), curves)
        for axes in figure.axes[-2:]:
            axes.set_xlabel("environment steps")
        figure.set_layout_engine("none")  # finding this layout takes as long as all the rest
        figure.subplots_adjust(0.07, 0.05, 0.98, 0.93, 0.2, 0.15)


def goals(positions: "ArrayLike", success: "ArrayLike", out_png: Path, title: str = "") -> None:
    """Draw goals seen from above and from the side, coloured by outcome.

    Args:
        positions: (n, 3) goal positions in the base frame, m.
        success: (n,) whether each goal was reached and held.
        out_png: file to write.
        title: such as robot and region.
    """
    points = np.asarray(positions, float).reshape(-1, 3)
    reached = np.asarray(success, bool).reshape(-1)
    share = f"{reached.mean():.1%} of {len(reached):,} goals reached" if len(reached) else ""
    heading = ": ".join(filter(None, (title, share)))
    with _picture(out_png, (10, 5.9), heading, 150) as figure:
        top, side = figure.subplots(1, 2)
        _scatter(top, points[:, :2], reached, ("x (m), forward", "y (m), left"), "From above")
        _scatter(side, points[:, ::2], reached, ("x (m), forward", "z (m), up"), "From the side")
        side.axhline(0.0, color="#B0A090", linewidth=3, zorder=1)
        handles, labels = top.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def robustness(found: Mapping[str, Any], out_png: Path, title: str = "") -> None:
    """Draw a panel for each factor: success with its 95 % interval, nominal marked.

    Args:
        found: of evaluation.perturbations.sweep.
        out_png: file to write.
        title: such as the run and its checkpoint.
    """
    columns = 4
    rows = -(-len(found) // columns)
    with _picture(out_png, (12, 2.9 * rows + 0.6), title or "Robustness", 130) as figure:
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, factor in zip(panels.flat, found.values(), strict=False):
            _factor(axes, factor)
        for axes in panels.flat[len(found) :]:
            axes.set_axis_off()
        for row in panels:
            row[0].set_ylabel("success")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        spare = len(found) < panels.size
        where = panels.flat[-1] if spare else figure
        where.legend(handles, labels, loc="center" if spare else "outside lower center")


def _factor(axes: "Axes", factor: Mapping[str, Any]) -> None:
    from matplotlib.ticker import PercentFormatter

    points = factor["points"]
    values, success = ([point[key] for point in points] for key in ("value", "success_rate"))
    low, high = np.array([point["success_ci95"] for point in points]).T
    axes.set(title=factor["title"], xlabel=factor["unit"], ylim=(-0.03, 1.03))
    axes.axvline(factor["nominal"], color=GREY, linewidth=1, linestyle="--", label="nominal")
    axes.fill_between(values, low, high, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval")
    axes.plot(values, success, color=BLUE, linewidth=1.6, marker="o", markersize=4, label="success")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw(axes: "Axes", panel: _Panel, curves: "Mapping[str, Curve]") -> None:
    from matplotlib.ticker import EngFormatter, LogFormatter, NullFormatter, PercentFormatter

    axes.set(title=panel.title, yscale=panel.scale)
    drawn = [name for name in panel.lines if name in curves and curves[name].last is not None]
    for name in drawn:
        label, colour = panel.lines[name]
        _draw_line(axes, curves[name], label, COLOURS[colour], marked=name.startswith("eval/"))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if panel.scale == "log":
        axes.yaxis.set_major_formatter(LogFormatter(labelOnlyBase=True))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if panel.share:
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if not drawn:
        axes.text(0.5, 0.5, "no records", transform=axes.transAxes, ha="center", color=GREY)
        return
    _healthy_band(axes, panel)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower right" if panel.share else "best")


def _draw_line(axes: "Axes", curve: "Curve", label: str, colour: str, *, marked: bool) -> None:
    known = np.isfinite(curve.values)
    steps, values = curve.steps[known], curve.values[known]
    if axes.get_yscale() == "log":
        values = np.where(values > 0, values, np.nan)
    style = {"marker": "o", "markersize": 3.5} if marked or len(values) < 3 else {}
    if not marked and len(values) >= 40:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
        values = smooth(values)
    axes.plot(steps, values, color=colour, linewidth=1.6, label=label, **style)


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
    number = count[high] - count[low]
    return np.divide(
        total[high] - total[low], number, out=np.full(len(values), np.nan), where=number > 0
    )


def _healthy_band(axes: "Axes", panel: _Panel) -> None:
    """Shade where a healthy run stays, and keep both the band and the curve in view."""
    healthy = describe(next(iter(panel.lines))).healthy
    if healthy is None:
        return
    low, high = healthy
    data = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    top = max((np.nanpercentile(values, 99) for values in data if len(values)), default=high)
    axes.axhspan(low, high, color=GREEN, alpha=0.12, linewidth=0, label="healthy")
    axes.set_ylim(0.0, 1.25 * max(float(top), high))


def _scatter(
    axes: "Axes", points: np.ndarray, reached: np.ndarray, labels: tuple[str, str], title: str
) -> None:
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    axes.set_aspect("equal", adjustable="datalim")
    dots = {"s": 12, "color": BLUE, "alpha": 0.45, "linewidths": 0, "zorder": 2}
    axes.scatter(*points[reached].T, label=f"reached ({reached.sum():,})", **dots)
    crosses = {"s": 40, "color": ORANGE, "marker": "x", "linewidths": 1.6, "zorder": 3}
    axes.scatter(*points[~reached].T, label=f"missed ({(~reached).sum():,})", **crosses)
    axes.plot(0.0, 0.0, marker="s", markersize=9, color="#333333", linestyle="", label="base")
