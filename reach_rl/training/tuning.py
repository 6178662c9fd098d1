"""Which sizes make learning fastest on this machine: a search about the configured ones.

Faster is not better: larger minibatches and shorter rollouts nearly always give more environment
steps per second, and may learn less from each. So the search stays close to where it starts. The
samples of a rollout stay as many, a rollout stays longer than the reach of its advantages, and a
minibatch stays within a factor of two.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from reach_rl.config.derived import rollout_size
from reach_rl.config.schema import Config
from reach_rl.learning.vec_envs import cores, threads_of
from reach_rl.training.throughput import BarePhysics, Learning

GAIN = 1.03
"""What is less faster than this is taken for the machine's own unrest."""

REACH = 1.5
"""A rollout is at least so many times as long as its advantages reach, 1 / (1 - gamma lambda)."""

_TURNS = 3
_GOALS = 1024
_SHARE = 1 / 20
"""Of the time for all: that of one measurement."""
_BARE = 0.3
"""Of the time of a measurement: that of bare physics beside it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is tuned."""

    n_envs: int
    n_steps: int
    batch_size: int
    threads: int
    torch_threads: int

    @classmethod
    def of(cls, config: Config) -> "Sizes":
        """Those of a configuration."""
        return cls(
            config.vec_env.n_envs,
            config.ppo.n_steps,
            config.ppo.batch_size,
            threads_of(config.vec_env.threads),
            threads_of(config.torch_threads),
        )

    def within(self, config: Config) -> Config:
        """The configuration with these sizes."""
        return replace(
            config,
            vec_env=replace(config.vec_env, n_envs=self.n_envs, threads=self.threads),
            ppo=replace(config.ppo, n_steps=self.n_steps, batch_size=self.batch_size),
            torch_threads=self.torch_threads,
        )

    def overrides(self, config: Config) -> dict[str, int]:
        """Key -> value, as the command line has them."""
        follows = config.ppo.n_steps == config.vec_env.rollout_steps
        return {
            "vec_env.n_envs": self.n_envs,
            "vec_env.rollout_steps" if follows else "ppo.n_steps": self.n_steps,
            "vec_env.threads": self.threads,
            "ppo.batch_size": self.batch_size,
            "torch_threads": self.torch_threads,
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Sizes, and how fast they are."""

    sizes: Sizes
    steps_per_second: float
    ratio: float
    """To bare physics on all configured threads, measured in turns with it."""

    def figures(self) -> dict[str, Any]:
        """As JSON has them."""
        return asdict(self.sizes) | {
            "steps_per_second": self.steps_per_second,
            "ratio": self.ratio,
        }


class Bounds:
    """How far the search may go from where it starts."""

    def __init__(self, config: Config, machine_cores: int) -> None:
        """The bounds about a configuration on so many cores."""
        self.start = Sizes.of(config)
        self.samples = rollout_size(config)
        reach = 1.0 / max(1.0 - config.ppo.gamma * config.ppo.gae_lambda, 1e-3)
        self.least_steps = min(self.start.n_steps, max(1, round(REACH * reach)))
        self.cores = machine_cores

    def step(self, sizes: Sizes, name: str, up: bool) -> Sizes | None:
        """The sizes with one of them doubled or halved; None beyond the bounds."""
        value = getattr(sizes, name)
        if not up and value % 2:
            return None
        moved = replace(sizes, **{name: 2 * value if up else value // 2})
        if name == "n_envs":
            if self.samples % moved.n_envs:
                return None
            moved = replace(moved, n_steps=self.samples // moved.n_envs)
        return moved if self._allow(moved) else None

    def _allow(self, sizes: Sizes) -> bool:
        batch = self.start.batch_size
        return (
            sizes.n_steps >= self.least_steps
            and sizes.n_envs >= sizes.threads
            and self.samples % sizes.batch_size == 0
            and batch <= 2 * sizes.batch_size <= 4 * batch
            and (2 * sizes.batch_size <= self.samples or sizes.batch_size <= batch)
            and max(sizes.threads, sizes.torch_threads) <= max(self.cores, self.start.threads)
        )


def climb(
    start: Sizes,
    step: Callable[[Sizes, str, bool], Sizes | None],
    speed: Callable[[Sizes], float | None],
) -> Sizes:
    """The fastest sizes found by moving one of them after the other, as long as it pays.

    Args:
        start: where to begin.
        step: a neighbour (sizes, name, up), or None.
        speed: of sizes; None where there is no time left to measure.
    """
    best, most = start, speed(start)
    for name in ("n_envs", "batch_size", "torch_threads", "threads"):
        for up in (True, False):
            before = best
            while most is not None:
                candidate = step(best, name, up)
                found = None if candidate is None else speed(candidate)
                if candidate is None or found is None or found < GAIN * most:
                    break
                best, most = candidate, found
            if best is not before:
                break
    return best


class Tuner:
    """Measures sizes, one after the other, in a given time."""

    def __init__(self, config: Config, seconds: float) -> None:
        """Compile the arm for the bare physics.

        Args:
            config: the run to make faster.
            seconds: time for everything.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self._begin = time.perf_counter()
        self._seconds = seconds
        region = config.task.region
        few = replace(region, pool=min(region.pool, _GOALS))  # as fast to step, faster to sample
        self._config = replace(config, task=replace(config.task, region=few))
        self._bare = BarePhysics(self._config)
        with _learning([self._config]):  # what the first of a process waits for is no trial's cost
            pass
        self._costs = [0.0]
        self.tried: list[Trial] = []

    @property
    def spent(self) -> float:
        """Time since the beginning (s)."""
        return time.perf_counter() - self._begin

    def speed(self, sizes: Sizes) -> float | None:
        """The ratio of these sizes; None if time for another measurement and a comparison lacks."""
        if self.tried and self.spent + 3.0 * max(self._costs) > self._seconds:
            return None
        begin = time.perf_counter()
        trial = self._measure([sizes])[0]
        self._costs.append(time.perf_counter() - begin)
        self.tried.append(trial)
        return trial.ratio

    def compare(self, one: Sizes, other: Sizes) -> tuple[Trial, Trial]:
        """Both in turns, so that they meet the same machine."""
        first, second = self._measure([one, other])
        return first, second

    def _measure(self, several: list[Sizes]) -> list[Trial]:
        part = self._seconds * _SHARE / _TURNS
        with _learning([sizes.within(self._config) for sizes in several]) as learners:
            steps, seconds = self._bare.steps, self._bare.seconds
            for _ in range(_TURNS):
                self._bare.go_on(_BARE * part)
                for learner in learners:
                    learner.go_on(part)
            bare = (self._bare.steps - steps) / (self._bare.seconds - seconds)
            rates = [learner.steps / learner.split.total for learner in learners]
        return [Trial(s, rate, rate / bare) for s, rate in zip(several, rates, strict=True)]


@contextmanager
def _learning(configs: list[Config]) -> Iterator[list[Learning]]:
    learners: list[Learning] = []
    try:
        for config in configs:
            learners.append(Learning(config))
        yield learners
    finally:
        for learner in learners:
            learner.close()


def tune(config: Config, seconds: float, told: Callable[[Trial], None]) -> dict[str, Any]:
    """Search for the fastest sizes, and compare them with the configured ones once more.

    Args:
        config: the run, vectorised as one batch.
        seconds: time for everything; ends within about this time.
        told: called with each trial.

    Returns:
        `tried`, `default` and `best` trials (the last two measured in turns), the `gain` of the
        best over the default, `overrides` (key -> value) and `seconds` it took.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    tuner, bounds = Tuner(config, seconds), Bounds(config, cores())

    def speed(sizes: Sizes) -> float | None:
        found = tuner.speed(sizes)
        if found is not None:
            told(tuner.tried[-1])
        return found

    best = climb(bounds.start, bounds.step, speed)
    default, winner = tuner.tried[0], tuner.tried[0]
    if best != bounds.start:
        default, winner = tuner.compare(bounds.start, best)
        if winner.ratio < GAIN * default.ratio:
            winner = default
    return {
        "tried": [trial.figures() for trial in tuner.tried],
        "default": default.figures(),
        "best": winner.figures(),
        "gain": winner.ratio / default.ratio,
        "overrides": winner.sizes.overrides(config),
        "seconds": tuner.spent,
    }
