"""Numbers that follow from a configuration, computed in one place."""

import math
from dataclasses import dataclass

from reach_rl.config.schema import Config, GoalChange, Unit


@dataclass(frozen=True, slots=True)
class Derived:
    """What a run's configuration comes to."""

    rollout: int
    """Environment steps per rollout, all environments together."""
    rollouts: int
    """Rollouts, and as many updates, of the run."""
    total_steps: int
    """Environment steps that the run takes: the configured ones, up to whole rollouts."""
    minibatches: int
    """Minibatches per pass over a rollout."""
    gradient_steps: int
    """Gradient steps per update."""
    episodes: float
    """Episodes of the run, all environments together."""
    goals: float
    """Goals given in the run; with goals that change on success, the least number."""
    curriculum_end: float | None
    """Environment step at which ramps end; None without ramps."""


def derive(config: Config) -> Derived:
    """The derived numbers of a run."""
    ppo, task = config.ppo, config.task
    rollout, rollouts = rollout_size(config), updates(config)
    total = rollouts * rollout
    minibatches = math.ceil(rollout / ppo.batch_size)
    episodes = total / task.episode_steps
    per_episode = (
        math.ceil(task.episode_steps / task.goal_period)
        if task.goal_change is GoalChange.TIMER
        else 1
    )
    return Derived(
        rollout=rollout,
        rollouts=rollouts,
        total_steps=total,
        minibatches=minibatches,
        gradient_steps=minibatches * ppo.n_epochs,
        episodes=episodes,
        goals=episodes * per_episode,
        curriculum_end=_curriculum_end(config, total),
    )


def _curriculum_end(config: Config, total: int) -> float | None:
    curriculum = config.curriculum
    if not curriculum.ramps:
        return None
    steps_per_unit = {
        Unit.STEPS: 1,
        Unit.EPISODES: config.task.episode_steps,
        Unit.FRACTION: total,
    }[curriculum.unit]
    return curriculum.duration * steps_per_unit


def rollout_size(config: Config) -> int:
    """Environment steps of one rollout, all environments together."""
    return config.ppo.n_steps * config.vec_env.n_envs


def updates(config: Config) -> int:
    """Rollouts, hence policy updates, of the run; the last one is completed."""
    return math.ceil(config.total_timesteps / rollout_size(config))


def divisor_near(number: int, wanted: float) -> int:
    """The divisor of number that is nearest to wanted in ratio."""
    pairs = ((d, number // d) for d in range(1, math.isqrt(number) + 1) if number % d == 0)
    divisors = {divisor for pair in pairs for divisor in pair}
    return min(sorted(divisors), key=lambda d: abs(math.log(d / wanted)))
