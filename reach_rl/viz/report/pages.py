"""The pages: of one run, and of several."""

from collections.abc import Sequence

from reach_rl.config.problems import show
from reach_rl.rundir.status import now
from reach_rl.viz.report import headline, parts
from reach_rl.viz.report.groups import grouped
from reach_rl.viz.report.html import Page, Section, table
from reach_rl.viz.report.read import RunData, at, number

_UNFINISHED = {
    "running": "This run still goes on; the page shows what there was when it was made.",
    "failed": "This run failed",
    "stopped": "This run was stopped before its end",
    "diverged": "This run was stopped because its numbers went bad",
    "died": "The process of this run is gone; it did not say goodbye",
}


def run_page(run: RunData, video_mb: float) -> Page:
    """The page of one run.

    Args:
        run: what its folder holds.
        video_mb: most megabytes of video in the page.
    """
    groups = grouped([run])
    sections = [
        *parts.curve_sections(groups)[:1],
        parts.goal_section(groups),
        *parts.curve_sections(groups)[1:],
    ]
    return Page(
        kicker="Training run",
        title=f"{run.robot}, {run.region}",
        lead=_verdict(run),
        state=run.state if run.state != "unknown" else "",
        facts=_facts(run),
        cards=headline.of_run(run),
        notes=_notes(run),
        sections=[*sections, *_videos([run], video_mb), parts.origin_section([run])],
        footer=footer(),
    )


def runs_page(runs: Sequence[RunData], name: str, video_mb: float) -> Page:
    """The page of several runs: seeds of one configuration, or several configurations.

    Args:
        runs: what their folders hold, at least one.
        name: of the set, such as its folder.
        video_mb: most megabytes of video in the page.
    """
    groups = grouped(runs)
    tables = ""
    if len(groups) > 1:
        caption = "Interquartile means over seeds with stratified bootstrap intervals"
        tables = table(headline.GROUP_HEAD, headline.group_rows(groups), caption)
    tables += table(headline.RUN_HEAD, headline.run_rows(groups), "Each run; medians over goals")
    learning, *others = parts.curve_sections(groups)
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    robots = " and ".join(dict.fromkeys(run.robot for run in runs))
    regions = " and ".join(dict.fromkeys(run.region for run in runs))
    seeds = len(groups) == 1
    kind = f"{len(runs)} seeds" if seeds else f"{len(runs)} runs of {len(groups)} configurations"
    return Page(
        kicker=kind,
        title=f"{robots}, {regions}",
        lead=_together(runs, kind),
        state=states[0] if len(set(states)) == 1 and states[0] != "unknown" else "",
        facts=[("folder", name), ("states", counts), *_common(runs)],
        cards=headline.of_groups(groups),
        notes=[f"{run.folder.name}: {note}" for run in runs for note in _notes(run)],
        sections=[
            Section("runs", "Runs", "", tables),
            learning,
            parts.goal_section(groups),
            *others,
            *_videos(runs, video_mb),
            parts.origin_section(runs),
        ],
        footer=footer(),
    )


def _videos(runs: Sequence[RunData], video_mb: float) -> list[Section]:
    section = parts.video_section(runs, video_mb)
    return [] if section is None else [section]


def _verdict(run: RunData) -> str:
    """The outcome in a sentence."""
    rate, goals = number(run.verdict, "success_rate"), number(run.verdict, "goals")
    if rate is None or not goals:
        return "No verdict on held-out goals yet."
    limits = run.verdict.get("thresholds")
    within = ""
    place, angle = number(limits, "position_m"), number(limits, "orientation_rad")
    hold = number(limits, "hold_s")
    if place is not None and angle is not None and hold is not None:
        degrees = headline.plain(round(57.29578 * angle, 1))
        within = f" within {headline.plain(1000 * place)} mm and {degrees} deg for {hold:g} s"
    return f"Reached and held {round(rate * goals):,} of {int(goals):,} held-out goals{within}."


def _together(runs: Sequence[RunData], kind: str) -> str:
    rates = [r for run in runs if (r := number(run.verdict, "success_rate")) is not None]
    if not rates:
        return f"{kind}, none judged on held-out goals yet."
    low, high = headline.shown(min(rates), "%"), headline.shown(max(rates), "%")
    span = low if low == high else f"between {low} and {high}"
    judged = "" if len(rates) == len(runs) else f" ({len(rates)} judged so far)"
    return f"{kind}{judged}, which reached and held {span} of their held-out goals."


def _facts(run: RunData) -> list[tuple[str, str]]:
    commit = str(at(run.provenance, "git", "commit") or "")[:10]
    dirty = " with changes" if at(run.provenance, "git", "dirty") else ""
    checkpoint = run.verdict.get("checkpoint")
    found = [
        ("run", run.folder.name),
        ("seed", "" if run.seed is None else str(run.seed)),
        ("steps", "" if run.steps is None else f"{run.steps:,}"),
        ("judged", str(checkpoint or "")),
        ("started", str(run.status.get("started") or "").replace("T", " ")[:16]),
        ("commit", f"{commit}{dirty}" if commit else ""),
    ]
    return [(name, value) for name, value in found if value]


def _common(runs: Sequence[RunData]) -> list[tuple[str, str]]:
    overrides = [at(run.provenance, "overrides") for run in runs]
    lists = [o for o in overrides if isinstance(o, Sequence) and not isinstance(o, str)]
    if len(lists) < len(runs) or not lists:
        return []
    shared = [o for o in lists[0] if all(o in other for other in lists)]
    return [("overrides", " ".join(map(show, shared)))] if shared else []


def _notes(run: RunData) -> list[str]:
    state, reason = run.state, str(run.status.get("reason") or "")
    notes = []
    if state in _UNFINISHED:
        text = _UNFINISHED[state]
        notes.append(text if text.endswith(".") else f"{text}{f': {reason}' if reason else ''}.")
    total = number(run.summary, "total_timesteps")
    if run.verdict and total is not None and run.steps is not None and total < run.steps:
        notes.append(f"The verdict is that of step {int(total):,}; the run has gone on since.")
    return [*notes, *run.notes]


def footer() -> str:
    """When the page was made."""
    return f"Made by reach-rl report on {now()[:16].replace('T', ' ')}."
