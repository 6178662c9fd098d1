"""Runs that belong together: those that differ in their seed alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reach_rl.cli.diff import flat
from reach_rl.config.problems import show
from reach_rl.viz.report.read import Curve, RunData

_OWN = (
    "seed", "run_dir", "resume", "progress", "picture", "profile", "torch_threads",
    "vec_env.threads", "evaluation.also", "evaluation.every", "evaluation.periodic_goals",
)  # fmt: skip
_OWN_GROUPS = ("wandb.", "checkpoint.", "health.", "video.", "guard.")
"""Keys that change nothing about what is learned, or that are a seed."""

_MOST_NAMED, _LONG = 2, 24


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one configuration, a seed each."""

    name: str
    """What sets it apart from the other groups; empty if there is no other."""
    runs: Sequence[RunData]

    def curves(self, metric: str) -> list[Curve]:
        """The curve of each run that recorded the metric."""
        return [run.curves[metric] for run in self.runs if metric in run.curves]

    @property
    def count(self) -> str:
        """How many runs, in words."""
        return "1 run" if len(self.runs) == 1 else f"{len(self.runs)} seeds"


def grouped(runs: Sequence[RunData]) -> list[Group]:
    """The runs by configuration, in order of appearance; each group is named by what differs."""
    flats = [_values(run) for run in runs]
    members: dict[tuple[tuple[str, str], ...], list[RunData]] = {}
    for run, values in zip(runs, flats, strict=True):
        members.setdefault(tuple(sorted(values.items())), []).append(run)
    keys = _differing([dict(identity) for identity in members])
    return [Group(_name(dict(identity), keys), found) for identity, found in members.items()]


def _values(run: RunData) -> dict[str, str]:
    tree: Mapping[str, Any] = {str(key): value for key, value in run.config.items()}
    return {
        key: show(value)
        for key, value in flat(tree).items()
        if key not in _OWN and not key.startswith(_OWN_GROUPS)
    }


def _differing(groups: Sequence[Mapping[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for values in groups for key in values)
    found = [key for key in keys if len({values.get(key) for values in groups}) > 1]
    # the numbers of an arm follow from its name
    told = [key for key in found if "robot.name" not in found or not _of_an_arm(key)]
    return sorted(told, key=lambda key: _clumsiness(key, groups))


def _clumsiness(key: str, groups: Sequence[Mapping[str, str]]) -> int:
    """The arm tells most, then short values, then long ones and keys that some do not have."""
    values = [values.get(key) for values in groups]
    longest = max(len(value or "") for value in values)
    return (key != "robot.name") + (longest > _LONG or None in values)


def _of_an_arm(key: str) -> bool:
    return key.startswith("robot.") and key != "robot.name"


def _name(values: Mapping[str, str], keys: Sequence[str]) -> str:
    parts = [_part(key, values.get(key, "-")) for key in keys[:_MOST_NAMED]]
    more = len(keys) - _MOST_NAMED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _part(key: str, value: str) -> str:
    if len(value) > _LONG:
        value = f"{value[: _LONG - 3]}..."
    return value if key == "robot.name" else f"{key.rpartition('.')[2]} {value}"
