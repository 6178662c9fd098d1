"""A controller without learning, to judge policies by: damped least squares to the goal."""

from dataclasses import replace

import numpy as np

from reach_rl.config.schema import ActionConfig, Config, ObservationConfig, ObservationTerm
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.protocol import Policy
from reach_rl.robots import Robot

GAIN = 4.0
"""Joint speed per joint error (1/s)."""


def damped_least_squares(config: Config, robot: Robot) -> tuple[Config, Policy]:
    """The controller, and the run's configuration with the observation and action that it needs.

    Every joint moves at GAIN times its damped least-squares step to the goal; all joints slow down
    together where one of them would exceed full action.
    """
    term = ObservationTerm(scales=None, noise=0.0)
    seen = ObservationConfig(terms={"damped_least_squares": term}, normalize=False, clip=10.0)
    action = replace(config.action, kind="offset", curve=1.0)
    config = replace(config, observation=seen, action=action)
    speed = _full_speed(config.action, robot, config)

    def policy(observation: np.ndarray) -> np.ndarray:
        action = GAIN * observation / speed
        return action / np.maximum(1.0, np.abs(action).max(axis=1, keepdims=True))

    return config, policy


def _full_speed(action: ActionConfig, robot: Robot, config: Config) -> np.ndarray:
    """(j,) joint speed at full action (rad/s)."""
    return action.speed * arm_of(robot, config.task).velocity_limits
