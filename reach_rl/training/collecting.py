"""What watches a rollout: finished episodes, progress, and where the time went."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.envs.gym_env import drained
from reach_rl.envs.statistics import Finished
from reach_rl.learning.ppo import FastPPO
from reach_rl.learning.vec_envs import physics_seconds
from reach_rl.training.divergence import Watch


@contextmanager
def few_collections() -> Iterator[None]:
    """Spare the garbage collector what is there already; the libraries alone take it 0.1 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Collector(BaseCallback):
    """Gathers what finished in SB3's own vectorised environments, and shows the progress."""

    def __init__(self, gather: bool, watch: Watch) -> None:
        """Gather only where the environments report what finished with each step."""
        super().__init__()
        self.gather = gather
        self.watch = watch
        self.finished: list[Finished] = []
        self.told: Callable[[int, float | None, float | None, float | None], None] | None = None
        self._latest: tuple[float | None, ...] = (None, None, None)

    def tell(self, values: Mapping[str, Any]) -> None:
        """Show success, reward and speed as they were recorded."""
        names = ("rollout/success_rate", "rollout/ep_rew_mean", "time/fps")
        self._latest = tuple(values.get(name) for name in names)
        self._show()

    def _show(self) -> None:
        if self.told is not None:
            self.told(self.model.num_timesteps, *self._latest)

    def _on_step(self) -> bool:
        if self.gather:
            self.finished += drained(self.locals["infos"])
        self.watch.note(self.model.num_timesteps, self.locals["dones"], self.locals["infos"])
        self._show()
        return True


class Clock:
    """Where the time of one iteration went."""

    def __init__(self, env: VecNormalize, model: FastPPO) -> None:
        """Start now."""
        self.env, self.model = env, model
        self.start = time.perf_counter()
        self.physics, self.policy = physics_seconds(env), model.seconds_policy
        self.rollout = 0.0

    def collected(self) -> None:
        """The rollout is over, the update begins."""
        self.rollout = time.perf_counter() - self.start

    def shares(self) -> dict[str, float]:
        """Shares of the iteration so far, under time/."""
        total = time.perf_counter() - self.start
        physics = physics_seconds(self.env) - self.physics
        policy = self.model.seconds_policy - self.policy
        return {
            "time/physics": physics / total,
            "time/policy": policy / total,
            "time/task": (self.rollout - physics - policy) / total,
            "time/update": (total - self.rollout) / total,
            "time/iteration_s": total,
        }
