"""The pages of one run, and of several."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.problems import show
from reach_rl.config.untrusted import redact
from reach_rl.viz.report import goal_figures, headline, shares  # noqa: F401  their figures register
from reach_rl.viz.report.curves import alerts_of
from reach_rl.viz.report.plotting import figures
from reach_rl.viz.report.rendering import render
from reach_rl.viz.report.subject import Groups, RunData, at, grouped, members, number

_SECTIONS = ("learning", "goals", "health", "rewards", "curriculum", "time", "others")
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


def run_page(run: RunData, video_mb: float) -> str:
    """The page of one run.

    Args:
        run: what its folder holds.
        video_mb: most megabytes of video in the page.
    """
    title = f"{run.robot}, {run.region}"
    return _page(grouped([run]), video_mb, run.state, kicker="Training run", title=title)


def runs_page(runs: Sequence[RunData], name: str, video_mb: float) -> str:
    """The page of several runs: seeds of one configuration, or several configurations.

    Args:
        runs: what their folders hold, at least one.
        name: of the set, such as its folder.
        video_mb: most megabytes of video in the page.
    """
    groups = grouped(runs)
    states = [run.state for run in runs]
    many = f"{len(runs)} runs of {len(groups)} configurations"
    robots, regions = _together(run.robot for run in runs), _together(run.region for run in runs)
    rates = [number(run.verdict, "success_rate") for run in runs]
    return _page(
        groups,
        video_mb,
        states[0] if len(set(states)) == 1 else "",
        kicker=f"{len(runs)} seeds" if len(groups) == 1 else many,
        title=f"{robots}, {regions}",
        folder=name,
        states=", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        overrides=_common(runs),
        rates=[rate for rate in rates if rate is not None],
    )


def _page(groups: Groups, video_mb: float, state: str, **head: Any) -> str:  # noqa: ANN401
    runs = members(groups)
    videos, too_large = _videos(runs, video_mb)
    return render(
        "runs.html",
        **head,
        state="" if state == "unknown" else state,
        runs=runs,
        groups=groups,
        figures={name: figures(name, groups) for name in _SECTIONS},
        alerts=alerts_of(groups),
        group_rows=headline.group_rows(groups),
        part_rows=list(headline.part_rows(groups)),
        worst=headline.worst_goals(groups),
        wilson=headline.wilson,
        spreads=headline.SPREADS,
        contacts=headline.CONTACTS,
        over_goals=headline.of_goals,
        so_far=headline.so_far(runs[0]),
        group_cards=headline.group_cards(groups),
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
