"""The W&B workspace of the project: workspace.yaml and the metric catalogue as panels."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import yaml
from wandb_workspaces import workspaces as ws
from wandb_workspaces.reports import v2
from wandb_workspaces.reports.v2.interface import ParallelCoordinatesPlotColumn as Column

from reach_rl.monitoring.metrics import CATALOGUE, FAMILIES, Metric, describe

STEP = "global_step"
OBJECTIVE = "eval/score"
PANELS: dict[str, Any] = yaml.safe_load(
    (files("reach_rl.viz") / "workspace.yaml").read_text(encoding="utf-8")
)


def workspace(entity: str, project: str, name: str) -> ws.Workspace:
    """The workspace, not saved yet; makes no connection.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
    time = _line("share of time", PANELS["time"], plot_type="pct-area", title_y="share")
    sections = [
        _section("Success", map(_lines, PANELS["success"]), rows=3),
        _section("Learning", [*map(_lines, PANELS["learning"]), time], rows=4),
        _section("PPO health", _health()),
        _section("Reward terms and curriculum", map(_family, PANELS["families"]), rows=1),
        _section("Sweep", _sweep(), is_open=False, rows=1),
        _section("Robots compared", _robots(), is_open=False),
        _section("Videos", [_films()], is_open=False, rows=1),
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=20),
        runset_settings=ws.RunsetSettings(pinned_columns=PANELS["pinned"]),
    )


def _section(name: str, panels: Iterable[Any], *, is_open: bool = True, rows: int = 2) -> Any:  # noqa: ANN401
    return ws.Section(
        name=name,
        panels=list(panels),
        is_open=is_open,
        layout_settings=ws.SectionLayoutSettings(columns=3, rows=rows),
        panel_settings=ws.SectionPanelSettings(x_axis=STEP),
    )


def _line(title: str, names: list[str], **how: Any) -> v2.LinePlot:  # noqa: ANN401  of LinePlot
    return v2.LinePlot(title=title, x=STEP, y=[*names], **how)


def _lines(names: list[str]) -> v2.LinePlot:
    """Metrics of one unit against the steps; a share from 0 to 1."""
    first = describe(names[0])
    ends = (0.0, 1.0) if first.unit == "share" else (None, None)
    return _line(_title(first), names, title_y=first.unit, range_y=ends)


def _health() -> list[Any]:
    """Every metric that has a healthy range, with its bounds as lines; and what they mean."""
    sound = [metric for metric in CATALOGUE.values() if metric.healthy is not None]
    rows = [f"| {m.name} | {_range(m)} | {m.unit} | {m.meaning} |" for m in sound]
    table = "\n".join(["| metric | healthy | unit | meaning |", "|---|---|---|---|", *rows])
    return [*map(_banded, sound), v2.MarkdownPanel(table)]


def _banded(metric: Metric) -> v2.LinePlot:
    value = f"${{{metric.name}}}"
    bounds = [f"0 * {value} + {bound:g}" for bound in dict.fromkeys(metric.healthy or ())]
    title = f"{metric.name.partition('/')[2]}, healthy {_range(metric)}"
    how = {"custom_expressions": [value, *bounds], "title_y": metric.unit}
    return _line(title, [metric.name], **how)


def _family(name: str) -> v2.LinePlot:
    family = FAMILIES[name]
    title = f"{family.meaning} ({family.unit})"
    return v2.LinePlot(title=title, x=STEP, metric_regex=f"^{name}.+", title_y=family.unit)


def _sweep() -> list[Any]:
    axes = [Column(v2.Config(key), display_name=key) for key in PANELS["searched"]]
    result = Column(v2.SummaryMetric(OBJECTIVE), display_name=OBJECTIVE)
    return [
        v2.ParallelCoordinatesPlot(title="settings and score", columns=[*axes, result]),
        v2.ParameterImportancePlot(with_respect_to=OBJECTIVE),
        v2.ScatterPlot(
            title=f"learning rate and {OBJECTIVE}",
            x=v2.Config("ppo.learning_rate"),
            y=v2.SummaryMetric(OBJECTIVE),
            log_x=True,
        ),
    ]


def _robots() -> list[Any]:
    by: dict[str, Any] = {
        "groupby": v2.Config("robot.name"),
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
    }
    curve = _line("success by robot", ["eval/success_rate"], range_y=(0.0, 1.0), **by)
    bars = [
        v2.BarPlot(title=f"{_title(m)} by robot", metrics=[m.name], title_x=m.unit, **by)
        for m in map(describe, PANELS["compared"])
    ]
    return [curve, *bars]


def _films() -> v2.MediaBrowser:
    return v2.MediaBrowser(
        title="films of evaluation episodes",
        media_keys=PANELS["films"],
        num_columns=2,
        mode="gallery",
        gallery_axis="step",
    )


def _range(metric: Metric) -> str:
    low, high = metric.healthy or (0.0, 0.0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _title(metric: Metric) -> str:
    return f"{metric.meaning} ({metric.unit})"
