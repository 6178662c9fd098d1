"""What a report is about: the runs in its folders as they are, whatever state they are in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from reach_rl.config import read_yaml
from reach_rl.config.problems import ConfigError, nearest, show, word
from reach_rl.config.sheets import at, flat
from reach_rl.config.untrusted import redact
from reach_rl.evaluation import result
from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array
from reach_rl.monitoring.record import STEP, read_records
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.listing import find_runs
from reach_rl.rundir.status import read_status

_VIDEOS = (".mp4", ".webm")

_OWN = (
    "seed", "run_dir", "resume", "progress", "picture", "profile", "torch_threads",
    "vec_env.threads", "evaluation.also", "evaluation.every", "evaluation.periodic_goals",
)  # fmt: skip
_OWN_GROUPS = ("wandb.", "checkpoint.", "health.", "video.", "guard.")
"""Keys that change nothing about what is learned, or that are a seed."""

_MOST_NAMED, _LONG = 2, 24
"""Differing keys in the name of a group, and letters of a value."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric: (k,) environment steps and (k,) values, NaN where there was none."""

    steps: Array
    values: Array

    @property
    def last(self) -> float | None:
        """The newest finite value."""
        known = self.values[np.isfinite(self.values)]
        return float(known[-1]) if known.size else None


class Alert(NamedTuple):
    """A warning that was given during the run."""

    step: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class RunData:
    """What the folder of a run holds; empty mappings for files that are missing or damaged."""

    folder: Path
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]
    curves: Mapping[str, Curve]
    alerts: Sequence[Alert]
    evaluation: Evaluation | None
    videos: Sequence[Path]
    notes: Sequence[str]
    """What is missing or damaged, in sentences."""

    @property
    def state(self) -> str:
        """What became of the run, as rundir.status tells it, or unknown."""
        return str(self.status.get("state", "unknown"))

    @property
    def robot(self) -> str:
        """The arm as people write it, such as UR5e."""
        name = str(at(self.config, "robot", "name") or self.summary.get("robot") or "unknown arm")
        return f"UR{name[2:]}" if name.startswith("ur") and name[2:3].isdigit() else name

    @property
    def region(self) -> str:
        """Where its goals lie."""
        return str(at(self.config, "task", "region", "name") or "unknown region")

    @property
    def seed(self) -> int | None:
        """The seed of the run."""
        seed = self.config.get("seed", self.summary.get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def steps(self) -> int | None:
        """Environment steps so far."""
        newest = [curve.steps[-1] for curve in self.curves.values() if len(curve.steps)]
        total = max(newest) if newest else number(self.summary, "total_timesteps")
        return None if total is None else int(total)

    @property
    def verdict(self) -> Mapping[str, Any]:
        """The figures of the final evaluation; empty if there was none."""
        found = self.summary.get("evaluation")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one configuration, a seed each."""

    name: str
    """What sets it apart from the other groups; empty if there is no other."""
    runs: Sequence[RunData]

    def curves(self, metric: str) -> list[Curve]:
        """The curve of each run that recorded the metric."""
        return [run.curves[metric] for run in self.runs if metric in run.curves]

    @property
    def of(self) -> str:
        """What ends the title of a figure of this group alone."""
        return f": {self.name}" if self.name else ""


Groups = Sequence[Group]


def members(groups: Groups) -> list[RunData]:
    """The runs of all groups."""
    return [run for group in groups for run in group.runs]


def lone(groups: Groups) -> RunData | None:
    """The run of a page about one run."""
    return groups[0].runs[0] if len(groups) == 1 and len(groups[0].runs) == 1 else None


def number(tree: object, *keys: str) -> float | None:
    """The finite number at a path of a plain tree; None if there is none."""
    value = at(tree, *keys)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if np.isfinite(value) else None


def folder_of(text: str) -> Path:
    """The folder that somebody named. Raises ConfigError where there is none."""
    path = Path(text)
    if path.is_dir():
        return path
    if path.is_file():
        hint = word("path", path.parent)
        raise ConfigError(f"path={text}: is a file; give the folder of a run; try {hint}")
    around = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    near = nearest(path.name, around)
    hint = f"try {word('path', path.parent / near)}" if near else "see reach-rl runs"
    raise ConfigError(f"path={text}: no such folder; {hint}")


def runs_in(folder: Path) -> list[Path]:
    """The run that a folder is, or those below it. Raises ConfigError where there is none."""
    found = find_runs(folder)
    if not found:
        raise ConfigError(f"path={folder}: no run in it; see reach-rl runs")
    return sorted(found, key=lambda run: (str(run.parent), len(run.name), run.name))


def read_run(folder: Path) -> RunData:
    """Read the folder of a run; never fails for what is in it."""
    notes: list[str] = []
    curves, alerts = _metrics(folder / "metrics.jsonl", notes)
    summary = _json(folder / "summary.json", notes)
    videos = [p for p in (folder / "videos").rglob("*") if p.suffix in _VIDEOS and p.is_file()]
    return RunData(
        folder=folder,
        config=redact(_config(folder / "config.yaml", notes)),
        status=read_status(folder),
        summary=summary,
        provenance=redact(_json(folder / "provenance.json", notes)),
        curves=curves,
        alerts=alerts,
        evaluation=_evaluation(folder / result.FILE, bool(summary), notes),
        videos=sorted(videos, key=lambda path: (path.stat().st_mtime, path.name)),
        notes=notes,
    )


def _config(path: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        tree = read_yaml(path)
        return {str(key): value for key, value in tree.items()}
    except FileNotFoundError:
        found = "There is no config.yaml"
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        found = "config.yaml cannot be read"
    notes.append(f"{found}; what was configured is not known.")
    return {}


def _json(path: Path, notes: list[str]) -> Mapping[str, Any]:
    content = read_json(path)
    if not content and path.exists():
        notes.append(f"{path.name} cannot be read.")
    return content


def _metrics(path: Path, notes: list[str]) -> tuple[dict[str, Curve], list[Alert]]:
    if not path.is_file():
        notes.append("There is no metrics.jsonl; there are no curves.")
        return {}, []
    records = list(read_records(path))
    alerts = [
        Alert(record[STEP], str(record["health/alert"]), str(record.get("health/alert_text") or ""))
        for record in records
        if record.get("health/alert")
    ]
    torn = sum(map(bool, map(bytes.strip, path.read_bytes().splitlines()))) - len(records)
    if torn:
        lines = "1 line is" if torn == 1 else f"{torn} lines are"
        notes.append(f"metrics.jsonl: {lines} left out, which cannot be read.")
    return curves_of(records), alerts


def curves_of(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """Metric name -> its curve; of several values at a step the last one holds."""
    series: dict[str, dict[int, float]] = {}
    for record in records:
        for name, value in record.items():
            known = number(record, name)
            if (known is not None or value is None) and name != STEP:
                series.setdefault(name, {})[record[STEP]] = np.nan if known is None else known
    return {name: _curve(points) for name, points in series.items()}


def _curve(points: Mapping[int, float]) -> Curve:
    ordered = sorted(points.items())
    return Curve(*(np.array(column, float) for column in zip(*ordered, strict=True)))


def _evaluation(path: Path, judged: bool, notes: list[str]) -> Evaluation | None:
    shown = "the goals are not shown one by one."
    try:
        return result.load(path)
    except OSError:
        if judged:
            notes.append(f"There is no {path.name}, which newer runs have; {shown}")
    except ValueError:
        notes.append(f"{path.name} cannot be read; {shown}")
    return None


def grouped(runs: Sequence[RunData]) -> list[Group]:
    """The runs by configuration, in order of appearance; each group is named by what differs."""
    groups: dict[tuple[tuple[str, str], ...], list[RunData]] = {}
    for run in runs:
        groups.setdefault(tuple(sorted(_values(run).items())), []).append(run)
    keys = _differing([dict(identity) for identity in groups])
    return [Group(_name(dict(identity), keys), found) for identity, found in groups.items()]


def _values(run: RunData) -> dict[str, str]:
    return {
        key: show(value)
        for key, value in flat(run.config).items()
        if key not in _OWN and not key.startswith(_OWN_GROUPS)
    }


def _differing(groups: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys that tell groups apart: the arm's name, then those of few letters."""
    keys = dict.fromkeys(key for values in groups for key in values)
    found = [key for key in keys if len({values.get(key) for values in groups}) > 1]
    if "robot.name" in found:  # the numbers of an arm follow from its name
        found = ["robot.name", *(key for key in found if not key.startswith("robot."))]
    return sorted(found, key=lambda key: any(len(v.get(key, "")) >= _LONG for v in groups))


def _name(values: Mapping[str, str], keys: Sequence[str]) -> str:
    said = [(key.rpartition(".")[2], values.get(key, "-")) for key in keys[:_MOST_NAMED]]
    parts = [v[:_LONG] if key == "name" else f"{key} {v[:_LONG]}" for key, v in said]
    more = len(keys) - _MOST_NAMED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")
