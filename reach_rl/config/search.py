"""The keys of a search (`hydra.sweeper.*`): typed, and what goes together.

This room imports no Optuna; a test holds the arguments of samplers and pruners to Optuna's own.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from reach_rl.config import validation
from reach_rl.config.fields import Count, Integer, Number, Positive, Seed, Share, Whole, strict
from reach_rl.config.keys import below
from reach_rl.config.problems import NOTHING, ConfigError, Problem, listing, meant, nearest, show
from reach_rl.config.rules import Broken
from reach_rl.config.sheets import sheets
from reach_rl.extend import entries

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, RangeSweep

PATH = "hydra.sweeper"
GROUP = "hydra/sweeper"
OPTUNA = "optuna"
KINDS = ("sampler", "pruner")
SCORE = "score"
Value = float | int | bool | str | None
SCHEMES = ("sqlite", "postgresql", "mysql", "grpc")


@dataclass(frozen=True, slots=True)
class Dimension:
    """A range of numbers (low and high included) or choices.

    `texts` are the choices as a job's override writes them.
    """

    key: str
    prefix: str
    kind: str
    """float, int or choice."""
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def count(self) -> int | None:
        """How many values there are; None for a range without steps."""
        if self.kind == "choice":
            return len(self.choices)
        step = self.step or (1 if self.kind == "int" else None)
        return None if step is None else 1 + math.floor((self.high - self.low) / step + 1e-9)

    @property
    def values(self) -> list[Value]:
        """Every value. Raises ValueError for a range without steps."""
        if self.kind == "choice":
            return list(self.choices)
        if self.count is None:
            raise ValueError(f"{self.key} has no steps")
        kind = int if self.kind == "int" else float
        return [kind(self.low + i * (self.step or 1)) for i in range(self.count)]

    def override(self, value: Value) -> str:
        """The override that gives a job this value."""
        choice = self.kind == "choice"
        text = self.texts[self.choices.index(value)] if choice else repr(value)
        return f"{self.prefix}{self.key}={text}"


def objectives(early: bool = False) -> list[str]:
    """What can be searched for: the score, and figures of summary.json.

    Args:
        early: those that periodic evaluations have too, so that a trial can be pruned by them.
    """
    figures = entries("figure").items()
    found = [f"evaluation.{name}" for name, metric in figures if metric.always or not early]
    return [SCORE, *found, *(() if early else ("wall_time_s", "steps_per_second"))]


_ARGUMENTS: dict[Any, str] = {
    str: "name",
    bool: "multivariate group constant_liar deterministic_objective consider_pruned_trials"
    " use_separable_cma with_margin lr_adapt scramble",
    Whole: "n_startup_trials n_warmup_steps bootstrap_count n_startup_steps",
    Count: "n_ei_candidates interval_steps n_min_trials min_resource max_resource?",
    Annotated[Integer, Ge(2)]: "population_size reduction_factor popsize?",
    Seed: "seed?",
    Positive: "sigma0?",
    Share: "crossover_prob swapping_prob mutation_prob?",
    Annotated[Number, Ge(0), Le(100)]: "percentile",
    Annotated[Number, Gt(0), Lt(1)]: "p_threshold",
    Literal["sobol", "halton"]: "qmc_type",
}
"""Type -> the arguments of Optuna's samplers and pruners; with `?` also null.

Their files say which has which.
"""


@cache
def parts(kind: str) -> dict[str, type]:
    """Every sampler, or pruner, that has a file in conf/: its schema by name."""
    pairs = [(name, tp) for tp, names in _ARGUMENTS.items() for name in names.split()]
    types = {name.rstrip("?"): tp | None if "?" in name else tp for name, tp in pairs}
    found = {}
    for path, sheet in sheets().items():
        if path.startswith(f"{GROUP}/{kind}/"):
            keys = {"__annotations__": {key: types[key] for key in sheet.tree}}
            found[path.rpartition("/")[2]] = strict(type("Part", (), keys))
    return found


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


def typed(tree: Mapping[str, Any]) -> Search | list[Problem]:
    """The typed `hydra.sweeper`, or what is wrong with single keys."""
    tree = {key: value for key, value in tree.items() if key != "_target_"}
    for key in ("objective", "direction"):
        if isinstance(tree.get(key), str):
            tree[key] = [tree[key]]
    search = validation.typed(Search, tree, PATH)
    made = {key: _typed_part(tree.get(key), f"{PATH}.{key}", parts(key)) for key in KINDS}
    problems = [p for part in (search, *made.values()) if isinstance(part, list) for p in part]
    if problems or isinstance(search, list):
        return problems
    return dataclasses.replace(search, **made)


def _typed_part(tree: Any, path: str, known: Mapping[str, type]) -> Any:  # noqa: ANN401  a list: problems
    name = tree.get("name") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or not isinstance(name, str) or name not in known:
        near = nearest(str(name), list(known)) or next(iter(known))
        text = f"must be {listing(known)}; try {path.replace('.', '/')}={near}"
        return [Problem(path, name if name is not None else NOTHING, text)]
    return validation.typed(known[name], tree, path)


def read(tree: Mapping[str, Any]) -> Search:
    """The typed `hydra.sweeper`. Raises ConfigError."""
    search = typed(tree)
    if isinstance(search, list):
        raise ConfigError([problem.line() for problem in search])
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
    """Why Hydra has no such key below hydra.sweeper, with what has it, or the nearest there is."""
    if not key.startswith(f"{PATH}."):
        return None
    having = {f"{PATH}.{known}": "sweep=search" for known in below(Search, "")}
    for part in KINDS:
        for option, schema in parts(part).items():
            having |= {f"{PATH}.{part}.{k}": f"{GROUP}/{part}={option}" for k in below(schema, "")}
    if key in having:
        return f"only a search has it; add {having[key]}"
    near = nearest(key, list(having), cutoff=0.9)
    return "a search has no such key" + (f"; did you mean {near}?" if near else "")


def rules(search: Search, space: Sequence[Dimension], launcher: str) -> Iterator[Problem]:
    """What does not go together."""
    checks = (_names(search), _objectives(search), _sampler(search, space), _pruner(search))
    for key, text in itertools.chain(*checks):
        value = getattr(search, key)
        hidden = key == "storage"  # it may hold a password
        yield Problem(f"{PATH}.{key}", NOTHING if hidden else getattr(value, "name", value), text)
    if (search.n_jobs or 1) > 1 and launcher == "basic":
        text = "one process runs one trial at a time; add hydra/launcher=joblib"
        yield Problem(f"{PATH}.n_jobs", search.n_jobs, text)


def _names(search: Search) -> Broken:
    known, key = objectives(), f"{PATH}.objective"
    for name in search.objective:
        if name not in known:
            yield "objective", f"there is no {name}; {meant(name, known, f'{key}=')}"
    if not re.fullmatch(r"[\w.+-]+", search.study_name):
        yield "study_name", "becomes the name of a folder; use letters, digits and .+-_"
    scheme = re.split(r"[+:]", search.storage or "sqlite:")[0]
    if scheme not in SCHEMES or (search.storage and "://" not in search.storage):
        better = f"try {nearest(scheme, SCHEMES) or 'sqlite'}://..."
        what = f"must be an URL that begins with {listing(f'{s}://' for s in SCHEMES)}"
        yield "storage", f"{what}; {better}"


def _objectives(search: Search) -> Broken:
    several, better = len(search.objective) > 1, f"add {GROUP}/pruner=none"
    if not search.objective:
        yield "objective", f"is empty; try {PATH}.objective={SCORE}"
    elif len(search.direction) not in (1, len(search.objective)):
        yield "direction", f"must give one, or {len(search.objective)}, one for each objective"
    if several and search.pruner.name != "none":
        yield "pruner", f"cannot judge several objectives; {better}"
    late = [name for name in search.objective if name not in objectives(early=True)]
    if search.prunes and not several and late:
        yield "pruner", f"{late[0]} is known at the end only; {better}"


def _sampler(search: Search, space: Sequence[Dimension]) -> Broken:
    name = search.sampler.name
    if name == "cmaes" and len(search.objective) > 1:
        yield "sampler", f"has one objective; add {GROUP}/sampler=nsgaii"
    if name == "cmaes" and sum(dimension.kind != "choice" for dimension in space) < 2:
        yield "sampler", f"needs two ranges of numbers or more; add {GROUP}/sampler=tpe"
    if name == "gp" and search.sampler.n_startup_trials == 0:
        yield "sampler", f"cannot learn from nothing; try {PATH}.sampler.n_startup_trials=1"
    for d in space if name == "grid" else ():
        if d.count is None:
            better = f"try {d.key}=range({d.low:g},{d.high:g},STEP) or choices"
            yield "sampler", f"a grid needs steps; {better}"


def _pruner(search: Search) -> Broken:
    if search.pruner.name != "wilcoxon":
        return
    runs, sure = search.seeds * max(1, len(search.each)), search.pruner.p_threshold
    needed = next(n for n in range(3, 99) if 0.5 ** (n - 1) < sure)
    if runs < needed:
        text = f"can never prune {runs} runs per trial at p_threshold={sure:g}"
        yield "pruner", f"{text}; try {PATH}.seeds={needed}"


def dimension(override: "Override", whole: bool) -> Dimension | str:
    """A sweep override as a dimension, or what is wrong with it.

    Args:
        override: with several values.
        whole: the key holds a whole number.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    key, sweep = override.key_or_group, override.value()
    element = override.get_key_element()
    prefix = element[: len(element) - len(element.lstrip("+"))]
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None and high is not None
        kind = "int" if whole or isinstance(low, int) else "float"
        return _checked(Dimension(key, prefix, kind, low, high, log="log" in sweep.tags))
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        return _range(key, prefix, sweep)
    return _choices(key, prefix, override)


def _range(key: str, prefix: str, sweep: "RangeSweep") -> Dimension | str:
    values = [float(value) for value in sweep.range()]
    if not values:
        return f"the range is empty; it ends below {show(sweep.stop)}"
    kind = "float" if any(isinstance(n, float) for n in (sweep.start, sweep.step)) else "int"
    step, log = abs(sweep.step), "log" in sweep.tags
    if log and (kind == "float" or step != 1):
        return "a log range has no steps; try tag(log, interval(...))"
    step = None if log else step
    return _checked(Dimension(key, prefix, kind, min(values), max(values), step, log))


def _choices(key: str, prefix: str, override: "Override") -> Dimension | str:
    from hydra.core.override_parser.types import Transformer

    items = list(override.sweep_iterator(transformer=Transformer.identity))
    texts = [show(x) if isinstance(x, bool) else str(Transformer.str(x)) for x in items]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        return f"{twice} is there twice"
    plain = (bool, int, float, type(None))  # as Optuna keeps them; anything else as text
    pairs = zip(items, texts, strict=True)
    values = tuple(x if isinstance(x, plain) else text.strip("'\"") for x, text in pairs)
    return Dimension(key, prefix, "choice", choices=values, texts=tuple(texts))


def _checked(found: Dimension) -> Dimension | str:
    low, high = found.low, found.high
    if low > high:
        return "the range ends before it begins"
    if found.log and low <= 0:
        return f"a log range begins above 0, not at {show(float(low))}"
    if found.kind != "int":
        return found
    if low != int(low) or high != int(high):
        return "the ends must be whole numbers"
    step = None if found.step is None else int(found.step)
    return dataclasses.replace(found, low=int(low), high=int(high), step=step)
