"""A run's folder as a report sees it: whatever is there, whatever state it is in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reach_rl.config.redact import redact
from reach_rl.evaluation import result
from reach_rl.evaluation.result import Evaluation
from reach_rl.mdp.arrays import Array
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.status import read_status

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VIDEOS = (".mp4", ".webm")


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric: (k,) environment steps and (k,) values, NaN where there was none."""

    steps: Array
    values: Array

    @property
    def last(self) -> float | None:
        """The newest finite value."""
        finite = self.values[np.isfinite(self.values)]
        return float(finite[-1]) if finite.size else None


@dataclass(frozen=True, slots=True)
class Alert:
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
        """What became of the run, one of config.status.STATES, died, or unknown."""
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
        if newest:
            return int(max(newest))
        total = number(self.summary, "total_timesteps")
        return None if total is None else int(total)

    @property
    def verdict(self) -> Mapping[str, Any]:
        """The figures of the final evaluation; empty if there was none."""
        found = self.summary.get("evaluation")
        return found if isinstance(found, Mapping) else {}


def at(tree: object, *keys: str) -> Any:  # noqa: ANN401  whatever is there
    """What is at a path of a plain tree; None if there is nothing."""
    for key in keys:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def number(tree: object, *keys: str) -> float | None:
    """The finite number at a path of a plain tree; None if there is none."""
    return finite(at(tree, *keys))


def finite(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if np.isfinite(value) else None


def read_run(folder: Path) -> RunData:
    """Read the folder of a run; never fails for what is in it."""
    notes: list[str] = []
    curves, alerts = _metrics(folder / "metrics.jsonl", notes)
    summary = _json(folder / "summary.json", notes)
    return RunData(
        folder=folder,
        config=redact(_config(folder / "config.yaml", notes)),
        status=read_status(folder),
        summary=summary,
        provenance=redact(_json(folder / "provenance.json", notes)),
        curves=curves,
        alerts=alerts,
        evaluation=_evaluation(folder / result.FILE, bool(summary), notes),
        videos=_videos(folder / "videos"),
        notes=notes,
    )


def _config(path: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError:
        notes.append("There is no config.yaml; what was configured is not known.")
        return {}
    except (OSError, ValueError, yaml.YAMLError):
        tree = None
    if isinstance(tree, Mapping):
        return {str(key): value for key, value in tree.items()}
    notes.append("config.yaml cannot be read; what was configured is not known.")
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
    series: dict[str, list[tuple[int, float]]] = {}
    alerts: list[Alert] = []
    torn = 0
    try:
        records = list(_records(path))
    except OSError as error:
        notes.append(f"metrics.jsonl cannot be read ({error.strerror}); there are no curves.")
        return {}, []
    for record in records:
        step = finite(record.get("global_step")) if record is not None else None
        if record is None or step is None:
            torn += 1
            continue
        if record.get("health/alert"):
            title, text = str(record["health/alert"]), str(record.get("health/alert_text") or "")
            alerts.append(Alert(int(step), title, text))
        for name, value in record.items():
            point = float("nan") if value is None else finite(value)
            if point is not None and name not in ("global_step", "health/alert_text"):
                series.setdefault(name, []).append((int(step), point))
    if torn:
        lines = "1 line is" if torn == 1 else f"{torn} lines are"
        notes.append(f"metrics.jsonl: {lines} left out, which cannot be read.")
    return {name: _curve(points) for name, points in series.items()}, alerts


def _records(path: Path) -> Iterator[Mapping[str, Any] | None]:
    """The records of a file; None for a line that is none."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            yield record if isinstance(record, Mapping) else None


def _curve(points: list[tuple[int, float]]) -> Curve:
    """In order of steps, the newest value where a step appears twice."""
    steps, values = (np.array(column, float) for column in zip(*dict(points).items(), strict=True))
    order = np.argsort(steps, kind="stable")
    return Curve(steps[order], values[order])


def _evaluation(path: Path, judged: bool, notes: list[str]) -> Evaluation | None:
    try:
        return result.load(path)
    except OSError:
        if judged:
            notes.append(
                f"There is no {path.name}, which newer runs have; the goals are not shown one by "
                "one."
            )
    except ValueError:
        notes.append(f"{path.name} cannot be read; the goals are not shown one by one.")
    return None


def _videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.rglob("*") if path.suffix in _VIDEOS and path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))
