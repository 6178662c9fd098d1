"""The records of a run so far, as columns that checks look at."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from reach_rl.config.rules import derive
from reach_rl.config.schema import Config
from reach_rl.mdp.arrays import Array

LEAST = 3
"""Records of which a mean is taken, at least."""

REWARD = "reward per step"
"""Mean reward per environment step of the last episodes; a return grows with its episode."""

ERRORS = ("rollout/position_error_mm", "rollout/orientation_error_deg")
"""Median final errors of training."""

SUCCESS = ("rollout/success_rate", "eval/success_rate")


class Column:
    """Finite numbers in the order of their steps, in an array that grows by doubling."""

    __slots__ = ("_room", "steps")

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._room = np.empty(64)

    def put(self, step: int, number: float) -> None:
        """Append a number."""
        count = len(self.steps)
        if count == len(self._room):
            self._room = np.concatenate((self._room, np.empty(count)))
        self._room[count] = number
        self.steps.append(step)

    @property
    def numbers(self) -> Array:
        """A view, to be left as it is."""
        return self._room[: len(self.steps)]


NONE = Column()
"""Of a metric that was never recorded."""


class History:
    """Columns of finite numbers by metric, each with the steps of its values."""

    def __init__(self, config: Config) -> None:
        """Begin without records."""
        self.config = config
        self.total = derive(config).total_steps
        self.records = 0
        self.step = 0
        self._columns: defaultdict[str, Column] = defaultdict(Column)

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Take in a record; text and what is not finite is left out."""
        self.records += 1
        self.step = step
        for name, value in values.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self._columns[name].put(step, value)
        length = values.get("rollout/ep_len_mean")
        if length:
            self._columns[REWARD].put(step, values["rollout/ep_rew_mean"] / length)

    def _column(self, name: str) -> Column:
        return self._columns.get(name, NONE)

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.step / self.total

    def names(self, prefix: str) -> list[str]:
        """Metrics whose name begins so."""
        return [name for name in self._columns if name.startswith(prefix)]

    def between(self, name: str, begin: float, end: float) -> Array:
        """Values recorded between two shares of the run, ends included; a view."""
        column = self._column(name)
        first = bisect_left(column.steps, begin * self.total)
        return column.numbers[first : bisect_left(column.steps, end * self.total + 1)]

    def recent(self, name: str, share: float | None = None) -> Array:
        """Values of the last share of the run, at least LEAST where there are so many; a view.

        Args:
            name: the metric.
            share: of the whole run; by default as long as a sign must last.
        """
        column = self._column(name)
        share = self.config.health.persistence if share is None else share
        first = bisect_left(column.steps, self.step - share * self.total)
        return column.numbers[max(0, min(first, len(column.steps) - LEAST)) :]

    def mean(self, name: str, share: float | None = None) -> float:
        """Mean of the recent values, NaN without any; NaN is neither above nor below anything."""
        return _mean(self.recent(name, share))

    def early(self, name: str, begin: float = 0.03, width: float = 0.06) -> float:
        """Mean of the values soon after the start, NaN without any."""
        return _mean(self.between(name, begin, begin + width))

    def gain(self, name: str, share: float) -> float:
        """How much the mean of the last third of a share is above that of its first third."""
        first, last = self._thirds(name, share)
        return last - first

    def fall(self, name: str, share: float) -> float:
        """By what fraction a positive metric fell over a share of the run, as gain counts it."""
        first, last = self._thirds(name, share)
        return 1.0 - last / max(first, 1e-12)

    def _thirds(self, name: str, share: float) -> tuple[float, float]:
        """Mean of the first and of the last third of a share of the run, NaN without any."""
        values = self.between(name, self.progress - share, self.progress)
        third = len(values) // 3
        return _mean(values[:third]), _mean(values[len(values) - third :])

    def last(self, name: str, default: float = math.nan) -> float:
        """The newest value."""
        numbers = self._column(name).numbers
        return float(numbers[-1]) if len(numbers) else default

    def most(self, name: str) -> float:
        """The largest value so far, NaN without any."""
        numbers = self._column(name).numbers
        return float(numbers.max()) if len(numbers) else math.nan

    def best_low(self, name: str) -> float:
        """The least mean of any twentieth of the run so far, NaN without any."""
        return min(self.parts(name).tolist(), default=math.nan)

    def parts(self, name: str, count: int = 20) -> Array:
        """Mean of each twentieth (or other part) of the run that is over."""
        column = self._column(name)
        edges = [bisect_left(column.steps, i * self.total / count) for i in range(count + 1)]
        pairs = [(a, b) for a, b in pairwise(edges) if b > a]
        if not pairs:
            return np.empty(0)
        sums = np.add.reduceat(column.numbers[: edges[-1]], [a for a, _ in pairs])
        return sums / [b - a for a, b in pairs]

    @property
    def success(self) -> float:
        """Success rate now: that of training or, if larger, that of the newest evaluation."""
        found = (self.mean(SUCCESS[0]), self.last(SUCCESS[1]))
        return max((rate for rate in found if not math.isnan(rate)), default=0.0)

    @property
    def judged(self) -> bool:
        """Whether training has told a final error lately."""
        return not math.isnan(self.mean(ERRORS[0]))

    @property
    def arriving(self) -> bool:
        """Success rises, or the final errors fall; training explores and may long reach nothing."""
        judged = self._column(SUCCESS[1]).numbers
        return (
            self.gain(SUCCESS[0], 0.2) > 0.03
            or any(self.fall(name, 0.2) > 0.1 for name in ERRORS)
            or (len(judged) > 1 and bool(judged[-1] > judged[:-1].max() + 0.02))
        )

    @property
    def failing(self) -> bool:
        """Fewer than half of the goals are reached, and nothing gets better."""
        return self.success < 0.5 and not self.arriving

    @property
    def moving(self) -> bool:
        """The curriculum changes the task now, or has lately."""
        set_now = [name for name in self.names("curriculum/") if name != "curriculum/progress"]
        return any(np.ptp(self.recent(name, 0.2)) > 0 for name in set_now)


def _mean(values: Array) -> float:
    """As values.mean(), without what that takes for a few numbers; NaN of none."""
    return float(np.add.reduce(values)) / len(values) if len(values) else math.nan
