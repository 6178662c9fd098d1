"""Sampled goals of every robot: reachable, clear, inside their region, and in disjoint sets."""

import re
from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from reach_rl.config import ur_arms
from reach_rl.config.load import ConfigError
from reach_rl.config.schema import Config
from reach_rl.envs.pool import HELD_OUT, TRAINING, VALIDATION, goal_pool
from reach_rl.robots import load_robot
from tests.small_runs import compose

Make = Callable[..., Config]
ROBOTS = ur_arms()


@pytest.mark.parametrize("name", ROBOTS)
def test_goals_are_poses_the_arm_can_take(base: Config, name: str) -> None:
    """Forward kinematics of the joints is the goal; 99 % are free of contact; all are in front."""
    robot = load_robot(compose([f"robot={name}"]).robot)
    goals = goal_pool(replace(base, seed=3), robot, count=200)
    assert len(goals) == 200
    data, contacts = mujoco.MjData(robot.model), 0
    for i, joints in enumerate(goals.joints):
        data.qpos[:] = robot.home_qpos
        data.qpos[robot.qpos_adr] = joints
        mujoco.mj_forward(robot.model, data)
        contacts += any(contact.dist < 0 for contact in data.contact)
        assert np.allclose(data.site_xpos[robot.tcp_site], goals.position[i], atol=1e-9)
        matrix = data.site_xmat[robot.tcp_site].reshape(3, 3)
        assert np.allclose(matrix, goals.matrix[i], atol=1e-9)
        quat = np.zeros(9)
        mujoco.mju_quat2Mat(quat, goals.quaternion[i])
        assert np.allclose(quat.reshape(3, 3), matrix, atol=1e-9)
    assert contacts <= 2
    width = np.array(base.task.region.joint_range or [np.inf])
    assert (np.abs(goals.joints - robot.home) <= width).all()
    assert ((goals.joints >= robot.low) & (goals.joints <= robot.high)).all()
    low = base.task.region.box_low
    assert low is not None
    assert goals.position[:, 0].min() > (low[0] or -np.inf)
    pan = np.hypot(goals.position[:, 0], goals.position[:, 1]) / robot.reach
    assert pan.min() > base.task.region.pan_distance
    assert 0.2 < goals.kept <= 1.0


def test_goals_keep_clear_of_the_table(base: Config) -> None:
    """No part of the arm comes nearer than the clearance; without one, some do."""
    robot = load_robot(base.robot)
    model, data = robot.model, mujoco.MjData(robot.model)
    pairs = [
        (int(a), int(b))
        for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)
        if 0 in (model.geom_bodyid[a], model.geom_bodyid[b])
    ]
    assert pairs
    least = {}
    for clearance in (0.0, 0.08):
        region = replace(base.task.region, clearance=clearance, joint_range=[3.0], box_low=None)
        config = replace(base, task=replace(base.task, region=region))
        least[clearance] = np.inf
        for joints in goal_pool(config, robot, count=300).joints:
            data.qpos[robot.qpos_adr] = joints
            mujoco.mj_kinematics(model, data)
            away = [mujoco.mj_geomDistance(model, data, a, b, 1.0, None) for a, b in pairs]
            least[clearance] = min(least[clearance], *away)
    assert 0.0 <= least[0.0] < 0.04
    assert 0.08 <= least[0.08] < 0.12
    assert not model.pair_margin.any()  # the simulated arm is not kept away


def test_training_validation_and_held_out_goals_are_disjoint(base: Config) -> None:
    """Whatever the seeds; equal stream and seed give equal goals."""
    robot = load_robot(base.robot)
    pools = {
        (stream, seed): goal_pool(base, robot, count=100, seed=seed, stream=stream)
        for stream in (TRAINING, HELD_OUT, VALIDATION)
        for seed in (0, 1, 2, 3)
    }
    joints = np.concatenate([pool.joints[:, 0] for pool in pools.values()])
    assert len(np.unique(joints)) == len(joints) == 1200
    again = goal_pool(base, robot, count=100, seed=2, stream=HELD_OUT)
    assert (again.position == pools[HELD_OUT, 2].position).all()
    assert (goal_pool(base, robot).position[:, 0] != 0).all()
    own = goal_pool(base, robot, count=100, stream=HELD_OUT)
    given = goal_pool(base, robot, count=100, seed=base.seed, stream=HELD_OUT)
    assert (own.joints == given.joints).all()
    assert len(goal_pool(base, robot)) == base.task.region.pool


def test_threads_and_chunks_do_not_matter(base: Config) -> None:
    robot = load_robot(base.robot)
    one, two = (goal_pool(base, robot, threads, count=1500) for threads in (1, 2))
    assert (one.position == two.position).all()
    assert (one.quaternion == two.quaternion).all()


def test_an_unreachable_region_says_how_much_of_it_is_reached(base: Config) -> None:
    """A box two reaches up."""
    region = replace(base.task.region, name="sky", box_low=[None, None, 3.0])
    config = replace(base, task=replace(base.task, region=region))
    with pytest.raises(ConfigError, match=r"task\.region=sky: only 0 of \d+ sampled"):
        goal_pool(config, load_robot(config.robot))


@pytest.mark.parametrize(("terminal", "progress"), [(True, True), (False, True), (True, False)])
def test_sampling_that_takes_its_time_says_how_it_goes(
    make: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    progress: bool,
) -> None:
    config = replace(make(), progress=progress)
    robot = load_robot(config.robot, config.task.physics_step)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    goal_pool(config, robot)
    assert capsys.readouterr().err == ""  # not where it is quick
    monkeypatch.setattr("reach_rl.envs.pool.PATIENCE", 0.0)
    goal_pool(config, robot)
    told = capsys.readouterr().err
    if not (terminal and progress):
        assert told == ""
        return
    assert re.search(r"sampling goals of front: [\d,]+ of 64, \d+\.\d% of 1,024 samples fit", told)
    assert told.endswith("\r\x1b[K")
