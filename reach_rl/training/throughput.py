"""How fast a configuration learns, where its time goes, and how fast its bare physics would be."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from reach_rl.config.kinds import VecEnvKind
from reach_rl.config.schema import Config
from reach_rl.envs.pool import goal_pool
from reach_rl.learning.build import make_model
from reach_rl.learning.vec_envs import make_vec_env, normalized, physics_seconds, threads_of
from reach_rl.robots import load_robot

ROUNDS = 5
"""Learning and bare physics take turns this often, so that both meet the same machine."""

_PERIOD = 50
"""Control steps after which the bare arms are sent elsewhere."""


@dataclass(slots=True)
class Split:
    """Seconds of each part of learning."""

    physics: float = 0.0
    task: float = 0.0
    policy: float = 0.0
    update: float = 0.0

    @property
    def total(self) -> float:
        """All of them (s)."""
        return sum(getattr(self, f.name) for f in fields(self))


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
        self.split = Split()
        self.steps = 0
        self.iterate()
        self.split, self.steps = Split(), 0

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
        model, split = self.model, self.split
        physics, policy = physics_seconds(self.env), model.seconds_policy
        begin = time.perf_counter()
        model.collect_rollouts(self.env, self.callback, model.rollout_buffer, model.n_steps)
        collected = time.perf_counter()
        model.train()
        split.update += time.perf_counter() - collected
        physics = physics_seconds(self.env) - physics
        policy = model.seconds_policy - policy
        split.physics += physics
        split.policy += policy
        split.task += collected - begin - physics - policy
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


def measure(config: Config, seconds: float, told: Callable[[int, int], None]) -> dict[str, Any]:
    """Learning and bare physics, `seconds` each, in turns.

    Args:
        config: the run.
        seconds: time of each.
        told: called with turns done and turns in all.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    bare = BarePhysics(config)
    learning = Learning(config)
    try:
        for turn in range(ROUNDS):
            told(2 * turn, 2 * ROUNDS)
            bare.go_on(seconds / ROUNDS)
            told(2 * turn + 1, 2 * ROUNDS)
            learning.go_on(seconds / ROUNDS)
    finally:
        learning.close()
    told(2 * ROUNDS, 2 * ROUNDS)
    split, rate = learning.split, learning.steps / learning.split.total
    bare_rate = bare.steps / bare.seconds
    return {
        "vec_env": config.vec_env.kind.value,
        "n_envs": config.vec_env.n_envs,
        "threads": bare.threads,
        "steps_per_second": rate,
        "bare_steps_per_second": bare_rate,
        "bare_physics_steps_per_second": bare_rate * bare.substeps,
        "ratio": rate / bare_rate,
        "share": {f.name: getattr(split, f.name) / split.total for f in fields(split)},
        "microseconds": {
            f.name: 1e6 * getattr(split, f.name) / learning.steps for f in fields(split)
        },
    }
