"""Sections that pages of runs share: figures, warnings, goals, videos, configuration."""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.redact import redact
from reach_rl.monitoring.metrics import CATALOGUE
from reach_rl.viz.report import curves, goals, terms
from reach_rl.viz.report.groups import Group
from reach_rl.viz.report.headline import ANGLE, POSITION, SUCCESS, cell
from reach_rl.viz.report.html import Cell, Section, code, figures, fold, paragraph, table
from reach_rl.viz.report.intervals import over_seeds
from reach_rl.viz.report.marks import alerts_of
from reach_rl.viz.report.read import RunData, at, number

_MOST_WARNINGS = 40
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}

WORST_HEAD = (
    "goal", "outcome", "position error", "orientation error", "x (m)", "y (m)", "z (m)",
    "quaternion w, x, y, z",
)  # fmt: skip


def curve_sections(groups: Sequence[Group]) -> list[Section]:
    """Learning, health with its warnings, reward terms, curriculum and time."""
    learning = curves.learning(groups)
    health = curves.health(groups)
    rewards, staged, time = terms.rewards(groups), terms.curriculum(groups), terms.time(groups)
    many = any(len(group.runs) > 1 for group in groups)
    single = len(groups) == 1 and not many
    bands = (
        "Thick lines are interquartile means over seeds, bands their 95 % stratified bootstrap "
        "intervals, thin lines the seeds. " + _few(groups)
        if many
        else "How the policy came to what it can do."
    )
    zones = (
        " Grey: every other stage of the curriculum; its number stands at the bottom."
        if staged and single
        else ""
    )
    found = [
        Section("learning", "Learning", bands + zones, figures(learning) or _nothing()),
        Section(
            "health",
            "Health",
            "PPO's own numbers. Green bands are where healthy runs stay; numbered dotted lines are "
            "warnings.",
            _warnings(groups) + (figures(health) or _nothing()),
        ),
    ]
    if rewards:
        found.append(Section("rewards", "Reward", "What the policy is paid for.", figures(rewards)))
    if staged:
        lead = "What the curriculum set, and when."
        found.append(Section("curriculum", "Curriculum", lead, figures(staged)))
    drawn = [name for name, _, _ in curves.HEALTH]
    drawn += [metric.name for metric in CATALOGUE.values() if metric.healthy is not None]
    drawn += [n for g in groups for run in g.runs for n in run.curves if n.startswith(_DRAWN)]
    rest = curves.others(groups, [*drawn, *_ERRORS])
    more = fold(f"All other metrics ({len(rest)})", figures(rest), "others") if rest else ""
    lead = "Speed, and every metric that has no place above."
    found.append(Section("more", "Time and the rest", lead, figures(time) + more))
    return found


_DRAWN = ("reward/", "curriculum/", "time/", "health/alert")
_ERRORS = ("rollout/position_error_mm", "rollout/orientation_error_deg")


def _few(groups: Sequence[Group]) -> str:
    least = min(len(group.runs) for group in groups)
    return "Intervals from so few seeds are rough." if least < 5 else ""


def _nothing() -> str:
    return paragraph("There are no records of this yet.")


def _warnings(groups: Sequence[Group]) -> str:
    found = alerts_of(groups)
    if not found:
        return '<p class="calm">No warnings.</p>'
    many = sum(len(group.runs) for group in groups) > 1
    items = "".join(
        f"<li><b>{escape(alert.title)}</b><span>step {alert.step:,}"
        f"{f', {escape(run.folder.name)}' if many else ''}</span> {escape(alert.text)}</li>"
        for run, alert in found[:_MOST_WARNINGS]
    )
    more = len(found) - _MOST_WARNINGS
    rest = paragraph(f"and {more} more in metrics.jsonl") if more > 0 else ""
    return f'<ol class="warnings" aria-label="Warnings">{items}</ol>{rest}'


def goal_section(groups: Sequence[Group]) -> Section:
    """Errors, outcomes in space, success by part, and the goals that went worst."""
    drawn = [*goals.histograms(groups), *goals.scenes(groups)]
    body = figures(drawn) + _by_part(groups) + _worst(groups)
    if not body:
        body = paragraph("No policy of this has been judged on held-out goals yet.")
    lead = "Held-out goals, one episode each, that training never saw."
    return Section("goals", "Goals", lead, body)


def _by_part(groups: Sequence[Group]) -> str:
    """Success and precision by part of the workspace, and in other regions, over seeds."""
    rows: list[list[object]] = []
    several = len(groups) > 1
    for group in groups:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for run in group.runs:
            for name, part in _items(at(run.verdict, "regions")):
                found.setdefault(f"{run.region}, {name}", []).append(part)
            for name, part in _items(at(run.summary, "also")):
                found.setdefault(name, []).append(part)
        named = (group.name,) if several else ()
        rows += [[*named, name, *_part(each)] for name, each in found.items()]
    if not rows:
        return ""
    head = (*(("configuration",) if several else ()), "part", "goals", "success",
            "position error*", "orientation error*")  # fmt: skip
    seeds = any(len(group.runs) > 1 for group in groups)
    over = ", interquartile mean over seeds" if seeds else ""
    return table(head, rows, f"By part of the workspace, and in other regions (* median{over})")


def _items(tree: object) -> list[tuple[str, Mapping[str, Any]]]:
    found = tree.items() if isinstance(tree, Mapping) else ()
    return [(str(name), part) for name, part in found if isinstance(part, Mapping)]


def _part(seeds: Sequence[Mapping[str, Any]]) -> list[object]:
    counts = [count for part in seeds if (count := number(part, "goals")) is not None]
    found: list[object] = [
        Cell(f"{int(max(counts)):,}" if counts else "-", max(counts, default=None))
    ]
    for quantity in (SUCCESS, POSITION, ANGLE):
        estimate = over_seeds([[number(part, *quantity.path) for part in seeds]])
        found.append(cell(None if estimate is None else estimate.value, quantity.unit))
    return found


def _worst(groups: Sequence[Group], most: int = 10) -> str:
    runs = [run for group in groups for run in group.runs]
    rows: list[list[object]] = []
    for run in runs if len(runs) <= 10 else ():
        found = run.evaluation.worst(most) if run.evaluation else at(run.verdict, "worst")
        share = max(2, most // len(runs))
        for goal in found[:share] if isinstance(found, Sequence) else ():
            if isinstance(goal, Mapping):
                rows.append([*((run.folder.name,) if len(runs) > 1 else ()), *_goal(goal)])
    if not rows:
        return ""
    head = (*(("run",) if len(runs) > 1 else ()), *WORST_HEAD)
    return table(head, rows, "Goals that went worst, failures first")


def _goal(goal: Mapping[str, Any]) -> list[object]:
    place, turn = goal.get("goal_position_m"), goal.get("goal_quaternion_wxyz")
    index = number(goal, "index")
    coordinates = [f"{x:.3f}" for x in place] if isinstance(place, Sequence) else ["-"] * 3
    return [
        Cell("-" if index is None else f"{int(index)}", index),
        str(goal.get("outcome") or ("reached" if goal.get("success") else "missed")),
        cell(number(goal, "position_error_mm"), "mm"),
        cell(number(goal, "orientation_error_deg"), "deg"),
        *(Cell(text, float(text) if text != "-" else None) for text in coordinates[:3]),
        ", ".join(f"{x:.3f}" for x in turn) if isinstance(turn, Sequence) else "-",
    ]


def video_section(runs: Sequence[RunData], most_mb: float) -> Section | None:
    """The newest videos, in the page as long as there is room; None if there are none."""
    found = [(run, path) for run in runs for path in run.videos]
    if not found:
        return None
    left, shown, named = most_mb * 1e6, [], []
    for run, path in reversed(found):
        size = path.stat().st_size
        if size > left:
            named.append(str(path.relative_to(run.folder)))
            continue
        with suppress(OSError):
            shown.append(_video(run, path))
            left -= size
    body = f'<div class="videos">{"".join(shown)}</div>'
    if named:
        text = ", ".join(named)
        body += paragraph(f"Too large for the page (video_mb={most_mb:g}): {text}")
    return Section("videos", "Videos", "Episodes of the policy.", body)


def _video(run: RunData, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    name = str(path.relative_to(run.folder))
    kind = _TYPES[path.suffix]
    return (
        f'<figure class="figure"><figcaption><h3>{escape(name)}</h3></figcaption>'
        f'<video controls muted loop playsinline preload="metadata" aria-label="{escape(name)}" '
        f'src="data:{kind};base64,{data}"></video></figure>'
    )


def origin_section(runs: Sequence[RunData]) -> Section:
    """Configuration and provenance, folded."""
    body = "".join(_origin(run, len(runs) > 1) for run in runs[:20])
    lead = "What was asked for, and what ran it. reach-rl repro prints the commands that repeat it."
    return Section("origin", "Configuration and provenance", lead, body)


def _origin(run: RunData, named: bool) -> str:
    of = f"{run.folder.name}: " if named else ""
    parts = []
    if run.config:
        text = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True)
        parts.append(fold(f"{of}configuration", code(_without_home(text))))
    p = run.provenance
    if p:
        git = p.get("git") if isinstance(p.get("git"), Mapping) else {}
        diff = str(at(git, "diff") or "")
        rest = {k: v for k, v in p.items() if k != "git"} | {
            "git": {k: v for k, v in (git or {}).items() if k != "diff"}
        }
        text = yaml.safe_dump(json.loads(json.dumps(rest)), sort_keys=False, allow_unicode=True)
        parts.append(fold(f"{of}provenance", code(_without_home(text))))
        if diff:
            title = f"{of}changes beside its commit"
            parts.append(fold(title, code(_without_home(str(redact(diff))))))
    return "".join(parts) or paragraph(f"{of}nothing was found.")


def _without_home(text: str) -> str:
    """The user's home folder is nobody's business."""
    return text.replace(str(Path.home()), "~") if len(str(Path.home())) > 1 else text
