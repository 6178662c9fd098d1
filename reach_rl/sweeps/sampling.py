"""Samplers, pruners and distributions of Optuna from their configuration."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.trial import FrozenTrial

from reach_rl.config import search
from reach_rl.config.search import Dimension, Search, Value
from reach_rl.sweeps.storage import hushed

if TYPE_CHECKING:
    from optuna.study import Study


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
    key, low, high = dimension.key, dimension.low, dimension.high
    if dimension.kind == "choice":
        return trial.suggest_categorical(key, dimension.choices)
    if dimension.kind == "int":
        step = int(dimension.step or 1)
        return trial.suggest_int(key, int(low), int(high), step=step, log=dimension.log)
    return trial.suggest_float(key, low, high, step=dimension.step, log=dimension.log)


def arguments(part: Any) -> dict[str, Any]:  # noqa: ANN401  a dataclass of config.search
    """The arguments of Optuna's constructor."""
    return {
        field.name: getattr(part, field.name)
        for field in dataclasses.fields(part)
        if field.name != "name"
    }


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
    options = arguments(wanted.sampler)
    seed = options["seed"]
    own = None if seed is None else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    name = wanted.sampler.name
    if name == "grid":
        return GridSampler({d.key: d.values for d in space}, seed=seed)
    if name == "qmc":
        distributions = {d.key: distribution(d) for d in space}
        spare = optuna.samplers.RandomSampler(seed=own)
        more = {"warn_asynchronous_seeding": False, "warn_independent_sampling": False}
        with hushed():
            return Sobol(distributions, **options, independent_sampler=spare, **more)
    options["seed"] = own
    kinds: dict[str, type[BaseSampler]] = {
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
        "cmaes": optuna.samplers.CmaEsSampler,
        "nsgaii": optuna.samplers.NSGAIISampler,
        "random": optuna.samplers.RandomSampler,
    }
    if name in ("gp", "cmaes"):
        spare = optuna.samplers.RandomSampler(seed=own)
        options |= {"independent_sampler": spare, "warn_independent_sampling": False}
    with hushed():
        return kinds[name](**options)


def pruner(wanted: Any) -> optuna.pruners.BasePruner:  # noqa: ANN401  a Pruner of config.search
    """The pruner of a search."""
    options = arguments(wanted)
    if isinstance(wanted, search.Hyperband) and wanted.max_resource is None:
        options["max_resource"] = "auto"
    kinds: dict[str, type[optuna.pruners.BasePruner]] = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "percentile": optuna.pruners.PercentilePruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "wilcoxon": optuna.pruners.WilcoxonPruner,
    }
    with hushed():
        return kinds[wanted.name](**options)


def points(space: Sequence[Dimension]) -> int:
    """How many combinations a space without plain ranges has."""
    return int(np.prod([len(dimension.values) for dimension in space], dtype=object))
