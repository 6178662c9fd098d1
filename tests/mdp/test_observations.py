"""Observation terms by hand, and the Jacobian terms against MuJoCo's own kinematics."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from reach_rl.config.schema import Config, ObservationTerm, RobotConfig
from reach_rl.extend import entries
from reach_rl.mdp import observations
from reach_rl.mdp.observations import Observation, damped_least_squares, jacobian_transpose
from reach_rl.mdp.state import Arm, State
from reach_rl.robots import RobotModel, load_robot

Make = Callable[..., State]
ASSETS = Path(__file__).parent.parent / "assets"
HALF = np.sqrt(0.5)

VALUES = {
    "joint_position": [0.3, -0.5],
    "joint_velocity": [1.5, -2.5],
    "tool_position": [0.1, 0.2, 0.3],
    "tool_quaternion": [-HALF, 0, 0, HALF],
    "goal_position": [0.1, 0.5, -0.1],
    "goal_quaternion": [0, -1, 0, 0],
    "goal_ways": [[1.3, 0.5], [np.nan, np.nan], [0.2, 2 * np.pi - 0.3]],
    "action": [0.7, -0.6],
    "last_action": [0.1, 0.2],
    "self_contact": True,
    "joint_axis": [[0, 0, 1], [0, 1, 0]],
    "joint_anchor": [[0, 0, 0], [0, 0, 0.3]],
    "position_error": [0, 0.3, -0.4],
    "rotation_error": [0.1, 0.2, -0.3],
}

CASES = {
    "joint_position": [0.2, -0.3],  # from home 0.1, -0.2
    "joint_angle": [np.cos(0.3), np.cos(-0.5), np.sin(0.3), np.sin(-0.5)],
    "joint_velocity": [1.5, -2.5],
    "tool_position": [0.1, 0.2, 0.3],
    "tool_quaternion": [HALF, 0, 0, -HALF],  # w >= 0
    "goal_position": [0.1, 0.5, -0.1],
    "goal_quaternion": [0, -1, 0, 0],
    "goal_direction": [0, 0.6, -0.8],
    "position_error": [0, 0.3, -0.4],
    "orientation_error": [0.1, 0.2, -0.3],
    "self_collision": [1.0],
    "last_action": [0.7, -0.6],  # the action that led here
    "joint_error": [-0.1, 0.2],  # to the last way, less a full turn of the second joint
    # levers: z x (0.1, 0.2, 0.3) = (-0.2, 0.1, 0); y x (0.1, 0.2, 0) = (0, 0, -0.1); L^2 = 0.01
    "jacobian_transpose": [
        (0.03 + 0.01 * -0.3) / (0.05 + 0.01),
        (0.04 + 0.01 * 0.2) / (0.01 + 0.01),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_term(name: str, arm: Arm, state_of: Make) -> None:
    value = entries("observation_term")[name](state_of(1, **VALUES), arm)
    assert np.allclose(value, [CASES[name]], atol=1e-12)


def test_every_term_is_tested() -> None:
    assert set(entries("observation_term")) == {*CASES, "damped_least_squares"}


def test_direction_at_the_goal_is_zero(arm: Arm, state_of: Make) -> None:
    assert (entries("observation_term")["goal_direction"](state_of(1), arm) == 0.0).all()


def observation(config: Config, arm: Arm, **terms: ObservationTerm | None) -> Observation:
    return Observation(replace(config.observation, terms=terms), arm, State.empty(1, len(arm.home)))


def test_terms_stand_in_their_order_scaled_side_by_side(
    config: Config, arm: Arm, state_of: Make
) -> None:
    """tanh(x / w) for each width w, the first width first; null drops a term; float32."""
    observe = observation(
        config,
        arm,
        joint_velocity=ObservationTerm(scales=[2.0, 0.5], noise=0.0),
        tool_position=None,
        self_collision=ObservationTerm(scales=None, noise=0.0),
    )
    got = observe(state_of(1, **VALUES))
    assert got.dtype == np.float32
    expected = [*np.tanh([0.75, -1.25, 3.0, -5.0]), 1.0]
    assert np.allclose(got, [expected], atol=1e-7)
    assert observe.size == 5
    assert observe.slices == {"joint_velocity": slice(0, 4), "self_collision": slice(4, 5)}
    assert not observe.noisy


def test_noise_is_added_before_scaling(config: Config, arm: Arm, state_of: Make) -> None:
    """Each term its own width; the noise array says how much each raw number gets."""
    observe = observation(
        config,
        arm,
        joint_velocity=ObservationTerm(scales=[2.0, 0.5], noise=0.5),
        self_collision=ObservationTerm(scales=None, noise=0.0),
        joint_position=ObservationTerm(scales=None, noise=0.01),
    )
    assert observe.noisy
    assert observe.noise.tolist() == [0.5, 0.5, 0.0, 0.01, 0.01]
    noise = np.array([[0.5, -0.5, 0.0, 0.01, -0.01]])
    got = observe(state_of(1, **VALUES), noise)
    expected = [*np.tanh([1.0, -1.5, 4.0, -6.0]), 1.0, 0.21, -0.31]
    assert np.allclose(got, [expected], atol=1e-7)


def test_measured_errors(arm: Arm, state_of: Make) -> None:
    """A goal 0.3 m up and a quarter turn about z away: key points by hand."""
    state = state_of(
        1,
        goal_position=[0, 0, 0.3],
        goal_quaternion=[HALF, 0, 0, HALF],
        goal_matrix=[[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    )
    state.measure(arm)
    assert np.allclose(state.position_error, [[0, 0, 0.3]])
    assert state.distance == pytest.approx(0.3)
    assert np.allclose(state.rotation_error, [[0, 0, np.pi / 2]])
    assert state.angle == pytest.approx(np.pi / 2)
    # x and y points: 0.1 * (-1, 1, 0) and 0.1 * (-1, -1, 0), each with 0.3 up; z point: 0.3 up
    expected = (2 * np.sqrt(0.09 + 0.02) + 0.3) / 3
    assert state.keypoint_distance == pytest.approx(expected)


def test_measure_touches_only_its_rows(arm: Arm, state_of: Make) -> None:
    state = state_of(3, goal_position=[0, 0, 0.3])
    state.measure(arm, np.array([1]))
    assert state.distance.tolist() == pytest.approx([0.0, 0.3, 0.0])
    some = state.rows(np.array([1, 2]))
    some.distance[:] = 5.0
    assert state.distance.tolist() == pytest.approx([0.0, 0.3, 0.0])


@pytest.fixture(scope="module", params=["ur5e", "arm7"])
def robot(request: pytest.FixtureRequest, config: Config) -> RobotModel:
    own: RobotConfig = config.robot
    if request.param == "arm7":
        own = replace(
            own,
            name="arm7",
            mjcf=str(ASSETS / "arm7.xml"),
            joints=[f"j{i}" for i in range(1, 8)],
            actuators=[f"a{i}" for i in range(1, 8)],
            tcp_site="tip",
            home=None,
        )
    return load_robot(own)


def pose(robot: RobotModel, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, mujoco.MjData]:
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home_qpos
    data.qpos[robot.qpos_adr] = q
    mujoco.mj_kinematics(robot.model, data)
    site = data.site_xpos[robot.tcp_site].copy(), data.site_xmat[robot.tcp_site].reshape(3, 3)
    return site[0], site[1].copy(), data


def at_random(robot: RobotModel, arm: Arm, seed: int) -> tuple[State, np.ndarray]:
    """A state with random joints and errors, and its Jacobian (6, j) by central differences."""
    rng = np.random.default_rng(seed)
    j = len(robot.home)
    q = robot.home + rng.uniform(-1, 1, j)
    position, _, data = pose(robot, q)
    joints = robot.model.dof_jntid[robot.dof_adr]
    state = State.empty(1, j)
    state.joint_anchor[0], state.joint_axis[0] = data.xanchor[joints], data.xaxis[joints]
    state.tool_position[0] = position
    state.position_error[0] = rng.normal(size=3, scale=0.3)
    state.rotation_error[0] = rng.normal(size=3)
    columns, step = [], 1e-5
    for i in range(j):
        (p1, r1, _), (p0, r0, _) = (pose(robot, q + s * step * np.eye(j)[i]) for s in (1, -1))
        turn = (r1 @ r0.T - r0 @ r1.T) / 2
        columns.append([*(p1 - p0), turn[2, 1], turn[0, 2], turn[1, 0]])
    return state, np.array(columns).T / (2 * step)


@pytest.mark.parametrize("seed", range(5))
def test_jacobian_terms_against_finite_differences(robot: RobotModel, arm: Arm, seed: int) -> None:
    """The Jacobian, each joint's own best step, and the damped step as a least-squares problem."""
    hinges = np.ones(len(robot.home), bool)
    arm = replace(arm, hinge=hinges, keypoint_offset=0.2)
    state, numeric = at_random(robot, arm, seed)
    weighted, _ = observations._weighted(state, arm)
    assert np.allclose(weighted[0].T, [*numeric[:3], *(0.2 * numeric[3:])], atol=1e-8)

    weight = np.array([1, 1, 1, 0.2, 0.2, 0.2])
    e = weight * np.concatenate([state.position_error[0], state.rotation_error[0]])
    columns = weight[:, None] * numeric
    alone = [np.linalg.lstsq(columns[:, [i]], e, rcond=None)[0][0] for i in range(len(hinges))]
    assert np.allclose(jacobian_transpose(state, arm)[0], alone, atol=1e-7)

    damped = np.vstack([columns, 0.05 * 0.2 * np.eye(len(hinges))])
    step = np.linalg.lstsq(damped, np.concatenate([e, np.zeros(len(hinges))]), rcond=None)[0]
    assert np.allclose(damped_least_squares(state, arm)[0], step, atol=1e-5)


def test_a_slide_moves_along_its_axis(arm: Arm, state_of: Make) -> None:
    state = state_of(1, **VALUES)
    slide = replace(arm, hinge=np.array([True, False]))
    weighted, _ = observations._weighted(state, replace(slide, keypoint_offset=1.0))
    assert np.allclose(weighted[0], [[-0.2, 0.1, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]])
    assert np.allclose(jacobian_transpose(state, slide)[0], [CASES["jacobian_transpose"][0], 0.3])
