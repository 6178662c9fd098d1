"""The closed form against forward kinematics and MuJoCo's contacts."""

from dataclasses import replace

import numpy as np
import pytest

from reach_rl.envs.pool import goal_pool, kinematics, other_ways
from reach_rl.robots import load_robot
from reach_rl.robots.family import NAMES, own_arm
from reach_rl.robots.inverse_kinematics import closed_form, forward, solutions
from tests.small_runs import compose

WANTED = ("++reward.terms.joint_progress.weight=1", "++reward.terms.joint_progress.scales=null")


@pytest.fixture(scope="module", params=["ur3e", "ur5e", "ur20"])
def arm(request):
    return load_robot(compose([f"robot={request.param}"]).robot)


def free_goals(robot, count):
    joints = np.random.default_rng(4).uniform(-np.pi, np.pi, (4 * count, 6))
    free = kinematics(robot, clearance=0.05)(joints).free
    return kinematics(robot)(joints[free][:count])


def test_every_solution_brings_the_tool_there(arm):
    there = free_goals(arm, 200)
    found = closed_form(arm).solutions(there.position, there.matrix)
    rows, ways = np.nonzero(np.isfinite(found[..., 0]))
    assert len(rows) > 6 * 200
    reached = kinematics(arm)(found[rows, ways])
    np.testing.assert_allclose(reached.position, there.position[rows], atol=1e-6)
    np.testing.assert_allclose(reached.matrix, there.matrix[rows], atol=1e-6)


def test_what_looks_free_is_free(arm):
    """Nearly: balls do not fill the edges. And hardly anything that is free looks otherwise."""
    form = closed_form(arm)
    there = free_goals(arm, 1000)
    found = form.solutions(there.position, there.matrix)
    found = found[np.isfinite(found[..., 0])]
    looks, free = form.free(found), kinematics(arm)(found).free
    assert (~free).sum() > 500
    assert (looks & ~free).sum() < 0.02 * (~free).sum()
    assert (~looks & free).sum() < 0.06 * free.sum()
    assert not form.free(np.full((1, 6), np.nan)).any()


def test_ways_that_touch_count_only_where_there_is_no_other(arm):
    form = closed_form(arm)
    there = free_goals(arm, 300)
    found = form.solutions(there.position, there.matrix)
    ways = form.all_ways(there.position, there.matrix)
    free = form.free(found)
    assert free.any(axis=1).all()
    np.testing.assert_array_equal(np.isfinite(ways[..., 0]), free)
    np.testing.assert_array_equal(ways[free], found[free])
    # shoved through one another, nothing is free, and all solutions stay
    balls = replace(form.balls, lowest=form.balls.lowest + 9.0)
    np.testing.assert_array_equal(
        replace(form, balls=balls).all_ways(there.position, there.matrix), found
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_of_the_project_has_a_closed_form(name):
    robot = load_robot(compose([f"robot={name}"]).robot)
    assert closed_form(robot) is not None
    assert closed_form(replace(robot, name="another")) is None


def test_an_arm_of_other_dimensions_has_none():
    robot = load_robot(compose(["robot=ur5e"]).robot)
    robot.model.body("forearm_link").pos[0] += 0.01
    assert closed_form(robot) is None


def test_the_tool_may_be_any_and_the_base_anywhere():
    robot = load_robot(compose(["robot=ur5e"]).robot)
    robot.model.site_pos[robot.tcp_site] += (0.05, -0.02, 0.1)
    moved = np.array([0.3, 0.1, 0.2])
    robot.model.body_pos[1] += moved
    robot = replace(robot, base_position=robot.base_position + moved)
    joints = np.random.default_rng(1).uniform(-1.0, 1.0, (20, 6))
    there = kinematics(robot)(joints)
    found = closed_form(robot).solutions(there.position, there.matrix)
    rows, ways = np.nonzero(np.isfinite(found[..., 0]))
    assert len(rows) > 60
    reached = kinematics(robot)(found[rows, ways])
    np.testing.assert_allclose(reached.position, there.position[rows], atol=1e-6)


def turned(angle):
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


@pytest.mark.parametrize("name", NAMES)
def test_every_way_reaches_the_pose_and_none_is_missing(name):
    arm = own_arm(name)
    assert arm is not None
    joints = np.random.default_rng(1).uniform(-np.pi, np.pi, (500, 6))
    poses = forward(arm.dh, joints)
    ways = solutions(arm.dh, poses)
    there = np.isfinite(ways[..., 0])
    reached = forward(arm.dh, ways)
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
    assert np.isnan(solutions(arm.dh, pose)).all()


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


def test_goals_of_an_arm_of_other_dimensions_have_one_way():
    config = compose(["robot=ur5e", "task.region.pool=16"])
    robot = load_robot(config.robot, config.task.physics_step)
    goals = goal_pool(config, robot)
    robot.model.body("forearm_link").pos[0] += 0.01
    moved = kinematics(robot)(goals.joints)
    other = type(goals)(
        moved.position, moved.quaternion, moved.matrix, goals.joints, goals.spread, goals.kept
    )
    assert other_ways(robot, other, kinematics(robot)) is None
