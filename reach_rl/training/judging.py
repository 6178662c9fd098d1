"""A checkpoint before the held-out goals, and one figure to compare checkpoints by."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from reach_rl.config.schema import Config
from reach_rl.evaluation.protocol import Evaluation, evaluate, held_out_goals
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint


def judge(
    folder: Path, config: Config, threads: int, progress: Callable[[int, float], None] | None = None
) -> Evaluation:
    """A checkpoint on the held-out goals of the configured region.

    Args:
        folder: the checkpoint.
        config: the run, with the region to judge on.
        threads: physics threads.
        progress: told the environment steps done and the share of goals reached so far.

    Raises:
        ConfigError: the region cannot be reached.
    """
    robot = load_robot(config.robot, config.task.physics_step)
    protocol = config.evaluation
    goals = held_out_goals(config, robot, protocol.goals, protocol.seed, threads)
    policy = checkpoint.load_policy(folder, deterministic=protocol.deterministic)
    return evaluate(
        policy, config, goals, threads=threads, robot=robot, seed=protocol.seed, progress=progress
    )


def score_of(evaluation: Evaluation, config: Config) -> float:
    """Success rate, less a twentieth of the median errors in units of their thresholds."""
    task = config.task
    position = float(np.median(evaluation.position_error)) / task.position_threshold
    angle = float(np.median(evaluation.orientation_error)) / task.orientation_threshold
    return float(evaluation.success.mean()) - 0.05 * (min(position, 10.0) + min(angle, 10.0))
