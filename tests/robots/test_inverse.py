"""Closed-form inverse kinematics against forward kinematics, and that against MuJoCo's."""

import numpy as np
import pytest

from reach_rl.config.load import compose
from reach_rl.envs.pool import goal_pool, kinematics, other_ways
from reach_rl.robots import inverse, load_robot
from reach_rl.robots.family import NAMES, own_arm

WANTED = ("++reward.terms.joint_progress.weight=1", "++reward.terms.joint_progress.scales=null")


def turned(angle):
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


@pytest.mark.parametrize("name", NAMES)
def test_every_way_reaches_the_pose_and_none_is_missing(name):
    arm = own_arm(name)
    assert arm is not None
    joints = np.random.default_rng(1).uniform(-np.pi, np.pi, (500, 6))
    poses = inverse.forward(arm.dh, joints)
    ways = inverse.solutions(arm.dh, poses)
    there = np.isfinite(ways[..., 0])
    reached = inverse.forward(arm.dh, ways)
    np.testing.assert_allclose(
        reached[there], np.broadcast_to(poses[:, None], reached.shape)[there], atol=1e-6
    )
    off = np.abs(turned(ways - joints[:, None])).max(axis=2)
    assert (np.nanmin(off, axis=1) < 1e-5).all()
    assert there.sum(axis=1).mean() > 6.0
    first, second = turned(ways[:, :, None] - ways[:, None]), ~np.eye(8, dtype=bool)
    assert np.nanmin(np.abs(first).max(axis=-1)[:, second]) > 1e-6, "one way found twice"


def test_a_pose_out_of_reach_has_no_way():
    arm = own_arm("ur5e")
    assert arm is not None
    pose = np.eye(4)[None].copy()
    pose[0, 0, 3] = 2.0
    assert np.isnan(inverse.solutions(arm.dh, pose)).all()


def test_the_other_ways_to_a_goal_reach_it_and_touch_nothing():
    config = compose(["robot=ur3e", "task=full_sphere", "task.region.pool=256", *WANTED])
    robot = load_robot(config.robot, config.task.physics_step)
    goals = goal_pool(config, robot)
    assert goals.others is not None and goals.ways.shape == (256, 9, 6)
    rows, ways = np.nonzero(np.isfinite(goals.others[..., 0]))
    assert len(rows) > 3 * 256
    there = kinematics(robot, clearance=config.task.region.clearance)(goals.others[rows, ways])
    assert there.free.all()
    np.testing.assert_allclose(there.position, goals.position[rows], atol=1e-4)
    np.testing.assert_allclose(there.matrix, goals.matrix[rows], atol=1e-3)


def test_without_a_reward_that_asks_there_is_one_way():
    config = compose(["task.region.pool=16"])
    goals = goal_pool(config, load_robot(config.robot, config.task.physics_step))
    assert goals.others is None
    np.testing.assert_array_equal(goals.ways[:, 0], goals.joints)


def test_an_arm_of_other_dimensions_has_one_way_too():
    config = compose(["robot=ur5e", "task.region.pool=16"])
    robot = load_robot(config.robot, config.task.physics_step)
    goals = goal_pool(config, robot)
    robot.model.body("forearm_link").pos[0] += 0.01
    moved = kinematics(robot)(goals.joints)
    other = type(goals)(
        moved.position, moved.quaternion, moved.matrix, goals.joints, goals.spread, goals.kept
    )
    assert other_ways(robot, other, kinematics(robot)) is None
