"""What a command searches and the study of it, new or to go on with; how trials are drawn."""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler
from optuna.trial import FrozenTrial

from reach_rl.config.load import compose
from reach_rl.config.multirun import space as dimensions
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.search import Dimension, Search, Value
from reach_rl.config.untrusted import redact
from reach_rl.config.verbs import VERBS
from reach_rl.sweeps.preset import HARMLESS
from reach_rl.sweeps.storage import hushed, locked, make_study, url_of
from reach_rl.version import __version__

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from optuna.study import Study

_SAMPLERS = {"tpe": "TPE", "gp": "GP", "cmaes": "CmaEs", "nsgaii": "NSGAII", "random": "Random"}


@dataclasses.dataclass(frozen=True, slots=True)
class SearchSpace:
    """What is the same for every trial, and what Optuna chooses."""

    fixed: list[str]
    """Overrides."""
    searched: list[Dimension]
    texts: dict[str, str]
    """Searched key -> its range as it was given."""


def search_space(context: "HydraContext", search: Search, arguments: Sequence[str]) -> SearchSpace:
    """What the command line and the sweep's file fix, and what they let Optuna choose.

    Raises:
        ConfigError: a range is none.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=context.config_loader)
    lines = [f"{key}={value}" for key, value in search.params.items()]
    parsed = parser.parse_overrides([*lines, *arguments])
    last = {override.key_or_group: override for override in parsed}  # the command line's wins
    swept = [override for override in last.values() if override.is_sweep_override()]
    fixed = [
        f"{override.get_key_element()}={override.get_value_element_as_str()}"
        if not override.is_delete()
        else str(override.input_line)
        for override in last.values()
        if not override.is_sweep_override()
    ]
    searched, problems = dimensions(VERBS["train"], swept)
    if problems:
        raise ConfigError(problems)
    texts = {o.key_or_group: str(o.input_line).partition("=")[2] for o in swept}
    return SearchSpace(fixed, searched, texts)


def begin(search: Search, space: SearchSpace, folder: Path) -> "Study":
    """The study, new or to go on with.

    Raises:
        ConfigError: the storage cannot be used, or the study searches something else.
    """
    about = {
        "space": space.texts,
        "overrides": sorted(space.fixed),
        "objective": search.objective,
        "seeds": search.seeds,
        "each": search.each,
        "combine": search.combine,
        "command": redact(shlex.join(["python", "-m", *sys.argv])),
        "version": __version__,
    }
    url = url_of(search.storage, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "claim.lock"):
        study = make_study(url, search.study_name, search.directions, search.objective, about)
        _refuse_another(study, search, about, folder)
    study.pruner = pruner(search.pruner)
    return study


def _refuse_another(study: "Study", search: Search, about: Mapping[str, Any], folder: Path) -> None:
    """Refuse a study that searches something else, and folders of another one."""
    name = search.study_name
    other = f"for a new one add hydra.sweeper.study_name={name}_2"
    directions = ",".join(direction.name.lower() for direction in study.directions)
    known = _telling({**study.user_attrs, "direction": directions})
    given = _telling({**about, "direction": ",".join(search.directions)})
    differences = [f"with {text}" for text in known if text not in given]
    differences += [f"without {text}" for text in given if text not in known]
    if differences:
        begun = f"that study was begun {differences[0]}"
        raise ConfigError(f"hydra.sweeper.study_name={name}: {begun}; {other}")
    old = any(path.name.isdecimal() for path in folder.iterdir())
    if old and not study.get_trials(deepcopy=False):
        raise ConfigError(f"hydra.sweep.dir={folder}: holds runs of another sweep; {other}")


def _telling(about: Mapping[str, Any]) -> list[str]:
    """What makes a difference to what a trial is worth: ranges, overrides, how it is judged."""
    harmless = tuple(f"{key}{end}" for key in HARMLESS for end in "=.")
    fixed = [t for t in about.get("overrides", ()) if not t.lstrip("+~").startswith(harmless)]
    judged = ("objective", "direction", "seeds", "each", "combine")
    ranges = sorted(f"{key}={text}" for key, text in about.get("space", {}).items())
    return [*ranges, *fixed, *(f"{key}={show(about.get(key))}" for key in judged)]


def unpruned(search: Search, space: SearchSpace) -> str:
    """A note where a pruner has nothing to look at, otherwise nothing."""
    config = compose(space.fixed) if search.prunes else None
    if config is None or 0 < config.evaluation.every < config.total_timesteps:
        return ""
    told = f"evaluation.every={config.evaluation.every} looks at no trial before its end"
    better = max(1, config.total_timesteps // 5)
    return f"note: {told}, so none is pruned; try evaluation.every={better}"


def distribution(dimension: Dimension) -> BaseDistribution:
    """The distribution of Optuna for a searched key."""
    if dimension.kind == "choice":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, step)
    return FloatDistribution(dimension.low, dimension.high, dimension.log, dimension.step)


def suggest(trial: optuna.Trial, dimension: Dimension) -> Value:
    """Draw the value of a searched key."""
    return trial._suggest(dimension.key, distribution(dimension))  # what all of suggest_* end in


class Sobol(QMCSampler):
    """QMC that knows its space from the start instead of from the first finished trial.

    So each number of a study has the same point, whatever else is running.
    """

    def __init__(self, space: dict[str, BaseDistribution], **options: Any) -> None:  # noqa: ANN401
        """Cover the numbers of a space; choices are drawn independently."""
        super().__init__(**options)
        self._space = {k: v for k, v in space.items() if not isinstance(v, CategoricalDistribution)}

    def infer_relative_search_space(
        self, study: "Study", trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space that it was made for."""
        return self._space


def sampler(wanted: Search, space: Sequence[Dimension], number: int) -> BaseSampler:
    """The sampler that draws the trial of a number.

    It gets its own random numbers from the configured seed and the trial's number, so that a study
    that goes on, in this process or another, draws what it would have drawn without a break, and
    nothing twice.
    """
    options, name = _arguments(wanted.sampler), wanted.sampler.name
    seed = options["seed"]
    own = None if seed is None else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "grid":
        return GridSampler({d.key: d.values for d in space}, seed=seed)
    if name in ("qmc", "gp", "cmaes"):
        options["independent_sampler"] = RandomSampler(seed=own)
        options["warn_independent_sampling"] = False
    with hushed():
        if name == "qmc":
            points = {d.key: distribution(d) for d in space}
            return Sobol(points, **options, warn_asynchronous_seeding=False)
        return getattr(optuna.samplers, f"{_SAMPLERS[name]}Sampler")(**options | {"seed": own})


def pruner(wanted: Any) -> optuna.pruners.BasePruner:  # noqa: ANN401  a Pruner of config.search
    """The pruner of a search."""
    options = _arguments(wanted)
    if wanted.name == "hyperband" and wanted.max_resource is None:
        options["max_resource"] = "auto"
    kind = "Nop" if wanted.name == "none" else wanted.name.capitalize()
    with hushed():
        return getattr(optuna.pruners, f"{kind}Pruner")(**options)


def _arguments(part: Any) -> dict[str, Any]:  # noqa: ANN401  a dataclass of config.search
    """The arguments of Optuna's constructor."""
    return {key: value for key, value in dataclasses.asdict(part).items() if key != "name"}
