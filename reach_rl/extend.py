"""What an experiment is made of, by noun and name: the one list of everything that has a name.

The function that does something registers itself under its own name; the schema, help, `explain`,
the diagnosis and the export ask here which names there are. Nothing is imported before somebody
asks, and nothing because a file names it. How the code of others gets here tells reach_rl.origins.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

if TYPE_CHECKING:
    compiled: Callable[[str], Callable[[Callable[..., Any]], Any]]

F = TypeVar("F", bound=Callable[..., Any])

HOMES: dict[str, tuple[str, ...]] = {
    "observation_term": ("reach_rl.mdp.observations",),
    "reward_term": ("reach_rl.mdp.rewards",),
    "action_kind": ("reach_rl.mdp.actions",),
    "health_check": (
        "reach_rl.monitoring.health.checks_learner",
        "reach_rl.monitoring.health.checks_task",
    ),
    "metric": ("reach_rl.monitoring.metrics",),
    "metric_family": ("reach_rl.monitoring.metrics",),
    "figure": ("reach_rl.monitoring.metrics",),
    "driver": ("reach_rl.evaluation.drivers",),
    "curriculum_kind": (),
    "goal_source": ("reach_rl.envs.pool",),
    "scene_part": (),
    "callback": (),
    "writer": ("reach_rl.monitoring.tensorboard", "reach_rl.monitoring.wandb"),
}
"""Noun -> the modules that register ours."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`compiled`, which extensions may use as we do, where it is asked for; see mdp.compiled."""
    if name == "compiled":
        return import_module("reach_rl.mdp.compiled").compiled
    raise AttributeError(name)


_ORIGINS = "reach_rl.origins"
_ENTRIES: dict[str, dict[str, Any]] = {noun: {} for noun in HOMES}
_MODULES: dict[tuple[str, str], str] = {}
"""Noun and name -> the module that registered it."""


def register(noun: str, name: str, entry: Any, module: str | None = None) -> None:  # noqa: ANN401
    """Add an entry to a list; every decorator goes through here.

    A module that runs again, as a cell of a notebook does, replaces what it registered.

    Args:
        noun: which list.
        name: of the entry, in configurations and in messages.
        entry: what the noun stands for.
        module: that registers it; by default the caller's.

    Raises:
        ValueError: there is another of that name.
    """
    module = module or _caller()
    if not module.startswith("reach_rl."):
        _import_ours(noun)  # first, so that it is theirs which is refused
    known, other = _ENTRIES[noun].get(name), _MODULES.get((noun, name))
    if known is not None and known is not entry and (other != module or _first_run(module)):
        whose = "it has it twice" if other == module else f"{other} has one too"
        raise ValueError(f"{noun} {name}: {whose}; give it another name")
    _ENTRIES[noun][name] = entry
    _MODULES[noun, name] = module


def _caller() -> str:
    """The module outside of this package, or that of ours at its top, whose code runs."""
    frame = sys._getframe(2)
    while True:
        name = frame.f_globals.get("__name__", "")
        ours = name.startswith("reach_rl.") and frame.f_code.co_name != "<module>"
        if not ours or frame.f_back is None:
            return name
        frame = frame.f_back


def _first_run(module: str) -> bool:
    """Whether a module is being imported, for the first time."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return module.startswith("reach_rl.") or getattr(spec, "_initializing", False)


def registered() -> dict[tuple[str, str], str]:
    """Noun and name of what others have registered so far, and the module that did."""
    found = {key: m for key, m in _MODULES.items() if key[1] in _ENTRIES[key[0]]}
    return {key: m for key, m in found.items() if not m.startswith("reach_rl.")}


def forget(module: str) -> None:
    """Take back what a module registered."""
    for noun, name in [key for key, owner in _MODULES.items() if owner == module]:
        _ENTRIES[noun].pop(name, None)
        del _MODULES[noun, name]


def entries(noun: str) -> Mapping[str, Any]:
    """Everything of a noun by name: ours in the order in which it is written down, then others'.

    Raises:
        reach_rl.origins.ExtensionError: an installed package of extensions cannot be imported.
    """
    _import_ours(noun)
    import_module(_ORIGINS).load_installed()
    return MappingProxyType(_ENTRIES[noun])


def _import_ours(noun: str) -> None:
    for module in HOMES[noun]:
        import_module(module)


def load_file(path: str | Path) -> None:
    """Load a file of extensions, as `--extend` does; again, if it has changed since.

    Raises:
        reach_rl.origins.ExtensionError: it is no Python file, or cannot be imported.
    """
    import_module(_ORIGINS).load_file(path)


class Exported(Protocol):
    """A registered function that may have a second form for ONNX."""

    __name__: str

    def __call__(self, *arguments: Any, **keys: Any) -> Any:  # noqa: ANN401
        """As it was written."""

    def onnx(self, form: F) -> F:
        """Decorates what an export writes in its place, where it is not plain NumPy itself.

        The form takes the same arguments, whose arrays are values of the graph that is written,
        and uses the NumPy that reach_rl.bundles.graph knows.
        """
        ...


def observation_term(term: Callable[..., Any]) -> Exported:
    """Register (state, arm, *, ...) -> (n, k) as a part that the observation may have.

    A function of plain NumPy can be exported as it is; one that is not (compiled loops, other
    libraries) has its ONNX form beside it, `@my_term.onnx`. Or a class, see reward_term.
    """
    return _keyed("observation_term", term, "noise", "scales")


def reward_term(term: F) -> F:
    """Register (state, arm, *, ...) -> (n,) as a part that the reward may have.

    Its keyword-only arguments are its keys in the configuration, beside its weight.

    A term that remembers is a class: it is made by (n, arm, *, ...), gives by (state, arm), and
    may have step(state, arm), called after each control step, and reset(rows), called where
    episodes begin. Its arrays are part of checkpoints.
    """
    return _keyed("reward_term", term, "weight")


@overload
def action_kind(function: Callable[..., Any]) -> Exported: ...
@overload
def action_kind(*, size: int) -> Callable[[Callable[..., Any]], Exported]: ...
def action_kind(function: Any = None, *, size: int | None = None) -> Any:
    """Register (limits, action, state, target) -> joint targets (s, n, j), as mdp.actions does.

    It sees the state before the step. An action has `size` numbers; one for each joint by default.
    """

    def registered(function: Any) -> Exported:  # noqa: ANN401
        function.size = size
        return _keyed("action_kind", function)

    return registered if function is None else registered(function)


def curriculum_kind(function: F) -> F:
    """Register (setting, curriculum, *, ...) -> setting as what changes while training goes on.

    Both are of reach_rl.mdp.curriculum: what holds by ramps and stages, and what has been counted.
    """
    return _keyed("curriculum_kind", function)


def goal_source(function: F) -> F:
    """Register (config, robot, count, rng, threads) -> mdp.goals.Goals, see Goals.of.

    `task.goals` chooses one; reach_rl.envs.pool.region is ours.
    """
    register("goal_source", function.__name__, function)
    return function


def scene_part(function: F) -> F:
    """Register (spec, *, ...) -> spec, MuJoCo's MjSpec, as what stands with an arm in its scene."""
    return _keyed("scene_part", function)


def driver(function: F) -> F:
    """Register (config, robot, loaded) -> (config, evaluation.protocol.Driver) as who may drive."""
    register("driver", function.__name__, function)
    return function


def callback(function: F) -> F:
    """Register (run) as what is called after each rollout and its update; see training.visitors."""
    register("callback", function.__name__, function)
    return function


class Better(StrEnum):
    """Which way a metric improves."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    `healthy` is the closed range [lowest, highest] of a healthy run, None where there is none;
    `always` says whether every evaluation has a number for it, so that trials are pruned by it;
    `function` works out one that an extension has registered.
    """

    name: str
    unit: str
    better: Better
    meaning: str
    healthy: tuple[float, float] | None = None
    always: bool = True
    function: Callable[..., Any] | None = None


PER_EPISODE, PER_UPDATE = "rollout/", "train/"
"""How the metrics of extensions begin; those of an episode are in evaluations too."""


def metric(
    *,
    unit: str = "1",
    better: str = "neither",
    healthy: tuple[float, float] | None = None,
    per: Literal["episode", "update"] = "episode",
) -> Callable[[F], F]:
    """Register what is measured in every run and evaluation.

    Of an episode: (state, arm) -> (n,) at each control step, and the mean over its steps is
    rollout/NAME, eval/NAME, and NAME in summary.json, which a search may optimise. Of an update:
    (run) -> number, train/NAME; see reach_rl.training.visitors.

    Args:
        unit: of the numbers.
        better: which way it improves: up, down or neither.
        healthy: the closed range of a healthy run.
        per: episode or update.
    """

    def registered(function: F) -> F:
        name, about = function.__name__, (function.__doc__ or "").strip().partition("\n")[0]
        prefix = PER_EPISODE if per == "episode" else PER_UPDATE
        entry = Metric(prefix + name, unit, Better(better), about.rstrip("."), healthy)
        register("metric", entry.name, replace(entry, function=function))
        if per == "episode":
            register("metric", f"eval/{name}", replace(entry, name=f"eval/{name}"))
            register("figure", name, entry)
        return function

    return registered


def measured(prefix: str) -> dict[str, Callable[..., Any]]:
    """The functions of the metrics of extensions that begin so, by their own names."""
    known = entries("metric").items()
    return {
        name.removeprefix(prefix): m.function
        for name, m in known
        if m.function is not None and name.startswith(prefix)
    }


class Sign:
    """What a health check sees now."""

    def __init__(self, first: str, second: str, **figures: Any) -> None:  # noqa: ANN401
        """The two likeliest remedies, each the overrides to type, and figures for the words."""
        self.remedies = (first, second)
        self.figures = figures


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can go wrong with a run; its words are templates of Sign's figures."""

    name: str
    look: Callable[[Any], Sign | None]
    title: str
    """What goes wrong, for people."""
    seen: str
    """The figures."""
    against: str
    """What they would be in a healthy run, or why they matter."""
    warm_up: float = 1.0
    """Multiple of health.warm_up before which nothing is said."""
    lasts: float = 1.0
    """Multiple of health.persistence for which the sign must last."""
    episodes: int = 0
    """Length of so many episodes, in environment steps, before which nothing is said."""


def health_check(**words: Any) -> Callable[[F], F]:  # noqa: ANN401
    """Register (history) -> Sign or None, asked after each record; see monitoring.health.history.

    Args:
        words: title, seen and against, and what else a Check has.
    """

    def registered(look: F) -> F:
        register("health_check", look.__name__, Check(look.__name__, look, **words))
        return look

    return registered


def _keyed(noun: str, entry: Any, *taken: str) -> Any:  # noqa: ANN401
    """Register what has keys of its own.

    Raises:
        TypeError: an argument cannot be one.
    """
    name = entry.__name__
    for p in signature(entry).parameters.values():
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty:
            raise TypeError(f"{noun} {name}: put * before {p.name}, so that it becomes a key")
        if p.kind is p.KEYWORD_ONLY and p.annotation is p.empty:
            raise TypeError(f"{noun} {name}: say what {p.name} is, such as {p.name}: float = 1.0")
        if p.kind is p.KEYWORD_ONLY and p.name in taken:
            raise TypeError(f"{noun} {name}: every one has {p.name} already; use another word")
    entry.onnx = partial(_add_form, entry)
    register(noun, name, entry)
    return entry


def _add_form(entry: Any, form: F) -> F:  # noqa: ANN401
    entry.onnx_form = form
    return form


def onnx_form_of(function: Any) -> Callable[..., Any]:  # noqa: ANN401
    """The ONNX form of a term or an action kind."""
    return getattr(function, "onnx_form", function)


def keys_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The keys that a term takes: its keyword-only arguments."""
    parameters = signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
