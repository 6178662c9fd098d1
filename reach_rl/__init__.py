"""reach_rl: policies that bring the tool of a robot arm to a full pose and hold it there."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__version__ = "0.1.0"


def register_envs() -> None:
    """Register our environments with Gymnasium: ReachRL/UR5e-v0 and so on."""
    from gymnasium.envs.registration import register

    from reach_rl.config import ur_arms

    for robot in ur_arms():
        entry = "reach_rl.envs.gym_env:ReachEnv"
        name = f"ReachRL/UR{robot.removeprefix('ur')}-v0"
        register(id=name, entry_point=entry, kwargs={"robot": robot})


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
