"""The configured environments, vectorised and normalised."""

import os

from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize

from reach_rl.config.schema import Config, VecEnvKind
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.pool import goal_pool
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.robots import load_robot


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(configured: int) -> int:
    """Threads to use; 0 means one per core."""
    return configured or cores()


def make_vec_env(config: Config) -> VecEnv:
    """The configured environments, not normalised.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    vec = config.vec_env
    threads = threads_of(vec.threads)
    if vec.kind is VecEnvKind.BATCH:
        batch = ReachBatch(config, vec.n_envs, threads=threads)
        return BatchVecEnv(
            batch, truncate_at_goal_change=vec.truncate_at_goal_change, stagger=vec.stagger
        )
    robot = load_robot(config.robot, config.task.physics_step)
    goals = goal_pool(config, robot, threads)
    makers = [
        lambda i=i: ReachEnv(config, seed=config.seed + i, goals=goals) for i in range(vec.n_envs)
    ]
    if vec.kind is VecEnvKind.DUMMY:
        return DummyVecEnv(makers)
    return SubprocVecEnv(makers, start_method=vec.start_method)


def normalized(env: VecEnv, config: Config) -> VecNormalize:
    """SB3's running normalisation of observations and rewards."""
    return VecNormalize(
        env,
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )
