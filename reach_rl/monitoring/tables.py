"""Tables in the terminal: what a run is at its start, what it achieved at its end."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich.box import Box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from reach_rl.config.rules import Derived, derive
from reach_rl.config.schema import Config, GoalChange, ScheduleKind, Unit

PLAIN = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule of dashes below the header and nothing else, so that piped text stays text."""

Slices = Mapping[str, slice]
"""Observation term -> its place in the observation, in order."""

Cell = Callable[[Mapping[str, Any]], str]
"""Of an evaluation as in summary.json: what a table shows, `-` where it has none."""


def startup(config: Config, slices: Slices, console: Console, kept: float | None = None) -> None:
    """Print the run in words, then its observation, reward and curriculum.

    Args:
        config: of the run.
        slices: of its observation.
        console: where to.
        kept: share of the sampled goals that were in the region and clear of contact.
    """
    tables = (run_table(config, kept), observation_table(config, slices), reward_table(config))
    for section in (*tables, *curriculum_tables(config)):
        console.print(section)


def run_table(config: Config, kept: float | None = None) -> Group:
    """The run in words; `kept` as in startup."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for subject, sentence in in_words(config).items():
        table.add_row(subject, sentence)
        if subject == "task" and kept is not None:
            pool = f"pool of {config.task.region.pool:,}, {kept:.1%} of the samples kept"
            table.add_row("goals", pool)
    return _section("Run", table)


def in_words(config: Config) -> dict[str, str]:
    """The derived numbers and the main choices, as subject -> sentence."""
    d, ppo, task = derive(config), config.ppo, config.task
    episode = f"{task.episode_steps:,} steps ({task.episode_steps * task.control_period:g} s)"
    least = "at least" if task.goal_change is GoalChange.HOLD else "about"
    environments = f"{config.vec_env.n_envs:,} environments ({config.vec_env.kind.value})"
    minibatches = f"{d.minibatches:,} minibatches of {ppo.batch_size:,}"
    return {
        "robot": f"{config.robot.name}, {len(config.robot.joints)} joints",
        "task": (
            f"{task.region.name}: within {task.position_threshold * 1000:g} mm and "
            f"{math.degrees(task.orientation_threshold):.1f} deg for {task.hold_time:g} s, "
            f"{1 / task.control_period:g} Hz control"
        ),
        "steps": _steps(config, d),
        "rollout": f"{d.rollout:,} steps = {ppo.n_steps:,} x {environments}",
        "update": f"{d.gradient_steps:,} gradient steps = {ppo.n_epochs:,} passes x {minibatches}",
        "learning rate": _schedule(config),
        "episodes": f"about {d.episodes:,.0f} of {episode}, {least} {d.goals:,.0f} goals",
        "evaluation": _evaluation(config),
        "seed": f"{config.seed}; held-out goals from seed {config.evaluation.seed}",
    }


def _steps(config: Config, d: Derived) -> str:
    asked, done = config.total_timesteps, f"{d.total_steps:,} in {d.rollouts:,} rollouts"
    return done if d.total_steps == asked else f"{done} ({asked:,}, rounded up to whole rollouts)"


def _schedule(config: Config) -> str:
    start, schedule = config.ppo.learning_rate, config.ppo.learning_rate_schedule
    match schedule.kind:
        case ScheduleKind.CONSTANT:
            return f"{start:g}, constant"
        case ScheduleKind.KL_ADAPTIVE:
            return f"{start:g}, then such that the KL divergence is {schedule.target_kl:g}"
        case _:
            return f"{start:g} to {start * schedule.end:g}, {schedule.kind.value}"


def _evaluation(config: Config) -> str:
    evaluation = config.evaluation
    final = f"{evaluation.goals:,} held-out goals at the end"
    if not evaluation.every:
        return final
    return f"{evaluation.periodic_goals:,} goals every {evaluation.every:,} steps, {final}"


def observation_table(config: Config, slices: Slices) -> Group:
    """The observation: term, index range, size, scales, noise."""
    total = max((place.stop for place in slices.values()), default=0)
    observation = config.observation
    how = f", normalised, clipped to +-{observation.clip:g}" if observation.normalize else ""
    table = _table("term", ">index", ">size", "tanh widths", ">noise")
    for name, place in slices.items():
        term, size, last = observation.terms[name], place.stop - place.start, place.stop - 1
        index = f"{place.start}-{last}" if size > 1 else f"{last}"
        noise = f"+-{term.noise:g}" if term and term.noise else "-"
        table.add_row(name, index, f"{size}", _numbers(term.scales if term else None), noise)
    return _section(f"Observation: {total} numbers{how}", table)


def reward_table(config: Config) -> Group:
    """The reward: term, weight, widths, ramp of the weight."""
    table = _table("term", ">weight", "widths", "ramp")
    for name, term in config.reward.terms.items():
        ramp = config.curriculum.ramps.get(name)
        if term is not None and (term.weight != 0 or ramp):
            grows = f"{ramp.start:g} to {ramp.end:g}" if ramp else "-"
            table.add_row(name, f"{term.weight:g}", _numbers(term.scales), grows)
    reward = config.reward
    how = f", divided by the return's deviation, clipped to +-{reward.clip:g}"
    return _section(f"Reward per step{how if reward.normalize else ''}", table)


def curriculum_tables(config: Config) -> list[Group]:
    """The ramps and the stages of the curriculum; nothing without a curriculum."""
    ramps = [_ramp_table(config)] if config.curriculum.ramps else []
    return ramps + ([_stage_table(config)] if config.curriculum.stages else [])


def _ramp_table(config: Config) -> Group:
    curriculum, numbers = config.curriculum, derive(config)
    end = numbers.curriculum_end or 0.0
    share = end / numbers.total_steps
    where = f"{share:.0%} of the run" if share <= 1 else "after the run's end"
    unit = "of the run" if curriculum.unit is Unit.FRACTION else curriculum.unit.value
    table = _table("weight", ">start", ">end", ">at the end of the run")
    reached = min(1.0, numbers.total_steps / end)
    for name, ramp in curriculum.ramps.items():
        final = ramp.start + reached * (ramp.end - ramp.start)
        table.add_row(name, f"{ramp.start:g}", f"{ramp.end:g}", f"{final:.4g}")
    over = f"weights over {curriculum.duration:,g} {unit}, to step {end:,.0f} ({where})"
    return _section(f"Curriculum: {over}", table)


def _stage_table(config: Config) -> Group:
    stages = config.curriculum.stages
    table = _table(">stage", ">position", ">orientation", ">joint range", "moves on at")
    for number, stage in enumerate(stages):
        table.add_row(
            f"{number}",
            f"{stage.position_threshold * 1000:g} mm",
            f"{math.degrees(stage.orientation_threshold):.1f} deg",
            f"{stage.region_share:.0%}",
            "-" if number == len(stages) - 1 else f"{stage.advance_at:.0%} success",
        )
    window = f"{config.curriculum.window:,} goals"
    return _section(f"Curriculum: stages, by success over {window}", table)


def evaluation_table(
    evaluations: Mapping[str, Mapping[str, Any]], title: str = "Evaluation"
) -> Group:
    """Evaluations side by side.

    Args:
        evaluations: label, such as the region -> evaluation dictionary, as in summary.json.
        title: in front of the meaning of success, where all evaluations share it.
    """
    table = _table("", *(f">{label}" for label in evaluations))
    for subject, cell in _EVALUATION_ROWS.items():
        cells = [cell(evaluation) for evaluation in evaluations.values()]
        if any(text != "-" for text in cells):
            table.add_row(subject, *cells)
    heading = _success_title(title, list(evaluations.values()))
    return _section(heading, table, Text("* median / 95th percentile", style="dim"))


def _success_title(title: str, evaluations: list[Mapping[str, Any]]) -> str:
    thresholds = [evaluation.get("thresholds") for evaluation in evaluations]
    first = thresholds[0] if thresholds else None
    if first is None or any(other != first for other in thresholds):
        return title
    return (
        f"{title}: within {first['position_m'] * 1000:g} mm and "
        f"{math.degrees(first['orientation_rad']):.1f} deg for {first['hold_s']:g} s"
    )


def _interval(evaluation: Mapping[str, Any]) -> str:
    bounds = evaluation.get("success_ci95")
    return "-" if bounds is None else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _share(key: str) -> Cell:
    return lambda e: "-" if e.get(key) is None else f"{e[key]:.1%}"


def _limits(evaluation: Mapping[str, Any]) -> str:
    names = ("share_above_speed_limit", "share_outside_joint_range", "share_at_torque_limit")
    shares = [evaluation.get(name) for name in names]
    known = [f"{100 * share:.3g}" for share in shares if share is not None]
    return f"{' / '.join(known)} %" if len(known) == len(names) else "-"


def _pair(key: str, unit: str) -> Cell:
    def cell(evaluation: Mapping[str, Any]) -> str:
        figures = evaluation.get(key) or {}
        if figures.get("median") is None:
            return "-"
        return f"{_plain(figures['median'])} / {_plain(figures['p95'])} {unit}"

    return cell


def _plain(value: float) -> str:
    """Three digits; rounding errors of a controller that is exact are nought."""
    return f"{value:.3g}" if abs(value) >= 1e-6 else "0"


_EVALUATION_ROWS = {
    "goals": lambda e: f"{e['goals']:,}" if "goals" in e else "-",
    "success": _share("success_rate"),
    "95% interval": _interval,
    "position error*": _pair("position_error_mm", "mm"),
    "orientation error*": _pair("orientation_error_deg", "deg"),
    "time to success*": _pair("time_to_success_s", "s"),
    "final joint speed*": _pair("final_joint_speed_rad_s", "rad/s"),
    "self-collision": _share("self_collision_rate"),
    "table collision": _share("table_collision_rate"),
    "over speed/range/torque": _limits,
}


def _table(*columns: str) -> Table:
    """An empty table; a leading `>` of a column's name aligns it to the right."""
    table = Table(box=PLAIN, show_edge=False, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(
            name.removeprefix(">"), justify="right" if name.startswith(">") else "left"
        )
    return table


def _section(title: str, *parts: RenderableType) -> Group:
    return Group(Text(title, style="bold"), *parts, "")


def _numbers(values: list[float] | None) -> str:
    return "-" if not values else ", ".join(f"{value:g}" for value in values)
