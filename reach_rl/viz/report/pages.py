"""The pages of one run, and of several: what is on them, in figures, tables and words."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from reach_rl.config.problems import show
from reach_rl.config.untrusted import redact
from reach_rl.evaluation.statistics import Estimate, over_goals, over_seeds
from reach_rl.viz.report import goal_figures, shares  # noqa: F401  their figures register
from reach_rl.viz.report.curves import alerts_of
from reach_rl.viz.report.plotting import SHEET, figures
from reach_rl.viz.report.rendering import interval, render
from reach_rl.viz.report.subject import Groups, RunData, at, grouped, members, number

_SECTIONS = ("learning", "goals", "health", "rewards", "curriculum", "time", "others")
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


def runs_page(runs: Sequence[RunData], name: str, video_mb: float) -> str:
    """The page of a run, of seeds of one configuration, or of several configurations.

    Args:
        runs: what their folders hold, at least one.
        name: of the set, such as its folder.
        video_mb: most megabytes of video in the page.
    """
    groups, states = grouped(runs), [run.state for run in runs]
    kicker = f"{len(runs)} runs of {len(groups)} configurations"
    if len(groups) == 1:
        kicker = f"{len(runs)} seeds" if len(runs) > 1 else "Training run"
    robots, regions = _together(run.robot for run in runs), _together(run.region for run in runs)
    rates = [number(run.verdict, "success_rate") for run in runs]
    videos, too_large = _videos(runs, video_mb)
    return render(
        "runs.html",
        kicker=kicker,
        title=f"{robots}, {regions}",
        state="" if len(set(states)) > 1 or states[0] == "unknown" else states[0],
        folder=name,
        states=", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        overrides=_common(runs),
        rates=[rate for rate in rates if rate is not None],
        runs=members(groups),
        groups=groups,
        figures={name: figures(name, groups) for name in _SECTIONS},
        alerts=alerts_of(groups),
        group_rows=_group_rows(groups),
        part_rows=list(_part_rows(groups)),
        worst=_worst_goals(groups),
        wilson=_wilson,
        spreads=SPREADS,
        contacts=CONTACTS,
        over_goals=_of_goals,
        so_far=_so_far(runs[0]),
        group_cards=_group_cards(groups),
        origin=_origin,
        videos=videos,
        too_large=too_large,
        video_mb=video_mb,
    )


def _together(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def _videos(runs: Sequence[RunData], most_mb: float) -> tuple[list[tuple[str, ...]], list[str]]:
    """The newest videos as long as there is room, and the names of the others."""
    left, shown, named = most_mb * 1e6, [], []
    every = [(run, path) for run in runs for path in run.videos]
    for run, path in reversed(every):
        name = str(path.relative_to(run.folder))
        with suppress(OSError):
            if path.stat().st_size > left:
                named.append(name)
            else:
                content = path.read_bytes()
                left -= len(content)
                shown.append((name, _TYPES[path.suffix], base64.b64encode(content).decode()))
    return shown, named


def _origin(run: RunData) -> dict[str, str]:
    """Configuration and provenance as texts, without the user's home folder."""
    git = at(run.provenance, "git")
    git = dict(git) if isinstance(git, Mapping) else {}
    diff = str(redact(str(git.pop("diff", None) or "")))
    rest = {**run.provenance, "git": git} if run.provenance else {}
    found = {
        "configuration": _yaml(run.config),
        "provenance": _yaml(json.loads(json.dumps(rest))),
        "changes beside its commit": diff,
    }
    home = str(Path.home())
    return {
        title: text.replace(home, "~") if home != "/" else text for title, text in found.items()
    }


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True) if tree else ""


def _common(runs: Sequence[RunData]) -> str:
    """The overrides that all runs share."""
    lists = [at(run.provenance, "overrides") for run in runs]
    if not all(isinstance(found, list) for found in lists):
        return ""
    return " ".join(show(one) for one in lists[0] if all(one in other for other in lists))


class Quantity(NamedTuple):
    """A figure of an evaluation: where it is in the summary, and how it is shown."""

    label: str
    path: Sequence[str]
    unit: str
    array: str = ""
    """Of the evaluation, whose median it is."""
    factor: float = 1.0


SUCCESS, *SPREADS = (Quantity(*row) for row in SHEET["headline"].values())
MAIN = (SUCCESS, *SPREADS[:2])
CONTACTS = {what: Quantity(*row) for what, row in SHEET["contacts"].items()}
"""What the arm touched in a share of the episodes."""


def _wilson(verdict: Mapping[str, Any]) -> str:
    """The interval of a success rate in words; nothing where it is not known."""
    found = at(verdict, "success_ci95")
    return interval(found[0], found[1], "%") if isinstance(found, list) and len(found) == 2 else ""


def _of_goals(run: RunData, quantity: Quantity) -> Estimate | None:
    """The median over the goals of a run with its interval, where they are known one by one."""
    if run.evaluation is None:
        return None
    return over_goals(quantity.factor * getattr(run.evaluation, quantity.array), 50.0)


def _so_far(run: RunData) -> Iterator[tuple[Quantity, float, str]]:
    """What the newest records say, of a run without a verdict: figure, value and source."""
    for quantity in MAIN:
        judged, exploring = f"eval/{'_'.join(quantity.path)}", f"rollout/{quantity.path[0]}"
        for name, source in ((judged, "periodic evaluation"), (exploring, "training, exploring")):
            curve = run.curves.get(name)
            if curve is not None and curve.last is not None:
                yield quantity, curve.last, source
                break


def _group_cards(groups: Groups) -> list[tuple[Quantity, Estimate, list[float]]]:
    """Interquartile means over all runs with stratified bootstrap intervals, and all values."""
    found = []
    for quantity in (SUCCESS, *SPREADS, *CONTACTS.values()):
        values = [number(run.verdict, *quantity.path) for run in members(groups)]
        estimate = _over_groups(groups, quantity)
        if estimate is not None:
            found.append((quantity, estimate, [value for value in values if value is not None]))
    return found


def _over_groups(groups: Groups, quantity: Quantity) -> Estimate | None:
    return over_seeds([[number(run.verdict, *quantity.path) for run in g.runs] for g in groups])


def _group_rows(groups: Groups) -> Iterator[tuple[Any, ...]]:
    """Of each configuration success, its interval, and the median errors, over seeds."""
    for group in groups:
        success, *errors = (_over_groups([group], q) for q in MAIN)
        around = interval(success.low, success.high, "%") if success else ""
        yield group, _value(success), around or "-", *map(_value, errors)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _part_rows(groups: Groups) -> Iterator[tuple[Any, ...]]:
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
                _value(over_seeds([[number(part, *q.path) for part in seeds]])) for q in MAIN
            )
            yield group, name, goals, *figures


def _items(tree: object) -> list[tuple[str, Mapping[str, Any]]]:
    found = tree.items() if isinstance(tree, Mapping) else ()
    return [(str(name), part) for name, part in found if isinstance(part, Mapping)]


def _worst_goals(groups: Groups, most: int = 10) -> list[tuple[RunData, Mapping[str, Any]]]:
    """The goals that went worst; of many runs none."""
    runs = members(groups)
    rows = []
    for run in runs if len(runs) <= 10 else ():
        found = run.evaluation.worst(most) if run.evaluation else at(run.verdict, "worst")
        goals = found[: max(2, most // len(runs))] if isinstance(found, Sequence) else ()
        rows += [(run, goal) for goal in goals if isinstance(goal, Mapping)]
    return rows
