"""What an experiment is made of, by noun and name: the one list of everything that has a name.

The function that does something registers itself under its own name; the schema, help, `explain`,
the diagnosis and the export ask here which names there are. Nothing is imported before somebody
asks, and nothing because a file names it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, TypeVar

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
    "writer": ("reach_rl.monitoring.tensorboard", "reach_rl.monitoring.wandb"),
}
"""Noun -> the modules that register ours."""

_ENTRIES: dict[str, dict[str, Any]] = {noun: {} for noun in HOMES}
_ONNX_FORMS: dict[Callable[..., Any], Callable[..., Any]] = {}


def register(noun: str, name: str, entry: Any) -> None:  # noqa: ANN401  what the noun stands for
    """Add an entry to a list.

    Raises:
        ValueError: if the list has something else of that name.
    """
    if _ENTRIES[noun].setdefault(name, entry) is not entry:
        raise ValueError(f"there are two of the {noun} {name}")


def entries(noun: str) -> Mapping[str, Any]:
    """Everything of a noun by name, in the order in which it was written down."""
    for module in HOMES[noun]:
        import_module(module)
    return MappingProxyType(_ENTRIES[noun])


def observation_term(function: F) -> F:
    """Register (state, arm) -> (n, k) as a part that the observation may have.

    A function of plain NumPy can be exported as it is; one that is not (compiled loops, other
    libraries) has its ONNX form beside it, see onnx_form.
    """
    register("observation_term", function.__name__, function)
    return function


def reward_term(function: F) -> F:
    """Register (state, arm, *, ...) -> (n,) as a part that the reward may have.

    Its keyword-only arguments are its keys in the configuration, beside its weight.
    """
    register("reward_term", function.__name__, function)
    return function


def action_kind(function: F) -> F:
    """Register (limits, action, position, velocity, target) -> joint targets (s, n, j)."""
    register("action_kind", function.__name__, function)
    return function


def onnx_form(function: F) -> Callable[[F], F]:
    """Register what an export writes for a term or an action kind, where that is not itself.

    The form takes the same arguments, whose arrays are values of the graph that is written, and
    uses the NumPy that reach_rl.bundles.graph knows.
    """

    def registered(form: F) -> F:
        _ONNX_FORMS[function] = form
        return form

    return registered


def onnx_form_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The ONNX form of a term or an action kind."""
    return _ONNX_FORMS.get(function, function)


def keys_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The keys that a term takes: its keyword-only arguments."""
    parameters = signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)


def driver(function: F) -> F:
    """Register (config, robot, loaded) -> (config, evaluation.protocol.Driver) as who may drive."""
    register("driver", function.__name__, function)
    return function
