"""A configuration in words: what follows from it, announced once."""

import math

from reach_rl.config.derived import Derived, derive
from reach_rl.config.kinds import GoalChange, ScheduleKind
from reach_rl.config.schema import Config


def in_words(config: Config) -> dict[str, str]:
    """The derived numbers and the main choices, as subject -> sentence."""
    d, ppo, task = derive(config), config.ppo, config.task
    return {
        "robot": f"{config.robot.name}, {len(config.robot.joints)} joints",
        "task": _task(config),
        "steps": _steps(config, d),
        "rollout": (
            f"{d.rollout:,} steps = {ppo.n_steps:,} x {config.vec_env.n_envs:,} environments "
            f"({config.vec_env.kind.value})"
        ),
        "update": _update(config, d),
        "learning rate": _schedule(ppo.learning_rate, config),
        "episodes": (
            f"about {d.episodes:,.0f} of {task.episode_steps:,} steps "
            f"({task.episode_steps * task.control_period:g} s), "
            f"{'at least' if task.goal_change is GoalChange.HOLD else 'about'} "
            f"{d.goals:,.0f} goals"
        ),
        "evaluation": _evaluation(config),
        "seed": f"{config.seed}; held-out goals from seed {config.evaluation.seed}",
    }


def _task(config: Config) -> str:
    task = config.task
    return (
        f"{task.region.name}: within {task.position_threshold * 1000:g} mm and "
        f"{math.degrees(task.orientation_threshold):.1f} deg for {task.hold_time:g} s, "
        f"{1 / task.control_period:g} Hz control"
    )


def _steps(config: Config, d: Derived) -> str:
    asked = f"{config.total_timesteps:,}"
    if d.total_steps == config.total_timesteps:
        return f"{asked} in {d.rollouts:,} rollouts"
    return f"{d.total_steps:,} in {d.rollouts:,} rollouts ({asked}, rounded up to whole rollouts)"


def _update(config: Config, d: Derived) -> str:
    ppo = config.ppo
    return (
        f"{d.gradient_steps:,} gradient steps = {ppo.n_epochs:,} passes x {d.minibatches:,} "
        f"minibatches of {ppo.batch_size:,}"
    )


def _schedule(start: float, config: Config) -> str:
    schedule = config.ppo.learning_rate_schedule
    match schedule.kind:
        case ScheduleKind.CONSTANT:
            return f"{start:g}, constant"
        case ScheduleKind.KL_ADAPTIVE:
            return f"{start:g}, then such that the KL divergence is {schedule.target_kl:g}"
        case _:
            return f"{start:g} to {start * schedule.end:g}, {schedule.kind.value}"


def _evaluation(config: Config) -> str:
    evaluation = config.evaluation
    final = f"{evaluation.goals:,} held-out goals at the end"
    if not evaluation.every:
        return final
    return f"{evaluation.periodic_goals:,} goals every {evaluation.every:,} steps, {final}"
