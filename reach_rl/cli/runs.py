"""`reach-rl runs`: runs and sweeps with their state, robot, steps, success and age."""

import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.problems import ConfigError
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.status import read_status

USAGE = """usage: reach-rl runs [DIR] ...

Lists the runs and sweeps below the folders (default: runs and multirun), newest first.
State `died` is a run that stands as running but whose process is gone."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SKIPPED = {"checkpoints", "videos", "tb", "wandb"}
_DEPTH = 5
_TAIL = 65536


@dataclass(frozen=True, slots=True)
class Run:
    """What the list tells about a run."""

    folder: Path
    state: str
    robot: str
    steps: int | None
    success: float | None
    started: datetime.datetime | None

    @property
    def sweep(self) -> Path | None:
        """The folder of the sweep that it is part of."""
        return self.folder.parent if (self.folder.parent / "multirun.yaml").is_file() else None


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        print(USAGE)
        return 0
    given = [Path(word) for word in words]
    missing = [folder for folder in given if not folder.is_dir()]
    for folder in missing:
        print(f"error: {folder}: no such folder", file=sys.stderr)
    if missing:
        return 2
    found = [run for folder in given or [Path("runs"), Path("multirun")] for run in find(folder)]
    print(table(found) if found else "no runs; start one with reach-rl train")
    return 0


def find(folder: Path, depth: int = _DEPTH) -> list[Run]:
    """The runs in a folder and below it."""
    if (folder / "status.json").is_file() or (folder / "config.yaml").is_file():
        return [read(folder)]
    if depth == 0 or not folder.is_dir():
        return []
    below = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    return [run for path in below if path.name not in _SKIPPED for run in find(path, depth - 1)]


def read(folder: Path) -> Run:
    """One run from the files in its folder."""
    status, summary = read_status(folder), read_json(folder / "summary.json")
    last = last_record(folder)
    success = (summary.get("evaluation") or {}).get("success_rate")
    return Run(
        folder=folder,
        state=str(status.get("state", "unknown")),
        robot=_robot(folder),
        steps=last.get("global_step", summary.get("total_timesteps")),
        success=success if success is not None else last.get("rollout/success_rate"),
        started=_time(status.get("started")),
    )


def run_dir(text: str) -> Path:
    """The folder of a run that a user named. Raises ConfigError."""
    folder = Path(text)
    if not folder.is_dir():
        raise ConfigError(f"{text}: no such folder; see reach-rl runs")
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{text}: not the folder of a run (no config.yaml in it)")
    return folder


def last_record(folder: Path) -> dict[str, Any]:
    """The newest value of every metric near the end of metrics.jsonl."""
    import json

    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    found: dict[str, Any] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found |= record
    return found


def _robot(folder: Path) -> str:
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        return str(yaml.load(text, Loader=_LOADER)["robot"]["name"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return "?"


def _time(text: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(str(text))
    except ValueError:
        return None


def table(runs: list[Run]) -> str:
    """The list as text; the runs of a sweep stand below it."""
    head = ("run", "state", "robot", "steps", "success", "age")
    rows: list[tuple[str, ...]] = []
    alone = [run for run in runs if run.sweep is None]
    sweeps = {run.sweep: [r for r in runs if r.sweep == run.sweep] for run in runs if run.sweep}
    blocks = [(_newest([run]), [_row(run, str(run.folder))]) for run in alone]
    for folder, members in sweeps.items():
        lines = [_row(run, f"  {run.folder.name}") for run in members]
        blocks.append((_newest(members), [_sweep_row(Path(str(folder)), members), *lines]))
    for _, block in sorted(blocks, key=lambda pair: pair[0], reverse=True):
        rows += block
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = (zip(row, widths, strict=True) for row in [head, *rows])
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in line).rstrip() for line in lines)


def _newest(runs: list[Run]) -> float:
    return max((run.started.timestamp() for run in runs if run.started), default=0.0)


def _row(run: Run, name: str) -> tuple[str, ...]:
    steps = "" if run.steps is None else f"{run.steps:,}"
    success = "" if run.success is None else f"{100 * run.success:.1f} %"
    return (name, run.state, run.robot, steps, success, age(run.started))


def _sweep_row(folder: Path, runs: list[Run]) -> tuple[str, ...]:
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
