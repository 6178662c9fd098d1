"""The W&B workspace of the project: which panels there are, made from the metric catalogue."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reach_rl.monitoring.metrics import CATALOGUE, FAMILIES, Metric, describe

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

STEP = "global_step"
OBJECTIVE = "eval/score"

SEARCHED = (
    "ppo.learning_rate",
    "ppo.n_steps",
    "ppo.batch_size",
    "ppo.n_epochs",
    "ppo.gamma",
    "ppo.gae_lambda",
    "ppo.clip_range",
    "ppo.ent_coef",
    "ppo.max_grad_norm",
    "ppo.policy_kwargs.log_std_init",
)
"""Configuration keys that sweeps vary."""

SUCCESS = (
    ("eval/success_rate", "rollout/success_rate"),
    ("eval/position_error_mm_median", "eval/position_error_mm_p95"),
    ("eval/orientation_error_deg_median", "eval/orientation_error_deg_p95"),
    ("eval/time_to_success_s_median", "eval/time_to_success_s_p95"),
    ("eval/final_joint_speed_rad_s_median", "eval/final_joint_speed_rad_s_p95"),
    ("eval/self_collision_rate", "eval/table_collision_rate"),
    ("rollout/goals_per_episode",),
    (OBJECTIVE,),
)
LEARNING = (
    ("rollout/ep_rew_mean",),
    ("rollout/ep_len_mean",),
    ("train/value_loss",),
    ("train/policy_gradient_loss",),
    ("train/entropy_loss",),
    ("train/std",),
    ("train/grad_norm",),
    ("train/learning_rate",),
    ("time/fps",),
)
TIME = ("time/physics", "time/task", "time/policy", "time/update")
COMPARED = (
    "eval/success_rate",
    "eval/position_error_mm_median",
    "eval/orientation_error_deg_median",
    "eval/time_to_success_s_median",
)
FILMS = ("video/best", "video/periodic")


def workspace(entity: str, project: str, name: str) -> "Workspace":
    """The workspace, not saved yet; makes no connection.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
    from wandb_workspaces import workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[_success(), _learning(), _health(), _reward(), _sweep(), _robots(), _videos()],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=20),
        runset_settings=ws.RunsetSettings(
            pinned_columns=[
                "summary:eval/success_rate",
                "summary:eval/position_error_mm_median",
                "config:robot.name",
                "config:seed",
            ]
        ),
    )


def _section(name: str, panels: Sequence[Any], *, is_open: bool = True, rows: int = 2) -> "Section":
    from wandb_workspaces import workspaces as ws

    layout = ws.SectionLayoutSettings(columns=3, rows=rows)
    axis = ws.SectionPanelSettings(x_axis=STEP)
    return ws.Section(
        name=name,
        panels=list(panels),
        is_open=is_open,
        layout_settings=layout,
        panel_settings=axis,
    )


def _success() -> "Section":
    return _section("Success", [_lines(*names) for names in SUCCESS], rows=3)


def _learning() -> "Section":
    from wandb_workspaces.reports.v2 import LinePlot

    time = LinePlot(
        title="share of time", x=STEP, y=list(TIME), plot_type="pct-area", title_y="share"
    )
    return _section("Learning", [*(_lines(*names) for names in LEARNING), time], rows=4)


def _health() -> "Section":
    """Every metric that has a healthy range, with its bounds as lines."""
    from wandb_workspaces.reports.v2 import MarkdownPanel

    sound = [metric for metric in CATALOGUE.values() if metric.healthy is not None]
    rows = [f"| {m.name} | {_range(m)} | {m.unit} | {m.meaning} |" for m in sound]
    table = "\n".join(["| metric | healthy | unit | meaning |", "|---|---|---|---|", *rows])
    return _section("PPO health", [*(_banded(metric) for metric in sound), MarkdownPanel(table)])


def _reward() -> "Section":
    from wandb_workspaces.reports.v2 import LinePlot

    return _section(
        "Reward terms and curriculum",
        [
            LinePlot(
                title=f"{family.meaning} ({family.unit})",
                x=STEP,
                metric_regex=f"^{family.name}.+",
                title_y=family.unit,
            )
            for family in (FAMILIES[name] for name in ("reward/", "curriculum/", "std/"))
        ],
        rows=1,
    )


def _sweep() -> "Section":
    from wandb_workspaces.reports.v2 import (
        Config,
        ParallelCoordinatesPlot,
        ParameterImportancePlot,
        ScatterPlot,
        SummaryMetric,
    )
    from wandb_workspaces.reports.v2.interface import ParallelCoordinatesPlotColumn

    axes = [ParallelCoordinatesPlotColumn(Config(key), display_name=key) for key in SEARCHED]
    result = ParallelCoordinatesPlotColumn(SummaryMetric(OBJECTIVE), display_name=OBJECTIVE)
    return _section(
        "Sweep",
        [
            ParallelCoordinatesPlot(title="settings and score", columns=[*axes, result]),
            ParameterImportancePlot(with_respect_to=OBJECTIVE),
            ScatterPlot(
                title=f"learning rate and {OBJECTIVE}",
                x=Config("ppo.learning_rate"),
                y=SummaryMetric(OBJECTIVE),
                log_x=True,
            ),
        ],
        is_open=False,
        rows=1,
    )


def _robots() -> "Section":
    from wandb_workspaces.reports.v2 import BarPlot, Config, LinePlot

    by = Config("robot.name")
    bars = [
        BarPlot(
            title=f"{_title(describe(name))} by robot",
            metrics=[name],
            groupby=by,
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            title_x=describe(name).unit,
        )
        for name in COMPARED
    ]
    curve = LinePlot(
        title="success by robot",
        x=STEP,
        y=["eval/success_rate"],
        range_y=(0.0, 1.0),
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )
    return _section("Robots compared", [curve, *bars], is_open=False)


def _videos() -> "Section":
    from wandb_workspaces.reports.v2 import MediaBrowser

    films = MediaBrowser(
        title="films of evaluation episodes",
        media_keys=list(FILMS),
        num_columns=2,
        mode="gallery",
        gallery_axis="step",
    )
    return _section("Videos", [films], is_open=False, rows=1)


def _lines(*names: str) -> Any:  # noqa: ANN401  a LinePlot
    """Metrics of one unit against the steps; a share from 0 to 1."""
    from wandb_workspaces.reports.v2 import LinePlot

    first = describe(names[0])
    whole = first.unit == "share"
    return LinePlot(
        title=_title(first),
        x=STEP,
        y=list(names),
        title_y=first.unit,
        range_y=(0.0, 1.0) if whole else (None, None),
    )


def _banded(metric: Metric) -> Any:  # noqa: ANN401  a LinePlot
    """A metric and the bounds of its healthy range, as lines that are constant."""
    from wandb_workspaces.reports.v2 import LinePlot

    assert metric.healthy is not None
    value = f"${{{metric.name}}}"
    bounds = [f"0 * {value} + {bound:g}" for bound in dict.fromkeys(metric.healthy)]
    return LinePlot(
        title=f"{metric.name.partition('/')[2]}, healthy {_range(metric)}",
        x=STEP,
        y=[metric.name],
        custom_expressions=[value, *bounds],
        title_y=metric.unit,
    )


def _range(metric: Metric) -> str:
    low, high = metric.healthy or (0.0, 0.0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _title(metric: Metric) -> str:
    return f"{metric.meaning} ({metric.unit})"
