"""The headline figures of runs with their intervals, and the rows of the tables of figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reach_rl.evaluation.result import Evaluation
from reach_rl.evaluation.statistics import Estimate, over_goals, over_seeds
from reach_rl.viz.report.rendering import Card, details, duration, interval, shown, si
from reach_rl.viz.report.subject import Groups, RunData, at, members, number


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
    "Orientation error", ("orientation_error_deg", "median"), "deg", "orientation_error", 57.29578
)
TIME = Quantity("Time to success", ("time_to_success_s", "median"), "s", "time_to_success")
REST = Quantity(
    "Speed at the end", ("final_joint_speed_rad_s", "median"), "rad/s", "final_joint_speed"
)
CONTACTS = {
    "itself": Quantity("Self-contact", ("self_collision_rate",), "%"),
    "the table": Quantity("Table contact", ("table_collision_rate",), "%"),
}
SPREADS = (POSITION, ANGLE, TIME, REST)


def cards_of_run(run: RunData) -> list[Card]:
    """The figures of one run: its verdict, or how training stands."""
    verdict = run.verdict
    if not verdict:
        return [*_so_far(run), *_training(run)]
    touched = [
        Card(
            q.label, shown(number(verdict, *q.path), "%"), f"episodes in which the arm touched {it}"
        )
        for it, q in CONTACTS.items()
    ]
    spreads = [_spread(verdict, quantity, run.evaluation) for quantity in SPREADS]
    return [_success(verdict), *spreads, *touched, *_training(run)]


def wilson(verdict: Mapping[str, Any]) -> str:
    """The interval of a success rate in words; nothing where it is not known."""
    found = at(verdict, "success_ci95")
    return interval(found[0], found[1], "%") if isinstance(found, list) and len(found) == 2 else ""


def _success(verdict: Mapping[str, Any]) -> Card:
    rate, goals, around = number(verdict, "success_rate"), number(verdict, "goals"), wilson(verdict)
    reached = ""
    if rate is not None and goals:
        reached = f"{round(rate * goals):,} of {int(goals):,} goals"
    around = around and f"95 % interval {around} (Wilson)"
    return Card("Success", shown(rate, "%"), details(around, reached))


def _spread(verdict: Mapping[str, Any], quantity: Quantity, evaluation: Evaluation | None) -> Card:
    value, p95 = (number(verdict, quantity.path[0], name) for name in ("median", "p95"))
    around = ""
    if evaluation is not None and value is not None:
        goals = quantity.factor * getattr(evaluation, quantity.of_goals)
        around = _interval(over_goals(goals, 50.0), quantity.unit)
    tail = "" if p95 is None else f"95th percentile {shown(p95, quantity.unit)}"
    return Card(quantity.label, shown(value, quantity.unit), details("median", around, tail))


def _interval(estimate: Estimate | None, unit: str) -> str:
    text = "" if estimate is None else interval(estimate.low, estimate.high, unit)
    return text and f"95 % interval {text}"


def _training(run: RunData) -> list[Card]:
    seconds, speed = number(run.summary, "wall_time_s"), number(run.summary, "steps_per_second")
    parts = [] if seconds is None else [duration(seconds)]
    parts += [] if speed is None else [f"{speed:,.0f} steps/s"]
    steps = run.steps
    return [] if steps is None else [Card("Training", f"{si(steps)} steps", ", ".join(parts))]


def _so_far(run: RunData) -> Iterator[Card]:
    """What the newest records say, of a run without a verdict."""
    for quantity in (SUCCESS, POSITION, ANGLE):
        judged, exploring = f"eval/{'_'.join(quantity.path)}", f"rollout/{quantity.path[0]}"
        for name, source in ((judged, "periodic evaluation"), (exploring, "training, exploring")):
            curve = run.curves.get(name)
            if curve is not None and curve.last is not None:
                yield Card(quantity.label, shown(curve.last, quantity.unit), f"newest, {source}")
                break


def cards_of_groups(groups: Groups) -> list[Card]:
    """Interquartile means over all runs with stratified bootstrap intervals."""
    runs = members(groups)
    kinds = "seeds" if len(groups) == 1 else f"runs of {len(groups)} configurations"
    cards = []
    for quantity in (SUCCESS, *SPREADS, *CONTACTS.values()):
        estimate = _over_groups(groups, quantity)
        if estimate is not None:
            values = [number(run.verdict, *quantity.path) for run in runs]
            known = [value for value in values if value is not None]
            first, unit = quantity is SUCCESS, quantity.unit
            mean = f"interquartile mean of {len(known)} {kinds}" if first else ""
            worst = f"worst {shown(min(known) if first else max(known), unit)}"
            detail = details(mean, _interval(estimate, unit), worst)
            cards.append(Card(quantity.label, shown(estimate.value, unit), detail))
    steps = [run.steps for run in runs if run.steps is not None]
    if cards and steps:
        cards.append(Card("Training", f"{si(sum(steps))} steps", f"in {len(runs)} runs"))
    return cards or [Card("Runs", str(len(runs)), "none has been judged yet")]


def _over_groups(groups: Groups, quantity: Quantity) -> Estimate | None:
    return over_seeds([[number(run.verdict, *quantity.path) for run in g.runs] for g in groups])


def group_rows(groups: Groups) -> Iterator[tuple[Any, ...]]:
    """Of each configuration success, its interval, and the median errors, over seeds."""
    for group in groups:
        success, *errors = (_over_groups([group], q) for q in (SUCCESS, POSITION, ANGLE))
        around = _interval(success, "%").removeprefix("95 % interval ") or "-"
        yield group, _value(success), around, *map(_value, errors)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def part_rows(groups: Groups) -> Iterator[tuple[Any, ...]]:
    """Goals, success and median errors by part of the workspace, and in other regions."""
    for group in groups:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for run in group.runs:
            for name, part in _items(at(run.verdict, "regions")):
                found.setdefault(f"{run.region}, {name}", []).append(part)
            for name, part in _items(at(run.summary, "also")):
                found.setdefault(name, []).append(part)
        for name, seeds in found.items():
            goals = max((number(part, "goals") or 0.0 for part in seeds), default=None)
            figures = (
                _value(over_seeds([[number(part, *q.path) for part in seeds]]))
                for q in (SUCCESS, POSITION, ANGLE)
            )
            yield group, name, goals, *figures


def _items(tree: object) -> list[tuple[str, Mapping[str, Any]]]:
    found = tree.items() if isinstance(tree, Mapping) else ()
    return [(str(name), part) for name, part in found if isinstance(part, Mapping)]


def worst_goals(groups: Groups, most: int = 10) -> list[tuple[RunData, Mapping[str, Any]]]:
    """The goals that went worst; of many runs none."""
    runs = members(groups)
    rows = []
    for run in runs if len(runs) <= 10 else ():
        found = run.evaluation.worst(most) if run.evaluation else at(run.verdict, "worst")
        goals = found[: max(2, most // len(runs))] if isinstance(found, Sequence) else ()
        rows += [(run, goal) for goal in goals if isinstance(goal, Mapping)]
    return rows
