"""`reach-rl runs`: runs and sweeps with their state, robot, steps, success and age."""

import datetime
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from reach_rl.cli import answered
from reach_rl.config.problems import ConfigError
from reach_rl.rundir.listing import Listed, find_runs, listed

USAGE = """usage: reach-rl runs [DIR] ...

Lists the runs and sweeps below the folders (default: runs and multirun), newest first.
State `died` is a run that stands as running but whose process is gone."""
_HEAD = ("run", "state", "robot", "steps", "success", "age")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list; returns the exit code."""
    return answered(USAGE, _answer, argv)


def _answer(words: list[str]) -> str:
    given = [Path(word) for word in words]
    missing = [folder for folder in given if not folder.is_dir()]
    if missing:
        raise ConfigError(f"{folder}: no such folder" for folder in missing)
    folders = given or [Path("runs"), Path("multirun")]
    found = [listed(run) for folder in folders for run in find_runs(folder)]
    return table(found) if found else "no runs; start one with reach-rl train"


def table(runs: list[Listed]) -> str:
    """The list as text; the runs of a sweep stand below it."""
    blocks: list[tuple[float, list[tuple[str, ...]]]] = []
    for folder, members in groupby(sorted(runs, key=_sweep), _sweep):
        block = list(members)
        if folder:
            rows = [_row(run, f"  {run.folder.name}") for run in block]
            blocks.append((_newest(block), [_sweep_row(folder, block), *rows]))
        else:
            blocks += [(_newest([run]), [_row(run, str(run.folder))]) for run in block]
    blocks.sort(key=lambda pair: pair[0], reverse=True)
    rows = [_HEAD, *(row for _, block in blocks for row in block)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in line).rstrip() for line in lines)


def _sweep(run: Listed) -> str:
    return str(run.sweep or "")


def _newest(runs: list[Listed]) -> float:
    return max((run.started.timestamp() for run in runs if run.started), default=0.0)


def _row(run: Listed, name: str) -> tuple[str, ...]:
    steps = "" if run.steps is None else f"{run.steps:,}"
    success = "" if run.success is None else f"{100 * run.success:.1f} %"
    return (name, run.state, run.robot, steps, success, age(run.started))


def _sweep_row(folder: str, runs: list[Listed]) -> tuple[str, ...]:
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    robots = "/".join(dict.fromkeys(run.robot for run in runs))
    best = max((run.success for run in runs if run.success is not None), default=None)
    success = "" if best is None else f"best {100 * best:.1f} %"
    started = min((run.started for run in runs if run.started), default=None)
    return (f"{folder} (sweep of {len(runs)})", counts, robots, "", success, age(started))


def age(started: datetime.datetime | None) -> str:
    """How long ago, in the largest fitting unit."""
    if started is None:
        return ""
    now = datetime.datetime.now(started.tzinfo)
    seconds = max(0.0, (now - started).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
