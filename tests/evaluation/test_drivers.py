"""Inverse kinematics as mink solves it, on the same servos, starts and limits."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from reach_rl.config.load import compose
from reach_rl.evaluation.drivers import make_driver
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.robots import load_robot

ASSETS = Path(__file__).parent.parent / "assets"


@pytest.fixture(scope="module", params=["ur5e", "ur3e"])
def arm(request):
    config = compose([f"robot={request.param}", "task.episode_steps=150", "task=near"])
    return config, load_robot(config.robot, config.task.physics_step)


def tool(robot, joints):
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home_qpos
    data.qpos[robot.qpos_adr] = joints
    mujoco.mj_kinematics(robot.model, data)
    site = robot.tcp_site
    return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()


def test_paths_lead_to_the_goal_within_range_and_speed(arm):
    config, robot = arm
    goals = held_out_goals(config, robot, 20, 7)
    config, pilot = make_driver("ik", config, robot)
    period, arrived = config.task.control_period, 0
    for row in range(20):
        path = pilot.solver.path(robot.home, goals.position[row], goals.quaternion[row], 150)
        assert path.shape == (151, 6)
        np.testing.assert_allclose(path[0], robot.home)
        assert (path >= robot.low - 1e-6).all() and (path <= robot.high + 1e-6).all()
        speed = np.abs(np.diff(path, axis=0)) / period / robot.velocity_limits
        assert speed.max() < 0.9 + 1e-6
        position, matrix = tool(robot, path[-1])
        near = np.linalg.norm(position - goals.position[row]) < 1e-3
        arrived += near and np.abs(matrix - goals.matrix[row]).max() < 1e-2
    assert arrived >= 18


def test_it_is_judged_as_a_policy_is(arm):
    config, robot = arm
    goals = held_out_goals(config, robot, 24, 7)
    there, pilot = make_driver("ik", config, robot)
    assert there.task == config.task and there.action.speed == config.action.speed
    result = evaluate(pilot, there, goals, threads=1, robot=robot, seed=7, chunk=10)
    assert result.success.mean() >= 0.9
    assert np.median(result.position_error) < 1e-4
    assert result.max_speed_of_limit.max() < 1.0
    again = evaluate(pilot, there, goals, threads=1, robot=robot, seed=7)
    np.testing.assert_array_equal(result.position_error, again.position_error)
    far = replace(goals, position=goals.position + 5.0)
    assert not evaluate(pilot, there, far, threads=1, robot=robot, seed=7).success.any()


def test_straight_in_the_joints_there_are_no_dead_ends(arm):
    config, robot = arm
    config = replace(config, task=compose(["task=full_sphere", "task.episode_steps=200"]).task)
    goals = held_out_goals(config, robot, 60, 7)
    there, policy = make_driver("straight", config, robot)
    assert there.task == config.task and there.action.speed == config.action.speed
    result = evaluate(policy, there, goals, threads=1, robot=robot, seed=7)
    assert result.success.mean() >= 0.97
    assert np.median(result.position_error) < 1e-4
    assert result.max_speed_of_limit.max() < 1.0
    assert result.path_ratio[result.success].max() < 1.1


def test_joints_that_are_not_the_policys_stand_still():
    names = [f"j{i}" for i in range(1, 7)]  # the seventh joint is nobody's
    config = compose(
        [
            "robot=custom",
            f"robot.mjcf={ASSETS / 'arm7.xml'}",
            f"robot.joints=[{','.join(names)}]",
            f"robot.actuators=[{','.join(n.replace('j', 'a') for n in names)}]",
            "robot.tcp_site=tip",
            "task.region.joint_range=[0.6]",
            "task.episode_steps=150",
        ]
    )
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, 6, 7)
    config, pilot = make_driver("ik", config, robot)
    for row in range(6):
        path = pilot.solver.path(robot.home, goals.position[row], goals.quaternion[row], 150)
        position, _ = tool(robot, path[-1])  # with the seventh joint at home
        assert np.linalg.norm(position - goals.position[row]) < 5e-3
