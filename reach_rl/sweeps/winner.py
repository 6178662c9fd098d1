"""The best trial of a study, trained again with seeds that the search never saw, and kept.

    best trial -> fresh seeds -> runs in <sweep>/confirm/trial_<n>/seed_<s>
               -> mean and interval of what was searched and of the success rate
               -> winner.json in the sweep's folder, tuned_<study>.yaml for experiment=

Both are made anew when the study goes on to a better trial; runs that are complete stay.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from reach_rl.config.load import CALL
from reach_rl.config.search import Search
from reach_rl.evaluation.statistics import mean_interval
from reach_rl.rundir.atomic import read_json, write_json
from reach_rl.rundir.provenance import git_state
from reach_rl.rundir.status import now
from reach_rl.sweeps import preset, results
from reach_rl.sweeps.launchers import Jobs
from reach_rl.sweeps.ledger import OVERRIDES, SEEDS
from reach_rl.sweeps.results import combined, figure
from reach_rl.sweeps.storage import locked
from reach_rl.sweeps.trial import CONFIRM
from reach_rl.version import __version__

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_RATE = "evaluation.success_rate"
FIRST_SEED = 1000
"""Of the fresh seeds; those that trials used are left out."""

Launch = Callable[[Jobs], int]
"""Runs jobs until all have ended; the exit code of a stop meanwhile, otherwise 0."""


Estimate = Mapping[str, Any]
"""The `mean` of `values`, one per seed, and its `interval95`, None with fewer than two seeds."""


def estimate(values: Sequence[float], share: bool = False) -> Estimate:
    """From one value per seed; the interval of a share ends at 0 and 1."""
    mean, low, high = mean_interval(values)
    interval = (max(low, 0.0), min(high, 1.0)) if share else (low, high)
    known = interval if len(values) > 1 else None
    return {"mean": mean, "interval95": known, "values": list(values)}


def words(found: Estimate) -> str:
    """`0.871, 95 % interval 0.862 to 0.880, 3 seeds`."""
    interval, count = found["interval95"], len(found["values"])
    between = f", 95 % interval {interval[0]:.4g} to {interval[1]:.4g}" if interval else ""
    return f"{found['mean']:.4g}{between}, {count} seed{'s' * (count != 1)}"


@dataclass(frozen=True, slots=True)
class Winner:
    """The best trial and what its fresh seeds gave; no estimates where none were asked for."""

    trial: "FrozenTrial"
    seeds: list[int]
    estimates: dict[str, Estimate]
    """Objective, and `success rate` -> estimate."""


def finish(study: "Study", folder: Path, search: Search, launch: Launch) -> int:
    """Confirm the best trial of a sweep that has its trials, keep it, and say so.

    Of several processes that share a study, the one whose trial ends last does this.

    Args:
        study: that has its trials.
        folder: of the sweep.
        search: `hydra.sweeper`.
        launch: has runs made.

    Returns:
        The exit code of a stop meanwhile, otherwise 0.
    """
    with locked(folder / "confirm.lock", wait=False) as alone:
        if not alone or results.trials(study, "RUNNING"):
            return 0
        codes: list[int] = []
        found = confirm(study, folder, search, lambda jobs: codes.append(launch(jobs)))
        if found is None:
            _say_why(study, folder, stopped=any(codes))
            return sum(codes)
        path = keep(study, folder, search, found, next(iter(CALL.get().folders), None))
    print(f"best: trial {found.trial.number}, {_values(study, found.trial)}")
    for name, fresh in found.estimates.items():
        print(f"on fresh seeds: {name} {words(fresh)}")
    print(f"train with it: {preset.command(path)}", flush=True)
    return 0


def _say_why(study: "Study", folder: Path, stopped: bool) -> None:
    """There is no winner, and this is why."""
    best = results.best(study)
    if stopped:
        print(f"stopped; the same command goes on with {folder}", flush=True)
    elif best is None:
        print(f"no trial is complete; see {folder / 'results.csv'}", flush=True)
    else:
        place = folder / CONFIRM / f"trial_{best.number}"
        print(
            f"warning: trial {best.number} is the best, but not every run with a fresh seed ended "
            f"well; no preset was written, see {place}",
            file=sys.stderr,
        )


def confirm(
    study: "Study", folder: Path, search: Search, launch: Callable[[Jobs], object]
) -> Winner | None:
    """The best trial with what fresh seeds give.

    Args:
        study: that is done.
        folder: of the sweep.
        search: `hydra.sweeper`; its confirm_seeds says how many fresh seeds, 0 trusts the search.
        launch: has the runs made that are missing.

    Returns:
        None if no trial is complete, or a run of a fresh seed did not end well.
    """
    best = results.best(study)
    if best is None:
        return None
    seeds = fresh_seeds(study, search.confirm_seeds)
    jobs, runs = [], []
    for seed in seeds:
        runs.append([_place(folder, best.number, seed, each) for each in search.each or [""]])
        for each, place in zip(search.each or [""], runs[-1], strict=True):
            if not _summary(place):
                subdir = f"hydra.sweep.subdir={place.relative_to(folder)}"
                variant = [each] if each else []
                jobs.append((place, [*_overrides(best), *variant, f"seed={seed}", subdir]))
    if jobs:
        count = f"{len(jobs)} run{'s' * (len(jobs) != 1)}"
        print(f"training the best trial again with fresh seeds: {count}", flush=True)
        launch(jobs)
    per_seed = [[_summary(place) for place in places] for places in runs]
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
    trial = winner.trial
    tree = {
        "study": study.study_name,
        "trial": trial.number,
        "params": trial.params,
        "overrides": _overrides(trial),
        "values": trial.values,
        "front": [other.number for other in results.front(study)],
        "seeds": winner.seeds,
        "fresh": winner.estimates,
        "written": now(),
    }
    write_json(folder / "winner.json", tree)
    given = search.preset_dir
    into = Path(given) / "experiment" if given else preset.default_folder(folder, config_dir)
    about, searched = _facts(study, winner, folder), tuple(trial.params)
    return preset.write(study.study_name, _overrides(trial), about, into, config_dir, searched)


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
    found = zip(search.objective, map(estimate, zip(*values, strict=True)), strict=True)
    together = min if search.combine == "worst" else fmean
    rates = [together([figure(run, _RATE) for run in runs]) for runs in per_seed]
    return {**dict(found), "success rate": estimate(rates, share=True)}


def fresh_seeds(study: "Study", count: int) -> list[int]:
    """Seeds from FIRST_SEED on that no trial of the study used."""
    used = {seed for trial in results.trials(study) for seed in trial.user_attrs.get(SEEDS) or []}
    free = (seed for seed in range(FIRST_SEED, FIRST_SEED + len(used) + count))
    return [seed for seed in free if seed not in used][:count]


def _overrides(trial: "FrozenTrial") -> list[str]:
    return list(trial.user_attrs.get(OVERRIDES) or ())


def _values(study: "Study", trial: "FrozenTrial") -> str:
    named = zip(results.objectives(study), trial.values, strict=True)
    return ", ".join(f"{objective.name} {value:.4g}" for objective, value in named)


def _summary(place: Path) -> dict[str, Any]:
    summary = read_json(place / "summary.json")
    return summary if "evaluation" in summary else {}


def _facts(study: "Study", winner: Winner, folder: Path) -> dict[str, str]:
    """Where a preset comes from, as lines of its head."""
    trial, git, here = winner.trial, git_state() or {}, Path.cwd()
    # as typed from here, or the name alone where the path would tell whose it is
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder.name
    lines = {
        "study": f"{study.study_name} in {shown}",
        "trial": f"{trial.number} of {len(results.trials(study))}",
        "in the search": _values(study, trial),
        **{f"{name} on fresh seeds": words(e) for name, e in winner.estimates.items()},
        "fresh seeds": ", ".join(map(str, winner.seeds)) or "none were asked for",
        "command": str(study.user_attrs.get("command", "")),
        "version": f"reach_rl {__version__} {str(git.get('commit') or '')[:12]}",
        "written": now(),
    }
    first, *others = results.objectives(study)
    if others:
        front = ", ".join(str(other.number) for other in results.front(study))
        lines["trial"] += f", of the Pareto front ({front}) the best in {first.name}"
    return {key: text for key, text in lines.items() if text}
