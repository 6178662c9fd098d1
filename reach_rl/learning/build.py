"""The learner of a run from its configuration."""

import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.schema import Config, ScheduleKind
from reach_rl.envs.vec_env import cores, threads_of
from reach_rl.learning.policy import policy_kwargs
from reach_rl.learning.ppo import FastPPO
from reach_rl.learning.schedules import Scheduled

_OWN = (
    "policy",
    "policy_kwargs",
    "learning_rate_schedule",
    "clip_range_schedule",
    "min_std",
    "fast",
    "rollout_buffer_class",
    "seed",
)
"""Keys of the ppo group that are not handed to SB3 as they are."""


STRIDE = 1_000_003
"""Environment i of a run draws from the random stream seed * STRIDE + i, which no other run has."""


def make_model(config: Config, env: VecNormalize) -> FastPPO:
    """PPO with fresh networks; seeds Python, NumPy, torch and the environments."""
    ppo = config.ppo
    torch.set_num_threads(threads_of(config.torch_threads))
    arguments = {f: getattr(ppo, f) for f in ppo.__dataclass_fields__ if f not in _OWN}
    arguments["learning_rate"] = Scheduled(ppo.learning_rate, ppo.learning_rate_schedule)
    if ppo.clip_range_schedule.kind is not ScheduleKind.CONSTANT:
        arguments["clip_range"] = Scheduled(ppo.clip_range, ppo.clip_range_schedule)
    arguments["rollout_buffer_kwargs"] = dict(ppo.rollout_buffer_kwargs)
    model = FastPPO(
        ppo.policy,
        env,
        policy_kwargs=policy_kwargs(ppo.policy_kwargs),
        seed=config.seed if ppo.seed is None else ppo.seed,
        **arguments,
    )
    env.seed(config.seed * STRIDE % 2**31)
    model.fast = ppo.fast
    model.min_std = ppo.min_std
    spare = min(threads_of(config.vec_env.threads), cores()) // torch.get_num_threads()
    model.side_by_side = spare > 1
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model
