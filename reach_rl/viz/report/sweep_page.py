"""The page of a sweep."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.problems import show
from reach_rl.rundir.atomic import read_json
from reach_rl.sweeps import results
from reach_rl.viz.report import sweep_figures as draw
from reach_rl.viz.report.headline import duration, interval, plain, shown, si
from reach_rl.viz.report.html import (
    Card,
    Cell,
    Page,
    Section,
    code,
    figures,
    fold,
    paragraph,
    table,
)
from reach_rl.viz.report.intervals import Estimate
from reach_rl.viz.report.pages import footer
from reach_rl.viz.report.read import at, number

if TYPE_CHECKING:
    from optuna.study import Study

_FIRST = "trial"


def sweep_page(study: "Study", folder: Path) -> Page:
    """The page of a study.

    Args:
        study: what was searched, and how far.
        folder: of the sweep.
    """
    head = results.header(study)
    objectives = head["objectives"]
    best = head["best"]
    winner = read_json(folder / "winner.json")
    return Page(
        kicker="Sweep",
        title=str(head["study"]),
        lead=_lead(head),
        state="running" if head["trials"].get("running") else "",
        facts=_facts(head, folder),
        cards=_cards(head, winner),
        notes=_notes(head),
        sections=[
            Section("best", "Best", "The settings that won.", _best(best, head["front"])),
            Section(
                "search",
                "Search",
                " and ".join(f"{name} was {how}d" for name, how in objectives.items()).capitalize()
                + ".",
                figures([*draw.history(study), *draw.front(study)])
                + figures(draw.importance(head["importance"])),
            ),
            Section(
                "settings",
                "Settings",
                "How the searched keys and the outcome hang together.",
                figures(draw.parallel(study)) + figures(draw.slices(study)) or _none(),
            ),
            *_pruned(study),
            Section("trials", "Trials", "Click a heading to sort.", _trials(study)),
            Section("origin", "Provenance", "", _origin(head)),
        ],
        footer=footer(),
    )


def _none() -> str:
    return paragraph("No trial is complete yet.")


def _lead(head: Mapping[str, Any]) -> str:
    counts, best = head["trials"], head["best"]
    total = sum(counts.values())
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    if best is None:
        return f"{total} trials ({words or 'none begun'}); none is complete yet."
    values = ", ".join(f"{name} {plain(v)}" for name, v in best["values"].items() if v is not None)
    return f"{total} trials ({words}); trial {best['number']} is best with {values}."


def _facts(head: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    found = [("folder", str(folder))]
    for key in ("space", "overrides"):
        value = head.get(key)
        if isinstance(value, Mapping):
            found.append((key, "  ".join(f"{name} {text}" for name, text in value.items())))
        elif isinstance(value, str):
            found.append((key, value))
        elif isinstance(value, (list, tuple)):
            found.append((key, " ".join(map(show, value))))
    return [(key, value) for key, value in found if value]


def _cards(head: Mapping[str, Any], winner: Mapping[str, Any]) -> list[Card]:
    best, counts = head["best"], head["trials"]
    cards = []
    if best is not None:
        for name, value in best["values"].items():
            seeds = best.get("seed_values")
            over = f" over {len(seeds)} seeds" if isinstance(seeds, (list, tuple)) and seeds else ""
            if value is not None:
                how = f"trial {best['number']}{over}, {head['objectives'][name]}d"
                title = f"Best {name}" if len(best["values"]) == 1 else name.capitalize()
                cards.append(Card(title, plain(value), how))
    cards += _fresh(winner) if best is not None and winner.get("trial") == best["number"] else []
    total = sum(counts.values())
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    cards.append(Card("Trials", f"{total:,}", words))
    if head["env_steps"]:
        cards.append(Card("Environment steps", si(head["env_steps"]), "in all trials"))
    cards.append(Card("Time", duration(head["seconds"]), "in all trials together"))
    return cards


def _fresh(winner: Mapping[str, Any]) -> list[Card]:
    """What the best trial's settings give on seeds that the search never saw."""
    found = winner.get("fresh")
    cards = []
    for name, estimate in found.items() if isinstance(found, Mapping) else ():
        mean, ends = number(estimate, "mean"), at(estimate, "interval95")
        values = at(estimate, "values")
        if mean is None:
            continue
        unit = "%" if "success" in name else ""
        count = f"{len(values)} fresh seeds" if isinstance(values, list) else "fresh seeds"
        known = isinstance(ends, list) and len(ends) == 2
        words = interval(Estimate(mean, float(ends[0]), float(ends[1])), unit) if known else ""
        detail = "; ".join(filter(None, [count, words]))
        cards.append(Card(f"{name.capitalize()}, confirmed", shown(mean, unit), detail))
    return cards


def _notes(head: Mapping[str, Any]) -> list[str]:
    failed = head["trials"].get("failed", 0)
    if not failed:
        return []
    return [f"{failed} {'trial' if failed == 1 else 'trials'} failed; the table tells why."]


def _best(best: Mapping[str, Any] | None, front: list[int] | None) -> str:
    if best is None:
        return _none()
    rows = [[key, _setting(value)] for key, value in best["params"].items()]
    place = f", folder {Path(best['folder']).name}" if best["folder"] else ""
    title = f"Trial {best['number']}{place}"
    words = " ".join(f"{key}={show(value)}" for key, value in best["params"].items())
    body = table(("key", "value"), rows, title)
    body += fold("as overrides", code(f"python -m reach_rl.train {words}"))
    if front:
        body += paragraph(f"The front: trials {', '.join(map(str, front))}.")
    return body


def _pruned(study: "Study") -> list[Section]:
    found = draw.pruning(study)
    return [Section("pruning", "Pruning", "", figures(found))] if found else []


def _trials(study: "Study") -> str:
    names = [o.name for o in results.objectives(study)]
    keys = results.searched(study)
    rows = [_row(row, names, keys) for row in results.rows(study)]
    head = (_FIRST, "state", *names, *keys, "time", "steps", "reason")
    return table(head, rows, f"All {len(rows)} trials")


def _row(row: Mapping[str, Any], names: list[str], keys: list[str]) -> list[object]:
    values = [row["values"].get(name) for name in names]
    seconds, steps = row["seconds"], row["env_steps"]
    return [
        Cell(str(row["number"]), row["number"]),
        row["state"],
        *(Cell("-" if v is None else plain(v), v) for v in values),
        *(_setting(row["params"].get(key)) for key in keys),
        Cell("-" if seconds is None else duration(seconds), seconds),
        Cell("-" if not steps else f"{steps:,}", steps or None),
        str(row["reason"] or ""),
    ]


def _setting(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else show(value)
    return Cell(f"{value:.4g}", float(value))


def _origin(head: Mapping[str, Any]) -> str:
    command = head.get("command")
    words = (
        " ".join(map(str, command)) if isinstance(command, (list, tuple)) else str(command or "")
    )
    if not words:
        return paragraph("The study does not say what started it.")
    return fold("command", code(words))
