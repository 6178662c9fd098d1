"""What trials are worth and what a study found, as plain data: results.csv, results.json.

Everything here only reads a study. `find(folder)` opens the study of a sweep; `header`, `rows`,
`importance` and `front` give numbers, texts, lists and dictionaries that JSON can hold.
"""

import csv
import io
import math
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import optuna
import yaml

from reach_rl.config.problems import ConfigError, command, listing
from reach_rl.config.search import SCORE, Search
from reach_rl.config.sheets import at
from reach_rl.config.untrusted import HIDDEN
from reach_rl.rundir.atomic import write_atomic, write_json
from reach_rl.sweeps.ledger import ENV_STEPS, FOLDER, REASON, SEED_VALUES, SEEDS
from reach_rl.sweeps.storage import JOURNAL, open_storage, open_study, url_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_MOST = 10.0
_SHARE = 0.05

COLUMNS = ("number", "state", "seconds", "env_steps", "reason", "folder")
"""Of results.csv, around one column per objective and one per searched key."""


def figure(summary: Mapping[str, Any], name: str) -> float:
    """A key of summary.json, or its score.

    Raises:
        ValueError: it has no such figure, or the figure is no number.
    """
    if name == SCORE:
        return score(summary)
    value = at(summary, *name.split("."))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} of summary.json is {value!r}, not a number")
    return float(value)


def score(summary: Mapping[str, Any]) -> float:
    """Success rate, less a twentieth of the median errors in units of their thresholds.

    Each error counts for ten thresholds at most, so that policies that never succeed differ too.
    """
    limits = summary["evaluation"]["thresholds"]
    position = figure(summary, "evaluation.position_error_mm.median") / 1e3 / limits["position_m"]
    degrees = figure(summary, "evaluation.orientation_error_deg.median")
    angle = math.radians(degrees) / limits["orientation_rad"]
    success = figure(summary, "evaluation.success_rate")
    return success - _SHARE * (min(position, _MOST) + min(angle, _MOST))


def combined(search: Search, values: Sequence[Sequence[float]]) -> list[float]:
    """The value of each objective from those of the runs of a trial.

    Args:
        search: says how, and in which direction each objective goes.
        values: per run, one for each objective.
    """
    columns = zip(*values, strict=True)
    worst = {"maximize": min, "minimize": max} if search.combine == "worst" else {}
    pairs = zip(columns, search.directions, strict=True)
    return [worst.get(direction, fmean)(column) for column, direction in pairs]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a study makes large or small."""

    name: str
    maximise: bool


def objectives(study: "Study") -> list[Objective]:
    """The objectives of a study, in the order of its values."""
    count = len(study.directions)
    names = study.metric_names or [f"value {n}" if count > 1 else "value" for n in range(count)]
    pairs = zip(names, study.directions, strict=True)
    return [Objective(name, direction.name == "MAXIMIZE") for name, direction in pairs]


def trials(study: "Study", *states: str) -> "list[FrozenTrial]":
    """The trials in these states (all without one), by number; not to be changed."""
    found = study.get_trials(deepcopy=False)
    return [trial for trial in found if not states or trial.state.name in states]


def state(trial: "FrozenTrial") -> str:
    """The state in words: waiting, running, complete, pruned or failed."""
    return trial.state.name.lower() + "ed" * (trial.state.name == "FAIL")


def best(study: "Study") -> "FrozenTrial | None":
    """The complete trial with the best value, of several objectives the first; None without.

    With several objectives it is the one of the Pareto front that is best in the first.
    """
    candidates = front(study) if len(study.directions) > 1 else trials(study, "COMPLETE")
    found = [trial for trial in candidates if math.isfinite(trial.values[0])]
    pick = max if objectives(study)[0].maximise else min
    return pick(found, key=lambda trial: trial.values[0], default=None)


def front(study: "Study") -> "list[FrozenTrial]":
    """The complete trials that no other beats in every objective, best in the first one first."""
    if len(study.directions) == 1:
        return [trial for trial in [best(study)] if trial is not None]
    first = objectives(study)[0]
    return sorted(study.best_trials, key=lambda trial: trial.values[0], reverse=first.maximise)


def rows(study: "Study") -> list[dict[str, Any]]:
    """One dictionary per trial: number, state, values, params, seconds and what else is known."""
    names = [objective.name for objective in objectives(study)]
    return [_row(trial, names) for trial in trials(study)]


def _row(trial: "FrozenTrial", names: Sequence[str]) -> dict[str, Any]:
    values = [v if math.isfinite(v) else None for v in trial.values or [math.nan] * len(names)]
    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "state": state(trial),
        "values": dict(zip(names, values, strict=True)),
        "params": dict(trial.params),
        "seconds": seconds(trial),
        "env_steps": attrs.get(ENV_STEPS),
        "reports": len(trial.intermediate_values),
        "reason": attrs.get(REASON, ""),
        "folder": attrs.get(FOLDER, ""),
        "seeds": attrs.get(SEEDS),
        "seed_values": attrs.get(SEED_VALUES),
    }


def seconds(trial: "FrozenTrial") -> float | None:
    """How long a trial took, or has been running; None before it began."""
    begin = trial.datetime_start
    if begin is None:
        return None
    end = trial.datetime_complete or datetime.now(begin.tzinfo)
    return round((end - begin).total_seconds(), 3)


def header(study: "Study") -> dict[str, Any]:
    """What stands above the trials: study, objectives, counts, best, front, importances."""
    known, winner, attrs = rows(study), best(study), study.user_attrs
    return {
        "study": study.study_name,
        "objectives": {o.name: "maximise" if o.maximise else "minimise" for o in objectives(study)},
        "trials": dict(Counter(row["state"] for row in known)),
        "best": None if winner is None else known[winner.number],
        "front": [trial.number for trial in front(study)] if len(study.directions) > 1 else None,
        "importance": importance(study),
        "env_steps": sum(row["env_steps"] or 0 for row in known),
        "seconds": sum(row["seconds"] or 0.0 for row in known),
        **{key: attrs[key] for key in ("command", "overrides", "space", "version") if key in attrs},
    }


def searched(study: "Study") -> list[str]:
    """The searched keys, in the order in which trials have them."""
    return list(dict.fromkeys(name for trial in trials(study) for name in trial.params))


def importance(study: "Study") -> dict[str, dict[str, float]]:
    """Objective -> key -> its share of what made the value (PED-ANOVA); largest first.

    What sets the best five trials apart, or the best tenth. Empty while fewer than four values
    differ.
    """
    return {o.name: _importance(study, i) for i, o in enumerate(objectives(study))}


def _importance(study: "Study", index: int) -> dict[str, float]:
    keys, done = searched(study), trials(study, "COMPLETE")
    if len({t.values[index] for t in done if math.isfinite(t.values[index])}) < 4:
        return {}
    if len(keys) == 1:
        return {keys[0]: 1.0}
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it looks at the smallest, which is meant
        return get_param_importances(study, **importance_arguments(study, index))


def importance_arguments(study: "Study", index: int) -> dict[str, Any]:
    """How Optuna is to measure what made an objective: its `evaluator` and `target`."""
    from optuna.importance import PedAnovaImportanceEvaluator

    share = min(max(5 / max(1, len(trials(study, "COMPLETE"))), 0.1), 0.5)
    sign = -1.0 if objectives(study)[index].maximise else 1.0  # it looks at the smallest values
    return {
        "evaluator": PedAnovaImportanceEvaluator(target_quantile=share),
        "target": lambda trial: sign * trial.values[index],
    }


def write(study: "Study", folder: Path) -> None:
    """Write results.csv and results.json into the sweep's folder."""
    write_json(folder / "results.json", header(study) | {"results": rows(study)})
    write_atomic(folder / "results.csv", as_csv(study))


def as_csv(study: "Study") -> str:
    """One line per trial under a line of column names."""
    names, text = [*(o.name for o in objectives(study)), *searched(study)], io.StringIO()
    columns = [*COLUMNS[:2], *names, *COLUMNS[2:]]
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows({**row, **row["values"], **row["params"]} for row in rows(study))
    return text.getvalue()


def is_search(folder: Path) -> bool:
    """Whether a folder is that of a search, not of plain runs."""
    return (folder / JOURNAL).is_file() or _settings(folder).get("storage") is not None


def find(folder: Path, storage: str | None = None) -> "Study":
    """The study of a sweep's folder.

    Args:
        folder: of the sweep.
        storage: its URL, where the folder does not say it or hides its password; None: the
            folder's study.journal, or what multirun.yaml says.

    Raises:
        ConfigError: it is no folder of a search, or its storage cannot be reached.
    """
    settings, journal = _settings(folder), (folder / JOURNAL).is_file()
    given = storage or (None if journal else settings.get("storage"))
    if given is None and not journal:
        raise ConfigError(f"{folder}: not the folder of a search (no {JOURNAL} in it)")
    if given is not None and HIDDEN in given:
        raise ConfigError(
            f"{folder}: the password of its storage was not kept; try "
            + command("sweeps.results", folder, given.replace(HIDDEN, "USER:PASSWORD"))
        )
    url = url_of(given, folder)
    names = optuna.get_all_study_names(open_storage(url))
    name = settings.get("study_name") or (names[0] if len(names) == 1 else "of its own")
    if name not in names:
        there = listing(names) if names else "none yet"
        raise ConfigError(f"{folder}: its storage has no study {name}; it has {there}")
    return open_study(url, name)


def _settings(folder: Path) -> dict[str, Any]:
    """`hydra.sweeper` as the sweep left it in its folder."""
    try:
        tree = yaml.safe_load((folder / "multirun.yaml").read_text(encoding="utf-8"))
        return dict(tree["hydra"]["sweeper"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m reach_rl.sweeps.results DIR [STORAGE]`: write the results of a sweep anew."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not 1 <= len(words) <= 2 or {"-h", "--help"} & set(words):
        print("usage: python -m reach_rl.sweeps.results SWEEP_DIR [STORAGE]", file=sys.stderr)
        return 2
    folder = Path(words[0])
    try:
        study = find(folder, *words[1:])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write(study, folder)
    print(f"{len(trials(study))} trials in {folder / 'results.csv'} and {folder / 'results.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
