"""The configured environments, vectorised and normalised."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize

from reach_rl.config.kinds import VecEnvKind
from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.guard import hush
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.pool import goal_pool
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.learning.normalize import Normalize
from reach_rl.learning.workers import WorkerVecEnv
from reach_rl.mdp.compiled import load_all
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel, load_robot

_GRACE = 60
"""Time that a worker goes on for after SIGTERM (s)."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(configured: int) -> int:
    """Threads to use; 0 means one per core."""
    return configured or cores()


def make_vec_env(config: Config, robot: RobotModel | None = None) -> VecEnv:
    """The configured environments, not normalised.

    Args:
        config: the run.
        robot: the compiled arm, if there is one already.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    hush()
    vec = config.vec_env
    threads = threads_of(vec.threads)
    robot = robot or load_robot(config.robot, config.task.physics_step)
    if vec.kind is VecEnvKind.BATCH:
        batch = ReachBatch(config, vec.n_envs, threads=threads, robot=robot)
        if config.guard.dumps:
            batch.keep_history()
        return BatchVecEnv(
            batch, truncate_at_goal_change=vec.truncate_at_goal_change, stagger=vec.stagger
        )
    goals = goal_pool(config, robot, threads)
    in_worker = vec.kind is VecEnvKind.SUBPROC
    makers: list[Callable[[], gymnasium.Env[Any, Any]]] = [
        _Maker(config, i, goals, in_worker) for i in range(vec.n_envs)
    ]
    if not in_worker:
        return DummyVecEnv(makers)
    load_all()  # once, not in each worker
    if vec.start_method in (None, "forkserver"):
        # workers are copies of a server that has the imports behind it
        multiprocessing.set_forkserver_preload([__name__, "reach_rl.envs.preload"])
    return WorkerVecEnv(makers, vec.start_method, vec.worker_timeout, vec.worker_restarts)


@dataclass(frozen=True)
class _Maker:
    """Makes one environment, in whatever process it is called."""

    config: Config
    index: int
    goals: Goals
    in_worker: bool

    def __call__(self) -> ReachEnv:
        if self.in_worker:
            hush()
            _leave_signals_to_the_run()
        env = ReachEnv(self.config, seed=self.config.seed + self.index, goals=self.goals)
        if self.config.guard.dumps:
            env.batch.keep_history()
        return env


def _leave_signals_to_the_run() -> None:
    """Signals to a whole group of processes must not take its workers from a run that saves."""
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # not for ever: this is also how a dying run ends its workers
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))


def normalized(env: VecEnv, config: Config) -> VecNormalize:
    """SB3's running normalisation of observations and rewards."""
    return Normalize(
        env,
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )


def physics_seconds(env: VecNormalize) -> float:
    """Time spent stepping physics so far (s); of parallel processes their mean."""
    if isinstance(env.venv, BatchVecEnv):
        return env.venv.batch.seconds_physics
    seconds = env.get_attr("seconds_physics")
    return sum(seconds) / (len(seconds) if isinstance(env.venv, SubprocVecEnv) else 1)
