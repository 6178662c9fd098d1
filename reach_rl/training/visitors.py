"""What extensions see of a run at its rollout boundaries, and may ask of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.schema import Config
from reach_rl.extend import PER_UPDATE, entries, measured
from reach_rl.learning.ppo import FastPPO
from reach_rl.mdp.terms import TermError, told


class VisitedRun:
    """A run between a rollout with its update and the next; callbacks may change what they see.

    What is changed in `model` or `env` counts from the next rollout on.
    """

    def __init__(self, config: Config, folder: Path, model: FastPPO, env: VecNormalize) -> None:
        """Nothing has happened yet."""
        self.config, self.folder = config, folder
        self.model, self.env = model, env
        """SB3's PPO, its rollout buffer full, and its environments."""
        self.values: Mapping[str, Any] = {}
        """What is recorded of this rollout and its update, by the names in metrics.jsonl."""
        self.memory: dict[str, Any] = {}
        """For callbacks to keep plain JSON values in; it is part of checkpoints."""
        self.stopped = ""
        """Why the run is to end."""

    @property
    def step(self) -> int:
        """Environment steps so far."""
        return self.model.num_timesteps

    def stop(self, reason: str) -> None:
        """End the run here; it is saved and judged as it is."""
        self.stopped = reason

    def measured(self, values: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of an update that extensions have registered. Raises TermError."""
        self.values = values
        functions = measured(PER_UPDATE).items()
        return {PER_UPDATE + k: float(self._asked("metric", k, f)) for k, f in functions}

    def called_back(self, values: Mapping[str, Any]) -> None:
        """Call every callback. Raises TermError."""
        self.values = values
        for name, function in entries("callback").items():
            self._asked("callback", name, function)

    def state(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.memory

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.memory.update(state)

    def _asked(self, noun: str, name: str, function: Any) -> Any:  # noqa: ANN401
        try:
            return function(self)
        except Exception as error:
            raise TermError(told(f"{noun} {name}", error)) from error
