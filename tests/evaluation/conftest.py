"""A short protocol with a controller that reaches its goals."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from reach_rl.config.schema import Config, ObservationConfig, ObservationTerm
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.protocol import Policy, held_out_goals
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel, load_robot
from tests.small_runs import compose


@dataclass(frozen=True)
class Yardstick:
    config: Config
    robot: RobotModel
    goals: Goals
    policy: Policy


GAIN = 4.0
"""Joint speed per joint error (1/s)."""


def damped_least_squares(config: Config, robot: RobotModel) -> tuple[Config, Policy]:
    """Every joint moves at GAIN times its damped least-squares step to the goal."""
    term = ObservationTerm(scales=None, noise=0.0)
    seen = ObservationConfig(terms={"damped_least_squares": term}, normalize=False, clip=10.0)
    action = replace(config.action, kind="offset", curve=1.0)
    config = replace(config, observation=seen, action=action)
    speed = config.action.speed * arm_of(robot, config.task).velocity_limits

    def policy(observation: np.ndarray) -> np.ndarray:
        action = GAIN * observation / speed
        return action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))

    return config, policy


@pytest.fixture(scope="session")
def yardstick() -> Yardstick:
    """Twenty-four goals of the default task, and damped least squares to reach them."""
    config = compose(["task.episode_steps=200"])
    robot = load_robot(config.robot, config.task.physics_step)
    config, policy = damped_least_squares(config, robot)
    config = replace(config, vec_env=replace(config.vec_env, threads=1))
    return Yardstick(config, robot, held_out_goals(config, robot, 24, 7), policy)
