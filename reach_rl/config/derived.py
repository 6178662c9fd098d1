"""Numbers that follow from a configuration, computed in one place."""

import math

from reach_rl.config.schema import Config


def rollout_size(config: Config) -> int:
    """Environment steps of one rollout, all environments together."""
    return config.ppo.n_steps * config.vec_env.n_envs


def updates(config: Config) -> int:
    """Rollouts, hence policy updates, of the run; the last one is completed."""
    return math.ceil(config.total_timesteps / rollout_size(config))


def minibatches(config: Config) -> int:
    """Minibatches of one pass over a rollout."""
    return max(1, rollout_size(config) // config.ppo.batch_size)


def episodes(config: Config) -> int:
    """Whole episodes of the run, all environments together."""
    return updates(config) * rollout_size(config) // config.task.episode_steps


def divisor_near(number: int, wanted: float) -> int:
    """The divisor of number that is nearest to wanted in ratio."""
    pairs = ((d, number // d) for d in range(1, math.isqrt(number) + 1) if number % d == 0)
    divisors = {divisor for pair in pairs for divisor in pair}
    return min(sorted(divisors), key=lambda d: abs(math.log(d / wanted)))
