"""The best trial of a study, trained again with seeds that the search never saw, and kept.

    best trial -> fresh seeds -> runs in <sweep>/confirm/trial_<n>/seed_<s>
               -> mean and interval of what was searched and of the success rate
               -> winner.json in the sweep's folder, tuned_<study>.yaml for experiment=

Both are made anew when the study goes on to a better trial; runs that are complete stay.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from reach_rl import __version__
from reach_rl.config.search import Search
from reach_rl.evaluation.statistics import mean_interval
from reach_rl.rundir.atomic import read_json, write_json
from reach_rl.rundir.provenance import git_state
from reach_rl.rundir.status import now
from reach_rl.sweeps import preset, results
from reach_rl.sweeps.fresh import CONFIRM
from reach_rl.sweeps.ledger import ENV_STEPS, OVERRIDES, SEEDS
from reach_rl.sweeps.objective import combined, figure

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_RATE = "evaluation.success_rate"
FIRST_SEED = 1000
"""Of the fresh seeds; those that trials used are left out."""

Launch = Callable[[Sequence[Sequence[str]]], object]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its 95 % interval; the interval is None with fewer than two seeds."""

    values: list[float]
    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float], lowest: float | None = None) -> "Estimate":
        """The estimate from one value per seed; `lowest` and 1 bound that of a share."""
        mean, low, high = mean_interval(values)
        if lowest is not None:
            low, high = max(low, lowest), min(high, 1.0)
        return cls(list(values), mean, (low, high) if len(values) > 1 else None)

    def words(self) -> str:
        """`0.871, 95 % interval 0.862 to 0.880, 3 seeds`."""
        text = f"{self.mean:.4g}"
        if self.interval is not None:
            text += f", 95 % interval {self.interval[0]:.4g} to {self.interval[1]:.4g}"
        return f"{text}, {len(self.values)} seed{'s' * (len(self.values) != 1)}"

    def tree(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"mean": self.mean, "interval95": self.interval, "values": self.values}


@dataclass(frozen=True, slots=True)
class Winner:
    """The best trial and what its fresh seeds gave; no estimates where none were asked for."""

    trial: "FrozenTrial"
    seeds: list[int]
    estimates: dict[str, Estimate]
    """Objective, and `success rate` -> estimate."""


def confirm(study: "Study", folder: Path, search: Search, launch: Launch) -> Winner | None:
    """The best trial with what fresh seeds give.

    Args:
        study: that is done.
        folder: of the sweep.
        search: `hydra.sweeper`; its confirm_seeds says how many fresh seeds, 0 trusts the search.
        launch: runs jobs, each given by its overrides, and returns when all have ended.

    Returns:
        None if no trial is complete, or a run of a fresh seed did not end well.
    """
    best = results.best(study)
    if best is None:
        return None
    seeds = fresh_seeds(study, search.confirm_seeds)
    runs = {
        seed: {each: _place(folder, best.number, seed, each) for each in search.each or [""]}
        for seed in seeds
    }
    jobs = [
        [
            *(*_overrides(best), *([each] if each else [])),
            *(f"seed={seed}", f"hydra.sweep.subdir={place.relative_to(folder)}"),
        ]
        for seed, places in runs.items()
        for each, place in places.items()
        if not _summary(place)
    ]
    if jobs:
        launch(jobs)
    per_seed = [[_summary(place) for place in places.values()] for places in runs.values()]
    if not all(map(all, per_seed)):
        return None
    return Winner(best, seeds, _estimates(search, per_seed) if per_seed else {})


def keep(
    study: "Study", folder: Path, search: Search, winner: Winner, config_dir: Path | None = None
) -> Path:
    """Write winner.json and the preset; returns the latter's path.

    Args:
        study: that is done.
        folder: of the sweep.
        search: `hydra.sweeper`; its preset_dir says where the preset goes.
        winner: its best trial.
        config_dir: the user's folder of groups, if the sweep had one.
    """
    write_json(folder / "winner.json", _tree(study, winner))
    given = search.preset_dir
    into = Path(given) / "experiment" if given else preset.default_folder(folder, config_dir)
    overrides, about = _overrides(winner.trial), facts(study, winner, folder)
    searched = tuple(winner.trial.params)
    return preset.write(study.study_name, overrides, about, into, config_dir, searched)


def _place(folder: Path, number: int, seed: int, each: str) -> Path:
    name = f"seed_{seed}" + (f"_{re.sub(r'[^A-Za-z0-9.-]+', '_', each)}" if each else "")
    return folder / CONFIRM / f"trial_{number}" / name


def _estimates(
    search: Search, per_seed: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, Estimate]:
    """Each objective and the success rate over seeds; the runs of a seed count together."""
    values = [
        combined(search, [[figure(run, name) for name in search.objective] for run in runs])
        for runs in per_seed
    ]
    columns = zip(*values, strict=True)
    named = zip(search.objective, columns, strict=True)
    found = {name: Estimate.of(column) for name, column in named}
    together = min if search.combine == "worst" else fmean
    rates = [together([figure(run, _RATE) for run in runs]) for runs in per_seed]
    return found | {"success rate": Estimate.of(rates, lowest=0.0)}


def fresh_seeds(study: "Study", count: int) -> list[int]:
    """Seeds from FIRST_SEED on that no trial of the study used."""
    used = {seed for trial in results.trials(study) for seed in trial.user_attrs.get(SEEDS) or []}
    free = (seed for seed in range(FIRST_SEED, FIRST_SEED + len(used) + count))
    return [seed for seed in free if seed not in used][:count]


def _overrides(trial: "FrozenTrial") -> list[str]:
    return list(trial.user_attrs.get(OVERRIDES) or ())


def _summary(place: Path) -> dict[str, Any]:
    summary = read_json(place / "summary.json")
    return summary if "evaluation" in summary else {}


def facts(study: "Study", winner: Winner, folder: Path) -> dict[str, str]:
    """Where a preset comes from, as lines of its head."""
    trial, attrs = winner.trial, study.user_attrs
    names = [objective.name for objective in results.objectives(study)]
    found = zip(names, trial.values, strict=True)
    git = git_state() or {}
    steps = trial.user_attrs.get(ENV_STEPS)
    lines = {
        "study": f"{study.study_name} in {_shown(folder)}",
        "trial": f"{trial.number} of {len(results.trials(study))}",
        "environment steps": f"{steps:,}" if steps else "",
        "in the search": ", ".join(f"{name} {value:.4g}" for name, value in found),
        **{f"{name} on fresh seeds": e.words() for name, e in winner.estimates.items()},
        "fresh seeds": ", ".join(map(str, winner.seeds)) or "none were asked for",
        "command": str(attrs.get("command", "")),
        "version": f"reach_rl {__version__} {str(git.get('commit') or '')[:12]}",
        "written": now(),
    }
    if len(names) > 1:
        others = ", ".join(str(other.number) for other in results.front(study))
        lines["trial"] += f", of the Pareto front ({others}) the best in {names[0]}"
    return {key: text for key, text in lines.items() if text}


def _tree(study: "Study", winner: Winner) -> dict[str, Any]:
    return {
        "study": study.study_name,
        "trial": winner.trial.number,
        "params": winner.trial.params,
        "overrides": _overrides(winner.trial),
        "values": winner.trial.values,
        "front": [trial.number for trial in results.front(study)],
        "seeds": winner.seeds,
        "fresh": {name: estimate.tree() for name, estimate in winner.estimates.items()},
        "written": now(),
    }


def _shown(folder: Path) -> str:
    """A folder as typed from here, or its name alone where that would tell whose it is."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else folder.name
