"""The W&B workspace of the project: which panels there are, made from the metric catalogue."""

from collections.abc import Sequence
from typing import Any

from wandb_workspaces import workspaces as ws
from wandb_workspaces.reports import v2
from wandb_workspaces.reports.v2.interface import ParallelCoordinatesPlotColumn

from reach_rl.monitoring.metrics import CATALOGUE, FAMILIES, Metric, describe

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


def workspace(entity: str, project: str, name: str) -> ws.Workspace:
    """The workspace, not saved yet; makes no connection.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
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


def _section(
    name: str, panels: Sequence[Any], *, is_open: bool = True, rows: int = 2
) -> ws.Section:
    layout = ws.SectionLayoutSettings(columns=3, rows=rows)
    axis = ws.SectionPanelSettings(x_axis=STEP)
    return ws.Section(
        name=name,
        panels=list(panels),
        is_open=is_open,
        layout_settings=layout,
        panel_settings=axis,
    )


def _success() -> ws.Section:
    return _section("Success", [_lines(*names) for names in SUCCESS], rows=3)


def _learning() -> ws.Section:
    time = v2.LinePlot(
        title="share of time", x=STEP, y=list(TIME), plot_type="pct-area", title_y="share"
    )
    return _section("Learning", [*(_lines(*names) for names in LEARNING), time], rows=4)


def _health() -> ws.Section:
    """Every metric that has a healthy range, with its bounds as lines."""
    sound = [metric for metric in CATALOGUE.values() if metric.healthy is not None]
    rows = [f"| {m.name} | {_range(m)} | {m.unit} | {m.meaning} |" for m in sound]
    table = "\n".join(["| metric | healthy | unit | meaning |", "|---|---|---|---|", *rows])
    return _section("PPO health", [*(_banded(metric) for metric in sound), v2.MarkdownPanel(table)])


def _reward() -> ws.Section:
    return _section(
        "Reward terms and curriculum",
        [
            v2.LinePlot(
                title=f"{family.meaning} ({family.unit})",
                x=STEP,
                metric_regex=f"^{family.name}.+",
                title_y=family.unit,
            )
            for family in (FAMILIES[name] for name in ("reward/", "curriculum/", "std/"))
        ],
        rows=1,
    )


def _sweep() -> ws.Section:
    axes = [ParallelCoordinatesPlotColumn(v2.Config(key), display_name=key) for key in SEARCHED]
    result = ParallelCoordinatesPlotColumn(v2.SummaryMetric(OBJECTIVE), display_name=OBJECTIVE)
    return _section(
        "Sweep",
        [
            v2.ParallelCoordinatesPlot(title="settings and score", columns=[*axes, result]),
            v2.ParameterImportancePlot(with_respect_to=OBJECTIVE),
            v2.ScatterPlot(
                title=f"learning rate and {OBJECTIVE}",
                x=v2.Config("ppo.learning_rate"),
                y=v2.SummaryMetric(OBJECTIVE),
                log_x=True,
            ),
        ],
        is_open=False,
        rows=1,
    )


def _robots() -> ws.Section:
    by = v2.Config("robot.name")
    bars = [
        v2.BarPlot(
            title=f"{_title(describe(name))} by robot",
            metrics=[name],
            groupby=by,
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            title_x=describe(name).unit,
        )
        for name in COMPARED
    ]
    curve = v2.LinePlot(
        title="success by robot",
        x=STEP,
        y=["eval/success_rate"],
        range_y=(0.0, 1.0),
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )
    return _section("Robots compared", [curve, *bars], is_open=False)


def _videos() -> ws.Section:
    films = v2.MediaBrowser(
        title="films of evaluation episodes",
        media_keys=list(FILMS),
        num_columns=2,
        mode="gallery",
        gallery_axis="step",
    )
    return _section("Videos", [films], is_open=False, rows=1)


def _lines(*names: str) -> v2.LinePlot:
    """Metrics of one unit against the steps; a share from 0 to 1."""
    first = describe(names[0])
    whole = first.unit == "share"
    return v2.LinePlot(
        title=_title(first),
        x=STEP,
        y=list(names),
        title_y=first.unit,
        range_y=(0.0, 1.0) if whole else (None, None),
    )


def _banded(metric: Metric) -> v2.LinePlot:
    """A metric and the bounds of its healthy range, as lines that are constant."""
    assert metric.healthy is not None
    value = f"${{{metric.name}}}"
    bounds = [f"0 * {value} + {bound:g}" for bound in dict.fromkeys(metric.healthy)]
    return v2.LinePlot(
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
