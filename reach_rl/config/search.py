"""The keys of a search (`hydra.sweeper.*` with hydra/sweeper=optuna), typed and checked.

Closed lists stand here because this room imports no Optuna; a test holds them to Optuna's own
arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reach_rl.config.convert import Converter
from reach_rl.config.keys import hints
from reach_rl.config.kinds import rule
from reach_rl.config.problems import NOTHING, ConfigError, Problem, listing, nearest

PATH = "hydra.sweeper"
OPTUNA = "optuna"
SCORE = "score"
DIRECTIONS = ("maximize", "minimize")
COMBINE = ("mean", "worst")
SCHEMES = ("sqlite", "postgresql", "mysql", "grpc")
QMC_TYPES = ("sobol", "halton")
_EVALUATION = (
    *("success_rate", "self_collision_rate", "table_collision_rate"),
    *("share_above_speed_limit", "share_outside_joint_range"),
    *("max_joint_speed_of_limit", "max_torque_of_limit"),
    *("share_at_torque_limit", "max_joint_acceleration_rad_s2"),
)
_SPREADS = (
    *("position_error_mm", "orientation_error_deg", "time_to_success_s"),
    *("final_joint_speed_rad_s", "action_rate", "path_ratio", "jerk_rad_s3"),
)
OBJECTIVES = (
    SCORE,
    *(f"evaluation.{name}" for name in _EVALUATION),
    *(f"evaluation.{name}.{part}" for name in _SPREADS for part in ("median", "p95")),
    *("wall_time_s", "steps_per_second"),
)
"""What can be searched for: the score, and keys of summary.json."""
EARLY = (
    *(SCORE, "evaluation.success_rate"),
    *("evaluation.self_collision_rate", "evaluation.table_collision_rate"),
    *(
        f"evaluation.{name}.{part}"
        for name in (*_SPREADS[:2], "final_joint_speed_rad_s", "action_rate")
        for part in ("median", "p95")
    ),
)
"""Those that periodic evaluations have too, so that a trial can be pruned by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """What every sampler has."""

    name: str
    seed: int | None = rule(ge=0, le=2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tpe(Sampler):
    """Arguments of TPESampler."""

    n_startup_trials: int = rule(ge=0)
    n_ei_candidates: int = rule(ge=1)
    multivariate: bool = field()
    group: bool = field()
    constant_liar: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gp(Sampler):
    """Arguments of GPSampler."""

    n_startup_trials: int = rule(ge=1)
    deterministic_objective: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class CmaEs(Sampler):
    """Arguments of CmaEsSampler."""

    n_startup_trials: int = rule(ge=0)
    sigma0: float | None = rule(gt=0)
    popsize: int | None = rule(ge=2)
    consider_pruned_trials: bool = field()
    use_separable_cma: bool = field()
    with_margin: bool = field()
    lr_adapt: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class NsgaII(Sampler):
    """Arguments of NSGAIISampler."""

    population_size: int = rule(ge=2)
    mutation_prob: float | None = rule(ge=0, le=1)
    crossover_prob: float = rule(ge=0, le=1)
    swapping_prob: float = rule(ge=0, le=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qmc(Sampler):
    """Arguments of QMCSampler."""

    qmc_type: str
    scramble: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """What every pruner has; alone it is none."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Median(Pruner):
    """Arguments of MedianPruner."""

    n_startup_trials: int = rule(ge=0)
    n_warmup_steps: int = rule(ge=0)
    interval_steps: int = rule(ge=1)
    n_min_trials: int = rule(ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile(Median):
    """Arguments of PercentilePruner."""

    percentile: float = rule(ge=0, le=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperband(Pruner):
    """Arguments of HyperbandPruner."""

    min_resource: int = rule(ge=1)
    max_resource: int | None = rule(ge=1)
    reduction_factor: int = rule(ge=2)
    bootstrap_count: int = rule(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wilcoxon(Pruner):
    """Arguments of WilcoxonPruner."""

    p_threshold: float = rule(gt=0, lt=1)
    n_startup_steps: int = rule(ge=0)


SAMPLERS: dict[str, type[Sampler]] = {
    "tpe": Tpe,
    "gp": Gp,
    "cmaes": CmaEs,
    "nsgaii": NsgaII,
    "qmc": Qmc,
    "random": Sampler,
    "grid": Sampler,
}
PRUNERS: dict[str, type[Pruner]] = {
    "none": Pruner,
    "median": Median,
    "percentile": Percentile,
    "hyperband": Hyperband,
    "wilcoxon": Wilcoxon,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What `hydra.sweeper` holds; sampler and pruner are typed by their names."""

    params: Mapping[str, Any]
    n_trials: int = rule(ge=1)
    study_name: str = field()
    storage: str | None = field()
    objective: list[str] = field()
    direction: list[str] = field()
    seeds: int = rule(ge=1)
    each: list[str] = field()
    combine: str = field()
    n_jobs: int | None = rule(ge=1)
    failure_rate: float = rule(ge=0, le=1)
    retries: int = rule(ge=0)
    confirm_seeds: int = rule(ge=0)
    preset_dir: str | None = field()
    verbose: bool = field()
    sampler: Any = field()
    pruner: Any = field()

    @property
    def directions(self) -> list[str]:
        """The direction of each objective."""
        return self.direction * len(self.objective) if len(self.direction) == 1 else self.direction

    @property
    def prunes(self) -> bool:
        """Whether runs are looked at before their end."""
        return self.pruner.name not in ("none", "wilcoxon")


def typed(tree: Mapping[str, Any]) -> tuple[Search | None, list[Problem]]:
    """The typed `hydra.sweeper` (None if wrong) and what is wrong with single keys."""
    tree = {key: value for key, value in tree.items() if key != "_target_"}
    for key in ("objective", "direction"):
        if isinstance(tree.get(key), str):
            tree[key] = [tree[key]]
    problems: list[Problem] = []
    for key, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        tree[key], wrong = _part(tree.get(key), f"{PATH}.{key}", known)
        problems += wrong
    converter = Converter(Search)
    search = converter.convert(tree, PATH)
    problems = [*converter.problems, *problems]
    return (None, problems) if problems else (search, [])


def _part(tree: Any, path: str, known: Mapping[str, type]) -> tuple[Any, list[Problem]]:  # noqa: ANN401
    name = tree.get("name") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or not isinstance(name, str) or name not in known:
        near = nearest(str(name), list(known))
        group = path.replace(".", "/")
        text = f"must be {listing(known)}; try {group}={near or next(iter(known))}"
        return NOTHING, [Problem(path, name if name is not None else NOTHING, text)]
    converter = Converter(known[name])
    part = converter.convert(tree, path)
    return part, converter.problems


def read(tree: Mapping[str, Any]) -> Search:
    """The typed `hydra.sweeper`. Raises ConfigError."""
    search, problems = typed(tree)
    if search is None:
        raise ConfigError([problem.line() for problem in problems])
    return search


def current() -> tuple[Search, int] | None:
    """The search that the job which runs now is a trial of, and its number; None without one."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    if not HydraConfig.initialized():
        return None
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN or hydra.runtime.choices.get("hydra/sweeper") != OPTUNA:
        return None
    tree = OmegaConf.to_container(hydra.sweeper, resolve=True)
    assert isinstance(tree, dict)
    return read({str(key): value for key, value in tree.items()}), int(hydra.job.num)


def unknown(key: str) -> str | None:
    """Why Hydra has no such key below hydra.sweeper, with the nearest that a search has."""
    if not key.startswith(f"{PATH}."):
        return None
    parts = key.split(".")[2:]
    known: Sequence[str] = list(hints(Search))
    tables: Mapping[str, Mapping[str, type]] = {"sampler": SAMPLERS, "pruner": PRUNERS}
    if len(parts) == 2 and parts[0] in tables:
        schemas = tables[parts[0]]
        known = sorted({name for schema in schemas.values() for name in hints(schema)})
        having = [name for name, schema in schemas.items() if parts[1] in hints(schema)]
        if having:
            return f"only {listing(having)} has it; add hydra/sweeper/{parts[0]}={having[0]}"
    elif parts[0] in known:
        return "only a search has it; add sweep=search"
    near = nearest(parts[-1], known)
    if near is None:
        return f"a search has no such key; it has {listing(known, 40)}"
    return f"a search has no such key; did you mean {'.'.join([PATH, *parts[:-1], near])}?"
