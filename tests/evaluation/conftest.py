"""A short protocol with a controller that reaches its goals."""

from dataclasses import dataclass, replace

import pytest

from reach_rl.config.load import compose
from reach_rl.config.schema import Config
from reach_rl.evaluation.protocol import Policy, held_out_goals
from reach_rl.evaluation.yardstick import damped_least_squares
from reach_rl.mdp.goals import Goals
from reach_rl.robots import Robot, load_robot


@dataclass(frozen=True)
class Yardstick:
    config: Config
    robot: Robot
    goals: Goals
    policy: Policy


@pytest.fixture(scope="session")
def yardstick() -> Yardstick:
    """Twenty-four goals of the default task, and damped least squares to reach them."""
    config = compose(["task.episode_steps=200"])
    robot = load_robot(config.robot, config.task.physics_step)
    config, policy = damped_least_squares(config, robot)
    config = replace(config, vec_env=replace(config.vec_env, threads=1))
    return Yardstick(config, robot, held_out_goals(config, robot, 24, 7), policy)
