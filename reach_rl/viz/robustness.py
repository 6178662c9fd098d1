"""Success against each thing that may differ between the arm of training and another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reach_rl.viz.plots import BLUE, GREY, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4


def draw(found: Mapping[str, Any], out_png: Path, title: str = "") -> None:
    """Draw a panel for each factor: success with its 95 % interval, nominal marked.

    Args:
        found: of evaluation.robustness.sweep.
        out_png: file to write.
        title: such as the run and its checkpoint.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(found) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 2.9 * rows + 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title or "Robustness", x=0.01, ha="left", size=13, weight="bold")
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
        for axes, factor in zip(panels.flat, found.values(), strict=False):
            _panel(axes, factor)
        for axes in panels.flat[len(found) :]:
            axes.set_axis_off()
        for row in panels:
            row[0].set_ylabel("success")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        spare = len(found) < panels.size
        where = panels.flat[-1] if spare else figure
        where.legend(handles, labels, loc="center" if spare else "outside lower center")
        figure.savefig(out_png, dpi=130)


def _panel(axes: "Axes", factor: Mapping[str, Any]) -> None:
    from matplotlib.ticker import PercentFormatter

    values = np.array([point["value"] for point in factor["points"]])
    success = np.array([point["success_rate"] for point in factor["points"]])
    low, high = np.array([point["success_ci95"] for point in factor["points"]]).T
    axes.set_title(factor["title"])
    axes.set_xlabel(factor["unit"])
    axes.axvline(factor["nominal"], color=GREY, linewidth=1, linestyle="--", label="nominal")
    axes.fill_between(values, low, high, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval")
    axes.plot(values, success, color=BLUE, linewidth=1.6, marker="o", markersize=4, label="success")
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
