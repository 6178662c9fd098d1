"""Somebody's own function as a driver: what it answers is checked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reach_rl.config.problems import ConfigError
from reach_rl.evaluation.protocol import Driver
from reach_rl.evaluation.recording import JudgedBatch


class Answers(Driver):
    """Whatever takes observations (n, d) and answers actions (n, j)."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        """Drive as the function says; its `reset`, if it has one, is told where episodes begin."""
        super().__init__(function)
        self._size = 0

    def begin(self, batch: JudgedBatch) -> None:
        """Episodes begin."""
        self._size = len(batch.action_space.low)
        reset = getattr(self.policy, "reset", None)
        if callable(reset):
            reset()

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions (n, j). Raises ConfigError if they are none."""
        given: Any = self.policy(observation)
        shape = len(observation), self._size
        if isinstance(given, tuple):
            better = "of SB3's predict take the first: lambda seen: model.predict(seen)[0]"
            raise ConfigError(f"the callable answers a tuple, not actions {shape}; {better}")
        action = np.asarray(given)
        if action.shape != shape or action.dtype.kind not in "fiu":
            found = f"{action.dtype} {action.shape}"
            better = f"observations {observation.shape} need a row of {shape[1]} numbers each"
            raise ConfigError(f"the callable answers {found}, not actions {shape}; {better}")
        if not np.isfinite(action).all():
            raise ConfigError("the callable answers actions that are not finite numbers")
        return action
