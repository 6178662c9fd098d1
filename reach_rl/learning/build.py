"""The learner of a run from its configuration."""

import math
from inspect import signature

import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.schema import Config, Schedule, ScheduleKind
from reach_rl.envs.vec_env import threads_of
from reach_rl.learning.policy import policy_kwargs
from reach_rl.learning.ppo import FastPPO
from reach_rl.rundir.provenance import cores

STRIDE = 1_000_003
"""Environment i of a run draws from the random stream seed * STRIDE + i, which no other run has."""


def make_model(config: Config, env: VecNormalize) -> FastPPO:
    """PPO with fresh networks; seeds Python, NumPy, torch and the environments."""
    ppo = config.ppo
    torch.set_num_threads(threads_of(config.torch_threads))
    named = signature(FastPPO.__init__).parameters
    arguments = {name: getattr(ppo, name) for name in named if hasattr(ppo, name)}
    del arguments["rollout_buffer_class"]  # of a name that there is one of
    arguments["learning_rate"] = Scheduled(ppo.learning_rate, ppo.learning_rate_schedule)
    if ppo.clip_range_schedule.kind is not ScheduleKind.CONSTANT:
        arguments["clip_range"] = Scheduled(ppo.clip_range, ppo.clip_range_schedule)
    arguments["rollout_buffer_kwargs"] = dict(ppo.rollout_buffer_kwargs)
    arguments["policy_kwargs"] = policy_kwargs(ppo.policy_kwargs)
    arguments["seed"] = config.seed if ppo.seed is None else ppo.seed
    model = FastPPO(env=env, **arguments)
    env.seed(config.seed * STRIDE % 2**31)
    model.fast = ppo.fast
    model.min_std = ppo.min_std
    spare = min(threads_of(config.vec_env.threads), cores()) // torch.get_num_threads()
    model.side_by_side = spare > 1
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


class Scheduled:
    """A value for SB3: called with the remaining progress, 1 at the start and 0 at the end."""

    def __init__(self, start: float, schedule: Schedule) -> None:
        """Begin at `start`."""
        self.start = start
        self.schedule = schedule
        self.factor = 1.0
        """With kl_adaptive: the value as a multiple of its start."""

    def __call__(self, progress_remaining: float) -> float:
        """The value now."""
        end = self.schedule.end
        remaining = min(1.0, max(0.0, progress_remaining))
        match self.schedule.kind:
            case ScheduleKind.CONSTANT:
                return self.start
            case ScheduleKind.LINEAR:
                return self.start * (end + (1.0 - end) * remaining)
            case ScheduleKind.COSINE:
                risen = 0.5 * (1.0 - math.cos(math.pi * remaining))
                return self.start * (end + (1.0 - end) * risen)
            case ScheduleKind.KL_ADAPTIVE:
                return self.start * self.factor

    def adapt(self, kl: float) -> None:
        """With kl_adaptive: follow the KL divergence of the last update (Rudin et al., 2022).

        The value shrinks by 1.5 above twice the target and grows by 1.5 below half of it, between
        a hundredth of and ten times its start.
        """
        if self.schedule.kind is not ScheduleKind.KL_ADAPTIVE:
            return
        if kl > 2.0 * self.schedule.target_kl:
            self.factor = max(self.factor / 1.5, 0.01)
        elif 0.0 < kl < 0.5 * self.schedule.target_kl:
            self.factor = min(self.factor * 1.5, 10.0)
