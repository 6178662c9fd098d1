"""reach_rl: policies that bring the tool of a robot arm to a full pose and hold it there."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from reach_rl.config import ur_arms

__version__ = "0.1.0"

ROBOTS = {f"UR{name.removeprefix('ur')}": name for name in ur_arms()}
"""Name in a Gymnasium id -> robot option."""


def register_envs() -> None:
    """Register our environments with Gymnasium."""
    from gymnasium.envs.registration import register

    for title, robot in ROBOTS.items():
        entry = "reach_rl.envs.gym_env:ReachEnv"
        register(id=f"ReachRL/{title}-v0", entry_point=entry, kwargs={"robot": robot})


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
