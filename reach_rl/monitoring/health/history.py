"""The records of a run so far, as columns that checks look at."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from reach_rl.config.derived import derive
from reach_rl.config.schema import Config
from reach_rl.mdp.arrays import Array

LEAST = 3
"""Records of which a mean is taken, at least."""

REWARD = "reward per step"
"""Mean reward per environment step of the last episodes; a return grows with its episode."""


ERRORS = ("rollout/position_error_mm", "rollout/orientation_error_deg")
"""Median final errors of training."""


class History:
    """Columns of finite numbers by metric, each with the steps of its values."""

    def __init__(self, config: Config) -> None:
        """Begin without records."""
        self.config = config
        self.total = derive(config).total_steps
        self.records = 0
        self.step = 0
        self._columns: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Take in a record; text and what is not finite is left out."""
        self.records += 1
        self.step = step
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._put(step, name, value)
        length = values.get("rollout/ep_len_mean")
        if length:
            self._put(step, REWARD, values["rollout/ep_rew_mean"] / length)

    def _put(self, step: int, name: str, value: float) -> None:
        steps, numbers = self._columns.setdefault(name, ([], []))
        steps.append(step)
        numbers.append(float(value))

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.step / self.total

    def names(self, prefix: str) -> Iterator[str]:
        """Metrics of a family."""
        return (name for name in self._columns if name.startswith(prefix))

    def between(self, name: str, begin: float, end: float) -> Array:
        """Values recorded between two shares of the run, ends included."""
        steps, numbers = self._columns.get(name, ([], []))
        first = bisect_left(steps, begin * self.total)
        return np.array(numbers[first : bisect_left(steps, end * self.total + 1)])

    def recent(self, name: str, share: float | None = None) -> Array:
        """Values of the last share of the run, at least LEAST where there are so many.

        Args:
            name: the metric.
            share: of the whole run; by default as long as a sign must last.
        """
        steps, numbers = self._columns.get(name, ([], []))
        share = self.config.health.persistence if share is None else share
        first = bisect_left(steps, self.step - share * self.total)
        return np.array(numbers[max(0, min(first, len(numbers) - LEAST)) :])

    def mean(self, name: str, share: float | None = None) -> float:
        """Mean of the recent values, NaN without any; NaN is neither above nor below anything."""
        values = self.recent(name, share)
        return float(values.mean()) if len(values) else math.nan

    def early(self, name: str, begin: float = 0.03, width: float = 0.06) -> float:
        """Mean of the values soon after the start, NaN without any."""
        values = self.between(name, begin, begin + width)
        return float(values.mean()) if len(values) else math.nan

    def gain(self, name: str, share: float) -> float:
        """How much the mean of the last third of a share is above that of its first third."""
        values = self.between(name, self.progress - share, self.progress)
        third = len(values) // 3
        if third < 1:
            return math.nan
        return float(values[-third:].mean() - values[:third].mean())

    def last(self, name: str) -> float:
        """The newest value, NaN without any."""
        numbers = self._columns.get(name, ([], []))[1]
        return numbers[-1] if numbers else math.nan

    def most(self, name: str) -> float:
        """The largest value so far, NaN without any."""
        return max(self._columns.get(name, ([], []))[1], default=math.nan)

    def best_low(self, name: str) -> float:
        """The least mean of any twentieth of the run so far, NaN without any."""
        means = self.parts(name)
        return float(means.min()) if len(means) else math.nan

    def parts(self, name: str, count: int = 20) -> Array:
        """Mean of each twentieth (or other part) of the run that is over."""
        steps, numbers = self._columns.get(name, ([], []))
        edges = [bisect_left(steps, i * self.total / count) for i in range(count + 1)]
        means = [float(np.mean(numbers[a:b])) for a, b in pairwise(edges) if b > a]
        return np.array(means)

    @property
    def success(self) -> float:
        """Success rate now: that of training or, if larger, that of the newest evaluation."""
        found = (self.mean("rollout/success_rate"), self.last("eval/success_rate"))
        return max((rate for rate in found if not math.isnan(rate)), default=0.0)

    @property
    def arriving(self) -> bool:
        """Success rises, or the final errors fall; training explores and may long reach nothing."""
        if self.gain("rollout/success_rate", 0.2) > 0.03 or self._evaluations_rise():
            return True
        return any(self.fall(name, 0.2) > 0.1 for name in ERRORS)

    @property
    def failing(self) -> bool:
        """Fewer than half of the goals are reached, and nothing gets better."""
        return self.success < 0.5 and not self.arriving

    def fall(self, name: str, share: float) -> float:
        """By what fraction a positive metric fell over a share of the run, as gain counts it."""
        values = self.between(name, self.progress - share, self.progress)
        third = len(values) // 3
        if third < 1:
            return math.nan
        return 1.0 - float(values[-third:].mean() / max(values[:third].mean(), 1e-12))

    def _evaluations_rise(self) -> bool:
        numbers = self._columns.get("eval/success_rate", ([], []))[1]
        return len(numbers) > 1 and numbers[-1] > max(numbers[:-1]) + 0.02

    @property
    def moving(self) -> bool:
        """The curriculum changes the task now, or has lately."""
        curriculum = self.config.curriculum
        if curriculum.ramps and self.last("curriculum/progress") < 1.0:
            return True
        stages = self.recent("curriculum/stage", 0.2)
        return len(stages) > 0 and bool(np.ptp(stages) > 0)
