"""`reach-rl runs`: runs and sweeps with their state, robot, steps, success and age."""

import time
from collections import Counter
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from reach_rl.config.problems import ConfigError
from reach_rl.rundir.listing import Listed, find_runs, listed

_HEAD = ("run", "state", "robot", "steps", "success", "age")


def answer(words: list[str]) -> str:
    """The list. Raises ConfigError."""
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
    sweep = attrgetter("sweep")
    for folder, members in groupby(sorted(runs, key=sweep), sweep):
        block = list(members)
        if folder:
            rows = [_row(run, f"  {run.folder.name}") for run in block]
            blocks.append((max(run.started for run in block), [_sweep_row(folder, block), *rows]))
        else:
            blocks += [(run.started, [_row(run, str(run.folder))]) for run in block]
    blocks.sort(key=lambda pair: pair[0], reverse=True)
    rows = [_HEAD, *(row for _, block in blocks for row in block)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(run: Listed, name: str) -> tuple[str, ...]:
    steps = "" if run.steps is None else f"{run.steps:,}"
    success = "" if run.success is None else f"{run.success:.1%}"
    return (name, run.state, run.robot, steps, success, age(run.started))


def _sweep_row(folder: str, runs: list[Listed]) -> tuple[str, ...]:
    states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in runs).items())
    robots = "/".join(dict.fromkeys(run.robot for run in runs))
    best = max((run.success for run in runs if run.success is not None), default=None)
    success = "" if best is None else f"best {best:.1%}"
    started = min((run.started for run in runs if run.started), default=0.0)
    return (f"{folder} (sweep of {len(runs)})", states, robots, "", success, age(started))


def age(started: float) -> str:
    """How long ago, in the largest fitting unit; empty for 0."""
    if not started:
        return ""
    seconds = max(0.0, time.time() - started)
    sizes = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((pair for pair in sizes if seconds >= pair[1]), sizes[-1])
    return f"{int(seconds // size)} {unit}"
