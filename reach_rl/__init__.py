"""reach_rl: policies that bring the tool of a robot arm to a full pose and hold it there.

docs/python.md shows what is here. Nothing is imported before it is used.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reach_rl.api import (
        ConfigError,
        Run,
        compose,
        evaluate,
        load,
        make_vec_env,
        record,
        train,
    )
    from reach_rl.version import __version__

__all__ = [
    "ConfigError",
    "Run",
    "__version__",
    "compose",
    "evaluate",
    "load",
    "make_vec_env",
    "record",
    "register_envs",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562
    if name in ("evaluate", "train"):
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        home = "version" if name == "__version__" else "api"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]


class CallableVerb(ModuleType):
    """A verb's module that can be called as the function of its name in reach_rl.api.

    `import reach_rl.train` makes the module an attribute of the package, where the function would
    be: so they are one object, in whatever order somebody uses them.
    """

    @property
    def __signature__(self) -> Any:  # noqa: ANN401  inspect.Signature
        from inspect import signature

        return signature(self._function())

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        return self._function()(*arguments, **named)

    def _function(self) -> Callable[..., Any]:
        return getattr(import_module("reach_rl.api"), self.__name__.rpartition(".")[2])


def register_envs() -> None:
    """Register our environments with Gymnasium: ReachRL/UR5e-v0 and so on."""
    from gymnasium.envs.registration import register

    from reach_rl.config import ur_arms

    for robot in ur_arms():
        register(
            id=f"ReachRL/UR{robot.removeprefix('ur')}-v0",
            entry_point="reach_rl.envs.gym_env:ReachEnv",
            vector_entry_point="reach_rl.envs.gym_vector:ReachVectorEnv",
            kwargs={"robot": robot},
        )


class _WithGymnasium:
    """Registers ours as soon as somebody imports Gymnasium; nobody else waits 0.3 s for it."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> ModuleSpec | None:  # noqa: ANN401  as Python calls it
        spec = PathFinder.find_spec(name) if name == "gymnasium" else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: ModuleType) -> None:
                execute(module)
                register_envs()

            spec.loader.exec_module = executed
        return spec


if sys.modules.get("gymnasium"):
    register_envs()
else:
    sys.meta_path.insert(0, _WithGymnasium)
