"""The keys of a search (`hydra.sweeper.*`): typed, and what goes together.

This room imports no Optuna; a test holds the arguments of samplers and pruners to Optuna's own.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from reach_rl.config import validation
from reach_rl.config.fields import Count, Integer, Number, Positive, Seed, Share, Whole, strict
from reach_rl.config.keys import below
from reach_rl.config.problems import NOTHING, ConfigError, Problem, listing, nearest
from reach_rl.config.search_space import Dimension
from reach_rl.extend import entries

PATH = "hydra.sweeper"
OPTUNA = "optuna"
SCORE = "score"
SCHEMES = ("sqlite", "postgresql", "mysql", "grpc")


def objectives(early: bool = False) -> list[str]:
    """What can be searched for: the score, and figures of summary.json.

    Args:
        early: those that periodic evaluations have too, so that a trial can be pruned by them.
    """
    figures = entries("figure").items()
    found = [f"evaluation.{name}" for name, metric in figures if metric.always or not early]
    return [SCORE, *found, *(() if early else ("wall_time_s", "steps_per_second"))]


@strict
class Sampler:
    """What every sampler has."""

    name: str
    seed: Seed | None


@strict
class Tpe(Sampler):
    """Arguments of TPESampler."""

    n_startup_trials: Whole
    n_ei_candidates: Count
    multivariate: bool
    group: bool
    constant_liar: bool


@strict
class Gp(Sampler):
    """Arguments of GPSampler."""

    n_startup_trials: Count
    deterministic_objective: bool


@strict
class CmaEs(Sampler):
    """Arguments of CmaEsSampler."""

    n_startup_trials: Whole
    sigma0: Positive | None
    popsize: Annotated[Integer, Ge(2)] | None
    consider_pruned_trials: bool
    use_separable_cma: bool
    with_margin: bool
    lr_adapt: bool


@strict
class NsgaII(Sampler):
    """Arguments of NSGAIISampler."""

    population_size: Annotated[Integer, Ge(2)]
    mutation_prob: Share | None
    crossover_prob: Share
    swapping_prob: Share


@strict
class Qmc(Sampler):
    """Arguments of QMCSampler."""

    qmc_type: Literal["sobol", "halton"]
    scramble: bool


@strict
class Pruner:
    """What every pruner has; alone it is none."""

    name: str


@strict
class Median(Pruner):
    """Arguments of MedianPruner."""

    n_startup_trials: Whole
    n_warmup_steps: Whole
    interval_steps: Count
    n_min_trials: Count


@strict
class Percentile(Median):
    """Arguments of PercentilePruner."""

    percentile: Annotated[Number, Ge(0), Le(100)]


@strict
class Hyperband(Pruner):
    """Arguments of HyperbandPruner."""

    min_resource: Count
    max_resource: Count | None
    reduction_factor: Annotated[Integer, Ge(2)]
    bootstrap_count: Whole


@strict
class Wilcoxon(Pruner):
    """Arguments of WilcoxonPruner."""

    p_threshold: Annotated[Number, Gt(0), Lt(1)]
    n_startup_steps: Whole


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


@strict
class Search:
    """What `hydra.sweeper` holds; sampler and pruner are typed by their names."""

    params: Mapping[str, Any]
    n_trials: Count
    study_name: str
    storage: str | None
    objective: list[str]
    direction: list[Literal["maximize", "minimize"]]
    seeds: Count
    each: list[str]
    combine: Literal["mean", "worst"]
    n_jobs: Count | None
    failure_rate: Share
    retries: Whole
    confirm_seeds: Whole
    preset_dir: str | None
    verbose: bool
    sampler: Any
    pruner: Any

    @property
    def directions(self) -> Sequence[str]:
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
    search = validation.typed(Search, tree, PATH)
    problems = search if isinstance(search, list) else []
    parts: dict[str, Any] = {}
    for key, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        parts[key] = _part(tree.get(key), f"{PATH}.{key}", known)
        problems = problems + parts[key] if isinstance(parts[key], list) else problems
    if problems or isinstance(search, list):
        return None, problems
    return dataclasses.replace(search, **parts), []


def _part(tree: Any, path: str, known: Mapping[str, type]) -> Any:  # noqa: ANN401  a list: problems
    name = tree.get("name") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or not isinstance(name, str) or name not in known:
        near = nearest(str(name), list(known)) or next(iter(known))
        text = f"must be {listing(known)}; try {path.replace('.', '/')}={near}"
        return [Problem(path, name if name is not None else NOTHING, text)]
    return validation.typed(known[name], tree, path)


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
    *above, name = key.split(".")[2:]
    group = above[0] if above else ""
    tables: Mapping[str, Mapping[str, type]] = {"sampler": SAMPLERS, "pruner": PRUNERS}
    schemas = tables.get(group, {"search": Search})
    having = [option for option, schema in schemas.items() if name in below(schema, "")]
    if having and group in tables:
        return f"only {listing(having)} has it; add hydra/sweeper/{group}={having[0]}"
    if having or (group and group not in tables):
        return "only a search has it; add sweep=search"
    known = sorted({name for schema in schemas.values() for name in below(schema, "")})
    near = nearest(name, known)
    hint = f"did you mean {'.'.join([PATH, *above, near])}?" if near else ""
    return f"a search has no such key; {hint or f'it has {listing(known, 40)}'}"


def rules(search: Search, space: Sequence[Dimension], launcher: str) -> Iterator[Problem]:
    """What does not go together."""
    yield from _names(search)
    yield from _objectives(search)
    yield from _sampler(search, space)
    yield from _pruner(search)
    if (search.n_jobs or 1) > 1 and launcher == "basic":
        text = "one process runs one trial at a time; add hydra/launcher=joblib"
        yield Problem(f"{PATH}.n_jobs", search.n_jobs, text)


def _names(search: Search) -> Iterator[Problem]:
    known = objectives()
    for name in search.objective:
        if name not in known:
            key, near = f"{PATH}.objective", nearest(name, known)
            hint = f"did you mean {key}={near}?" if near else f"there are {listing(known, 40)}"
            yield Problem(key, name, f"there is no such thing; {hint}")
    if not re.fullmatch(r"[\w.+-]+", search.study_name):
        text = "becomes the name of a folder; use letters, digits and .+-_"
        yield Problem(f"{PATH}.study_name", search.study_name, text)
    scheme = re.split(r"[+:]", search.storage or "sqlite:")[0]
    if scheme not in SCHEMES or (search.storage and "://" not in search.storage):
        near = nearest(scheme, SCHEMES) or "sqlite"
        text = f"must be an URL that begins with {listing(f'{s}://' for s in SCHEMES)}"
        yield Problem(f"{PATH}.storage", scheme, f"{text}; try {near}://...")


def _objectives(search: Search) -> Iterator[Problem]:
    several, key = len(search.objective) > 1, f"{PATH}.direction"
    if not search.objective:
        yield Problem(f"{PATH}.objective", NOTHING, f"is empty; try {PATH}.objective={SCORE}")
    elif len(search.direction) not in (1, len(search.objective)):
        text = f"must give one direction, or {len(search.objective)}, one for each objective"
        yield Problem(key, search.direction, text)
    if several and search.pruner.name != "none":
        text = "cannot judge several objectives; add hydra/sweeper/pruner=none"
        yield Problem(f"{PATH}.pruner", search.pruner.name, text)
    early = all(name in objectives(early=True) for name in search.objective)
    if search.prunes and not several and not early:
        text = f"{search.objective[0]} is known at the end only; add hydra/sweeper/pruner=none"
        yield Problem(f"{PATH}.pruner", search.pruner.name, text)


def _sampler(search: Search, space: Sequence[Dimension]) -> Iterator[Problem]:
    key, name = f"{PATH}.sampler", search.sampler.name
    if name == "cmaes" and len(search.objective) > 1:
        yield Problem(key, name, "has one objective; add hydra/sweeper/sampler=nsgaii")
    if name == "cmaes" and sum(dimension.kind != "choice" for dimension in space) < 2:
        text = "needs two ranges of numbers or more; add hydra/sweeper/sampler=tpe"
        yield Problem(key, name, text)
    if name == "grid":
        for dimension in space:
            if dimension.count is None:
                better = f"try range({dimension.low:g},{dimension.high:g},STEP) or choices"
                yield Problem(dimension.key, NOTHING, f"a grid needs steps; {better}")


def _pruner(search: Search) -> Iterator[Problem]:
    if not isinstance(search.pruner, Wilcoxon):
        return
    runs, sure = search.seeds * max(1, len(search.each)), search.pruner.p_threshold
    needed = next(n for n in range(3, 99) if 0.5 ** (n - 1) < sure)
    if runs < needed:
        text = f"can never prune {runs} runs per trial at p_threshold={sure:g}"
        better = f"try {PATH}.seeds={needed}"
        yield Problem(f"{PATH}.pruner", "wilcoxon", f"{text}; {better}")
