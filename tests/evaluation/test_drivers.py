"""Yardsticks on the same servos, starts and limits, with mink as the oracle of their paths."""

from dataclasses import replace
from pathlib import Path

import mink
import mujoco
import numpy as np
import pytest

from reach_rl.evaluation.differential_ik import CLOSE, BatchChain, _least_in_box, twist
from reach_rl.evaluation.drivers import ik
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.robots import load_robot
from tests.small_runs import compose

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


def paths(config, robot, goals, steps=150):
    config, driver = ik(config, robot)
    start = np.tile(robot.home, (len(goals), 1))
    return driver, driver.paths(start, goals.position, goals.quaternion, steps)


def test_paths_lead_to_the_goal_within_range_and_speed(arm):
    config, robot = arm
    goals = held_out_goals(config, robot, 20, 7)
    _, found = paths(config, robot, goals)
    period, arrived = config.task.control_period, 0
    for row, path in enumerate(found):
        assert path.shape == (151, 6)
        np.testing.assert_allclose(path[0], robot.home)
        assert (path >= robot.low - 1e-6).all() and (path <= robot.high + 1e-6).all()
        speed = np.abs(np.diff(path, axis=0)) / period / robot.velocity_limits
        assert speed.max() < 0.9 + 1e-6
        position, matrix = tool(robot, path[-1])
        near = np.linalg.norm(position - goals.position[row]) < 1e-3
        arrived += near and np.abs(matrix - goals.matrix[row]).max() < 1e-2
    assert arrived >= 18


def minks(config, robot, driver, start, goal_position, goal_quaternion, steps=150):
    """The path as mink solves it, step by step."""
    configuration, model = mink.Configuration(robot.model), robot.model
    offset, period = driver.arm.keypoint_offset, driver.arm.control_period
    task = mink.FrameTask(config.robot.tcp_site, "site", 1.0, offset, lm_damping=1.0)
    task.set_target(mink.SE3(np.concatenate((goal_quaternion, goal_position))))
    speeds = dict(zip(robot.joint_names, driver.speed[:, None], strict=True))
    limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds)]
    others = np.setdiff1d(np.arange(model.nv), robot.dof_adr).tolist()
    frozen = [mink.DofFreezingTask(model, others)] if others else None
    qpos = robot.home_qpos.copy()
    qpos[robot.qpos_adr] = start
    configuration.update(qpos)
    weights = np.repeat((1.0, offset), 3)
    path = np.repeat(start[None], steps + 1, axis=0)
    for step in range(1, steps + 1):
        if np.linalg.norm(weights * task.compute_error(configuration)) < CLOSE:
            break
        velocity = mink.solve_ik(
            configuration, [task], period, "daqp", limits=limits, constraints=frozen
        )
        configuration.integrate_inplace(velocity, period)
        path[step:] = configuration.q[robot.qpos_adr]
    return path


def custom(name, joints, region):
    letters = [f"j{i}" for i in range(1, joints + 1)]
    return compose(
        [
            "robot=custom",
            f"robot.mjcf={ASSETS / name}",
            f"robot.joints=[{','.join(letters)}]",
            f"robot.actuators=[{','.join(n.replace('j', 'a') for n in letters)}]",
            "robot.tcp_site=tip",
            f"task.region.joint_range=[{region}]",
            "task.episode_steps=150",
        ]
    )


@pytest.mark.parametrize("which", ["ur5e", "ur3e", "seven joints", "the seventh is nobody's"])
def test_paths_are_minks(which):
    """Also into limits of joints and speeds, and where a joint is not the policy's."""
    if which.startswith("ur"):
        config = compose([f"robot={which}", "task=full_sphere", "task.episode_steps=150"])
    else:
        config = custom("arm7.xml", 7 if which == "seven joints" else 6, 0.6)
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, 12, 7)
    driver, found = paths(config, robot, goals)
    for row, path in enumerate(found):
        oracle = minks(
            config, robot, driver, robot.home, goals.position[row], goals.quaternion[row]
        )
        np.testing.assert_allclose(path, oracle, atol=2e-4)  # daqp's tolerance, step by step


def test_twists_and_their_derivatives_are_minks(arm):
    config, robot = arm
    goals = held_out_goals(config, robot, 8, 7)
    joints = robot.home + np.random.default_rng(0).uniform(-2.0, 2.0, (8, 6))
    error, jacobian = twist(BatchChain.of(robot), joints, goals.position, goals.quaternion)
    configuration = mink.Configuration(robot.model)
    task = mink.FrameTask(config.robot.tcp_site, "site", 1.0, 1.0)
    for row in range(8):
        configuration.update(joints[row])
        task.set_target(mink.SE3(np.concatenate((goals.quaternion[row], goals.position[row]))))
        np.testing.assert_allclose(error[row], task.compute_error(configuration), atol=1e-12)
        np.testing.assert_allclose(jacobian[row], task.compute_jacobian(configuration), atol=1e-9)


def test_in_a_box_the_least_is_found():
    """By what tells it: no joint can move within its bounds and make it less."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(500, 7, 6))
    hessian = roots @ roots.swapaxes(1, 2) + 1e-6 * np.eye(7)
    gradient = rng.normal(size=(500, 7))
    low, high = -rng.exponential(size=(500, 7)), rng.exponential(size=(500, 7))
    low[:50] = high[:50] - 0.1  # zero is not always inside
    found = np.empty((500, 7))
    _least_in_box(hessian, gradient, low, high, found)
    slope = gradient + (hessian @ found[:, :, None])[:, :, 0]
    assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all()
    assert (np.abs(slope[(found > low) & (found < high)]) < 1e-6).all()
    assert (slope[found == low] > -1e-6).all() and (slope[found == high] < 1e-6).all()


def test_it_is_judged_as_a_policy_is(arm):
    config, robot = arm
    goals = held_out_goals(config, robot, 24, 7)
    there, pilot = ik(config, robot)
    assert there.task == config.task and there.action.speed == config.action.speed
    result = evaluate(pilot, there, goals, threads=1, robot=robot, seed=7, chunk=10)
    assert result.success.mean() >= 0.9
    assert np.median(result.position_error) < 1e-4
    assert result.max_speed_of_limit.max() < 1.0
    again = evaluate(pilot, there, goals, threads=1, robot=robot, seed=7)
    np.testing.assert_array_equal(result.position_error, again.position_error)
    far = replace(goals, position=goals.position + 5.0)
    assert not evaluate(pilot, there, far, threads=1, robot=robot, seed=7).success.any()


def test_joints_that_are_not_the_policys_stand_still():
    config = custom("arm7.xml", 6, 0.6)
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, 6, 7)
    for row, path in enumerate(paths(config, robot, goals)[1]):
        position, _ = tool(robot, path[-1])  # with the seventh joint at home
        assert np.linalg.norm(position - goals.position[row]) < 5e-3


def test_a_yardstick_says_what_it_knows(arm):
    config, robot = arm
    assert "limits and weight" in ik(config, robot)[1].knows


HEAVY = """
<mujoco model="heavy">
  <compiler angle="radian"/>
  <worldbody>
    <body name="base" pos="0 0 0.4">
      <geom type="cylinder" size=".05 .1" mass="2"/>
      <body name="l1" pos="0 0 .15">
        <joint name="j1" axis="0 0 1" range="-3 3" damping="1"/>
        <geom type="capsule" fromto="0 0 .05 .3 0 .05" size=".03" mass="1"/>
        <body name="l2" pos=".3 0 .05">
          <joint name="j2" axis="0 1 0" range="-2 2" damping="1" stiffness="{spring}"/>
          <geom type="capsule" fromto=".06 0 0 .3 0 0" size=".03" mass="4"/>
          <site name="tool" pos=".34 0 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="a1" joint="j1" kp="100" kv="10"/>
    <position name="a2" joint="j2" kp="100" kv="10"/>
  </actuator>
</mujoco>
"""


@pytest.mark.parametrize("spring", [0, 5])
@pytest.mark.parametrize("delay", [0, 2])
def test_an_arm_that_nothing_carries_does_not_droop(tmp_path, spring, delay):
    """Its weight is part of what the servos are asked for, as it is for a robot's controller."""
    (tmp_path / "arm.xml").write_text(HEAVY.format(spring=spring))
    config = compose(
        [
            *("robot=custom", f"robot.mjcf={tmp_path / 'arm.xml'}", "robot.joints=[j1,j2]"),
            *("robot.actuators=[a1,a2]", "robot.tcp_site=tool", "task.region.joint_range=[0.8]"),
            *("task.episode_steps=250", f"task.randomization.action_delay=[{delay},{delay}]"),
        ]
    )
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, 24, 7)
    there, driver = ik(config, robot)
    result = evaluate(driver, there, goals, threads=1, robot=robot, seed=7)
    assert result.success.all()
    assert np.median(result.position_error) < 1e-3
