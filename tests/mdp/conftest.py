"""A small arm and states of it, whose terms can be worked out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reach_rl.config.schema import Config
from reach_rl.mdp.state import Arm, State
from tests.small_runs import compose


@pytest.fixture(scope="session")
def config() -> Config:
    """The shipped configuration; tests use its shape, never its values."""
    return compose([])


@pytest.fixture
def arm() -> Arm:
    """Two joints, the second without limits."""
    return Arm(
        home=np.array([0.1, -0.2]),
        low=np.array([-1.0, -np.inf]),
        high=np.array([2.0, np.inf]),
        velocity_limits=np.array([2.0, 3.0]),
        servo_lag=np.array([0.1, 0.2]),
        acceleration_limits=np.array([10.0, 40.0]),
        hinge=np.array([True, True]),
        height_moves=np.array([True, True, True]),
        keypoint_offset=0.1,
        control_period=0.02,
    )


def make_state(n: int = 1, joints: int = 2, **values: Any) -> State:
    """n rows, tool and goal in the base frame's origin and orientation, with changes."""
    ways = np.asarray(values.get("goal_ways", np.empty((n, 0, joints)))).shape[-2]
    state = State.empty(n, joints, ways)
    state.tool_quaternion[:, 0] = state.goal_quaternion[:, 0] = 1.0
    state.tool_matrix[:] = state.goal_matrix[:] = np.eye(3)
    for name, value in values.items():
        getattr(state, name)[:] = value
    return state


@pytest.fixture
def state_of() -> Callable[..., State]:
    """Factory of states."""
    return make_state
