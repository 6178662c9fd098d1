"""What looks on while a rollout is collected: progress, and simulations that go bad."""

from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from reach_rl.training.divergence import DivergenceWatch


class Collector(BaseCallback):
    """Shows the progress, and hands on what the environments say of their physics."""

    def __init__(self, watch: DivergenceWatch) -> None:
        """Hand on to this watch."""
        super().__init__()
        self.watch = watch
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
        self.watch.note(self.model.num_timesteps, self.locals["dones"], self.locals["infos"])
        self._show()
        return True
