"""How fast a configuration learns, beside its bare physics, and which sizes make it faster."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import product
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from reach_rl.config.rules import rollout_size
from reach_rl.config.schema import Config, VecEnvKind
from reach_rl.envs.pool import goal_pool
from reach_rl.envs.vec_env import make_vec_env, threads_of
from reach_rl.learning.build import make_model
from reach_rl.learning.normalize import normalized
from reach_rl.robots import load_robot
from reach_rl.training.profiling import IterationClock

ROUNDS = 5
"""Learning and bare physics take turns this often, so that both meet the same machine."""

_PERIOD = 50
"""Control steps after which the bare arms are sent elsewhere."""

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


class Learning:
    """Collecting and updating, without records, evaluations and checkpoints."""

    def __init__(self, config: Config) -> None:
        """Build the run and take its first rollout, which warms everything up.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self.env = normalized(make_vec_env(config), config)
        self.model = make_model(config, self.env)
        self.torch_threads = threads_of(config.torch_threads)
        _, self.callback = self.model._setup_learn(config.total_timesteps)
        self.seconds: dict[str, float] = {"physics": 0.0, "task": 0.0, "policy": 0.0, "update": 0.0}
        """Of each part."""
        self.steps = 0
        self.iterate()
        self.seconds, self.steps = dict.fromkeys(self.seconds, 0.0), 0

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second of learning."""
        return self.steps / sum(self.seconds.values())

    def go_on(self, seconds: float) -> None:
        """Learn for at least so long, in whole rollouts."""
        torch.set_num_threads(self.torch_threads)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.iterate()

    def close(self) -> None:
        """Release the environments."""
        self.env.close()

    def iterate(self) -> None:
        """One rollout and its update."""
        model, clock = self.model, IterationClock(self.env, self.model)
        model.collect_rollouts(self.env, self.callback, model.rollout_buffer, model.n_steps)
        clock.collected()
        model.train()
        for name, seconds in clock.seconds().items():
            self.seconds[name] += seconds
        self.steps += model.n_steps * self.env.num_envs


class BarePhysics:
    """The same arms on the same threads, sent from goal to goal: mj_step and nothing else.

    Not even the positions that belong to the last step are brought up to date, as learning needs.
    """

    def __init__(self, config: Config, *, at_once: bool = True) -> None:
        """Compile the arm and put it at goals of the region.

        Args:
            config: the run.
            at_once: an environment step is one call of MuJoCo, as controls that stay allow; false:
                one for each physics step, as controls that move within an environment step ask for.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        vec, task = config.vec_env, config.task
        alone = vec.kind is VecEnvKind.DUMMY
        self.threads = 1 if alone else threads_of(vec.threads)
        self.robot = load_robot(config.robot, task.physics_step)
        self.goals = goal_pool(config, self.robot, self.threads).joints
        self.substeps = task.substeps
        self.calls = 1 if at_once else task.substeps
        self.batch = Batch(self.robot.model, vec.n_envs, self.threads)
        self.rng = np.random.default_rng(config.seed)
        self.batch.bind("qpos")[:] = self.robot.home_qpos
        self.batch.bind("qpos")[:, self.robot.qpos_adr] = self._somewhere()
        self.control = self.batch.bind("ctrl")
        self.control[:] = self.robot.base_ctrl
        self.seconds = 0.0
        self.steps = 0

    def go_on(self, seconds: float) -> None:
        """Step for at least so long."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.move()

    def move(self) -> None:
        """Send all arms to other goals, and step."""
        self.control[:, self.robot.ctrl_ids] = self._somewhere()
        begin = time.perf_counter()
        for _ in range(_PERIOD * self.calls):
            nstep = self.substeps // self.calls
            self.batch.step(nstep=nstep, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self.seconds += time.perf_counter() - begin
        self.steps += _PERIOD * self.batch.nsim

    def _somewhere(self) -> np.ndarray:
        return self.goals[self.rng.integers(len(self.goals), size=self.batch.nsim)]


def measure(config: Config, seconds: float, turns: Iterable[int]) -> dict[str, Any]:
    """Learning and bare physics, `seconds` each.

    Args:
        config: the run.
        seconds: time of each.
        turns: as many as ROUNDS; may show how far it is.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    bare, part = BarePhysics(config), seconds / ROUNDS
    with closing(Learning(config)) as learning:
        bare_rate = _take_turns(turns, bare, part, [learning], part)
    rate = learning.steps_per_second
    return {
        "vec_env": config.vec_env.kind.value,
        "n_envs": config.vec_env.n_envs,
        "threads": bare.threads,
        "steps_per_second": rate,
        "bare_steps_per_second": bare_rate,
        "bare_physics_steps_per_second": bare_rate * bare.substeps,
        "ratio": rate / bare_rate,
        "share": {n: s * rate / learning.steps for n, s in learning.seconds.items()},
        "microseconds": {n: 1e6 * s / learning.steps for n, s in learning.seconds.items()},
    }


def _take_turns(
    turns: Iterable[int], bare: BarePhysics, rest: float, learners: list[Learning], part: float
) -> float:
    """Bare physics and learning for so many seconds (rest, part) a turn; the former's steps/s."""
    steps, before = bare.steps, bare.seconds
    for _ in turns:
        bare.go_on(rest)
        for learner in learners:
            learner.go_on(part)
    return (bare.steps - steps) / (bare.seconds - before)


def sizes_of(config: Config) -> dict[str, int]:
    """What is tuned, and what it is in a configuration."""
    ppo = config.ppo
    return dict(n_envs=config.vec_env.n_envs, n_steps=ppo.n_steps, batch_size=ppo.batch_size)


def overrides(sizes: Mapping[str, int], config: Config) -> dict[str, int]:
    """The sizes as the command line has them, key -> value."""
    follows = config.ppo.n_steps == config.vec_env.rollout_steps
    steps = "vec_env.rollout_steps" if follows else "ppo.n_steps"
    keys = {"n_envs": "vec_env.n_envs", "n_steps": steps, "batch_size": "ppo.batch_size"}
    return {key: sizes[name] for name, key in keys.items()}


def least_steps(config: Config) -> int:
    """How short a tuned rollout may be: REACH times as long as its advantages reach."""
    reach = 1.0 / max(1.0 - config.ppo.gamma * config.ppo.gae_lambda, 1e-3)
    return min(config.ppo.n_steps, max(1, round(REACH * reach)))


def candidates(config: Config) -> list[Config]:
    """The configurations to try, the given one first.

    Faster is not better: larger minibatches and shorter rollouts nearly always give more
    environment steps per second, and may learn less from each. So the samples of a rollout stay as
    many, a rollout stays longer than the reach of its advantages, and a minibatch within a factor
    of two.
    """
    n, batch, samples = config.vec_env.n_envs, config.ppo.batch_size, rollout_size(config)
    fewest = min(n, threads_of(config.vec_env.threads))
    found = []
    for envs, size in product((n, 2 * n, n // 2, 4 * n, n // 4), (batch, 2 * batch, batch // 2)):
        if envs < fewest or 2 * size < batch or samples % envs or samples % size:
            continue
        if samples // envs >= least_steps(config) and size <= max(batch, samples // 2):
            vec_env = replace(config.vec_env, n_envs=envs)
            ppo = replace(config.ppo, n_steps=samples // envs, batch_size=size)
            found.append(replace(config, vec_env=vec_env, ppo=ppo))
    return found


def tune(config: Config, seconds: float, told: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Measure sizes about the configured ones, and compare the fastest with them once more.

    Args:
        config: the run, vectorised as one batch.
        seconds: time for everything; ends within about this time.
        told: called with the figures of each.

    Returns:
        `tried`, `default` and `best` sizes with their figures (the last two measured in turns),
        the `gain` of the best over the default, `overrides` (key -> value) and `seconds` it took.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    begin = time.perf_counter()
    region = config.task.region
    few = replace(region, pool=min(region.pool, _GOALS))  # as fast to step, faster to sample
    small = replace(config, task=replace(config.task, region=few))
    bare, grid, tried = BarePhysics(small), candidates(small), list[dict[str, Any]]()
    Learning(small).close()  # what the first of a process waits for is nobody's cost
    for one in grid:
        spent = time.perf_counter() - begin
        if tried and spent * (1 + 3 / len(tried)) > seconds:
            break
        tried += _measured([one], bare, seconds)
        told(tried[-1])
    default = winner = tried[0]
    best = max(range(len(tried)), key=lambda i: tried[i]["ratio"])
    if best:
        default, winner = _measured([grid[0], grid[best]], bare, seconds)
    if winner["ratio"] < GAIN * default["ratio"]:
        winner = default
    return {
        "tried": tried,
        "default": default,
        "best": winner,
        "gain": winner["ratio"] / default["ratio"],
        "overrides": overrides(winner, config),
        "seconds": time.perf_counter() - begin,
    }


def _measured(several: list[Config], bare: BarePhysics, seconds: float) -> list[dict[str, Any]]:
    """Sizes and speed of some runs in turns, on the machine that bare physics meets as well."""
    part = seconds * _SHARE / _TURNS
    with ExitStack() as stack:
        learners = [stack.enter_context(closing(Learning(config))) for config in several]
        rate = _take_turns(range(_TURNS), bare, _BARE * part, learners, part)
    speeds = [learner.steps_per_second for learner in learners]
    return [
        sizes_of(config) | {"steps_per_second": speed, "ratio": speed / rate}
        for config, speed in zip(several, speeds, strict=True)
    ]
