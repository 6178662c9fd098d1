"""The runs below a folder, and what each says of itself."""

import datetime
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config import read_yaml
from reach_rl.config.problems import ConfigError
from reach_rl.config.sheets import flat
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.status import read_status

_SKIPPED = {"checkpoints", "videos", "tb", "wandb"}
_DEPTH = 5
_TAIL = 65536


@dataclass(frozen=True, slots=True)
class Listed:
    """What is told of a run in a list."""

    folder: Path
    state: str
    robot: str
    steps: int | None
    success: float | None
    started: float
    """Seconds since the epoch; 0 where nobody knows."""
    sweep: str
    """The folder of the sweep that it is part of, if any."""


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return any((folder / n).is_file() for n in ("config.yaml", "metrics.jsonl", "status.json"))


def find_runs(folder: Path, depth: int = _DEPTH) -> list[Path]:
    """The folders of the runs in a folder and below it."""
    if is_run(folder):
        return [folder]
    if depth == 0 or not folder.is_dir():
        return []
    below = (path for path in sorted(folder.iterdir()) if path.name not in _SKIPPED)
    return [run for path in below for run in find_runs(path, depth - 1)]


def listed(folder: Path) -> Listed:
    """One run from the files in its folder."""
    status, summary = read_status(folder), read_json(folder / "summary.json")
    last = last_record(folder)
    success = (summary.get("evaluation") or {}).get("success_rate")
    started, above = 0.0, folder.parent
    with suppress(ValueError):
        started = datetime.datetime.fromisoformat(str(status.get("started"))).timestamp()
    return Listed(
        folder=folder,
        state=str(status.get("state", "unknown")),
        robot=str(config_values(folder).get("robot.name", "?")),
        steps=last.get("global_step", summary.get("total_timesteps")),
        success=success if success is not None else last.get("rollout/success_rate"),
        started=started,
        sweep=str(above) if (above / "multirun.yaml").is_file() else "",
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
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    found: dict[str, Any] = {}
    for line in lines:
        with suppress(ValueError, TypeError):  # a piece of a line, or no record
            found |= json.loads(line)
    return found


def config_values(folder: Path) -> dict[str, Any]:
    """Dotted key -> value of a run's config.yaml; empty if there is none that can be read."""
    try:
        tree = read_yaml(folder / "config.yaml")
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return flat(tree if isinstance(tree, Mapping) else {})
