from dataclasses import replace

import numpy as np
import pytest

from reach_rl.robots import load_robot
from reach_rl.viz.player.world import Reachable, World
from tests.small_runs import compose


@pytest.fixture(scope="module")
def config():
    return compose(["task.region.pool=64", "observation=notes"])


@pytest.fixture(scope="module")
def robot(config):
    return load_robot(config.robot, config.task.physics_step)


def still(observation):
    return np.zeros((len(observation), 6))


def test_the_goal_goes_where_it_is_put_and_stays_there_over_a_reset(config, robot):
    world = World(config, still, robot)
    world.set_goal(np.array([0.3, 0.2, 0.5]), np.array([2.0, 0.0, 0.0, 0.0]))
    world.reset()
    position, quaternion = world.goal
    np.testing.assert_allclose(position, [0.3, 0.2, 0.5])
    np.testing.assert_allclose(quaternion, [1.0, 0.0, 0.0, 0.0])


def test_an_arm_that_is_at_its_goal_succeeds_after_the_hold_time(config, robot):
    world = World(config, still, robot)
    state = world.batch.state
    world.set_goal(state.tool_position[0].copy(), state.tool_quaternion[0].copy())
    steps = config.task.hold_steps
    readings = [world.step() for _ in range(steps)]
    assert [r.success for r in readings] == [False] * (steps - 1) + [True]
    assert readings[-1].held == pytest.approx(config.task.hold_time)
    assert readings[-1].reached_after == pytest.approx(steps * world.period)
    world.random_goal()
    assert world.step().reached_after is None


@pytest.mark.parametrize("limited", [True, False], ids=["torque limits", "none"])
def test_a_push_moves_the_arm_and_then_lets_go(config, robot, limited):
    if not limited:
        robot = replace(robot, torque_limits=np.full(6, np.inf))
    world = World(config, still, robot)
    before = world.qpos
    world.push()
    for _ in range(10):
        world.step()
    assert np.abs(world.qpos - before).max() > 0.01
    assert not world._force.any()


def test_nothing_is_random_in_the_world_of_a_randomised_run(robot):
    rough = compose(
        ["task.region.pool=64", "task.randomization.payload=[1.0,2.0]", "task.start_noise=0.5"]
    )
    world = World(rough, still, robot)
    world.reset()
    np.testing.assert_allclose(world.qpos[robot.qpos_adr], robot.home)


def test_it_goes_on_when_mujoco_gives_up_on_the_simulation(config, robot):
    world = World(config, still, robot)
    world.batch.batch.bind("qvel")[:] = 1e12
    reading = world.step()
    assert np.isfinite(reading.position_error)
    np.testing.assert_allclose(world.qpos[robot.qpos_adr], robot.home, atol=1e-3)


def test_goals_of_the_region_are_reachable(config, robot):
    world, reachable = World(config, still, robot), Reachable(robot)
    for _ in range(20):
        world.random_goal()
        assert reachable(*world.goal) == ""


@pytest.mark.parametrize(
    "position, quaternion, reason",
    [
        ((1.6, 0.0, 0.2), (1.0, 0.0, 0.0, 0.0), "reach is about 0.85 m"),
        ((0.8, 0.5, 0.3), (1.0, 0.0, 0.0, 0.0), "no joint angles"),
        ((0.4, 0.0, -0.3), (1.0, 0.0, 0.0, 0.0), "touch itself or the table"),
    ],
)
def test_goals_out_of_reach_say_why(robot, position, quaternion, reason):
    assert reason in Reachable(robot)(np.array(position), np.array(quaternion))
