"""The headline figures of runs with their intervals, and the rows of the tables of figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reach_rl.evaluation.statistics import Estimate, over_goals, over_seeds
from reach_rl.viz.report.rendering import interval
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
    Quantity("Self-contact", ("self_collision_rate",), "%"): "itself",
    Quantity("Table contact", ("table_collision_rate",), "%"): "the table",
}
"""What the arm touched in a share of the episodes."""

SPREADS = (POSITION, ANGLE, TIME, REST)


def wilson(verdict: Mapping[str, Any]) -> str:
    """The interval of a success rate in words; nothing where it is not known."""
    found = at(verdict, "success_ci95")
    return interval(found[0], found[1], "%") if isinstance(found, list) and len(found) == 2 else ""


def of_goals(run: RunData, quantity: Quantity) -> Estimate | None:
    """The median over the goals of a run with its interval, where they are known one by one."""
    if run.evaluation is None:
        return None
    return over_goals(quantity.factor * getattr(run.evaluation, quantity.of_goals), 50.0)


def so_far(run: RunData) -> Iterator[tuple[Quantity, float, str]]:
    """What the newest records say, of a run without a verdict: figure, value and source."""
    for quantity in (SUCCESS, POSITION, ANGLE):
        judged, exploring = f"eval/{'_'.join(quantity.path)}", f"rollout/{quantity.path[0]}"
        for name, source in ((judged, "periodic evaluation"), (exploring, "training, exploring")):
            curve = run.curves.get(name)
            if curve is not None and curve.last is not None:
                yield quantity, curve.last, source
                break


def group_cards(groups: Groups) -> list[tuple[Quantity, Estimate, list[float]]]:
    """Interquartile means over all runs with stratified bootstrap intervals, and all values."""
    found = []
    for quantity in (SUCCESS, *SPREADS, *CONTACTS):
        values = [number(run.verdict, *quantity.path) for run in members(groups)]
        estimate = _over_groups(groups, quantity)
        if estimate is not None:
            found.append((quantity, estimate, [value for value in values if value is not None]))
    return found


def _over_groups(groups: Groups, quantity: Quantity) -> Estimate | None:
    return over_seeds([[number(run.verdict, *quantity.path) for run in g.runs] for g in groups])


def group_rows(groups: Groups) -> Iterator[tuple[Any, ...]]:
    """Of each configuration success, its interval, and the median errors, over seeds."""
    for group in groups:
        success, *errors = (_over_groups([group], q) for q in (SUCCESS, POSITION, ANGLE))
        around = interval(success.low, success.high, "%") if success else ""
        yield group, _value(success), around or "-", *map(_value, errors)


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
