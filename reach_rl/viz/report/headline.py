"""The headline figures with their intervals, and the tables of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reach_rl.evaluation.result import Evaluation
from reach_rl.viz.report.groups import Group
from reach_rl.viz.report.html import Card, Cell
from reach_rl.viz.report.intervals import Estimate, over_goals, over_seeds
from reach_rl.viz.report.read import RunData, at, number


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure of an evaluation: where it is in the summary, and how it is shown."""

    label: str
    path: tuple[str, ...]
    unit: str
    of_goals: str = ""
    """Array of the evaluation that it summarises."""
    factor: float = 1.0


SUCCESS = Quantity("Success", ("success_rate",), "%")
POSITION = Quantity(
    "Position error", ("position_error_mm", "median"), "mm", "position_error", 1000.0
)
ANGLE = Quantity(
    "Orientation error",
    ("orientation_error_deg", "median"),
    "deg",
    "orientation_error",
    float(np.degrees(1.0)),
)
TIME = Quantity("Time to success", ("time_to_success_s", "median"), "s", "time_to_success")
REST = Quantity(
    "Speed at the end", ("final_joint_speed_rad_s", "median"), "rad/s", "final_joint_speed"
)
SELF = Quantity("Self-contact", ("self_collision_rate",), "%")
TABLE = Quantity("Table contact", ("table_collision_rate",), "%")
SPREADS = (POSITION, ANGLE, TIME, REST)


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit; shares in per cent."""
    if value is None:
        return "-"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{plain(value)} {unit}".strip()


def plain(value: float) -> str:
    """Three significant digits, without an exponent where it can be avoided."""
    if value and abs(value) < 5e-5:
        return f"{value:.1e}"
    text = f"{value:.3g}"
    return (
        f"{value:,.0f}"
        if "e+" in text
        else f"{value:.5f}".rstrip("0").rstrip(".")
        if ("e-" in text)
        else text
    )


def interval(estimate: Estimate, unit: str) -> str:
    """The ends of an interval in words."""
    if estimate.low is None or estimate.high is None:
        return ""
    if unit == "%":
        return f"95 % interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"
    return f"95 % interval {plain(estimate.low)} to {plain(estimate.high)} {unit}"


def of_run(run: RunData) -> list[Card]:
    """The figures of one run: its verdict, or how training stands."""
    if not run.verdict:
        return _so_far(run)
    v = run.verdict
    cards = [_success(v)]
    cards += [_spread(v, quantity, run.evaluation) for quantity in SPREADS]
    for quantity, whom in ((SELF, "itself"), (TABLE, "the table")):
        detail = f"episodes in which the arm touched {whom}"
        cards.append(Card(quantity.label, shown(number(v, *quantity.path), "%"), detail))
    return [*cards, *_training(run)]


def _success(verdict: Mapping[str, Any]) -> Card:
    rate, ends = number(verdict, "success_rate"), at(verdict, "success_ci95")
    goals = number(verdict, "goals")
    parts = []
    if isinstance(ends, Sequence) and len(ends) == 2 and all(isinstance(x, float) for x in ends):
        parts.append(interval(Estimate(rate or 0.0, *ends), "%") + " (Wilson)")
    if rate is not None and goals:
        parts.append(f"{round(rate * goals):,} of {int(goals):,} goals")
    return Card("Success", shown(rate, "%"), "; ".join(parts))


def _spread(verdict: Mapping[str, Any], quantity: Quantity, evaluation: Evaluation | None) -> Card:
    value = number(verdict, *quantity.path)
    p95 = number(verdict, quantity.path[0], "p95")
    parts = ["median"]
    if evaluation is not None:
        goals = quantity.factor * getattr(evaluation, quantity.of_goals)
        estimate = over_goals(goals, 50.0)
        if estimate is not None and value is not None:
            parts.append(interval(estimate, quantity.unit))
    if p95 is not None:
        parts.append(f"95th percentile {shown(p95, quantity.unit)}")
    return Card(quantity.label, shown(value, quantity.unit), "; ".join(filter(None, parts)))


def _training(run: RunData) -> list[Card]:
    steps, seconds = run.steps, number(run.summary, "wall_time_s")
    if steps is None:
        return []
    speed = number(run.summary, "steps_per_second")
    parts = [] if seconds is None else [duration(seconds)]
    parts += [] if speed is None else [f"{speed:,.0f} steps/s"]
    return [Card("Training", f"{si(steps)} steps", ", ".join(parts))]


def _so_far(run: RunData) -> list[Card]:
    """What the newest records say, of a run without a verdict."""
    cards = []
    for title, names, unit in (
        ("Success", ("eval/success_rate", "rollout/success_rate"), "%"),
        ("Position error", ("eval/position_error_mm_median", "rollout/position_error_mm"), "mm"),
        (
            "Orientation error",
            ("eval/orientation_error_deg_median", "rollout/orientation_error_deg"),
            "deg",
        ),
    ):
        name = next((n for n in names if n in run.curves and run.curves[n].last is not None), None)
        if name is not None:
            source = "periodic evaluation" if name.startswith("eval/") else "training, exploring"
            cards.append(Card(title, shown(run.curves[name].last, unit), f"newest, {source}"))
    return [*cards, *_training(run)]


def of_groups(groups: Sequence[Group]) -> list[Card]:
    """Interquartile means over all runs with stratified bootstrap intervals."""
    runs = sum(len(group.runs) for group in groups)
    kinds = "seeds" if len(groups) == 1 else f"runs of {len(groups)} configurations"
    cards = []
    for quantity in (SUCCESS, *SPREADS, SELF, TABLE):
        strata = [[number(run.verdict, *quantity.path) for run in g.runs] for g in groups]
        estimate = over_seeds(strata)
        if estimate is None:
            continue
        known = [value for stratum in strata for value in stratum if value is not None]
        worst = min(known) if quantity is SUCCESS else max(known)
        detail = interval(estimate, quantity.unit)
        parts = [detail, f"worst {shown(worst, quantity.unit)}"]
        if quantity is SUCCESS:
            parts.insert(0, f"interquartile mean of {len(known)} {kinds}")
        cards.append(
            Card(
                quantity.label,
                shown(estimate.value, quantity.unit),
                "; ".join(filter(None, parts)),
            )
        )
    steps = [run.steps for group in groups for run in group.runs if run.steps is not None]
    if cards and steps:
        cards.append(Card("Training", f"{si(sum(steps))} steps", f"in {runs} runs"))
    return cards or [Card("Runs", str(runs), "none has been judged yet")]


GROUP_HEAD = (
    "configuration",
    "runs",
    "success",
    "95 % interval",
    "position error",
    "orientation error",
)


def group_rows(groups: Sequence[Group]) -> list[list[object]]:
    """A row for each configuration, as GROUP_HEAD has it."""
    rows: list[list[object]] = []
    for group in groups:
        estimates = {
            quantity: over_seeds([[number(run.verdict, *quantity.path) for run in group.runs]])
            for quantity in (SUCCESS, POSITION, ANGLE)
        }
        success = estimates[SUCCESS]
        ends = "-" if success is None else interval(success, "%").removeprefix("95 % interval ")
        rows.append(
            [
                group.name or "all runs",
                Cell(str(len(group.runs)), len(group.runs)),
                cell(None if success is None else success.value, "%"),
                ends or "-",
                *(
                    cell(None if (e := estimates[quantity]) is None else e.value, quantity.unit)
                    for quantity in (POSITION, ANGLE)
                ),
            ]
        )
    return rows


RUN_HEAD = (
    "run", "seed", "state", "success", "95 % interval", "position error", "orientation error",
    "steps", "warnings",
)  # fmt: skip


def run_rows(groups: Sequence[Group]) -> list[list[object]]:
    """A row for each run, as RUN_HEAD has it."""
    rows: list[list[object]] = []
    for group in groups:
        for run in group.runs:
            ends = at(run.verdict, "success_ci95")
            known = isinstance(ends, Sequence) and len(ends) == 2
            title = f"{run.folder.name} ({group.name})" if group.name else run.folder.name
            rows.append(
                [
                    title,
                    Cell("-" if run.seed is None else str(run.seed), run.seed),
                    run.state,
                    cell(number(run.verdict, "success_rate"), "%"),
                    f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %" if known else "-",
                    cell(number(run.verdict, *POSITION.path), "mm"),
                    cell(number(run.verdict, *ANGLE.path), "deg"),
                    Cell("-" if run.steps is None else f"{run.steps:,}", run.steps),
                    Cell(str(len(run.alerts)), len(run.alerts)),
                ]
            )
    return rows


def cell(value: float | None, unit: str) -> Cell:
    """A figure in a table."""
    return Cell(shown(value, unit), value)


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    for unit, size, small, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // part)} {small}"
    return f"{seconds:.1f} s"


def si(count: float) -> str:
    """A count with three digits and k, M or G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count:g}"
