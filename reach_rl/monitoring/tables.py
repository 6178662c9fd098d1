"""Tables in the terminal: what a run is at its start, what it achieved at its end."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import Box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from reach_rl.config.rules import derive
from reach_rl.config.schema import Config, GoalChange, ScheduleKind
from reach_rl.mdp import curriculum
from reach_rl.monitoring.metrics import sheet

PLAIN = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule of dashes below the header and nothing else, so that piped text stays text."""

Slices = Mapping[str, slice]
"""Observation term -> its place in the observation, in order."""

Figures = Mapping[str, Any]
"""An evaluation as in summary.json."""

Cell = Callable[[Figures], str]
"""What a table shows of an evaluation, `-` where it has none."""


def plain_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; a leading `>` of a column's name aligns it to the right."""
    grid = Table(box=PLAIN, show_edge=False, pad_edge=False, header_style="dim")
    for name in names:
        grid.add_column(name.removeprefix(">"), justify="right" if name[:1] == ">" else "left")
    for row in rows:
        grid.add_row(*row)
    return grid


def _section(title: str, *parts: Table | Text) -> Group:
    return Group(Text(title, style="bold"), *parts, "")


def startup(config: Config, slices: Slices, console: Console, kept: float | None = None) -> None:
    """Print the run in words, then its observation, reward and curriculum.

    Args:
        config: of the run.
        slices: of its observation.
        console: where to.
        kept: share of the sampled goals that were in the region and clear of contact.
    """
    parts = (_run_table(config, kept), _observation_table(config, slices), _reward_table(config))
    console.print(*parts, sep="")


def _run_table(config: Config, kept: float | None) -> Group:
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for subject, sentence in in_words(config).items():
        grid.add_row(subject, sentence)
        if subject == "task" and kept is not None:
            pool = f"pool of {config.task.region.pool:,}, {kept:.1%} of the samples kept"
            grid.add_row("goals", pool)
    return _section("Run", grid)


def in_words(config: Config) -> dict[str, str]:
    """The derived numbers and the main choices, as subject -> sentence."""
    d, ppo, task, asked = derive(config), config.ppo, config.task, config.total_timesteps
    rounded = f" ({asked:,}, rounded up to whole rollouts)" if d.total_steps != asked else ""
    episode = f"{task.episode_steps:,} steps ({task.episode_steps * task.control_period:g} s)"
    least = "at least" if task.goal_change is GoalChange.HOLD else "about"
    environments = f"{config.vec_env.n_envs:,} environments ({config.vec_env.kind.value})"
    minibatches = f"{d.minibatches:,} minibatches of {ppo.batch_size:,}"
    judged = config.evaluation
    often = f"{judged.periodic_goals:,} goals every {judged.every:,} steps, "
    final = f"{judged.goals:,} held-out goals at the end"
    return {
        "robot": f"{config.robot.name}, {len(config.robot.joints)} joints",
        "task": (
            f"{task.region.name}: within {task.position_threshold * 1000:g} mm and "
            f"{math.degrees(task.orientation_threshold):.1f} deg for {task.hold_time:g} s, "
            f"{1 / task.control_period:g} Hz control"
        ),
        "steps": f"{d.total_steps:,} in {d.rollouts:,} rollouts{rounded}",
        "rollout": f"{d.rollout:,} steps = {ppo.n_steps:,} x {environments}",
        "update": f"{d.gradient_steps:,} gradient steps = {ppo.n_epochs:,} passes x {minibatches}",
        "learning rate": _schedule(config),
        "episodes": f"about {d.episodes:,.0f} of {episode}, {least} {d.goals:,.0f} goals",
        **curriculum.in_words(config),
        "evaluation": f"{often if judged.every else ''}{final}",
        "seed": f"{config.seed}; held-out goals from seed {judged.seed}",
    }


def _schedule(config: Config) -> str:
    start, schedule = config.ppo.learning_rate, config.ppo.learning_rate_schedule
    match schedule.kind:
        case ScheduleKind.CONSTANT:
            return f"{start:g}, constant"
        case ScheduleKind.KL_ADAPTIVE:
            return f"{start:g}, then such that the KL divergence is {schedule.target_kl:g}"
        case _:
            return f"{start:g} to {start * schedule.end:g}, {schedule.kind.value}"


def _observation_table(config: Config, slices: Slices) -> Group:
    total = max((place.stop for place in slices.values()), default=0)
    observation, rows = config.observation, []
    for name, place in slices.items():
        term, size, last = observation.terms[name], place.stop - place.start, place.stop - 1
        index = f"{place.start}-{last}" if size > 1 else f"{last}"
        noise = f"+-{term.noise:g}" if term and term.noise else "-"
        rows.append((name, index, f"{size}", _numbers(term.scales if term else None), noise))
    how = f", normalised, clipped to +-{observation.clip:g}" if observation.normalize else ""
    names = ("term", ">index", ">size", "tanh widths", ">noise")
    return _section(f"Observation: {total} numbers{how}", plain_table(names, rows))


def _reward_table(config: Config) -> Group:
    reward, rows = config.reward, []
    for name, term in reward.terms.items():
        ramp = config.curriculum.ramps.get(name)
        if term is not None and (term.weight != 0 or ramp):
            grows = f"{ramp.start:g} to {ramp.end:g}" if ramp else "-"
            rows.append((name, f"{term.weight:g}", _numbers(term.scales), grows))
    how = f", divided by the return's deviation, clipped to +-{reward.clip:g}"
    grid = plain_table(("term", ">weight", "widths", "ramp"), rows)
    return _section(f"Reward per step{how if reward.normalize else ''}", grid)


def evaluation_table(evaluations: Mapping[str, Figures], title: str = "Evaluation") -> Group:
    """Evaluations side by side.

    Args:
        evaluations: label, such as the region -> evaluation dictionary, as in summary.json.
        title: in front of the meaning of success, where all evaluations share it.
    """
    cells = {name: [cell(e) for e in evaluations.values()] for name, cell in _EVALUATION.items()}
    rows = ((name, *texts) for name, texts in cells.items() if any(text != "-" for text in texts))
    grid = plain_table(("", *(f">{label}" for label in evaluations)), rows)
    limits = [evaluation.get("thresholds") for evaluation in evaluations.values()]
    if limits and limits[0] and all(other == limits[0] for other in limits):
        position, angle = limits[0]["position_m"], limits[0]["orientation_rad"]
        title += f": within {position * 1000:g} mm and {math.degrees(angle):.1f} deg"
        title += f" for {limits[0]['hold_s']:g} s"
    return _section(title, grid, Text("* median / 95th percentile", style="dim"))


def _of(key: str, form: str = "{:.1%}", hidden: float | None = None) -> Cell:
    """A figure; `hidden` is the value that goes without saying."""
    return lambda e: "-" if e.get(key) in (None, hidden) else form.format(e[key])


def _pair(key: str, unit: str = "") -> Cell:
    def cell(evaluation: Figures) -> str:
        figures = evaluation.get(key) or {}
        if figures.get("median") is None:
            return "-"
        return f"{_plain(figures['median'])} / {_plain(figures['p95'])} {unit}".rstrip()

    return cell


def _plain(value: float) -> str:
    """Three digits and more; rounding errors of a controller that is exact are nought."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-6 else "0"


_EVALUATION: Mapping[str, Cell] = {
    name: _pair(**row) if "unit" in row else _of(**row)
    for name, row in sheet("tables.yaml").items()
}
"""Row of a table of evaluations -> what it shows."""


def by_region(summary: Figures, others: Mapping[str, Figures]) -> Group:
    """Success and precision by part of the workspace, and the success of others there."""
    success = _of("success_rate")
    cells = (
        _of("goals", "{:,}"),
        success,
        _pair("position_error_mm", "mm"),
        _pair("orientation_error_deg", "deg"),
    )
    rows = []
    for name, part in summary["regions"].items():
        there = (success(other["regions"][name]) for other in others.values())
        rows.append((name, *(cell(part) for cell in cells), *there))
    names = ("part", ">goals", ">success", ">position*", ">orientation*")
    names += tuple(f">{other}" for other in others)
    return _section("Goals by part", plain_table(names, rows))


def worst_goals(summary: Figures, most: int = 5) -> Group:
    """The goals that went worst: where, how turned, the errors and what happened."""
    from reach_rl.mdp.arrays import rotation_error

    def row(goal: Figures) -> Sequence[str]:
        turn = rotation_error(np.eye(1, 4), np.array([goal["goal_quaternion_wxyz"]]))[0]
        errors = f"{goal['position_error_mm']:.3g} mm, {goal['orientation_error_deg']:.2g} deg"
        pose = (" ".join(f"{v:5.2f}" for v in part) for part in (goal["goal_position_m"], turn))
        return (f"{goal['index']}", *pose, errors, goal["outcome"])

    names = (">goal", ">x, y, z (m)", ">rotation vector", ">final error", "what happened")
    grid = plain_table(names, map(row, summary["worst"][:most]))
    for column in grid.columns[:-1]:
        column.no_wrap = True
    return _section("Worst goals", grid)


def robustness_table(found: Mapping[str, Any]) -> Group:
    """Success below every value of every factor; nominal in brackets."""

    def point(figures: Figures, nominal: float) -> str:
        value = f"{figures['value']:.3g}"
        value = f"[{value}]" if figures["value"] == nominal else value
        return f"{value}: {figures['success_rate']:.0%}"

    rows = (
        (f"{f['title']} ({f['unit']})", ", ".join(point(p, f["nominal"]) for p in f["points"]))
        for f in found.values()
    )
    title = "Robustness, one change at a time; the nominal value in brackets"
    return _section(title, plain_table(("factor", "value: success with it"), rows))


def _numbers(values: list[float] | None) -> str:
    return "-" if not values else ", ".join(f"{value:g}" for value in values)
