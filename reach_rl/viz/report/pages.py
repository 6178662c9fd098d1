"""The pages of one run, and of several."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.problems import show
from reach_rl.config.redact import redact
from reach_rl.viz.report import goal_figures, headline, shares  # noqa: F401  their figures register
from reach_rl.viz.report.curves import alerts_of
from reach_rl.viz.report.plotting import figures
from reach_rl.viz.report.rendering import plain, render, shown
from reach_rl.viz.report.subject import Groups, RunData, at, grouped, number

_SECTIONS = ("learning", "goals", "health", "rewards", "curriculum", "time", "others")
_UNFINISHED = {
    "running": "This run still goes on; the page shows what there was when it was made.",
    "failed": "This run failed",
    "stopped": "This run was stopped before its end",
    "diverged": "This run was stopped because its numbers went bad",
    "died": "The process of this run is gone; it did not say goodbye",
}
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


def run_page(run: RunData, video_mb: float) -> str:
    """The page of one run.

    Args:
        run: what its folder holds.
        video_mb: most megabytes of video in the page.
    """
    return _page(
        grouped([run]),
        video_mb,
        kicker="Training run",
        title=f"{run.robot}, {run.region}",
        lead=_verdict(run),
        state=run.state,
        facts=_facts(run),
        cards=headline.cards_of_run(run),
        notes=_notes(run),
    )


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
    kind = f"{len(runs)} seeds" if len(groups) == 1 else many
    robots, regions = _together(run.robot for run in runs), _together(run.region for run in runs)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return _page(
        groups,
        video_mb,
        kicker=kind,
        title=f"{robots}, {regions}",
        lead=_verdicts(runs, kind),
        state=states[0] if len(set(states)) == 1 else "",
        facts={"folder": name, "states": counts, "overrides": _common(runs)},
        cards=headline.cards_of_groups(groups),
        notes=[f"{run.folder.name}: {note}" for run in runs for note in _notes(run)],
    )


def _page(groups: Groups, video_mb: float, *, state: str, **head: Any) -> str:  # noqa: ANN401
    runs = [run for group in groups for run in group.runs]
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


def _verdict(run: RunData) -> str:
    """The outcome in a sentence."""
    rate, goals = number(run.verdict, "success_rate"), number(run.verdict, "goals")
    if rate is None or not goals:
        return "No verdict on held-out goals yet."
    keys = ("position_m", "orientation_rad", "hold_s")
    place, angle, hold = (number(run.verdict, "thresholds", key) for key in keys)
    within = ""
    if place is not None and angle is not None and hold is not None:
        degrees = plain(round(57.29578 * angle, 1))
        within = f" within {plain(1000 * place)} mm and {degrees} deg for {hold:g} s"
    return f"Reached and held {round(rate * goals):,} of {int(goals):,} held-out goals{within}."


def _verdicts(runs: Sequence[RunData], kind: str) -> str:
    rates = [r for run in runs if (r := number(run.verdict, "success_rate")) is not None]
    if not rates:
        return f"{kind}, none judged on held-out goals yet."
    low, high = shown(min(rates), "%"), shown(max(rates), "%")
    span = low if low == high else f"between {low} and {high}"
    judged = "" if len(rates) == len(runs) else f" ({len(rates)} judged so far)"
    return f"{kind}{judged}, which reached and held {span} of their held-out goals."


def _facts(run: RunData) -> dict[str, str]:
    commit = str(at(run.provenance, "git", "commit") or "")[:10]
    dirty = " with changes" if at(run.provenance, "git", "dirty") else ""
    return {
        "run": run.folder.name,
        "seed": "" if run.seed is None else str(run.seed),
        "steps": "" if run.steps is None else f"{run.steps:,}",
        "judged": str(run.verdict.get("checkpoint") or ""),
        "started": str(run.status.get("started") or "").replace("T", " ")[:16],
        "commit": commit and f"{commit}{dirty}",
    }


def _common(runs: Sequence[RunData]) -> str:
    """The overrides that all runs share."""
    lists = [at(run.provenance, "overrides") for run in runs]
    if not all(isinstance(found, list) for found in lists):
        return ""
    return " ".join(show(one) for one in lists[0] if all(one in other for other in lists))


def _notes(run: RunData) -> list[str]:
    notes = list(run.notes)
    total = number(run.summary, "total_timesteps")
    if run.verdict and total is not None and run.steps is not None and total < run.steps:
        said = f"The verdict is that of step {int(total):,}; the run has gone on since."
        notes.insert(0, said)
    if run.state in _UNFINISHED:
        text, reason = _UNFINISHED[run.state], str(run.status.get("reason") or "")
        notes.insert(0, text if text.endswith(".") else f"{text}{reason and f': {reason}'}.")
    return notes
